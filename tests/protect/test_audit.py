"""The audit trail of the command line (O4): what is recorded, what tampering leaves, what an outage does."""
import json
import os
import subprocess

from toolbox import TestCase


class Audit(TestCase):
    def setUp(self):
        super().setUp()
        self.repository = self.new_repository()
        self.state = self.path("state")
        self.on = ("-o", "audit.trail=on", "-o", f"audit.state={self.state}")
        self.tree = self.make_tree("tree", {"a": b"1", "b": b"2"})

    def audited(self, *arguments, writer="alpha", **options):
        return self.salvor(self.repository, *arguments, *self.on, "-o", f"audit.writer={writer}", **options)

    def shown(self, *arguments, **options):
        return self.audited("audit", "show", "--json", *arguments, **options).lines()

    def records(self, writer="alpha"):
        return sorted((self.repository / "salvor/audit" / writer).iterdir())

    def verify(self, *arguments, expect=0, writer="alpha"):
        return self.audited("audit", "verify", *arguments, expect=expect, writer=writer)

    def test_nothing_is_recorded_unasked(self):
        self.salvor(self.repository, "backup", ".", cwd=self.tree)
        self.assertFalse((self.repository / "salvor").exists())
        self.salvor(self.repository, "backup", ".", "-o", "audit.trail=maybe", cwd=self.tree, expect=64)

    def test_commands_are_recorded_with_their_end(self):
        self.audited("backup", ".", "--tag", "nightly", cwd=self.tree)
        self.audited("ls", "latest")
        self.audited("restore", "latest", "--target", self.path("out"))
        self.audited("restore", "deadbeef", "--target", self.path("out"), expect=24)
        self.audited("forget", "--keep-last", "1")
        seen = [(r["action"], r["phase"], r["outcome"]) for r in self.shown()]
        self.assertEqual(seen, [
            ("backup", "", "succeeded"), ("access", "", "succeeded"),
            ("restore", "begun", ""), ("restore", "ended", "succeeded"),
            ("restore", "begun", ""), ("restore", "ended", "failed"),
            ("retention", "begun", ""), ("retention", "ended", "succeeded")])
        last = self.shown()[5]
        self.assertIn("deadbeef", last["details"]["error"])
        self.assertEqual(last["run"], self.shown()[4]["run"])
        self.assertIn("@" + self.hostname(), last["who"])
        self.assertEqual(self.shown()[0]["text"], "backup . --tag nightly")
        self.assertEqual(len(self.shown("--action", "restore")), 4)
        self.assertEqual(self.shown("--since", "2100-01-01"), [])
        self.assertIn("the trail is whole", self.verify().text)
        # The snapshots are still restic's business alone.
        self.peer("restic-debian").check(self.repository)

    def test_secrets_are_not_recorded(self):
        self.audited("postgres", "dump", "-d", "postgresql://me:hunter2@127.0.0.1:1/x", expect=None)
        self.audited("ls", "password=hunter2", expect=None)
        self.assertNotIn("hunter2", self.audited("audit", "export").text)
        self.assertNotIn("hunter2", json.dumps(self.shown()))

    def test_tampering_in_the_storage_is_found(self):
        for _ in range(5):
            self.audited("ls", "latest", expect=None)
        heads = self.path("heads.json")
        self.audited("audit", "head", "--output", heads)
        kept = [path.read_bytes() for path in self.records()]
        middle, last = self.records()[2], self.records()[4]
        os.chmod(middle.parent, 0o700)
        middle.unlink()
        self.assertIn("record 3: the record is missing", self.verify(expect=20).text)
        middle.write_bytes(kept[2][:60] + bytes([kept[2][60] ^ 1]) + kept[2][61:])
        self.assertIn("record 3: the record cannot be read", self.verify(expect=20).text)
        middle.unlink()
        middle.write_bytes(kept[1])
        self.assertIn("another object under this name", self.verify(expect=20).text)
        middle.unlink()
        middle.write_bytes(kept[2])
        self.verify()
        last.unlink()
        # This machine remembers; another one does not, but for a head that was kept.
        self.assertIn("knows record 5", self.verify(expect=20).text)
        self.verify(writer="beta")
        self.assertIn("knows record 5", self.verify("--head", heads, expect=20, writer="beta").text)

    def test_an_export_is_verified_offline(self):
        self.audited("ls", "latest", expect=None)
        self.audited("ls", "latest", expect=None, writer="beta")
        trail, keys = self.path("trail.jsonl"), self.path("keys.pem")
        self.audited("audit", "export", "--output", trail)
        self.salvor(self.repository, "evidence", "key", "public", "--output", keys)
        answer = self.salvor(None, "audit", "verify", trail, "--key", keys, password=None)
        self.assertIn("2 records of 2 writers: the trail is whole", answer.text)
        trail.write_text(trail.read_text().replace("alpha", "gamma"))  # not in what is encoded
        self.salvor(None, "audit", "verify", trail, "--key", keys, password=None)
        lines = trail.read_text().splitlines()
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.path("k")], check=True)
        subprocess.run(["openssl", "pkey", "-in", self.path("k"), "-pubout", "-out", self.path("p")], check=True)
        self.salvor(None, "audit", "verify", trail, "--key", self.path("p"), password=None, expect=20)
        trail.write_text(lines[0][:-9] + "\n")
        self.salvor(None, "audit", "verify", trail, "--key", keys, password=None, expect=20)

    def test_a_repository_that_cannot_be_written_spools(self):
        self.audited("backup", ".", cwd=self.tree)
        area = self.repository / "salvor"
        # Not a directory any more: the same for root, who may write everywhere.
        area.rename(self.repository / "aside")
        area.write_text("")
        answer = self.audited("restore", "latest", "--target", self.path("out"))
        self.assertIn("waits on this machine", answer.errors)
        area.unlink()
        (self.repository / "aside").rename(area)
        self.audited("ls", "latest")
        self.assertEqual([r["action"] for r in self.shown()], ["backup", "restore", "restore", "access"])
        self.verify()
