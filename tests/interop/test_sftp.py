"""Repositories on an SFTP server: ours read by restic, restic's by us, both over the real sshd."""
import os
import signal
import time

import servers
import treemaker
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase


class _Sftp(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.restic = self.peer(self.peer_name)
        self.server = servers.SshServer(self.path("sshd"))
        self.addCleanup(self.server.stop)
        config = self.server.client_config
        self.ours = ("-o", f"sftp.args=-F {config}")
        self.theirs = ("-o", f"sftp.command=ssh -F {config} server -s sftp")

    def location(self, name):
        return f"sftp:server:{self.path(name)}"

    def test_both_directions(self):
        tree = self.path("tree")
        treemaker.make_everything(tree, self.random, old_restic=self.peer_name == RESTIC_OLD)
        for first, second, options, other in ((self.salvor, self.restic, self.ours, self.theirs),
                                              (self.restic, self.salvor, self.theirs, self.ours)):
            with self.subTest(first=first.name):
                repository = self.location(f"by-{first.name}")
                first(repository, *options, "init")
                first.backup(repository, tree, *options)
                second.check(repository, *other)
                second.backup(repository, tree, *other)
                self.assertEqual(len(first.snapshots(repository, *options)), 2)
                # And the same directory opened without SSH.
                self.assert_restores(first, self.path(f"by-{first.name}"), tree)
                first(repository, *options, "forget", "--keep-last", "1", "--prune")
                second.check(repository, *other)


class SftpWithOldRestic(_Sftp):
    peer_name = RESTIC_OLD


class SftpWithNewRestic(_Sftp):
    peer_name = RESTIC_NEW

    def test_an_interrupt_removes_the_lock(self):
        tree = self.path("tree")
        tree.mkdir()
        (tree / "file").write_bytes(self.bytes(200 << 20))
        repository = self.location("repository")
        self.salvor(repository, *self.ours, "init")
        # Ctrl-C reaches the whole process group, ssh included.
        process = self.salvor.start(repository, *self.ours, "--limit-upload", "4000", "backup", str(tree),
                                    start_new_session=True)
        self.background(process)
        end = time.monotonic() + 60
        while not any(self.path("repository").joinpath("data").rglob("*-tmp-*")):
            self.assertLess(time.monotonic(), end, "nothing is uploaded")
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        self.finish(process, expect=130)
        self.assertEqual(list(self.path("repository").joinpath("locks").iterdir()), [])
        self.assertEqual(list(self.path("repository").rglob("*-tmp-*")), [])
        self.restic.check(repository, *self.theirs)
