"""copies: which snapshots are in how many places, counted from what is there (S2)."""
import s3
from toolbox import PASSWORD, ROOT, TestCase, limit


class Copies(TestCase):
    peer_root = ROOT

    def copies(self, repository, *others, expect=0, **options):
        arguments = [part for other in others for part in ("--with", other)]
        return self.salvor(repository, "copies", "--json", *arguments, expect=expect, **options).message("copies")

    @limit(180)
    def test_the_rule_is_met_only_when_it_is(self):
        server = s3.Server(self, "versitygw")
        server.admin.make_bucket("bucket", lock=True)
        self.environment |= {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET}
        first, second = self.new_repository(name="first"), server.url("bucket/second")
        locked = ("-o", "s3.object-lock=compliance", "-o", "s3.object-lock-days=1")
        self.salvor(second, *locked, "init")
        tree = self.make_tree("tree", {"a": self.bytes(300_000)})
        for run in range(2):
            (tree / f"b{run}").write_bytes(self.bytes(1000))
            self.salvor.backup(first, tree)
            self.salvor(second, *locked, "copy", "--from-repo", first, env={"RESTIC_FROM_PASSWORD": PASSWORD})
        found = self.copies(first, second)
        self.assertEqual([[0, 1], [0, 1]], [s["places"] for s in found["snapshots"]])
        self.assertEqual([("local", False, False), ("s3", False, True)],
                         [(p["kind"], p["offsite"], p["immutable"]) for p in found["places"]])
        rule = found["rule"]
        # All but "off-site": a loopback address is this machine.
        self.assertEqual((3, 2, 0, 1, 0, False), tuple(rule[k] for k in (
            "copies", "kinds", "offsite", "immutable", "errors", "met")))
        self.salvor(first, "copies", "--with", second, "--require-rule", expect=1)
        said = self.salvor(first, "copies", "--with", second).text
        self.assertIn("ok    3 copies: every snapshot has at least 3", said)
        self.assertIn("MISS  1 off-site: 0", said)
        # A snapshot that has not been copied yet, and one that was forgotten here.
        self.salvor(first, "forget", self.salvor.snapshots(first)[0]["id"])
        self.salvor.backup(first, tree)
        found = self.copies(first, second)
        self.assertEqual([[1], [0, 1], [0]], [s["places"] for s in found["snapshots"]])
        self.assertEqual(2, found["rule"]["copies"])
        # A pack that is gone is an error, not a copy.
        pack = next(p for p in (first / "data").rglob("*") if p.is_file())
        pack.unlink()
        lost = self.copies(first, second)
        self.assertEqual((1, 1), (lost["rule"]["errors"], lost["places"][0]["errors"]))

    def test_a_place_counts_once(self):
        first, link = self.new_repository(name="first"), self.path("link")
        link.symlink_to(first)
        for again in (first, f"{first}/", f"local:{first}", link):
            refused = self.salvor(first, "copies", "--with", again, expect=64)
            self.assertIn("is named twice", refused.errors)
        other = self.new_repository(name="other")
        self.salvor(first, "copies", "--with", other, "--with", other, expect=64)
        self.salvor(first, "copies", "--with", other)

    def test_passwords_and_what_restic_copied(self):
        first, second = self.new_repository(name="first"), self.path("second")
        own = self.path("own-password")
        own.write_text("its own\n")
        self.salvor(second, "init", "--password-file", own, password=None)
        self.salvor.backup(first, self.make_tree("tree", {"a": b"a"}), "--host", "h")
        self.salvor(second, "copy", "--from-repo", first, "--password-file", own, password=None,
                    env={"RESTIC_FROM_PASSWORD": PASSWORD})
        self.salvor(first, "copies", "--with", second, expect=12)
        said = self.salvor(first, "copies", "--with", second, "--with-password-file", own, "--json")
        found = said.message("copies")
        self.assertEqual([[0, 1]], [s["places"] for s in found["snapshots"]])
        # Tags may differ: it is the same data.
        self.salvor(first, "tag", "--add", "x", "latest")
        said = self.salvor(first, "copies", "--with", second, "--with-password-file", own, "--json", "--host", "h")
        self.assertEqual([[0, 1]], [s["places"] for s in said.message("copies")["snapshots"]])
