"""Both tools at work on one repository at the same time, many times over.

Nothing here can be proven by one run: each loop starts the tools with small random delays so that their
steps meet in ever different ways. What must hold every time: no run fails but by finding the repository
locked, and what was committed is whole and restores.
"""
import os
import random
import time

import treestate
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase, limit, slow

LOCKED = (1, 11)


class _Concurrent(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.needs("backup", "forget", "prune")
        self.restic = self.peer(self.peer_name)

    def make_trees(self, count):
        """Trees that share half of their contents, so that runs race for the same new blobs."""
        shared = {f"shared/{i}": self.bytes(self.random.randrange(200_000)) for i in range(20)}
        return [self.make_tree(f"tree{n}", shared | {
            f"own/{i}": self.bytes(self.random.randrange(100_000)) for i in range(20)})
            for n in range(count)]

    def start_later(self, tool, delay, *arguments, **options):
        return self.background(tool.start(None, *arguments, prefix=(
            "sh", "-c", 'sleep "$0"; exec "$@"', f"{delay:.3f}"), **options))

    def everything_restores(self, repository, states):
        """`states` has what each successful backup saw, by the path it was made from."""
        seen = {}
        for snapshot in self.restic.snapshots(repository):
            seen.setdefault(snapshot["paths"][0], []).append(snapshot["id"])
        for path, (state, count) in states.items():
            names = seen.get(path, [])
            self.assertEqual(len(names), count, f"{path}: backups that succeeded, snapshots that exist")
            if names:
                self.assert_restores(self.restic, repository, state, names[-1])

    def backups_together(self, rounds):
        for number in range(rounds):
            trees = self.make_trees(4)
            repository = self.new_repository(1 + number % 2)
            running = []
            for index, tree in enumerate(trees):
                tool = (self.salvor, self.restic)[index % 2]
                running.append(self.start_later(tool, self.random.random() * 0.3, "-r", str(repository),
                                                "backup", "--quiet", ".", cwd=tree))
            for process in running:
                self.finish(process)
            self.restic.check(repository)
            self.salvor.check(repository)
            self.everything_restores(repository, {
                str(t): (treestate.capture(t), 1) for t in trees})

    def test_backups_together(self):
        self.backups_together(3)

    @slow
    @limit(1800)
    def test_many_backups_together(self):
        self.backups_together(40)

    def backups_and_prune(self, rounds, backups, pruning):
        """Snapshots are made, forgotten and pruned at once; a run that meets a lock may give up."""
        repository = self.new_repository()
        trees = self.make_trees(2)
        made = {str(t): 0 for t in trees}
        self.restic.backup(repository, trees[0])
        made[str(trees[0])] += 1
        self.restic(repository, "tag", "--set", "keep")
        junk = self.make_tree("junk", {f"{i}": self.bytes(100_000) for i in range(10)})
        locked = 0
        for _ in range(rounds):
            # Something for the prune to do, named so that only it is forgotten.
            name = self.restic.backup(repository, junk, "--tag", "junk")["snapshot_id"]
            self.restic(repository, "forget", name)
            for path in junk.iterdir():
                path.write_bytes(self.bytes(100_000))
            tree = self.random.choice(trees)
            backup = self.start_later(backups, self.random.random() * 0.6, "-r", str(repository),
                                      "backup", "--quiet", "--force", ".", cwd=tree)
            prune = self.start_later(pruning, self.random.random() * 0.6, "-r", str(repository),
                                     "prune", "--max-unused", "0")
            backed, pruned = self.finish(backup, (0, *LOCKED)), self.finish(prune, (0, *LOCKED))
            for result in (backed, pruned):
                if result.code != 0:
                    locked += 1
                    self.assertIn("lock", result.errors)
            made[str(tree)] += backed.code == 0
            self.restic(repository, "check")
        self.assertLess(locked, 2 * rounds, "every run found the repository locked: nothing was tested")
        self.restic.check(repository)
        self.everything_restores(repository, {
            str(t): (treestate.capture(t), made[str(t)]) for t in trees})

    def test_their_prune_beside_our_backup(self):
        self.backups_and_prune(6, self.salvor, self.restic)

    def test_our_prune_beside_their_backup(self):
        self.backups_and_prune(6, self.restic, self.salvor)

    def test_our_prune_beside_our_backup(self):
        self.backups_and_prune(6, self.salvor, self.salvor)

    @slow
    @limit(1800)
    def test_many_prunes_beside_backups(self):
        self.backups_and_prune(100, self.salvor, self.restic)
        self.backups_and_prune(100, self.restic, self.salvor)

    def test_two_prunes_at_once(self):
        for tool in (self.salvor, self.restic):
            with self.subTest(tool.name):
                repository = self.new_repository()
                tree = self.make_trees(1)[0]
                self.restic.backup(repository, tree)
                junk = self.make_tree("junk", {f"{i}": self.bytes(100_000) for i in range(10)})
                name = self.restic.backup(repository, junk)["snapshot_id"]
                self.restic(repository, "forget", name)
                running = [self.start_later(t, self.random.random() * 0.2, "-r", str(repository),
                                            "prune", "--max-unused", "0") for t in (self.salvor, tool)]
                for process in running:
                    self.finish(process, (0, *LOCKED))
                self.restic.check(repository)
                self.assert_restores(self.salvor, repository, tree)
                self.assertEqual(os.listdir(repository / "locks"), [])

    def test_reading_while_snapshots_come_and_go(self):
        """A restore and a check never see a half-made state, whatever is written meanwhile."""
        repository = self.new_repository()
        tree = self.make_trees(1)[0]
        self.restic.backup(repository, tree)
        state = treestate.capture(tree)
        first = self.restic.snapshots(repository)[0]["id"]
        other = self.make_tree("other", {f"{i}": self.bytes(50_000) for i in range(10)})
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            writer = self.start_later(random.choice((self.salvor, self.restic)), 0.0, "-r",
                                      str(repository), "backup", "--quiet", "--force", ".", cwd=other)
            self.assert_restores(self.salvor, repository, state, first)
            self.salvor(repository, "check", expect=(0, 11))
            self.finish(writer, (0, *LOCKED))
            (other / "1").write_bytes(self.bytes(50_000))
        self.restic.check(repository)


class WithOldRestic(_Concurrent):
    peer_name = RESTIC_OLD


class WithNewRestic(_Concurrent):
    peer_name = RESTIC_NEW
