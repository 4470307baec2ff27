"""`salvor doctor` over a configuration: everything that is missing, at once, with the next step (S3, O9)."""
import shutil
import socket

import postgres
import s3
from protect_case import ApplicationCase
from toolbox import ROOT, limit


class _Doctor(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.data = self.make_tree("data", {"one": b"1"})

    def doctor(self, *arguments, expect=0, **options):
        report = self.shop("doctor", "--json", *arguments, expect=expect, **options).message("doctor_report")
        self.sections = {(s["kind"], s["name"]): s for s in report["sections"]}
        return report

    def bad(self, kind=None, name=None):
        """What is missing, as (section, id, text, next)."""
        return [(f"{s['kind']} {s['name']}".strip(), f["id"], f["text"], f["next"])
                for s in self.sections.values() for f in s["findings"]
                if f["status"] == "BAD" and kind in (None, s["kind"]) and name in (None, s["name"])]

    def simple(self, more=""):
        self.configure("sources:\n  files: {{files: {data}}}\n" + more, data=self.data)


class Doctor(_Doctor):
    peer_root = ROOT

    def test_all_is_well(self):
        self.simple()
        report = self.doctor()
        self.assertTrue(report["healthy"])
        self.assertEqual(report["missing"], 0)
        self.assertEqual(set(self.sections), {("repository", "main"), ("source", "files"), ("machine", "")})
        text = self.shop("doctor")
        self.assertIn("everything that backups and recoveries need is there", text.text)
        self.assertIn("the password (env:SHOP_PASSWORD) opens it", text.text)
        quiet = self.shop("doctor", "-q")
        self.assertNotIn("  ok", quiet.text)
        # Found from elsewhere, too, by either name.
        self.shop("doctor", "-c", self.app / "salvor.yaml", cwd=self.folder)
        self.assertEqual(sorted(p.name for p in self.repository.iterdir()),
                         sorted(p.name for p in self.repository.iterdir() if ".salvor" not in p.name))

    def test_everything_missing_is_said_at_once(self):
        busy = socket.socket()
        self.addCleanup(busy.close)
        busy.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = busy.getsockname()[1]
        blocked = self.folder / "blocked"
        blocked.write_text("a file")
        self.configure("""
            repositories:
              offsite: {missing}
              far: "s3:http://127.0.0.1:{port}/bucket"
              typed: {{location: {other}, password: "env:TYPED_PASSWORD"}}
              secret: {{location: {other}, password: "file:{folder}/no-such-file"}}
            sources:
              files: {{files: [{data}, {folder}/gone], copies: [offsite, far, typed, secret]}}
              db: {{postgres: env:SHOP_DB}}
            sandboxes:
              default: {{directory: {blocked}/sandbox}}
            notifications:
              ops: {{slack: env:SHOP_SLACK}}
            """, data=self.data, folder=self.folder, missing=self.path("nowhere"),
            port=port, other=self.new_repository(name="other"), blocked=blocked)
        text = (self.app / "salvor.yaml").read_text()
        head = f"sandboxes:\n  default: {{directory: {self.sandboxes}}}\n"
        (self.app / "salvor.yaml").write_text(text.replace(head, ""))
        env = {"SHOP_DB": f"postgresql://127.0.0.1:{port}/shop", "TYPED_PASSWORD": "wrong",
               "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        report = self.doctor("--patience", "5s", expect=1, env=env)
        self.assertFalse(report["healthy"])
        found = {(section, what) for section, what, _, _ in self.bad()}
        self.assertIn(("repository offsite", "repository"), found)
        self.assertIn(("repository far", "storage"), found)
        self.assertIn(("repository typed", "password"), found)
        self.assertIn(("repository secret", "storage"), found)
        self.assertIn(("source files", f"path {self.folder}/gone"), found)
        self.assertIn(("source db", "connection"), found)
        self.assertIn(("machine", "sandbox"), found)
        self.assertIn(("machine", "secret"), found)
        self.assertEqual(self.bad("repository", "main"), [], "what works is not drawn into it")
        for section, what, said, following in self.bad():
            self.assertTrue(following, f"no next step: {section} {what}: {said}")
        shown = self.shop("doctor", "--patience", "5s", expect=1, env=env).text
        self.assertIn(f"{report['missing']} things are missing:", shown)
        self.assertNotIn("wrong", shown.replace("the password is wrong", "").replace("wrong password", ""))

    def test_what_it_finds_of_the_storage_is_what_status_says(self):
        self.simple()
        self.shop("backup", "files")
        status = self.shop("status", "--json", expect=None).message("recovery_status")
        self.assertIsNone(status["stores"][0]["copies"]["immutable"], "nobody looked yet")
        self.doctor()
        status = self.shop("status", "--json", expect=None).message("recovery_status")
        self.assertEqual(status["stores"][0]["copies"]["immutable"], 0)
        self.assertIsNotNone(status["stores"][0]["copies"]["immutable_seen"])
        self.doctor("--require-protection", expect=1)

    def test_nothing_calls_it(self):
        if not shutil.which("faketime"):
            self.skipTest("faketime is not installed")
        self.simple()
        self.shop("run")
        self.doctor()
        later = " ".join(self.shop("doctor", prefix=("faketime", "-f", "+3d")).text.split())
        self.assertIn("nothing has called `salvor run`", later)
        self.assertIn("salvor generate systemd", later)

    def test_a_named_repository_is_looked_at_alone(self):
        self.simple()
        alone = self.shop("doctor", "--json", "-r", self.repository).message("doctor")
        self.assertEqual(alone["repository"], str(self.repository))
        by_name = self.shop("doctor", "--json", "--repository-name", "main").message("doctor")
        self.assertEqual(by_name["repository"], alone["repository"])
        self.assertEqual([c["id"] for c in by_name["checks"]], [c["id"] for c in alone["checks"]])

    def test_a_locked_bucket_is_safe(self):
        server = s3.Server(self, "minio")
        server.admin.make_bucket("bucket", lock=True)
        keys = {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET}
        self.configure("""
            repositories:
              offsite:
                location: {url}
                options: {{s3.object-lock: compliance, s3.object-lock-days: 3}}
            sources:
              files: {{files: {data}, copies: offsite}}
            """, url=server.url("bucket/repo"), data=self.data)
        self.salvor(server.url("bucket/repo"), "-o", "s3.object-lock=compliance", "-o", "s3.object-lock-days=3",
                    "init", env=keys)
        self.shop("run", env=keys)
        report = self.doctor("--require-protection", env=keys)
        self.assertEqual(report["unsafe_sources"], [])
        self.assertEqual(self.sections["repository", "offsite"]["ransomware_could_destroy"], "no")
        status = self.shop("status", "--json", expect=None, env=keys).message("recovery_status")
        self.assertEqual(status["stores"][0]["copies"]["immutable"], 1)


class Database(_Doctor):
    """Against a PostgreSQL that lacks one thing after the other."""

    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.sandboxes = self.place.path / "sandboxes"

    def database(self, **settings):
        self.cluster = postgres.Cluster.make(self, self.place, **settings)
        self.configure("""
            sources:
              db: {{postgres: {{url: env:SHOP_URL, data-directory: "{data}", wal: stream}}}}
            """, data=self.cluster.data)

    def look(self, url=None, **options):
        report = self.doctor(env={"SHOP_URL": url or self.cluster.url}, **options)
        self.found = {f["id"]: f for f in self.sections["source", "db"]["findings"]}
        return report

    @limit(120)
    def test_rights_settings_and_slot(self):
        self.database()
        self.look()
        self.assertEqual(self.found["connection"]["status"], "ok")
        self.assertEqual(self.found["clock"]["status"], "ok")
        slot = self.found["replication slot salvor"]
        self.assertEqual(slot["status"], "note", "recommended, and backups work without")
        self.assertIn("salvor wal stream", slot["next"])
        self.cluster.sql("CREATE ROLE plain LOGIN")
        self.look(self.cluster.url.replace("postgres@", "plain@"), expect=1)
        self.assertEqual(self.found["replication right"]["status"], "BAD")
        self.assertIn("REPLICATION", self.found["replication right"]["next"])
        self.look(self.cluster.url.rsplit("/", 1)[0] + "/nowhere", expect=1)
        self.assertIn("nowhere", self.found["connection"]["text"])
        self.cluster.stop()
        self.look(expect=1)
        self.assertEqual(self.found["connection"]["status"], "BAD")

    @limit(120)
    def test_a_server_that_keeps_too_little_log(self):
        self.database(wal_level="minimal", max_wal_senders="0")
        self.look(expect=1)
        self.assertEqual(self.found["wal_level"]["status"], "BAD")
        self.assertIn("wal_level = replica", self.found["wal_level"]["next"])
        self.assertEqual(self.found["max_wal_senders"]["status"], "BAD")
        self.assertEqual(len({what for _, what, _, _ in self.bad()}), 3, "the replication connection, too")
