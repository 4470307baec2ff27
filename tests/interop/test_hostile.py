"""Repositories made to mislead, by somebody with the key or with access to the storage: every command
ends soon, says what is wrong and where, and gives back what is sound."""
import json

import sealed
import treestate
from toolbox import PASSWORD, TestCase

ANY = range(0, 128)  # an exit code, never a signal
FAILS = range(1, 128)
DAMAGED, INCOMPLETE = 20, 3


class Made(TestCase):
    """A repository that is written object by object."""

    def setUp(self):
        super().setUp()
        self.needs("restore")
        self.repository = self.new_repository()
        self.master = self.masters[self.repository]
        self.packs = []

    def pack(self, kind, blobs):
        self.packs.append(sealed.write_pack(self.repository, self.master, kind, blobs))
        return self.packs[-1]

    def index(self):
        return sealed.write_index(self.repository, self.master, self.packs)

    def snapshot(self, tree):
        return sealed.write_snapshot(self.repository, self.master, sealed.blob_id(tree))[:8]

    @staticmethod
    def file(name, *blobs):
        return sealed.node(name, size=sum(map(len, blobs)), content=[sealed.blob_id(b) for b in blobs])


class Trees(Made):
    def exploding(self, levels=40):
        """2**levels directories in as many trees; the last is the root."""
        trees = [sealed.tree_blob([self.file("f")])]
        for _ in range(levels):
            name = sealed.blob_id(trees[-1])
            trees.append(sealed.tree_blob([sealed.node("a", "dir", subtree=name),
                                           sealed.node("b", "dir", subtree=name)]))
        return trees

    def test_two_to_the_forty_directories(self):
        trees, other = self.exploding(), sealed.tree_blob([self.file("g")])
        self.pack("tree", [*trees, other])
        self.index()
        good = self.snapshot(other)
        bad = self.snapshot(trees[-1])
        target = self.fast / "target"
        for command in (["ls", bad], ["ls", bad, "--json"], ["ls", bad, "--ncdu"], ["find", "f", "-s", bad],
                        ["find", "--tree", sealed.blob_id(trees[0]), "-s", bad], ["dump", bad, "/"],
                        ["dump", bad, "/", "-a", "zip"], ["stats", bad], ["diff", good, bad],
                        ["restore", bad, "--target", target, "--dry-run"],
                        ["restore", bad, "--target", target]):
            with self.subTest(command):
                result = self.salvor(self.repository, *command, expect=DAMAGED, timeout=60)
                said = result.text + result.errors
                where = trees[-2] if command[0] == "diff" else trees[-1]  # it begins at what is new
                self.assertIn(f"tree {sealed.blob_id(where)} unfolds to more than", said)
                self.assertIn("salvor forget", said)
                self.assertLess(len(result.out), 50_000_000)
        self.assertLess(sum(1 for _ in target.rglob("*")), 100_000)
        for command in (["ls", bad, "/a"], ["ls", f"{bad}:" + "/a" * 35], ["stats", bad, "--mode", "raw-data"],
                        ["stats", bad, "--mode", "files-by-contents"],
                        ["check", "--read-data"], ["prune", "--dry-run"],
                        ["restore", good, "--target", self.path("good")]):
            with self.subTest(command):
                self.salvor(self.repository, *command, timeout=60)
        copy = self.new_repository()
        self.salvor(copy, "copy", "--from-repo", self.repository,
                    env={"RESTIC_FROM_PASSWORD": PASSWORD}, timeout=60)
        self.salvor.check(copy)
        self.salvor(self.repository, "forget", bad, "--prune", timeout=60)
        self.salvor.check(self.repository)

    def test_a_path_longer_than_a_system_call_takes(self):
        """Listed, searched, dumped, restored; with few descriptors, too."""
        trees = [sealed.tree_blob([self.file("f", b"at the end")])]
        for _ in range(400):
            trees.append(sealed.tree_blob([sealed.node("d" * 12, "dir", subtree=sealed.blob_id(trees[-1]))]))
        self.pack("tree", trees)
        self.pack("data", [b"at the end"])
        self.index()
        self.snapshot(trees[-1])
        path = ("/" + "d" * 12) * 400 + "/f"
        self.assertIn(path, self.salvor(self.repository, "ls", "latest").text)
        self.assertIn(path, self.salvor(self.repository, "find", "f").text)
        self.assertEqual(self.salvor(self.repository, "dump", "latest", path).out, b"at the end")
        target = self.fast / "target"
        # A single descriptor for each directory would not do.
        self.salvor.restore(self.repository, target, prefix=["prlimit", "--nofile=64"])
        self.salvor.restore(self.repository, target, prefix=["prlimit", "--nofile=64"])
        state = treestate.capture(target)
        self.assertEqual(len(state.entries), 402)
