"""A mounted snapshot is what was backed up, to the last attribute that a file system shows."""
import os
import signal
import subprocess
import time

import treemaker
import treestate
from toolbox import RESTIC_NEW, TestCase


class Mount(TestCase):
    def setUp(self):
        super().setUp()
        if not os.path.exists("/dev/fuse"):
            self.skipTest("there is no /dev/fuse")
        self.repository = self.new_repository()
        self.tree = self.path("tree")
        treemaker.make_everything(self.tree, self.random)
        self.salvor.backup(self.repository, self.tree, "--tag", "one", "--host", "here")
        self.place, self.server = self.mount(self.salvor, "mounted")

    def mount(self, tool, name, *options):
        place = self.path(name)
        place.mkdir()
        server = self.background(tool.start(self.repository, "mount", place, *options))
        self.addCleanup(subprocess.run, ["fusermount3", "-u", "-z", "-q", str(place)], check=False)
        limit = time.monotonic() + 60
        while not os.path.ismount(place):
            self.assertIsNone(server.poll(), "mount has ended")
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        return place, server

    def test_what_was_backed_up_is_there(self):
        original = treestate.capture(self.tree)
        original.entries = {k: e for k, e in original.entries.items() if e.kind != "socket"}
        mounted = treestate.capture(self.place / "snapshots" / "latest" / "")
        # Inode numbers of a mounted snapshot are FUSE's own, so names of one file cannot be told.
        self.assertEqual(treestate.differences(original, mounted, ignore=("linked_to",)), [])

    def test_snapshots_are_found_by_id_host_tag_and_time(self):
        snapshot = self.salvor.snapshots(self.repository)[0]
        self.assertEqual(os.listdir(self.place / "ids"), [snapshot["short_id"]])
        for folder in ("hosts/here", "tags/one", "snapshots"):
            names = os.listdir(self.place / folder)
            self.assertEqual(len(names), 2, names)
            self.assertEqual(os.readlink(self.place / folder / "latest"),
                             next(n for n in names if n != "latest"))

    def test_the_directories_are_those_of_restic(self):
        self.salvor.backup(self.repository, self.tree, "--tag", "two", "--tag", "a/b",
                           "--time", "2026-03-07 08:09:05")
        for number, options in enumerate((
                [], ["--time-template", "2006-01-02_15-04-05"],
                ["--path-template", "by/%u@%h/%t/%T", "--path-template", "%I",
                 "--time-template", "Mon Jan _2 2006 3:04PM"],
                ["--path-template", "x/y/%T", "--time-template", "2006"])):
            with self.subTest(options):
                ours, one = self.mount(self.salvor, f"ours{number}", *options)
                theirs, two = self.mount(self.peer(RESTIC_NEW), f"theirs{number}", *options)
                self.assertEqual(*(self.directories(place) for place in (ours, theirs)))
                for server, place in ((one, ours), (two, theirs)):
                    subprocess.run(["fusermount3", "-u", str(place)], check=True)
                    self.finish(server)

    def directories(self, top, depth=4):
        """The made-up part: directories down to the snapshots, with the targets of the links."""
        found = []
        for entry in os.scandir(top) if depth else ():
            found.append((entry.path[len(str(top)):], os.readlink(entry) if entry.is_symlink() else ""))
            if not entry.is_symlink() and entry.is_dir() and not os.path.exists(entry.path + "/names"):
                found += [(entry.path[len(str(top)):] + path, link)
                          for path, link in self.directories(entry.path, depth - 1)]
        return sorted(found)

    def test_nothing_can_be_written(self):
        with self.assertRaises(OSError):
            (self.place / "snapshots" / "latest" / "new").write_bytes(b"x")

    def test_it_ends_when_it_is_unmounted(self):
        subprocess.run(["fusermount3", "-u", str(self.place)], check=True)
        self.finish(self.server)
        self.assertEqual(self.salvor.listed(self.repository, "locks"), [])

    def test_it_unmounts_when_it_is_interrupted(self):
        self.server.send_signal(signal.SIGINT)
        self.finish(self.server, expect=(0, 130))
        self.assertFalse(os.path.ismount(self.place))
        self.assertEqual(self.salvor.listed(self.repository, "locks"), [])
