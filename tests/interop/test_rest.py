"""Repositories behind restic's REST server: the contract suite, restic in both directions, append-only."""
import os
import pathlib
import subprocess

import servers
import treemaker
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase


class Rest(TestCase):
    def serve(self, name, *arguments):
        server = servers.RestServer(self.path(name), *arguments)
        self.addCleanup(server.stop)
        return server

    def test_contract(self):
        server = self.serve("any", "--no-auth")
        program = pathlib.Path(self.salvor.binary).parent / "storage_test"
        subprocess.run([program, "--gtest_brief=1", "--gtest_filter=Servers/*"], check=True, timeout=100,
                       stderr=subprocess.DEVNULL, env={**os.environ, "SALVOR_TEST_REST_SERVER": server.binary})

    def test_append_only(self):
        server = self.serve("served", "--no-auth", "--append-only")
        repository = f"rest:http://127.0.0.1:{server.port}/repository"
        tree = self.make_tree("tree", {"file": b"content"})
        self.salvor(repository, "init")
        self.salvor.backup(repository, tree)
        self.salvor.backup(repository, tree)
        self.assertEqual(self.salvor.listed(repository, "locks"), [])
        refused = self.salvor(repository, "forget", "--keep-last", "1", expect=range(1, 100))
        self.assertIn("append-only", refused.errors)
        self.assertEqual(len(self.salvor.snapshots(repository)), 2)


class _RestPeer(TestCase):
    peer_name = None

    def test_both_directions(self):
        restic = self.peer(self.peer_name)
        # The user "backup" with the password "secret".
        (self.path("served")).mkdir()
        (self.path("served") / ".htpasswd").write_text("backup:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        server = servers.RestServer(self.path("served"))
        self.addCleanup(server.stop)
        tree = self.path("tree")
        treemaker.make_everything(tree, self.random, old_restic=self.peer_name == RESTIC_OLD)
        for first, second in ((self.salvor, restic), (restic, self.salvor)):
            with self.subTest(first=first.name):
                repository = f"rest:http://backup:secret@127.0.0.1:{server.port}/by-{first.name}/"
                first(repository, "init")
                first.backup(repository, tree)
                second.check(repository)
                second.backup(repository, tree)
                self.assert_restores(first, repository, tree)
                second(repository, "forget", "--keep-last", "1", "--prune")
                first.check(repository)
        wrong = self.salvor(f"rest:http://backup:wrong@127.0.0.1:{server.port}/by-salvor/", "snapshots",
                            expect=22)
        self.assertIn("401", wrong.errors)
        self.assertNotIn("wrong", wrong.errors.replace("***", ""))


class RestWithOldRestic(_RestPeer):
    peer_name = RESTIC_OLD


class RestWithNewRestic(_RestPeer):
    peer_name = RESTIC_NEW
