"""A mounted snapshot is what was backed up, to the last attribute that a file system shows."""
import os
import signal
import subprocess
import time

import treemaker
import treestate
from toolbox import RESTIC_NEW, TestCase


class _Mounting(TestCase):
    def setUp(self):
        super().setUp()
        if not os.path.exists("/dev/fuse"):
            self.skipTest("there is no /dev/fuse")
        self.repository = self.new_repository()
        self.tree = self.path("tree")

    def mount(self, tool, name, *arguments):
        """Mounts the repository with a tool; returns the place and the process that serves it."""
        place = self.path(name)
        place.mkdir()
        server = self.background(tool.start(self.repository, "mount", *arguments, place))
        self.addCleanup(subprocess.run, ["fusermount3", "-u", "-z", "-q", str(place)], check=False)
        limit = time.monotonic() + 60
        while not os.path.ismount(place):
            self.assertIsNone(server.poll(), "mount has ended")
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        return place, server


class Mount(_Mounting):
    def setUp(self):
        super().setUp()
        treemaker.make_everything(self.tree, self.random)
        self.salvor.backup(self.repository, self.tree, "--tag", "one", "--host", "here")
        self.place, self.server = self.mount(self.salvor, "mounted")

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


class Templates(_Mounting):
    """The same templates must show the same names as restic's mount."""

    def setUp(self):
        super().setUp()
        self.restic = self.peer(RESTIC_NEW)
        self.tree.mkdir()
        (self.tree / "file").write_bytes(b"content")
        self.salvor.backup(self.repository, self.tree, "--host", "one", "--tag", "a,b/c",
                           "--time", "2025-12-31 23:59:59")
        self.salvor.backup(self.repository, self.tree, "--host", "one", "--time", "2026-07-01 12:00:00")
        self.salvor.backup(self.repository, self.tree, "--host", "two", "--tag", "z,..",
                           "--time", "2026-07-01 12:00:00")

    def names(self, place):
        """Each way to a snapshot, and each link with where it leads."""
        found = {}

        def look(directory, name):
            for entry in os.scandir(directory):
                path = f"{name}/{entry.name}"
                if entry.is_symlink():
                    found[path] = os.readlink(entry.path)
                elif os.path.exists(f"{entry.path}/file"):
                    found[path] = "snapshot"
                else:
                    look(entry.path, path)
        look(place, "")
        return found

    def test_every_template_shows_what_restic_shows(self):
        cases = ([],
                 ["--path-template", "%h/%u/%T", "--path-template", "all/%I"],
                 ["--path-template", "%h/%T/of/%t", "--time-template", "2006/01/02/15h04"],
                 ["--path-template", "100%%/%i", "--time-template", "Mon Jan _2 3:04PM MST 2006"],
                 ["--path-template", "by-day/%T", "--snapshot-template", "2006-01-02"],
                 ["--path-template", "by/%u@%h/%t/%T", "--path-template", "%I",
                  "--time-template", "Mon Jan _2 2006 3:04PM"],
                 ["--path-template", "x/y/%T", "--time-template", "2006"])
        for number, arguments in enumerate(cases):
            with self.subTest(arguments):
                ours, our_server = self.mount(self.salvor, f"ours{number}", *arguments)
                theirs, their_server = self.mount(self.restic, f"theirs{number}", *arguments)
                self.assertEqual(self.names(ours), self.names(theirs))
                self.assertGreater(len(self.names(ours)), 2)
                for place, server in ((ours, our_server), (theirs, their_server)):
                    subprocess.run(["fusermount3", "-u", str(place)], check=True)
                    self.finish(server)

    def test_a_percent_sign_means_strftime(self):
        place, _ = self.mount(self.salvor, "place", "--path-template", "%T", "--time-template", "%Y/%m")
        self.assertEqual(self.names(place), {"/2025/12": "snapshot", "/2026/07": "snapshot",
                                             "/2026/07-1": "snapshot", "/latest": "2026/07-1"})

    def test_a_link_beside_a_prefixed_time_leads_to_its_snapshot(self):
        place, _ = self.mount(self.salvor, "place", "--path-template", "on-%T",
                              "--time-template", "2006-01-02")
        self.assertTrue(os.path.exists(f"{place}/latest/file"))

    def test_templates_that_cannot_be_are_refused_before_anything_is_done(self):
        for template in ("", "/2006", "2006/"):
            self.salvor(self.repository, "mount", "--time-template", template, self.path("."), expect=64)
