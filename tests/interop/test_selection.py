"""What is restored, and what a backup leaves out or says of itself: the same options do what restic does.

Patterns, lists of files and targets are judged in test_files.py.
"""
import os
import socket

import treestate
from toolbox import RESTIC_NEW, TestCase


class Backup(TestCase):
    """Runs both with the same options over the same tree; their root trees must be the same blob."""

    def setUp(self):
        super().setUp()
        self.needs("backup")
        self.restic = self.peer(RESTIC_NEW)
        self.repository = self.new_repository()
        self.tree = self.make_tree("t", {"a.txt": b"1", "src/main.o": b"2", "src/sub/x.o": b"3",
                                         "sp ace/f": b"4", "empty/": b""})

    def assert_alike(self, *options, what=".", **how):
        trees = []
        for tool in (self.salvor, self.restic):
            tool(self.repository, "backup", "--force", "--quiet", *options, *([what] if what else []),
                 cwd=self.tree, **how)
            trees.append(self.restic.snapshots(self.repository, "latest")[0])
        if trees[0]["tree"] != trees[1]["tree"]:  # say which files it is about
            self.assertEqual(*[self.restic(self.repository, "ls", "--quiet", s["id"]).text
                               for s in trees])
            self.fail("the same names, but other trees")
        return trees

    def test_descriptions(self):
        for options in (["--tag", "a,b", "--tag", "c"], ["--tag", "d, e ", "--tag", ""],
                        ["--host", "thathost"], ["--read-concurrency", "0"],
                        ["--read-concurrency", "500"],
                        ["--time", "2026-05-06 07:08:09"], ["--exclude", "*.o", "--exclude", "x"]):
            with self.subTest(options):
                ours, theirs = self.assert_alike(*options)
                same = {"tags", "hostname", "paths", "excludes", "username", "uid", "gid"}
                same |= {"time"} if "--time" in options else set()
                self.assertEqual({k: ours.get(k) for k in same}, {k: theirs.get(k) for k in same})

    def test_sockets_are_left_out(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.tree / "socket"))
        self.assert_alike()

    def test_nothing_is_written_by_a_dry_run(self):
        before = self.repository_files()
        self.salvor(self.repository, "backup", "--dry-run", ".", cwd=self.tree)
        self.assertEqual(self.repository_files(), before)

    def repository_files(self):
        return sorted(p for p in self.repository.rglob("*") if p.is_file())

    def test_no_snapshot_where_nothing_changed(self):
        self.salvor.backup(self.repository, self.tree)
        self.salvor(self.repository, "backup", "--skip-if-unchanged", ".", cwd=self.tree)
        self.assertEqual(len(self.restic.snapshots(self.repository)), 1)
        (self.tree / "new").write_bytes(b"x")
        self.salvor(self.repository, "backup", "--skip-if-unchanged", ".", cwd=self.tree)
        self.assertEqual(len(self.restic.snapshots(self.repository)), 2)


class Restore(TestCase):
    """The same options bring back the same files."""

    def setUp(self):
        super().setUp()
        self.needs("restore")
        self.restic = self.peer(RESTIC_NEW)
        self.repository = self.new_repository()
        self.tree = self.make_tree("t", {
            "a.txt": b"1", "b.TXT": b"2", "src/main.c": b"4", "src/main.o": b"5", "src/sub/x.o": b"6",
            "docs/deep/er/file": b"7", "docs/other": b"8", "big": self.bytes(3_000_000)})
        self.restic.backup(self.repository, self.tree)

    def assert_alike(self, *options, snapshot="latest", prepare=None):
        """Where directories were only on the way, their times are nobody's promise."""
        states = []
        for number, tool in enumerate((self.salvor, self.restic)):
            target = self.path(f"target{number}")
            target.mkdir()
            if prepare:
                prepare(target)
            tool.restore(self.repository, target, snapshot, *options)
            states.append(treestate.capture(target))
            for entry in states[-1].entries.values():
                if entry.kind == "directory":
                    entry.mtime_ns = 0
            os.system(f"rm -rf '{target}'")
        self.assertEqual(treestate.differences(states[1], states[0]), [])
        return states[0]

    def test_include_and_exclude(self):
        for options in (["--include", "*.o"], ["--include", "/src/sub"], ["--include", "sub/x.o"],
                        ["--exclude", "*.o"], ["--exclude", "/src"], ["--iinclude", "*.txt"],
                        ["--iexclude", "*.txt"], ["--include", "docs/**/file"],
                        ["--include", "*.c", "--include", "big"]):
            with self.subTest(options):
                self.assert_alike(*options)

    def test_a_part_of_a_snapshot(self):
        for part in ("latest:/src", "latest:/docs/deep"):
            with self.subTest(part):
                self.assert_alike(snapshot=part)

    def existing(self, target):
        (target / "src").mkdir()
        (target / "src/main.c").write_bytes(b"other, and longer")
        os.utime(target / "src/main.c", ns=(0, 4_000_000_000 * 10**9))  # newer
        (target / "a.txt").write_bytes(b"0")
        os.utime(target / "a.txt", ns=(0, 10**9))  # older, same size
        (target / "b.TXT").write_bytes(b"9")
        info = os.stat(self.tree / "b.TXT")
        os.utime(target / "b.TXT", ns=(info.st_mtime_ns, info.st_mtime_ns))  # size and time agree
        (target / "extra").write_bytes(b"mine")
        (target / "docs").write_bytes(b"a file where a directory belongs")
        data = bytearray((self.tree / "big").read_bytes())
        data[1_500_000] ^= 1
        (target / "big").write_bytes(data)
        for name in ("extra", "docs", "big"):
            os.utime(target / name, ns=(0, 4_000_000_000 * 10**9))

    def test_over_existing_files(self):
        for mode in ("always", "if-changed", "if-newer"):
            with self.subTest(mode):
                self.assert_alike("--overwrite", mode, prepare=self.existing)
        with self.subTest("never"):
            def without_docs(target):
                self.existing(target)
                os.unlink(target / "docs")
            self.assert_alike("--overwrite", "never", prepare=without_docs)

    def test_deleting_what_the_snapshot_does_not_have(self):
        state = self.assert_alike("--delete", prepare=self.existing)
        self.assertNotIn(b"extra", state.entries)

    def test_a_dry_run_changes_nothing(self):
        target = self.make_tree("target", {"a.txt": b"mine", "x": b"y"})
        before = treestate.capture(target)
        self.salvor.restore(self.repository, target, "latest", "--dry-run", "--delete")
        self.assertEqual(treestate.differences(before, treestate.capture(target), (), True), [])

    def test_an_intact_target_is_not_rewritten(self):
        target = self.path("target")
        self.salvor.restore(self.repository, target)
        before = {p: os.stat(p).st_ino for p in target.rglob("*")}
        (target / "src/main.c").write_bytes(b"X")
        self.salvor.restore(self.repository, target, "latest", "--verify")
        self.assert_same_tree(self.tree, target)
        changed = [p.name for p, inode in before.items() if os.stat(p).st_ino != inode]
        self.assertLessEqual(set(changed), {"main.c"})

    def test_sparse(self):
        tree = self.path("sparse")
        tree.mkdir()
        with open(tree / "hole", "wb") as file:
            file.seek(20 << 20)
            file.write(b"end")
        self.salvor.backup(self.repository, tree)
        target = self.path("target")
        self.salvor.restore(self.repository, target, "latest", "--sparse")
        self.assert_same_tree(tree, target)
        self.assertLess(treestate.capture(target).entries[b"hole"].blocks * 512, 4 << 20)
