"""Repositories on rclone's remotes: restic in both directions, and the server behind them is closed and ends."""
import os
import pathlib
import shutil
import signal
import time
import urllib.error
import urllib.request

import treemaker
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase

REMOTE = {"RCLONE_CONFIG_SHELF_TYPE": "alias"}  # of a local directory


def servers_of(folder):
    """The rclone processes that serve something below `folder`: pid and words."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"rclone") and str(folder).encode() in b" ".join(words):
            found.append((int(entry.name), words))
    return found


def listens_on(pid):
    """Where a process listens, as "127.0.0.1:80"; addresses of version 6 as they are in /proc."""
    sockets = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                if table == "tcp":
                    address = ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
                found.append(f"{address}:{int(port, 16)}")
    return found


class _Rclone(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        if not shutil.which("rclone"):
            self.skipTest("rclone is not installed")
        self.restic = self.peer(self.peer_name)
        self.environment |= REMOTE | {"RCLONE_CONFIG_SHELF_REMOTE": str(self.path("shelf")),
                                      "RCLONE_CONFIG": str(self.path("rclone.conf"))}

    def test_both_directions(self):
        tree = self.path("tree")
        treemaker.make_everything(tree, self.random, old_restic=self.peer_name == RESTIC_OLD)
        for first, second in ((self.salvor, self.restic), (self.restic, self.salvor)):
            with self.subTest(first=first.name):
                repository = f"rclone:shelf:by-{first.name}"
                first(repository, "init")
                first.backup(repository, tree)
                second.check(repository)
                second.backup(repository, tree)
                self.assertEqual(len(first.snapshots(repository)), 2)
                # And the same directory opened without rclone.
                self.assert_restores(first, self.path("shelf") / f"by-{first.name}", tree)
                first(repository, "forget", "--keep-last", "1", "--prune")
                second.check(repository)
        self.assertEqual(servers_of(self.path("shelf")), [])


class RcloneWithOldRestic(_Rclone):
    peer_name = RESTIC_OLD


class RcloneWithNewRestic(_Rclone):
    peer_name = RESTIC_NEW

    def uploading(self):
        """A backup that has begun to upload, and its repository."""
        tree = self.path("tree")
        tree.mkdir()
        (tree / "file").write_bytes(self.bytes(200 << 20))
        self.repository = f"rclone::local:{self.path('repository')}"
        self.salvor(self.repository, "init")
        process = self.salvor.start(self.repository, "--limit-upload", "4000", "backup", str(tree),
                                    start_new_session=True)
        self.background(process)
        end = time.monotonic() + 60
        while not any(p.is_file() for p in self.path("repository").joinpath("data").rglob("*")):
            self.assertLess(time.monotonic(), end, "nothing is uploaded")
            time.sleep(0.02)
        return process

    def await_no_server(self):
        end = time.monotonic() + 10
        while servers_of(self.path("repository")):
            self.assertLess(time.monotonic(), end, "rclone outlives the program that started it")
            time.sleep(0.05)

    def test_an_interrupt_removes_the_lock(self):
        process = self.uploading()
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole process group
        self.finish(process, expect=130)
        self.assertEqual(list(self.path("repository").joinpath("locks").iterdir()), [])
        self.await_no_server()
        self.restic.check(self.repository)

    def test_a_killed_backup_leaves_no_server_and_nobody_else_was_served(self):
        process = self.uploading()
        (pid, words), = servers_of(self.path("repository"))
        secret = [line for line in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                  if line.startswith(b"RCLONE_PASS=")][0].removeprefix(b"RCLONE_PASS=")
        self.assertGreater(len(secret), 30)
        self.assertNotIn(secret, b" ".join(words))  # which everybody may read
        addresses = listens_on(pid)
        self.assertEqual(len(addresses), 1)
        self.assertTrue(addresses[0].startswith("127.0.0.1:"), addresses)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{addresses[0]}/keys/", timeout=10)
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()
        process.kill()
        process.wait()
        self.await_no_server()

    def test_a_server_that_dies_is_started_again(self):
        process = self.uploading()
        (pid, _), = servers_of(self.path("repository"))
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 30
        while pid in dict(servers_of(self.path("repository"))) or not servers_of(self.path("repository")):
            self.assertLess(time.monotonic(), end, "rclone is not started again")
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        self.finish(process, expect=130)
        self.assertEqual(list(self.path("repository").joinpath("locks").iterdir()), [])
        self.salvor.check(self.repository)

    def test_an_append_only_mode_of_ones_own_protects_from_nobody(self):
        repository, own = "rclone:shelf:own", ("-o", "rclone.args=serve restic --append-only")
        self.salvor(repository, "init")
        verdict = lambda *options: self.salvor(repository, *options, "doctor", "--json", password=None).message(
            "doctor")["ransomware_could_destroy"]
        self.assertEqual("yes", verdict())
        self.assertEqual("unknown", verdict(*own))
        self.salvor(repository, *own, "doctor", "--require-protection", expect=1, password=None)
        self.salvor.backup(repository, self.make_tree("small", {"a": b"a"}))
        place, = self.salvor(repository, *own, "copies", "--json").message("copies")["places"]
        self.assertIsNone(place["immutable"])

    def test_what_cannot_work_is_said(self):
        wrong = self.salvor("rclone:nowhere:x", "snapshots", expect=1)
        self.assertIn("didn't find section in config file", wrong.errors)
        missing = self.salvor("rclone:shelf:x", "-o", "rclone.program=/nonexistent/rclone", "snapshots",
                              expect=1)
        self.assertIn("not found", missing.errors)
        # One that serves everybody on this machine is not used.
        open_to_all = self.salvor("rclone:shelf:x", "-o", "rclone.program=env -u RCLONE_USER -u RCLONE_PASS rclone",
                                  "init", expect=1)
        self.assertIn("without asking for the password", open_to_all.errors)
