"""A judge that cannot say no is worth nothing: every kind of damage must be seen."""
import os
import unittest

import treestate
from toolbox import TestCase


class TreeState(TestCase):
    def setUp(self):
        super().setUp()
        for name in ("a", "b"):
            root = self.make_tree(name, {"dir/file": b"hello", "plain": b"x" * 70000})
            os.symlink(b"to \xff", os.fsencode(root / "link"))
            os.link(root / "plain", root / "second")
            os.link(root / "dir/file", root / "dir/zwilling")
            for folder, _, files in os.walk(root, topdown=False):
                for item in files + ["."]:
                    os.utime(os.path.join(folder, item), ns=(10**18, 10**18 + 7),
                             follow_symlinks=False)

    def differences(self):
        return treestate.differences(treestate.capture(self.path("a")),
                                     treestate.capture(self.path("b")))

    def test_equal_trees_are_equal(self):
        self.assertEqual(self.differences(), [])

    def test_each_damage_is_named(self):
        damages = {
            "sha256": lambda: self.rewrite("b/dir/file", b"hellO"),
            "mtime_ns": lambda: os.utime(self.path("b/plain"), ns=(10**18, 10**18 + 8)),
            "mode": lambda: self.path("b/plain").chmod(0o4711),
            "target": lambda: (os.unlink(self.path("b/link")), os.symlink("x", self.path("b/link"))),
            "linked_to": lambda: self.unlink_second(),
            "missing": lambda: os.unlink(self.path("b/plain")),
            "should not be there": lambda: self.path("b/new").write_bytes(b""),
        }
        for word, damage in damages.items():
            with self.subTest(word):
                self.doCleanups()
                self.setUp()
                damage()
                self.assertTrue(any(word in line for line in self.differences()), self.differences())

    def rewrite(self, name, data):
        self.path(name).write_bytes(data)
        os.utime(self.path(name), ns=(10**18, 10**18 + 7))

    def unlink_second(self):
        data = self.path("b/second").read_bytes()
        self.path("b/second").unlink()
        self.rewrite("b/second", data)

    @unittest.skipUnless(hasattr(os, "setxattr"), "no extended attributes here")
    def test_attributes_count(self):
        os.setxattr(self.path("b/plain"), "user.salvor", b"1")
        self.assertTrue(any("xattrs" in line for line in self.differences()))
