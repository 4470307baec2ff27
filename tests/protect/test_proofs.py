"""What counts as a proof and what does not; what a failed drill, a check that found damage, or a note in a shared
directory may not do to good backups (V2, V3, T3, O2, O4)."""
import json
import os
import shutil
import unittest

import postgres
from protect_case import ApplicationCase
from toolbox import limit

PROVEN, UNPROVEN, UNKNOWN = 0, 30, 32
FAKETIME = unittest.skipUnless(shutil.which("faketime"), "faketime is not installed")


class Proofs(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.uploads = self.folder / "uploads"
        self.uploads.mkdir()
        for name in ("one", "two"):
            (self.uploads / name).write_text(name * 1000)
        self.write("")
        self.shop("backup", "uploads")

    def write(self, more):
        self.configure("""
            sources:
              uploads:
                files: {uploads}
                retention: {{last: 1}}
                verification: {{older-point-percent: 0}}
            """ + more, uploads=self.uploads)

    def store(self, expect):
        [store] = self.shop("status", "--json", expect=expect).message("recovery_status")["stores"]
        return store

    def test_a_part_that_was_restored_proves_nothing_of_the_whole(self):
        self.shop("restore", "uploads", "--include", self.uploads / "one", "--target", self.folder / "part")
        store = self.store(UNPROVEN)
        self.assertIsNone(store["proven_at"])
        self.assertFalse(store["recovery_measured"])
        [run] = [run for run in self.records() if run["kind"] == "restore"]
        self.assertIn(["selection", str(self.uploads / "one")], run["facts"])
        self.shop("restore", "uploads", "--target", self.folder / "whole")
        self.assertIsNotNone(self.store(PROVEN)["proven_at"])

    def test_what_says_nothing_of_the_backup_is_written_down_all_the_same(self):
        away = self.repository.with_name("away")
        self.repository.rename(away)
        self.assertNotIn(self.shop("verify", "uploads", expect=None).code, (0, 20))
        away.rename(self.repository)
        [run] = [run for run in self.records() if run["kind"] == "verify"]
        self.assertEqual(run["outcome"], "failed")
        self.assertIsNone(self.store(UNPROVEN)["proven_at"], "and refutes nothing")

    def test_a_drill_that_fails_elsewhere_costs_no_backup(self):
        self.shop("verify", "uploads")
        self.write("""
            plans:
              recover:
                steps:
                  - restore: uploads
                  - check: uploads
                  - {{name: wrong, only: drill, command: "exit 3"}}
            """)
        self.shop("drill", "run", "recover", expect=1)
        store = self.store(PROVEN)
        self.assertIsNotNone(store["proven_at"])
        self.assertNotIn("the last attempt to prove", json.dumps(store["concerns"]))
        first = self.salvor.snapshots(self.repository)[0]["id"]
        # Also one that refutes the point says nothing that retention may act upon.
        self.configure("""
            sources:
              uploads:
                files: {uploads}
                retention: {{last: 1}}
                assertions: ["test -e three"]
            """, uploads=self.uploads)
        self.shop("verify", "uploads", expect=20)
        (self.uploads / "three").write_text("three")
        self.shop("backup", "uploads")
        self.shop("retention", "apply", "--yes")
        self.assertIn(first, {snapshot["id"] for snapshot in self.salvor.snapshots(self.repository)},
                      "it was proven last")

    @FAKETIME
    @limit(200)
    def test_a_share_with_damage_is_read_again_until_it_is_well(self):
        self.configure("""
            sources:
              uploads:
                files: {uploads}
                schedule: manual
                retention: {{last: 1000}}
                verification: {{restore: manual, check: daily 03:00, check-percent: 50}}
            """, uploads=self.uploads)
        while len({self.share(pack) for pack in self.packs()}) < 2:
            (self.uploads / "one").write_bytes(self.bytes(5000))
            self.shop("backup", "uploads")
        self.shop("run")
        pack = next(pack for pack in self.packs() if self.share(pack) == 2)
        content = self.flip_bit(pack, 40)
        self.later(1, "run", expect=1)
        self.assertIn("a check of main found errors", self.later(1, "status", "--json", expect=UNKNOWN).text)
        self.later(2, "run", expect=1)
        pack.write_bytes(content)
        self.assertIn("a check of main found errors", self.later(2, "status", "--json", expect=UNKNOWN).text)
        self.later(3, "run")
        self.assertNotIn("found errors", self.later(3, "status", "--json", expect=None).text)
        self.later(4, "run")
        checks = sorted((run for run in self.records() if run["kind"] == "check"), key=lambda run: run["started"])
        self.assertEqual([(dict(run["facts"])["share"], run["outcome"]) for run in checks],
                         [("1/2", "succeeded"), ("2/2", "failed"), ("2/2", "failed"), ("2/2", "succeeded"),
                          ("1/2", "succeeded")])

    @FAKETIME
    def test_what_a_check_finds_in_a_copy_counts_there(self):
        far = self.new_repository(name="far")
        self.configure("""
            repositories: {{far: "{far}"}}
            sources:
              uploads:
                files: {uploads}
                schedule: manual
                verification: {{restore: manual, check: manual}}
                copies: [{{to: far, check: daily 03:00, check-percent: 100}}]
            """, uploads=self.uploads, far=far)
        self.shop("backup", "uploads")
        self.shop("run")
        checks = [run for run in self.records() if run["kind"] == "check"]
        self.assertEqual([(run["repository"], run["outcome"]) for run in checks], [("far", "succeeded")])
        self.assertNotIn("found errors", self.later(0, "status", "--json", expect=None).text)
        pack = max(((far / "data").rglob("*/*")), key=lambda path: path.stat().st_size)
        content = self.flip_bit(pack, 40)
        self.later(1, "run", expect=1)
        self.assertIn("a check of far found errors", self.later(1, "status", "--json", expect=None).text)
        pack.write_bytes(content)
        self.later(2, "run")
        self.assertNotIn("found errors", self.later(2, "status", "--json", expect=None).text)

    def later(self, days, *arguments, expect=0):
        return self.shop(*arguments, expect=expect, prefix=("faketime", "-f", f"+{days}d"))

    def packs(self):
        return [path for path in (self.repository / "data").rglob("*") if path.is_file()]

    @staticmethod
    def share(pack):
        return int(pack.name[:2], 16) % 2 + 1

    def test_a_password_in_the_target_is_refused_and_kept_nowhere(self):
        self.configure("""
            sources:
              db: {{postgres: {{url: env:SHOP_URL, method: logical}}}}
            """)
        for target in ("postgresql://me:hunter2@127.0.0.1:1/shop", "host=127.0.0.1 port=1 password=hunter2"):
            refused = self.shop("restore", "db", "--target", target, env={"SHOP_URL": "postgresql://127.0.0.1:1/x"},
                                expect=64)
            self.assertIn("not a reference", refused.errors)
            self.assertNotIn("hunter2", refused.text + refused.errors)
        for path in [path for path in self.state.rglob("*") if path.is_file()]:
            self.assertNotIn(b"hunter2", path.read_bytes(), path)
        self.assertNotIn("hunter2", self.shop("runs", "--json", expect=None).text)
        self.assertNotIn("hunter2", self.shop("audit", "show", "--json").text)

    def test_a_trail_that_nobody_signed_is_not_whole(self):
        trail, keys = self.path("trail.jsonl"), self.path("keys.pem")
        self.shop("audit", "export", "--output", trail)
        self.shop("evidence", "key", "public", "--output", keys)
        offline = lambda *more, **options: self.salvor(None, "audit", "verify", trail, "--key", keys, *more,
                                                       password=None, **options)
        offline()
        first = json.loads(trail.read_text().splitlines()[0])
        first["signatures"] = []
        trail.write_text(json.dumps(first, separators=(",", ":")) + "\n")
        self.assertIn("not signed", offline(expect=20).text)
        offline("--allow-unsigned", "somebody-else", expect=20)
        offline("--allow-unsigned", self.hostname())

    @staticmethod
    def hostname():
        return os.uname().nodename


class Postgres(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.cluster = postgres.Cluster.make(self, self.place, wal_keep_size="1GB")
        self.cluster.sql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n")
        self.env = {"SHOP_URL": self.cluster.url}

    def shop(self, *arguments, env=None, **options):
        return super().shop(*arguments, env={**self.env, **(env or {})}, **options)

    def masked(self, *arguments, **options):
        """As in a shell that lets nobody else read what it makes."""
        return self.shop(*arguments, prefix=("sh", "-c", 'umask 077; exec "$@"', "sh"), **options)

    def put(self, state):
        (self.app / "salvor.yaml").write_text(
            f"application: shop\nstate-directory: {state}\nrepository: {self.repository}\n"
            "password: env:SHOP_PASSWORD\n"
            "sources: {db: {postgres: {url: env:SHOP_URL, wal: none}}}\n")

    @limit(300)
    @unittest.skipUnless(os.geteuid() == 0, "only a server that root starts runs as another user")
    def test_the_default_sandbox_can_be_reached(self):
        os.chmod(self.place.path, 0o711)
        for audit in ("on", "off"):
            with self.subTest(audit=audit):
                state = self.place.path / f"state-{audit}" / "shop"
                self.put(state)
                self.masked("backup", "db", env={"SALVOR_AUDIT": audit})
                run = self.runs(self.masked("verify", "db", "--json", env={"SALVOR_AUDIT": audit}))[-1]
                self.assertEqual(run["outcome"], "succeeded", run)
                self.assertEqual((state / "catalog.db").stat().st_mode & 0o777, 0o600)
        os.chmod(state, 0o700)  # as older programs made it
        refused = self.masked("verify", "db", expect=22)
        self.assertIn(f"{state} is closed", refused.errors)
        self.assertIn(f"chmod o+x {state}", refused.errors)

    def archive(self):
        """All WAL there is goes into the repository."""
        self.cluster.sql("SELECT pg_switch_wal()")
        current = self.cluster.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        for segment in sorted((self.cluster.data / "pg_wal").iterdir()):
            if len(segment.name) == 24 and segment.name < current:
                self.salvor(self.repository, "wal", "push", segment, "--batch", "0", "--notes",
                            self.folder / "notes")

    @staticmethod
    def log_in(repository):
        return {path.name for path in (repository / "salvor/journal").rglob("*") if path.is_file()}

    @limit(300)
    def test_the_log_of_a_copy_goes_with_its_points(self):
        offsite = self.new_repository(name="offsite")
        self.configure("""
            repositories: {{offsite: {offsite}}}
            sources:
              db:
                postgres: {{url: env:SHOP_URL, wal: archive}}
                schedule: manual
                retention: {{last: 9}}
                verification: {{restore: manual, check: manual}}
                copies: [{{to: offsite, retention: {{last: 1}}}}]
            """, offsite=offsite)
        for n in range(2):
            self.shop("backup", "db")
            self.cluster.sql(f"INSERT INTO orders VALUES ({n})")
            self.archive()
            self.shop("run")
        before = self.log_in(offsite)
        self.shop("retention", "apply", "--yes")
        self.assertEqual(len(self.salvor.snapshots(offsite)), 1)
        after = self.log_in(offsite)
        self.assertLess(after, before, "what lay before the oldest backup that is left there")
        self.shop("backup", "db")
        self.shop("run")
        self.assertFalse((before - after) & self.log_in(offsite), "and no copy brings it back")
        self.assertGreaterEqual(self.log_in(self.repository), before)
