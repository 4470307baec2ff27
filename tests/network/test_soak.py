"""Backups over a network that breaks: every run ends well or says what is wrong, and what was reported as
saved can be restored, byte for byte, by us and by restic."""
import json
import os
import pathlib
import shutil
import time

import s3
import sealed
import servers
import treestate
from toolbox import PASSWORD, RESTIC_NEW, TestCase, limit, slow

FAULTS_OF_A_SHORT_RUN = 50  # SFTP: each costs a new log-in
FAULTS_OF_A_LONG_RUN = int(os.environ.get("SALVOR_SOAK_FAULTS", "1000"))


class _Soak(TestCase):
    """One repository behind the proxy, one local one that snapshots are copied to and from."""
    # Stalls are waited out one second each.
    faults = {"cut-request": 2, "cut-reply": 2, "truncate": 2, "lost-reply": 2, "duplicate": 2, "garble": 1,
              "stall-request": 0.5, "stall-reply": 0.5, "500": 1, "503": 0.5, "429": 0.5}
    rate = ("--rate", "0.2")  # arguments of the proxy
    largest = 3_000_000  # file
    names = 12  # a directory

    def serve(self):
        """Starts the server and `self.proxy`; sets `far` (through it) and `near`, both (location, options)."""
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.restic = self.peer(RESTIC_NEW)
        self.serve()
        self.saved = {}  # snapshot id: the tree as it was
        self.tree = self.path("tree")
        self.tree.mkdir()
        self.tallies = {"good": 0, "refused": 0}
        self.refusals = []  # the last lines of each
        self.options = ("--pack-size", "4", "--stuck-request-timeout", "1s")
        self.copy = self.new_repository()

    # ---- what happens to the files

    def change(self):
        for _ in range(self.random.randrange(2, 6)):
            path = self.tree / f"d{self.random.randrange(6)}" / f"f{self.random.randrange(self.names)}"
            path.parent.mkdir(exist_ok=True)
            if self.random.random() < 0.2:
                path.unlink(missing_ok=True)
            elif self.random.random() < 0.3:
                path.write_bytes(self.words(self.largest // 15))
            else:
                path.write_bytes(self.bytes(self.random.randrange(1, self.largest)))

    # ---- runs

    def attempt(self, *arguments, **options):
        """Under faults. The result when it succeeded; else None, and then it must have said why."""
        place, *more = self.far
        result = self.salvor(place, *more, *self.options, *arguments, expect=None, timeout=300, **options)
        if result.code == 0:
            self.tallies["good"] += 1
            return result
        self.assertGreater(result.code, 0, result)  # by itself, not by a signal
        self.assertLess(result.code, 128, result)
        fatal = [line for line in result.errors.splitlines() if line.strip()]
        self.assertTrue(fatal, result)
        self.tallies["refused"] += 1
        self.refusals.append(fatal[-2:])
        self.calm(self.unlock)  # what a cut run could not take away: its lock
        return None

    def unlock(self):
        self.salvor(*self.near, "unlock", "--remove-all")

    def calm(self, work):
        self.proxy.tell("calm")
        try:
            return work()
        finally:
            self.proxy.tell("storm")

    def backup(self):
        self.change()
        state = treestate.capture(self.tree)
        done = self.attempt("backup", "--json", ".", cwd=self.tree)
        if done:
            self.saved[done.message("summary")["snapshot_id"]] = state

    def restore(self):
        if not self.saved:
            return
        snapshot = self.random.choice(list(self.saved))
        target = self.path("restored")
        shutil.rmtree(target, ignore_errors=True)
        if self.attempt("restore", snapshot, "--target", str(target)):
            self.assert_same_tree(self.saved[snapshot], target)

    def forget(self):
        # A backup that ended with an error may have stored its snapshot: it counts among the three then.
        before = [s["id"] for s in self.calm(lambda: self.salvor.snapshots(*self.near))]
        self.assertLessEqual(set(self.saved), set(before))
        self.attempt("forget", "--keep-last", "3", "--prune", "--max-unused", "0", "--repack-small")
        # Whatever became of it: the ones it was to keep are there.
        present = {s["id"] for s in self.calm(lambda: self.salvor.snapshots(*self.near))}
        self.assertLessEqual(set(before[-3:]), present)
        self.saved = {name: state for name, state in self.saved.items() if name in present}

    def copy_there_and_back(self):
        """Out to a local repository, and from there into the far one again."""
        place, *more = self.far
        there = self.salvor(self.copy, *more, *self.options, "copy", "--from-repo", place, "latest",
                            expect=None, timeout=300,
                            env={"RESTIC_FROM_PASSWORD": PASSWORD})
        self.assertIn(there.code, range(0, 128), there)
        if there.code == 0:
            self.salvor.check(self.copy)
        else:
            self.salvor(self.copy, "unlock", "--remove-all")
            self.calm(self.unlock)

    def judge(self):
        def work():
            self.unlock()
            self.salvor.check(*self.near)
        self.calm(work)

    def soak(self, faults):
        begun = time.monotonic()
        rounds = 0
        while self.proxy.stats()["injected"] < faults:
            rounds += 1
            self.backup()
            self.restore()
            if rounds % 2 == 0:
                self.forget()
            if rounds % 3 == 0:
                self.copy_there_and_back()
            if rounds % 5 == 0:
                self.judge()
        stats = self.proxy.tell("calm")
        self.unlock()
        self.salvor.check(*self.near)
        self.restic(*self.near_restic, "check", "--read-data")
        present = {s["id"] for s in self.salvor.snapshots(*self.near)}
        self.assertLessEqual(set(self.saved), present)
        self.assertTrue(self.saved)
        for snapshot, state in self.saved.items():
            self.assert_restores_from(self.salvor, self.near, snapshot, state)
        self.assert_restores_from(self.restic, self.near_restic, *list(self.saved.items())[-1])
        print(json.dumps({"rounds": rounds, "seconds": round(time.monotonic() - begun), **self.tallies,
                          "restored": len(self.saved), "refusals": self.refusals, **stats}))
        return stats

    def assert_restores_from(self, tool, place, snapshot, state):
        target = self.path("judged")
        shutil.rmtree(target, ignore_errors=True)
        tool(*place, "restore", snapshot, "--target", str(target))
        self.assert_same_tree(state, target)


class _S3(_Soak):
    server = "versitygw"

    def serve(self):
        # Its key is one that costs no second to try: each run tries it.
        seed = self.path("seed") / "repository"
        sealed.make_repository(seed, PASSWORD)
        self.path("bucket-data").mkdir()
        if self.server == "versitygw":  # objects are files
            (self.path("bucket-data") / "bucket/some").mkdir(parents=True)
            shutil.copytree(seed, self.path("bucket-data") / "bucket/some/where")
        server = servers.S3Server(self.server, self.path("bucket-data"))
        self.addCleanup(server.stop)
        if self.server != "versitygw":
            client = s3.Client(f"127.0.0.1:{server.port}")
            client.must("PUT", "/bucket")
            for file in filter(pathlib.Path.is_file, seed.rglob("*")):
                client.must("PUT", f"/bucket/some/where/{file.relative_to(seed)}", body=file.read_bytes())
        self.environment |= server.environment
        self.proxy = servers.FaultProxy(server.port, *self.rate, "--seed", self.seed, faults=self.faults)
        self.addCleanup(self.proxy.stop)
        self.far = (f"s3:http://127.0.0.1:{self.proxy.port}/bucket/some/where",)
        self.near = self.near_restic = (f"s3:http://127.0.0.1:{server.port}/bucket/some/where",)


class _Rest(_Soak):
    def serve(self):
        sealed.make_repository(self.path("served") / "repository", PASSWORD)
        server = servers.RestServer(self.path("served"), "--no-auth")
        self.addCleanup(server.stop)
        self.proxy = servers.FaultProxy(server.port, *self.rate, "--seed", self.seed, faults=self.faults)
        self.addCleanup(self.proxy.stop)
        self.far = (f"rest:http://127.0.0.1:{self.proxy.port}/repository",)
        self.near = self.near_restic = (f"rest:http://127.0.0.1:{server.port}/repository",)


class _Sftp(_Soak):
    """Below the encryption there are only bytes: connections are reset, stall, lose their answers."""
    # Far more than any one request moves, or none would ever get through.
    rate = ("--tcp", "--mean-bytes", "500000")
    largest = 60_000
    names = 3
    faults = {"cut-request": 3, "cut-reply": 3, "lost-reply": 3, "stall-reply": 1}

    def serve(self):
        sealed.make_repository(self.path("served"), PASSWORD)
        server = servers.SshServer(self.path("sshd"))
        self.addCleanup(server.stop)
        self.proxy = servers.FaultProxy(server.port, *self.rate, "--seed", self.seed, faults=self.faults)
        self.addCleanup(self.proxy.stop)
        config = self.path("far_config")
        config.write_text(server.client_config.read_text().replace(f"Port {server.port}", f"Port {self.proxy.port}")
                          + "  HostKeyAlias server\n")
        known = server.folder / "known_hosts"
        known.write_text(known.read_text() + "server " + (server.folder / "host.pub").read_text())
        location = f"sftp:server:{self.path('served')}"
        self.far = (location, "-o", f"sftp.args=-F {config}")
        self.near = (location, "-o", f"sftp.args=-F {server.client_config}")
        self.near_restic = (location, "-o", f"sftp.command=ssh -F {server.client_config} server -s sftp")


class _OneKind:
    """The same fault again and again, in one backup and one restore."""

    def run_under_faults(self):
        place, *more = self.far
        tree = self.make_tree("tree", {f"d{i % 3}/f{i}": self.bytes(self.largest // 2) for i in range(8)})
        self.salvor(place, *more, *self.options, "backup", ".", cwd=tree)
        target = self.path("restored")
        self.salvor(place, *more, *self.options, "restore", "latest", "--target", str(target))
        stats = self.proxy.tell("calm")
        self.assert_same_tree(tree, target)
        # One snapshot, and nothing that a repetition left beside the first.
        self.assertEqual(len(self.salvor.snapshots(*self.near)), 1)
        self.assertEqual(self.salvor(*self.near, "list", "locks", "--no-lock").text.split(), [])
        found = self.salvor.check(*self.near, "--json").json()
        self.assertEqual((found["num_errors"], found["suggest_prune"]), (0, False), found)
        return stats["faults"]


class _Lost(_OneKind):
    faults = {"lost-reply": 1}
    rate = ("--rate", "0.3")

    @limit(120)
    def test_lost_replies_are_recognised(self):
        self.assertGreater(self.run_under_faults().get("lost-reply", 0), 0)


class _Stalls(_OneKind):
    faults = {"stall-request": 1, "stall-reply": 1}
    rate = ("--rate", "0.4", "--most", "8")  # of at least 35 requests

    @limit(120)
    def test_stalled_transfers_are_cut(self):
        begun = time.monotonic()
        self.assertGreater(sum(self.run_under_faults().values()), 0)
        self.assertLess(time.monotonic() - begun, 60)  # a stall lasts ten minutes


class S3Lost(_Lost, _S3):
    pass


class RestLost(_Lost, _Rest):
    pass


# Half a megabyte is moved, half of it in one pack: often enough to be met, and over before the retries are.
_A_FEW_OVER_SFTP = ("--tcp", "--mean-bytes", "60000", "--most", "4")


class SftpLost(_Lost, _Sftp):
    rate = _A_FEW_OVER_SFTP


class S3Stalls(_Stalls, _S3):
    pass


class SftpStalls(_Stalls, _Sftp):
    faults = {"stall-reply": 1}
    rate = _A_FEW_OVER_SFTP


class S3(_S3):
    @limit(180)
    def test_short(self):
        self.soak(FAULTS_OF_A_SHORT_RUN)

    @slow
    @limit(3600)
    def test_long(self):
        self.soak(FAULTS_OF_A_LONG_RUN)


class Rest(_Rest):
    @limit(180)
    def test_short(self):
        self.soak(FAULTS_OF_A_SHORT_RUN)

    @slow
    @limit(3600)
    def test_long(self):
        self.soak(FAULTS_OF_A_LONG_RUN)


class Sftp(_Sftp):
    """Small files and closer faults: as many of them in fewer runs, each of which costs several log-ins."""
    rate = ("--tcp", "--mean-bytes", "160000")
    largest = 20_000

    @limit(180)
    def test_short(self):
        self.soak(FAULTS_OF_A_SHORT_RUN // 5)


class SftpLong(_Sftp):
    @slow
    @limit(7200)
    def test_long(self):
        self.soak(FAULTS_OF_A_LONG_RUN)


class Minio(_S3):
    server = "minio"

    @slow
    @limit(3600)
    def test_long(self):
        self.soak(FAULTS_OF_A_LONG_RUN)
