"""The runbook's commands, run as they stand in an empty directory: with Salvor, and with restic and PostgreSQL alone
(O8, R6). What they recover is compared with what was lost."""
import os
import pathlib
import re
import signal
import subprocess
import time

import postgres
from postgres_case import PostgresCase
from toolbox import PASSWORD, limit

BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.M | re.S)


class Runbook(PostgresCase):
    def setUp(self):
        super().setUp()
        self.uploads = self.make_tree("uploads of the shop", {"a.txt": b"one", "deep/b.bin": self.bytes(30000)})
        self.key = self.path("key")
        self.key.write_text(PASSWORD)
        self.key.chmod(0o600)
        self.bin = self.path("bin")
        self.bin.mkdir()
        (self.bin / "salvor").symlink_to(self.salvor.binary)
        (self.bin / "restic").symlink_to(self.peer("restic-debian").binary)
        self.config = self.path("salvor.yaml")
        self.config.write_text(f"""application: shop
repository: {self.repository}
password: file:{self.key}
state-directory: {self.path("state")}
sources:
  db:
    postgres: env:DATABASE_URL
    assertions: ["SELECT count(*) > 0 FROM orders"]
  uploads:
    files: {self.uploads}
objectives: {{rto: 1h, rpo: 5m}}
contacts:
  Ada-Example: {{role: on call, phone: "+49 30 1234567"}}
""")

    def runbook(self, *arguments):
        return self.salvor(None, "runbook", "--config", self.config, *arguments, password=None,
                           env={"DATABASE_URL": "postgresql://me:hunter2@db.example.com/shop"}).text

    def protect(self):
        """Backups as the configuration makes them; the last orders are in the log alone. Returns all orders."""
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE orders(id int); INSERT INTO orders SELECT generate_series(1, 1000)")
        stream = self.background(self.salvor.start(
            self.repository, "wal", "stream", "-d", cluster.url, "--create-slot", "--spool", self.place.path / "spool",
            "--flush", "1s"))
        until = time.monotonic() + 60
        while cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        made = self.back_up(cluster).message("summary")["snapshot_id"]
        self.salvor(self.repository, "tag", "--add", "salvor:source=shop/db", made)
        self.salvor(self.repository, "backup", self.uploads, "--tag", "salvor:source=shop/uploads")
        cluster.sql("INSERT INTO orders SELECT generate_series(1001, 1500)")
        cluster.sql("SELECT pg_switch_wal()")  # a whole segment, and the beginning of one
        cluster.sql("INSERT INTO orders SELECT generate_series(1501, 2000)")
        time.sleep(4)
        stream.send_signal(signal.SIGTERM)
        self.finish(stream)
        names = [path.name for path in (self.repository / "salvor/journal").rglob("*") if path.is_file()]
        self.assertTrue(any(".tail-" in name for name in names), names)
        self.assertTrue(any(re.fullmatch("[0-9A-F]{24}", name) for name in names), names)
        cluster.kill()
        return "2000|2001000"

    def execute(self, text, way):
        """The commands of one part, as one script. Returns where they recovered to."""
        recovery = self.place.path / f"recovery-{way}"
        script = []
        for language, name, body in BLOCK.findall(text):
            if language == "python":
                script.append(f"cat > \"$RECOVERY\"/{name} <<'END-OF-FILE'\n{body}END-OF-FILE\n")
                continue
            script.append(body)
            if name == "start-db":
                script.append('ask postgres "SELECT count(*), sum(id) FROM orders" > "$RECOVERY"/orders\n'
                              'as_postgres "$bin"/pg_ctl -D "$data" -m fast -s stop\n')
        path = self.path(f"{way}.sh")
        path.write_text("\n".join(script))
        empty = self.place.path / f"empty-{way}"
        empty.mkdir()
        environment = dict(self.environment, RECOVERY=str(recovery), PATH=f"{self.bin}:{os.environ['PATH']}")
        done = subprocess.run(["bash", "-eu", "-o", "pipefail", path], cwd=empty, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
        log = recovery / "db/start.log"
        self.assertEqual(done.returncode, 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n"
                                             f"{log.read_text()[-2000:] if log.exists() else ''}")
        return recovery

    def parts(self, text):
        """What to do with Salvor, and what without."""
        return text.split("## On an empty machine, with Salvor")[1].split("## On an empty machine, without Salvor")

    @limit(200)
    def test_a_dump_is_loaded_into_a_new_database(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE DATABASE shop")
        cluster.sql("CREATE TABLE orders(id int PRIMARY KEY, what text); "
                    "INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, 2000) n; "
                    "CREATE VIEW sums AS SELECT count(*) AS n, sum(id) AS total FROM orders", "shop")
        url = cluster.url.rsplit("/", 1)[0]
        self.salvor(self.repository, "postgres", "dump", "-d", f"{url}/shop", "--tag", "salvor:source=shop/db")
        text = self.config.read_text().replace("postgres: env:DATABASE_URL",
                                               "postgres: {url: env:DATABASE_URL, method: logical}")
        self.config.write_text(text.split("  uploads:")[0])
        for way, part in zip(("salvor", "restic"), self.parts(self.runbook())):
            cluster.sql(f"CREATE DATABASE new_{way}")
            if way == "restic":
                (self.bin / "salvor").unlink()
            self.environment["TARGET_URL"] = f"{url}/new_{way}"
            self.execute(part, way)
            self.assertEqual(cluster.sql("SELECT * FROM sums", f"new_{way}"), "2000|2001000", way)
            self.assertEqual(cluster.sql("SELECT conname FROM pg_constraint WHERE conrelid = 'orders'::regclass", f"new_{way}"),
                             "orders_pkey", way)

    @limit(120)
    def test_the_plans_commands(self):
        """As a person runs them: shown, looked ahead, and confirmed by the plan's name at a terminal."""
        self.config.write_text(f"""application: shop
repository: {self.repository}
password: file:{self.key}
state-directory: {self.path("state")}
sources:
  uploads: {{files: "{self.uploads}", assertions: ["test -s a.txt"]}}
plans:
  recover:
    summary: all of it
    steps:
      - restore: {{source: uploads}}
      - check: uploads
""")
        self.salvor(None, "backup", "uploads", "--config", self.config, password=None)
        before = self.path("before")
        subprocess.run(["cp", "-a", self.uploads, before], check=True)
        (self.uploads / "a.txt").write_text("overwritten")
        (self.uploads / "deep/b.bin").unlink()
        commands = next(body for _, name, body in BLOCK.findall(self.runbook()) if name == "plan-recover")
        path = self.path("plan.sh")
        path.write_text(commands)
        done = subprocess.run(
            ["script", "-qec", f"bash -eu {path}", "/dev/null"], input="recover\n", text=True, timeout=60, check=False,
            cwd=self.config.parent, capture_output=True,
            env=dict(self.environment, PATH=f"{self.bin}:{os.environ['PATH']}", SALVOR_CONFIG=str(self.config)))
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr)
        self.assertIn("nothing is done", done.stdout, "the dry run")
        self.assertIn("the old data is kept", done.stdout)
        self.assert_same_tree(before, self.uploads)

    @limit(300)
    def test_every_command_recovers(self):
        orders = self.protect()
        text = self.runbook()
        self.assertNotIn(PASSWORD, text)
        self.assertNotIn("hunter2", text)
        for way, part in zip(("salvor", "restic"), self.parts(text)):
            if way == "restic":
                (self.bin / "salvor").unlink()  # there is none
            recovery = self.execute(part, way)
            self.assertEqual((recovery / "orders").read_text().strip(), orders, way)
            self.assert_same_tree(self.uploads, pathlib.Path(f"{recovery}/uploads{self.uploads}"))

    def test_says_whom_to_call_and_where_things_are(self):
        text = self.runbook()
        for words in ("`Ada-Example`", "`+49 30 1234567`", f"`file:{self.key}`", f"`{self.repository}`", "1 h", "5 min",
                      "Nothing has been measured yet"):
            self.assertIn(words, text)
        page = self.runbook("--format", "html")
        self.assertIn("<code>Ada-Example</code>", page)
        self.assertNotIn("<script", page)
        out = self.path("runbook.md")
        self.runbook("--output", out)
        self.assertTrue(out.read_text().startswith("# Recovery of `shop`"))

    def test_without_a_configuration_says_how_to_get_one(self):
        answer = self.salvor(None, "runbook", password=None, cwd=self.path("tmp"), expect=64)
        self.assertIn("there is no configuration", answer.errors)
