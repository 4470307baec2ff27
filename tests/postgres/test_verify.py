"""`salvor postgres verify --start` (V1, V5): a recovery point is proven by recovering it."""
import pathlib
import signal
import time

import postgres
from postgres_case import PostgresCase
from toolbox import limit


class Verify(PostgresCase):
    def setUp(self):
        super().setUp()
        self.sandbox = self.place.path / "sandboxes"
        self.sandbox.mkdir()
        self.sandbox.chmod(0o755)
        self.place.path.chmod(0o755)

    def verify(self, *arguments, expect=0, **options):
        result = self.salvor(self.repository, "postgres", "verify", "--start", "--sandbox", str(self.sandbox), *arguments,
                             expect=expect, **options)
        self.assertEqual(list(self.sandbox.iterdir()), [], "nothing is left")
        return result

    def proofs(self):
        return sorted((self.repository / "salvor/journal").glob("postgresql-*/proofs/*"))

    def prepared(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=1)
        cluster.sql("CREATE DATABASE shop")
        cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id", "shop")
        self.back_up(cluster)
        return cluster

    @limit(180)
    def test_a_good_backup_is_proven_and_recorded_and_nothing_remains(self):
        cluster = self.prepared()
        before = cluster.sql("SELECT count(*) FROM pg_stat_activity")
        questions = self.path("questions.sql")
        questions.write_text("-- what must be so\n\nSELECT count(*) = 1000 FROM orders;\n")
        summary = self.verify("--json", "--database", "shop", "--assert", "SELECT max(id) = 1000 FROM orders",
                              "--assert-file", str(questions)).message("summary")
        self.assertTrue(summary["proven"])
        values = {check["name"]: check for check in summary["checks"]}
        self.assertTrue(values["SELECT count(*) = 1000 FROM orders"]["passed"])
        self.assertTrue(values["SELECT max(id) = 1000 FROM orders"]["passed"])
        self.assertEqual(values["pg_amcheck shop"]["value"], "no damage found")
        self.assertRegex(values["rows shop"]["value"], r"^\d+ tables, \d{4,} rows$")
        self.assertGreater(summary["seconds_files"], 0)
        self.assertGreater(summary["seconds_recovery"], 0)
        self.assertEqual(len(self.proofs()), 1)
        self.assertEqual(cluster.sql("SELECT count(*) FROM pg_stat_activity"), before)
        self.salvor.check(self.repository)

    def test_what_the_original_preloads_need_not_be_here(self):
        cluster = postgres.Cluster.make(self, self.place)
        for setting in ("shared_preload_libraries", "session_preload_libraries"):
            cluster.sql(f"ALTER SYSTEM SET {setting} = 'salvor_not_here'")
        self.back_up(cluster)
        self.assertTrue(self.verify("--json").message("summary")["proven"])

    def test_what_an_assertion_denies_is_not_proven(self):
        self.prepared()
        for statement in ("SELECT count(*) = 999 FROM orders", "SELECT nonsense FROM orders", "SELECT id FROM orders",
                          "SELECT NULL::boolean", "DELETE FROM orders RETURNING true"):
            summary = self.verify("--json", "--no-amcheck", "--no-counts", "--database", "shop", "--assert", statement,
                                  expect=20).message("summary")
            self.assertFalse(summary["proven"], statement)
        self.assertEqual(len(self.proofs()), 5)

    def test_damage_that_a_page_checksum_cannot_show_is_found(self):
        """An index that lacks rows: made by editing the catalogue, found only by looking into it."""
        cluster = self.prepared()
        cluster.sql("CREATE INDEX chosen ON orders (id) WHERE id > 500", "shop")
        cluster.sql("UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'chosen'::regclass", "shop")
        self.back_up(cluster)
        summary = self.verify("--json", "--no-counts", expect=20).message("summary")
        failed = [check for check in summary["checks"] if not check["passed"]]
        self.assertEqual([check["name"] for check in failed], ["pg_amcheck shop"])

    def test_a_killed_run_leaves_nothing_running_and_the_next_one_tidies_up(self):
        self.prepared()
        slow = "SELECT pg_sleep(100) IS NULL"
        run = self.background(self.salvor.start(self.repository, "postgres", "verify", "--start", "--sandbox",
                                                str(self.sandbox), "--assert", slow, "--no-amcheck", "--no-counts"))
        until = time.monotonic() + 60
        while not self.servers() or not self.asleep():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        run.send_signal(signal.SIGKILL)
        run.wait()
        until = time.monotonic() + 20
        while self.servers():
            self.assertLess(time.monotonic(), until, "the server outlived the run")
            time.sleep(0.1)
        self.assertEqual(len(list(self.sandbox.iterdir())), 1)
        self.verify("--no-amcheck", "--no-counts")

    def test_an_interrupted_run_leaves_nothing(self):
        self.prepared()
        run = self.background(self.salvor.start(self.repository, "postgres", "verify", "--start", "--sandbox",
                                                str(self.sandbox), "--assert", "SELECT pg_sleep(100) IS NULL"))
        until = time.monotonic() + 60
        while not self.asleep():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        self.finish(run, expect=130)
        self.assertEqual(self.servers(), [])
        self.assertEqual(list(self.sandbox.iterdir()), [])
        self.assertEqual(self.proofs(), [])

    def servers(self):
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if str(self.sandbox).encode() in command and b"postgres\0-D" in command:
                found.append(int(process.name))
        return found

    def asleep(self):
        """The assertion is being asked: a backend of the sandbox's server sleeps in it."""
        for server in self.servers():
            try:
                for child in pathlib.Path(f"/proc/{server}/task/{server}/children").read_text().split():
                    if b"SELECT" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                        return True
            except OSError:
                pass  # it has ended meanwhile: look again
        return False
