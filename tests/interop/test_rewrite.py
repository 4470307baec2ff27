"""rewrite beside the real restic: the same trees, the same fields, and the same refusals."""
import json
import shutil

from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase


class Rewrite(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("backup", "rewrite")
        self.restic = self.peer(RESTIC_NEW)
        self.ours = self.new_repository(name="ours")
        self.tree = self.make_tree("tree", {
            "keep/a.txt": self.words(3000), "keep/B.LOG": self.words(3000), "drop/x": self.words(2000),
            "drop/y/z.txt": self.words(1000), "deep/er/secret.key": self.bytes(500), "top": b"1"})
        self.salvor.backup(self.ours, self.tree, "--host", "h", "--tag", "t",
                           "--time", "2024-03-01 12:00:00")
        self.theirs = self.fast / "theirs"
        shutil.copytree(self.ours, self.theirs)

    def snapshots(self, repository):
        """Without their ids, which are hashes of random bytes; originals by what they are ids of."""
        found = json.loads(self.restic(repository, "snapshots", "--json").out) or []
        known = {s["id"]: s["hostname"] + s["time"] for s in found}
        for snapshot in found:
            if "original" in snapshot:
                snapshot["original"] = known.get(snapshot["original"], "removed")
        return sorted(({k: v for k, v in s.items() if k not in ("id", "short_id")} for s in found),
                      key=json.dumps)

    def both(self, *arguments, **options):
        """The same command by both, on equal repositories: equal snapshots come of it."""
        ours = self.salvor(self.ours, "rewrite", *arguments, **options)
        self.restic(self.theirs, "rewrite", *arguments, **options)
        self.assertEqual(self.snapshots(self.theirs), self.snapshots(self.ours), arguments)
        self.restic(self.ours, "check", "--read-data")
        return ours

    def test_excludes(self):
        for arguments in (["--exclude", "secret.key"], ["--iexclude", "*.log", "--forget"],
                          ["--exclude", "/drop", "--exclude", "top", "--forget"],
                          ["--exclude", "nothing-of-that-name"], ["--exclude", "*", "--forget"]):
            self.both(*arguments)

    def test_includes(self):
        for arguments in (["--include", "*.txt"], ["--iinclude", "*.log"], ["--include", "/deep"],
                          ["--include", "nothing-of-that-name"]):
            self.both(*arguments)

    def test_metadata(self):
        self.both("--new-host", "other", "--new-time", "2020-02-02 02:02:02")
        self.both("--new-host", "third", "--forget")
        self.both("--snapshot-summary")

    def test_a_summary_for_a_snapshot_that_has_none(self):
        old = self.peer(RESTIC_OLD)
        old.backup(self.ours, self.tree, "--host", "old", "--time", "2024-03-02 12:00:00")
        shutil.rmtree(self.theirs)
        shutil.copytree(self.ours, self.theirs)
        self.both("--snapshot-summary", "--host", "old")

    def test_a_dry_run_changes_nothing(self):
        before = {p: p.read_bytes() for p in self.ours.rglob("*") if p.is_file()}
        said = self.salvor(self.ours, "rewrite", "--dry-run", "--forget", "--exclude", "drop")
        self.assertIn("would modify 1 snapshots", said.text)
        self.assertEqual(before, {p: p.read_bytes() for p in self.ours.rglob("*") if p.is_file()})

    def test_nothing_to_do_is_an_error(self):
        self.salvor(self.ours, "rewrite", expect=1)
        self.restic(self.theirs, "rewrite", expect=1)
