"""`salvor init` beside a running PostgreSQL: what it writes works as it stands (C1): backup, proof, dry run of the
recovery."""
import os
import subprocess

import postgres
from toolbox import TestCase


class Init(TestCase):
    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.sockets = self.place.path / "sockets"
        self.sockets.mkdir()
        self.place.own(self.sockets)
        self.sockets.chmod(0o755)
        (self.place.path / "state").mkdir(mode=0o755)  # a server in the sandbox must get through
        self.app = self.folder / "shop"
        (self.app / "uploads").mkdir(parents=True)
        (self.app / "uploads/one").write_text("x" * 1000)
        self.environment = {**{k: v for k, v in os.environ.items() if not k.startswith(("SALVOR_", "RESTIC_", "PG"))},
                            "HOME": str(self.folder / "home"), "XDG_STATE_HOME": str(self.folder / "state"),
                            "STATE_DIRECTORY": str(self.place.path / "state"), "PGHOST": str(self.sockets), "TZ": "UTC"}
        self.environment.pop("DATABASE_URL", None)

    def run_salvor(self, *arguments, expect=0):
        done = subprocess.run([os.environ["SALVOR_BIN"], *map(str, arguments)], cwd=self.app, env=self.environment,
                              capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_what_is_written_works(self):
        cluster = postgres.Cluster(self, self.place.path / "cluster")
        postgres.run([cluster.bin / "initdb", "-D", cluster.data, "-A", "trust", "-U", postgres.USER, "--no-sync",
                      "--locale=C", "-E", "UTF8", "-k"])
        cluster.configure(fsync="off")
        cluster.start(unix_socket_directories=self.sockets)
        cluster.sql("CREATE DATABASE shop")
        cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id", "shop")
        self.run_salvor("init", "--yes", "--location", self.folder / "repository")
        url = (self.app / ".salvor/database-url").read_text()
        self.assertRegex(url, f"postgresql://(postgres@)?/shop\\?host={self.sockets}&port={cluster.port}\n")
        self.assertIn(f"data-directory: {cluster.data}\n", (self.app / "salvor.yaml").read_text())
        self.assertIn("no mistakes", self.run_salvor("config", "check"))
        self.run_salvor("run")
        status = self.run_salvor("status")
        self.assertRegex(status, "Recoverable to .*last proven")
        self.assertNotIn("at worst", status, "its own schedule keeps what it promises")
        # Where the data is, is known; that a server runs there is said before anything is touched.
        dry = self.run_salvor("plan", "run", "--dry-run", expect=1)
        self.assertIn(f"the cluster in {cluster.data} is replaced", dry)
        self.assertRegex(dry, r"forecast: about \d+\.\d s\n")
        self.assertIn(f"a PostgreSQL server runs on {cluster.data}", dry)

    def test_nobody_gets_in(self):
        cluster = postgres.Cluster(self, self.place.path / "cluster")
        postgres.run([cluster.bin / "initdb", "-D", cluster.data, "-A", "reject", "-U", postgres.USER, "--no-sync",
                      "--locale=C", "-E", "UTF8"])
        cluster.start(unix_socket_directories=self.sockets)
        said = self.run_salvor("init", "--yes", "--location", self.folder / "repository")
        self.assertIn("cannot connect to PostgreSQL", said)
        self.assertIn('"salvor doctor" tries it again', said)
        self.assertEqual((self.app / ".salvor/database-url").read_text(),
                         f"postgresql:///postgres?host={self.sockets}&port={cluster.port}\n")
        self.assertIn("no mistakes", self.run_salvor("config", "check"))
