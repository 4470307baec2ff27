"""doctor: what it says a credential may do is what then happens; and nothing is left behind (S3, O9)."""
import json
import os

import s3
import servers
import test_immutable
from toolbox import ROOT, TestCase, limit


class _Doctor(TestCase):
    def doctor(self, repository, *arguments, expect=0, **options):
        said = self.salvor(repository, *arguments, "doctor", "--json", expect=expect, password=None, **options)
        report = said.message("doctor")
        self.checks = {check["id"]: check for check in report["checks"]}
        self.permitted = {name: check.get("permitted") for name, check in self.checks.items()}
        return report


class _S3(_Doctor):
    server_name = None
    peer_root = ROOT

    def setUp(self):
        super().setUp()
        self.server = s3.Server(self, self.server_name)
        self.admin = self.server.admin
        self.environment |= {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET}
        self.repository = self.server.url("bucket/repo")

    def fill(self, *options):
        self.salvor(self.repository, *options, "init")
        self.salvor.backup(self.repository, self.make_tree("tree", {"a": self.bytes(100_000)}), *options)

    def test_whoever_may_do_everything(self):
        self.admin.make_bucket("bucket")
        self.assertFalse(self.doctor(self.repository, expect=10)["exists"])
        self.fill()
        before = self.admin.versions("bucket")
        report = self.doctor(self.repository)
        self.assertEqual("yes", report["ransomware_could_destroy"])
        for right in ("list", "read", "create", "overwrite", "remove", "remove-locks", "change-bucket"):
            self.assertEqual("yes", self.permitted[right], right)
        self.doctor(self.repository, "-o", "s3.region=us-east-1")
        self.salvor(self.repository, "doctor", "--require-protection", expect=1)
        self.assertEqual(before, self.admin.versions("bucket"))
        self.salvor.check(self.repository)

    def test_versions_and_locks(self):
        self.admin.make_bucket("bucket", lock=True)
        locked = ("-o", "s3.object-lock=compliance", "-o", "s3.object-lock-days=3")
        self.fill(*locked)
        before = self.admin.versions("bucket")
        report = self.doctor(self.repository)
        self.assertEqual("no", report["ransomware_could_destroy"])
        self.assertIn("for everybody", report["verdict"])
        self.assertEqual("yes", self.permitted["remove-versions"])
        self.salvor(self.repository, "doctor", "--require-protection")
        # It is as it says: not even the owner can.
        for key, version, _, _ in before:
            if "/locks/" not in key:
                status, _, _ = self.admin("DELETE", f"/bucket/{key}", f"versionId={version}",
                                          headers={"x-amz-bypass-governance-retention": "true"})
                self.assertIn(status, (400, 403), key)
        self.assertEqual(before, self.admin.versions("bucket"))
        # One object that is not locked, and it says so.
        self.salvor.backup(self.repository, self.make_tree("tree", {"b": b"b"}))
        self.assertNotEqual("no", self.doctor(self.repository)["ransomware_could_destroy"])

    def test_errors(self):
        self.admin.make_bucket("bucket")
        wrong = {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}
        said = self.salvor(self.repository, "doctor", env=wrong, expect=22)
        self.assertIn("SECRET", said.errors)
        said = self.salvor(self.server.url("no-such-bucket/x"), "doctor", expect=range(1, 64))
        self.assertIn("no-such-bucket", said.errors)


class DoctorVersitygw(_S3):
    server_name = "versitygw"

    @limit(120)
    def test_whoever_may_only_add(self):
        self.admin.make_bucket("bucket")
        self.fill()
        client = self.server.add_user("backup", "backup-secret")
        policy = json.loads(json.dumps(test_immutable.BACKUP_RIGHTS))
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["backup"]}
        self.admin.must("PUT", "/bucket", "policy", json.dumps(policy))
        mine = {"AWS_ACCESS_KEY_ID": "backup", "AWS_SECRET_ACCESS_KEY": "backup-secret"}
        before = self.admin.versions("bucket")
        report = self.doctor(self.repository, env=mine)
        for right, answer in (("list", "yes"), ("read", "yes"), ("create", "yes"), ("overwrite", "yes"),
                              ("remove", "no"), ("remove-locks", "yes"), ("change-bucket", "no")):
            self.assertEqual(answer, self.permitted[right], right)
        # s3:PutObject replaces as well, and there are no versions here: it says so, and so it is.
        self.assertEqual("yes", report["ransomware_could_destroy"])
        config = "/bucket/repo/config"
        self.assertEqual(403, client("DELETE", config)[0])
        self.assertEqual(before, self.admin.versions("bucket"))
        self.assertEqual(200, client("PUT", config, body=b"ransom")[0])
        # Not even that.
        policy["Statement"][1]["Action"] = ["s3:GetObject"]
        self.admin.must("PUT", "/bucket", "policy", json.dumps(policy))
        report = self.doctor(self.repository, env=mine, expect=22)
        self.assertEqual(("no", "no"), (self.permitted["create"], self.permitted["overwrite"]))
        self.assertEqual("no", report["ransomware_could_destroy"])
        self.assertFalse(report["enough_for_backups"])

    @limit(120)
    def test_whoever_may_only_add_where_versions_are_kept(self):
        self.admin.make_bucket("bucket", versioned=True)
        self.fill()
        self.server.add_user("backup", "backup-secret")
        policy = json.loads(json.dumps(test_immutable.BACKUP_RIGHTS))
        policy["Statement"][0]["Action"].append("s3:GetBucketVersioning")
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["backup"]}
        self.admin.must("PUT", "/bucket", "policy", json.dumps(policy))
        mine = {"AWS_ACCESS_KEY_ID": "backup", "AWS_SECRET_ACCESS_KEY": "backup-secret"}
        before = self.admin.versions("bucket")
        report = self.doctor(self.repository, env=mine)
        self.assertEqual(("no", "yes"), (self.permitted["remove-versions"], self.permitted["overwrite"]))
        self.assertEqual("no", report["ransomware_could_destroy"])
        self.assertIn("older version", report["verdict"])
        self.assertEqual(before, self.admin.versions("bucket"))


class DoctorMinio(_S3):
    server_name = "minio"

    def test_whoever_has_no_account(self):
        self.admin.make_bucket("bucket")
        self.fill()
        policy = json.loads(json.dumps(test_immutable.BACKUP_RIGHTS))
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["*"]}
        self.admin.must("PUT", "/bucket", "policy", json.dumps(policy))
        before = self.admin.versions("bucket")
        self.doctor(self.repository, "-o", "s3.unsafe-anonymous-auth=true",
                    env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None})
        for right, answer in (("list", "yes"), ("read", "yes"), ("create", "yes"), ("remove", "no"),
                              ("remove-locks", "yes"), ("change-bucket", "no")):
            self.assertEqual(answer, self.permitted[right], right)
        self.assertEqual(before, self.admin.versions("bucket"))


class DoctorElsewhere(_Doctor):
    def test_a_directory(self):
        repository = self.new_repository()
        before = sorted(repository.rglob("*"))
        self.assertEqual("yes", self.doctor(repository)["ransomware_could_destroy"])
        self.assertIn("are free", self.checks["space"]["text"])
        self.assertEqual(before, sorted(p for p in repository.rglob("*") if "salvor" not in p.name and
                                        "doctor" not in p.name))
        said = self.salvor(repository, "doctor").text
        self.assertIn("Ransomware with this credential could destroy the backups", said)
        self.doctor(self.path("nowhere"), expect=(10, 24))

    def test_sftp(self):
        server = servers.SshServer(self.path("sshd"))
        self.addCleanup(server.stop)
        options = ("-o", f"sftp.args=-F {server.client_config}")
        repository = f"sftp:server:{self.path('repo')}"
        self.salvor(repository, *options, "init")
        report = self.doctor(repository, *options)
        self.assertEqual("yes", report["ransomware_could_destroy"])
        self.assertIn("are free", self.checks["space"]["text"])
        self.assertFalse([p for p in self.path("repo").rglob("*") if p.is_file() and "doctor" in str(p)])
        capacity = self.salvor(repository, *options, "stats", "--mode", "capacity", "--json").message("capacity")
        free = os.statvfs(self.path("repo"))
        self.assertLess(abs(capacity["total_bytes"] - free.f_blocks * free.f_frsize), 1 << 20)
        self.assertGreater(capacity["free_bytes"], 0)

    def test_rest_with_and_without_removal(self):
        data = self.path("rest")
        data.mkdir()
        for arguments, answer in (((), "yes"), (("--append-only",), "no")):
            server = servers.RestServer(data, "--no-auth", *arguments)
            self.addCleanup(server.stop)
            repository = f"rest:http://127.0.0.1:{server.port}/repo/"
            if not arguments:
                self.salvor(repository, "init")
            before = sorted((data / "repo").rglob("*"))
            report = self.doctor(repository)
            self.assertEqual(answer, report["ransomware_could_destroy"])
            self.assertEqual(before, sorted((data / "repo").rglob("*")))
            self.assertEqual("note", self.checks["tls"]["status"])
