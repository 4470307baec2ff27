"""Data and trees deduplicate across the tools: what one has stored, the other stores not again.

This is the proof that chunks are cut at the same bytes and trees are encoded to the same bytes: a single
differing byte anywhere would show as a new blob.
"""
import os

import treemaker
from toolbox import RESTIC_NEW, RESTIC_OLD, OpenWatcher, TestCase, limit, slow


class _Dedup(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.needs("backup")
        self.restic = self.peer(self.peer_name)
        self.old = self.peer_name == RESTIC_OLD

    def make_parents_too(self):
        """A tree below two more directories, so that the nodes above the target count as well."""
        tree = self.path("above/beside/tree")
        treemaker.make_everything(tree, self.random, old_restic=self.old)
        self.make_tree("above/other", {"nested/file": self.bytes(1000), "x": b""})
        os.utime(self.path("above/beside"), ns=(5, 1_234_567_890_123_456_789))
        return self.path("above"), ["beside/tree", "other/nested", "other"]

    def test_they_add_nothing_to_what_we_stored(self):
        for version in (1, 2):
            with self.subTest(version=version):
                folder, targets = self.make_parents_too() if version == 1 else self.made
                self.made = folder, targets
                repository = self.new_repository(version)
                self.salvor.backup(repository, folder, *targets[1:], what=targets[0])
                self.assert_nothing_added(
                    self.restic.backup(repository, folder, "--force", *targets[1:], what=targets[0]))

    def test_we_add_nothing_to_what_they_stored(self):
        for version in (1, 2):
            with self.subTest(version=version):
                folder, targets = self.make_parents_too() if version == 1 else self.made
                self.made = folder, targets
                repository = self.new_repository(version)
                self.restic.backup(repository, folder, *targets[1:], what=targets[0])
                self.assert_nothing_added(
                    self.salvor.backup(repository, folder, "--force", *targets[1:], what=targets[0]))

    def test_the_same_under_a_polynomial_of_their_choice(self):
        repository = self.fast / "theirs"
        self.restic(repository, "init")
        tree = self.make_tree("t", {"big": self.bytes(5_000_000), "text": self.words(4_000_000),
                                    "zeros": bytes(3_000_000)})
        self.restic.backup(repository, tree)
        self.assert_nothing_added(self.salvor.backup(repository, tree, "--force"))

    def test_the_same_under_a_polynomial_of_our_choice(self):
        self.needs("init")
        repository = self.fast / "ours"
        self.salvor(repository, "init")
        tree = self.make_tree("t", {"big": self.bytes(5_000_000), "text": self.words(4_000_000),
                                    "zeros": bytes(3_000_000)})
        self.salvor.backup(repository, tree)
        self.assert_nothing_added(self.restic.backup(repository, tree, "--force"))

    def test_our_run_reads_no_file_that_their_snapshot_has(self):
        tree = self.path("tree")
        treemaker.make_everything(tree, self.random, old_restic=self.old)
        repository = self.new_repository()
        first = self.restic.backup(repository, tree)
        with OpenWatcher(tree) as watcher:
            second = self.salvor.backup(repository, tree)
        self.assertEqual(watcher.opened(), [])
        self.assertEqual((second["files_new"], second["files_changed"]), (0, 0), second)
        self.assertEqual(second["files_unmodified"], first["files_new"])
        self.assert_nothing_added(second)
        snapshots = self.restic.snapshots(repository)
        self.assertEqual(snapshots[1]["parent"], snapshots[0]["id"])
        self.assertEqual(snapshots[1]["tree"], snapshots[0]["tree"])

    def test_their_run_reads_no_file_that_our_snapshot_has(self):
        tree = self.path("tree")
        treemaker.make_everything(tree, self.random, old_restic=self.old)
        repository = self.new_repository()
        first = self.salvor.backup(repository, tree)
        with OpenWatcher(tree) as watcher:
            second = self.restic.backup(repository, tree)
        self.assertEqual(watcher.opened(), [])
        self.assertEqual((second["files_new"], second["files_changed"]), (0, 0), second)
        self.assertEqual(second["files_unmodified"], first["files_new"])
        self.assert_nothing_added(second)
        snapshots = self.restic.snapshots(repository)
        self.assertEqual(snapshots[1]["parent"], snapshots[0]["id"])
        self.assertEqual(snapshots[1]["tree"], snapshots[0]["tree"])

    def change_in_turns(self, rounds):
        """The tools take turns; after each run the other, made to read everything, must agree."""
        files = {f"d{i % 7}/f{i}": self.bytes(self.random.randrange(40_000)) for i in range(120)}
        files["big"] = self.bytes(3_000_000)
        tree = self.make_tree("turns", files)
        repository = self.new_repository()
        pair = [self.salvor, self.restic]
        for number in range(rounds):
            pair[0].backup(repository, tree)
            self.assert_nothing_added(pair[1].backup(repository, tree, "--force"))
            treemaker.change_some(tree, self.random)
            pair.reverse()
        self.restic.check(repository)

    def test_changes_in_turns(self):
        self.change_in_turns(4)

    @slow
    @limit(900)
    def test_many_changes_in_turns(self):
        self.change_in_turns(60)

    def test_a_stream_is_cut_alike(self):
        repository = self.new_repository()
        data = self.bytes(3_000_000) + bytes(2_000_000)
        self.salvor(repository, "backup", "--stdin", "--stdin-filename", "s", "--quiet", input=data)
        summary = self.restic(repository, "backup", "--stdin", "--stdin-filename", "s", "--json",
                              input=data).message("summary")
        self.assertEqual(summary["data_blobs"], 0, summary)


class WithOldRestic(_Dedup):
    peer_name = RESTIC_OLD


class WithNewRestic(_Dedup):
    peer_name = RESTIC_NEW
