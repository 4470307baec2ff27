"""Configured sources, by name: backed up, listed, restored by moment, verified, with old data kept (R1, R3,
R5, R11, V1, P4)."""
import os
import signal
import time

import postgres
from protect_case import ApplicationCase
from toolbox import PASSWORD, limit


class Files(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.uploads = self.folder / "srv" / "up[loads]"  # a name that is a pattern, too
        (self.uploads / "in").mkdir(parents=True)
        (self.uploads / "one").write_text("first")
        (self.uploads / "in" / "two").write_text("second" * 2000)
        self.configure("""
            sources:
              uploads:
                files: "{uploads}"
                assertions: ["test -s one"]
            """, uploads=self.uploads)

    def content(self):
        return {str(path.relative_to(self.uploads)): path.read_text()
                for path in self.uploads.rglob("*") if path.is_file()}

    def test_backup_restore_undo(self):
        before = self.content()
        run = self.runs(self.shop("backup", "uploads", "--label", "good", "--keep", "7d", "--json"))[-1]
        self.assertEqual(run["outcome"], "succeeded")
        self.assertEqual([check["name"] for check in run["checks"]], ["sample read again"])
        tags = self.salvor.snapshots(self.repository)[0]["tags"]
        self.assertIn("salvor:source=shop/uploads", tags)
        self.assertIn("salvor:label=good", tags)
        (self.uploads / "one").write_text("changed")
        (self.uploads / "new").write_text("since")
        after = self.content()
        self.shop("backup", "uploads")
        # Without consent nothing is touched.
        refused = self.shop("restore", "uploads", "--label", "good", expect=64)
        self.assertIn("is replaced", refused.errors)
        self.assertEqual(self.content(), after)
        self.shop("restore", "uploads", "--label", "good", "--yes")
        self.assertEqual(self.content(), before)
        kept = [p for p in self.uploads.parent.iterdir() if ".before-" in p.name]
        self.assertEqual(len(kept), 1)
        self.assertEqual((kept[0] / "new").read_text(), "since")
        self.shop("restore", "uploads", "--undo", "--yes")
        self.assertEqual(self.content(), after)
        self.assertEqual([p.name for p in self.uploads.parent.iterdir()], [self.uploads.name])
        self.shop("restore", "uploads", "--label", "good", "--in-place", "--confirm", "uploads")
        self.assertEqual(self.content(), before, "what the snapshot does not hold is gone")

    def test_moment(self):
        self.shop("backup", "uploads")
        then = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 1)) + "+00"
        time.sleep(2.1)
        (self.uploads / "one").write_text("later")
        self.shop("backup", "uploads")
        target = self.folder / "look"
        self.shop("restore", "uploads", "--at", then, "--target", target)
        self.assertEqual((target / str(self.uploads)[1:] / "one").read_text(), "first")
        self.shop("restore", "uploads", "--at", then, "--target", target, expect=64)  # not empty
        refused = self.shop("restore", "uploads", "--at", "2001-01-01 00:00:00Z", "--target", target / "x",
                            expect=None)
        self.assertIn("the oldest is", refused.errors)
        self.assertNotEqual(refused.code, 0)

    def test_failure_puts_the_old_data_back(self):
        self.shop("backup", "uploads")
        now = self.content()
        packs = sorted((self.repository / "data").rglob("*"), key=lambda p: p.stat().st_size)
        largest = [p for p in packs if p.is_file()][-1]
        damaged = bytearray(largest.read_bytes())
        damaged[100] ^= 1
        os.chmod(largest, 0o600)
        largest.write_bytes(damaged)
        failed = self.shop("restore", "uploads", "--yes", expect=None)
        self.assertNotEqual(failed.code, 0)
        self.assertIn("The old data is back in its place", failed.errors)
        self.assertEqual(self.content(), now)

    def test_verify(self):
        self.shop("backup", "uploads")
        (self.uploads / "one").write_text("")  # the assertion is of the restored, not of this
        run = self.runs(self.shop("verify", "uploads", "--json"))[-1]
        self.assertEqual(self.failed_checks(run), [])
        self.assertEqual({check["name"] for check in run["checks"]},
                         {"restored and started", "content is the snapshot's", "test -s one"})
        self.shop("backup", "uploads")
        failed = self.shop("verify", "uploads", "--json", expect=20)
        self.assertEqual([c["name"] for c in self.failed_checks(self.runs(failed)[-1])], ["test -s one"])
        self.assertEqual(list(self.sandboxes.iterdir()), [], "sandboxes are removed")

    def test_words(self):
        """A word is a source only without a repository and without a slash."""
        (self.app / "uploads").write_text("a file of that name")
        self.shop("backup", "./uploads")  # into the configuration's repository, and no run of the source
        self.assertEqual(self.salvor.snapshots(self.repository)[-1]["paths"], [str(self.app / "uploads")])
        self.assertNotIn("salvor:source=shop/uploads", self.salvor.snapshots(self.repository)[-1].get("tags") or [])
        self.salvor(self.repository, "backup", "uploads", cwd=self.app)
        self.assertEqual(self.salvor.snapshots(self.repository)[-1]["paths"], [str(self.app / "uploads")])
        missing = self.shop("backup", "downloads", expect=64)
        self.assertIn("The configuration has uploads", missing.errors)


class Postgres(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.sandboxes = self.place.path / "sandboxes"  # where the server's user gets to
        self.cluster = postgres.Cluster.make(self, self.place, wal_keep_size="1GB")
        self.cluster.sql("CREATE TABLE orders AS SELECT n, 'order ' || n AS what FROM generate_series(1, 1000) n")
        self.cluster.sql("ALTER TABLE orders ADD PRIMARY KEY (n)")
        self.configure("""
            sources:
              db:
                postgres: {{url: env:SHOP_URL, data-directory: "{data}", wal: archive}}
                assertions: ["SELECT count(*) >= 1000 FROM orders"]
            """, data=self.cluster.data)

    def shop(self, *arguments, env=None, **options):
        return super().shop(*arguments, env={"SHOP_URL": self.cluster.url, **(env or {})}, **options)

    def archive(self):
        """All WAL there is goes into the repository."""
        self.cluster.sql("SELECT pg_switch_wal()")
        current = self.cluster.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        for segment in sorted((self.cluster.data / "pg_wal").iterdir()):
            if len(segment.name) == 24 and segment.name < current:
                self.salvor(self.repository, "wal", "push", segment, "--batch", "0", "--notes",
                            self.folder / "notes")

    @limit(200)
    def test_a_moment_that_has_only_just_passed_is_waited_for(self):
        self.configure("""
            sources:
              db:
                postgres: {{url: env:SHOP_URL, data-directory: "{data}", wal: stream}}
            """, data=self.cluster.data)
        stream = self.background(self.salvor.start(
            None, "wal", "stream", "db", "--create-slot", cwd=self.app, password=None,
            env={"SHOP_URL": self.cluster.url, "SHOP_PASSWORD": PASSWORD}))
        end = time.monotonic() + 60
        while self.cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0":
            self.assertLess(time.monotonic(), end, "nothing is streamed")
            time.sleep(0.1)
        self.shop("backup", "db")
        self.cluster.sql("INSERT INTO orders VALUES (1001, 'late')")
        moment = self.cluster.sql("SELECT clock_timestamp()")
        self.cluster.sql("DROP TABLE orders")
        # At once: what the stream has received is stored every three seconds.
        self.shop("restore", "db", "--at", moment, "--target", self.place.path / "look", "--yes")
        stream.send_signal(signal.SIGINT)
        self.finish(stream, expect=(0, 130))
        look = postgres.Cluster(self, self.place.path / "look")
        look.start()
        self.assertEqual(look.sql("SELECT count(*) FROM orders"), "1001")

    @limit(300)
    def test_accident_to_recovery(self):
        run = self.runs(self.shop("backup", "db", "--json", "--label", "good"))[-1]
        self.assertEqual(run["outcome"], "succeeded", run)
        self.assertEqual([c["name"] for c in run["checks"]],
                         ["server's manifest", "page checksums", "WAL from start to stop", "sample read again"])
        self.cluster.sql("INSERT INTO orders SELECT n, 'late' FROM generate_series(1001, 1500) n")
        time.sleep(0.05)
        moment = self.cluster.sql("SELECT now()")
        time.sleep(0.05)
        self.cluster.sql("DROP TABLE orders")
        self.cluster.sql("CREATE TABLE after (n int)")
        self.archive()
        late = self.shop("restore", "db", "--at", "2040-01-01 00:00:00Z", "--yes", expect=1)
        self.assertIn("the log ends at", late.errors)
        running = self.shop("restore", "db", "--at", moment, "--yes", expect=1)
        self.assertIn("a PostgreSQL server runs on", running.errors)
        self.cluster.stop()
        done = self.shop("restore", "db", "--at", moment, "--yes", "--json").message("summary")
        self.assertTrue(os.path.exists(done["old_data"]), done)
        self.cluster.start()
        self.assertEqual(self.cluster.sql("SELECT count(*), max(what) FROM orders WHERE n > 1000"), "500|late")
        self.cluster.stop()
        self.shop("restore", "db", "--undo", "--yes")
        self.cluster.start()
        self.assertEqual(self.cluster.sql("SELECT to_regclass('orders') IS NULL"), "t")
        self.assertFalse(os.path.exists(done["old_data"]))

    def slow_server(self):
        """A folder of programs whose server waits, when it is started, until `go` is there; says so by `asked`."""
        folder = self.place.path / "programs"
        folder.mkdir()
        (folder / "postgres").write_text(
            "#!/bin/sh\n"
            f'case "$*" in --version) ;; *) touch "{folder}/asked"; while [ ! -e "{folder}/go" ]; do sleep 0.05; done ;; esac\n'
            f'exec {postgres.DEBIAN_15}/postgres "$@"\n')
        (folder / "pg_ctl").write_text(f'#!/bin/sh\nexec {postgres.DEBIAN_15}/pg_ctl "$@"\n')
        for program in folder.iterdir():
            program.chmod(0o755)
        self.place.own(folder)
        return folder

    @limit(300)
    def test_what_is_archived_during_a_restore_to_a_moment_stays_out(self):
        """Production runs on while its copy, as of the last commit or later, is made."""
        programs = self.slow_server()
        self.configure("""
            sources:
              db:
                postgres: {{url: env:SHOP_URL, data-directory: "{data}", wal: archive, binaries: "{programs}"}}
            """, data=self.cluster.data, programs=programs)
        self.shop("backup", "db")
        self.cluster.sql("INSERT INTO orders VALUES (1001, 'in time')")
        time.sleep(0.05)
        moment = self.cluster.sql("SELECT now()")
        time.sleep(1.1)
        self.cluster.sql("CHECKPOINT")
        self.archive()
        target = self.place.path / "look"
        restore = self.background(self.salvor.start(
            None, "restore", "db", "--at", moment, "--target", target, password=None, cwd=self.app,
            env={"SHOP_PASSWORD": PASSWORD, "SHOP_URL": self.cluster.url}))
        until = time.monotonic() + 60
        while not (programs / "asked").exists():
            self.assertIsNone(restore.poll(), "the restore has ended before it started the server")
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.cluster.sql("INSERT INTO orders VALUES (1002, 'late')")
        self.archive()
        (programs / "go").touch()
        self.finish(restore)
        copy = postgres.Cluster(self, target)
        copy.start()
        self.assertEqual(copy.sql("SELECT string_agg(what, ',') FROM orders WHERE n > 1000"), "in time")

    @limit(300)
    def test_back_to_before_a_migration(self):
        """P4: one line before it, one line after a bad one, whatever was backed up and archived since."""
        run = self.runs(self.shop("backup", "db", "--label", "pre-migration", "--keep", "7d", "--json"))[-1]
        self.cluster.sql("ALTER TABLE orders DROP COLUMN what; CREATE TABLE migrated AS SELECT 1")
        self.archive()
        self.shop("backup", "db")
        self.archive()
        self.salvor(self.repository, "forget", "--keep-last", "1", "--group-by", "", "--prune")
        self.assertIn(run["snapshot_id"], [s["id"] for s in self.salvor.snapshots(self.repository)], "it is kept for a week")
        self.cluster.stop()
        refused = self.shop("restore", "db", "--label", "pre-migration", expect=64)
        self.assertIn("is replaced", refused.errors)
        done = self.shop("restore", "db", "--label", "pre-migration", "--yes", "--json").message("summary")
        self.assertEqual(done["snapshot_id"], run["snapshot_id"])
        self.cluster.start()
        self.assertEqual(self.cluster.sql("SELECT count(*), max(what) FROM orders"), "1000|order 999")
        self.assertEqual(self.cluster.sql("SELECT to_regclass('migrated') IS NULL"), "t")
        unknown = self.shop("restore", "db", "--label", "pre-migraton", "--yes", expect=None)
        self.assertIn("pre-migraton", unknown.errors)
        self.assertNotEqual(unknown.code, 0)

    @limit(300)
    def test_verify(self):
        self.shop("backup", "db")
        self.archive()
        run = self.runs(self.shop("verify", "db", "--json"))[-1]
        self.assertEqual(self.failed_checks(run), [], run)
        names = [check["name"] for check in run["checks"]]
        self.assertIn("rows and columns as restored", names)
        self.assertIn("SELECT count(*) >= 1000 FROM orders", names)
        self.assertTrue(any(name.startswith("pg_amcheck") for name in names), names)
        self.assertEqual(list(self.sandboxes.iterdir()), [])
        self.cluster.sql("DELETE FROM orders WHERE n > 10")
        self.shop("backup", "db")
        failed = self.shop("verify", "db", "--json", "--at", "latest", expect=20)
        self.assertIn("SELECT count(*) >= 1000 FROM orders",
                      [c["name"] for c in self.failed_checks(self.runs(failed)[-1])])
