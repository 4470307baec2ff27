"""The first questions: can they read what we write, and can we read what they write?"""
import treemaker
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase


class _Smoke(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.restic = self.peer(self.peer_name)

    def test_they_read_what_we_write(self):
        self.needs("backup")
        for version in (1, 2):
            with self.subTest(version=version):
                tree = self.path(f"tree{version}")
                treemaker.make_everything(tree, self.random, old_restic=self.peer_name == RESTIC_OLD)
                repository = self.new_repository(version)
                self.salvor.backup(repository, tree)
                self.restic.check(repository)
                self.assert_restores(self.restic, repository, tree)

    def test_we_read_what_they_write(self):
        self.needs("restore", "check")
        for version in (1, 2):
            with self.subTest(version=version):
                tree = self.path(f"tree{version}")
                treemaker.make_everything(tree, self.random, old_restic=self.peer_name == RESTIC_OLD)
                repository = self.new_repository(version)
                self.restic.backup(repository, tree)
                self.salvor.check(repository)
                self.assert_restores(self.salvor, repository, tree)


class SmokeWithOldRestic(_Smoke):
    peer_name = RESTIC_OLD


class SmokeWithNewRestic(_Smoke):
    peer_name = RESTIC_NEW
