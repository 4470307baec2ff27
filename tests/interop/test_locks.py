"""Locks: each tool honours the other's, explains what it found, and survives the other's `unlock`."""
import datetime
import subprocess
import time

import sealed
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase, dead_pid

LOCKED = (1, 11)  # restic before 0.17 exits with 1


def ago(minutes):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now - datetime.timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


class _Locks(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.needs("backup", "unlock", "prune")
        self.restic = self.peer(self.peer_name)
        self.repository = self.new_repository()
        self.tree = self.make_tree("t", {"a": b"one"})
        self.restic.backup(self.repository, self.tree)

    def lock(self, minutes=1, exclusive=False, hostname="elsewhere", pid=4711):
        return sealed.write_lock(self.repository, self.masters[self.repository], 2, ago(minutes),
                                 exclusive, hostname, pid)

    def locks(self):
        return sorted(p.name for p in (self.repository / "locks").iterdir())

    def hold(self, tool):
        """A backup of `tool` that waits for its input: it keeps its lock until we say so."""
        process = self.background(tool.start(
            self.repository, "backup", "--stdin", "--stdin-filename", "s", stdin=subprocess.PIPE))
        deadline = time.monotonic() + 30
        while not self.locks():
            self.assertIsNone(process.poll(), "the backup ended early")
            self.assertLess(time.monotonic(), deadline, "no lock appeared")
            time.sleep(0.02)
        time.sleep(0.5)  # past the second look at the locks
        return process

    def test_an_exclusive_lock_stops_our_backup_and_is_explained(self):
        self.lock(exclusive=True)
        result = self.salvor(self.repository, "backup", ".", cwd=self.tree, expect=11)
        for word in ("elsewhere", "4711", "HINT", "--retry-lock", "unlock"):
            self.assertIn(word, result.errors)
        self.assertEqual(len(self.locks()), 1)

    def test_a_shared_lock_stops_whatever_needs_to_be_alone(self):
        self.lock()
        for command in (["prune"], ["forget", "--keep-last", "1"], ["tag", "--add", "x"],
                        ["migrate", "upgrade_repo_v2"], ["repair", "index"]):
            with self.subTest(command):
                self.salvor(self.repository, *command, expect=11)
        self.salvor.backup(self.repository, self.tree)
        self.salvor.snapshots(self.repository)
        self.assertEqual(len(self.locks()), 1)

    def test_a_stale_lock_still_blocks_but_is_called_stale(self):
        for description, fields in (("old", {"minutes": 45}),
                                    ("dead", {"hostname": self.hostname(), "pid": dead_pid()})):
            with self.subTest(description):
                self.lock(exclusive=True, **fields)
                result = self.salvor(self.repository, "prune", expect=11)
                self.assertIn("stale", result.errors)
                self.assertIn("unlock", result.errors)
                self.salvor(self.repository, "unlock")
                self.assertEqual(self.locks(), [])
                self.salvor(self.repository, "prune")

    def test_unlock_leaves_the_living_alone(self):
        fresh = self.lock()
        self.lock(minutes=31)
        # A living process; it ignores SIGHUP, as whoever puts its pid in a lock must.
        living = self.background(subprocess.Popen(["sh", "-c", "trap '' HUP; echo; exec sleep 60"],
                                                  stdout=subprocess.PIPE))
        living.stdout.readline()
        kept = self.lock(hostname=self.hostname(), pid=living.pid)
        self.salvor(self.repository, "unlock")
        self.assertEqual(self.locks(), sorted([fresh, kept]))
        self.salvor(self.repository, "unlock", "--remove-all")
        self.assertEqual(self.locks(), [])

    def test_reading_without_a_lock(self):
        self.lock(exclusive=True)
        self.salvor.snapshots(self.repository, "--no-lock")
        self.salvor(self.repository, "check", "--no-lock")
        self.salvor(self.repository, "snapshots", expect=(0, 11))

    def test_their_running_backup_keeps_our_prune_out(self):
        process = self.hold(self.restic)
        self.salvor(self.repository, "prune", expect=11)
        self.salvor(self.repository, "forget", "--keep-last", "1", expect=11)
        self.salvor.backup(self.repository, self.tree)
        self.salvor(self.repository, "unlock")  # not stale: stays, and its owner lives on
        process.stdin.write(b"data")
        self.finish(process)
        self.assertEqual(self.locks(), [])
        self.salvor(self.repository, "prune")

    def test_our_running_backup_keeps_their_prune_out(self):
        process = self.hold(self.salvor)
        lock = self.restic(self.repository, "cat", "lock", self.locks()[0]).json()
        self.assertEqual((lock["hostname"], lock["pid"], lock["exclusive"]),
                         (self.hostname(), process.pid, False))
        self.restic(self.repository, "prune", expect=LOCKED)
        self.restic(self.repository, "forget", "--keep-last", "1", expect=LOCKED)
        self.restic.backup(self.repository, self.tree)
        process.stdin.write(b"data")
        self.finish(process)
        self.assertEqual(self.locks(), [])
        self.restic(self.repository, "prune")

    def test_their_unlock_does_not_kill_us(self):
        """restic probes a lock's process with SIGHUP, whose default is death."""
        process = self.hold(self.salvor)
        for _ in range(3):
            self.restic(self.repository, "unlock")
        self.assertIsNone(process.poll(), "killed by restic unlock")
        self.assertEqual(len(self.locks()), 1)
        process.stdin.write(b"data")
        self.finish(process)
        self.assertEqual(len(self.salvor.snapshots(self.repository)), 2)

    def test_a_stolen_lock_is_never_used_to_delete(self):
        """After `unlock --remove-all` somebody else may be writing: our backup may still end, cleanly."""
        process = self.hold(self.salvor)
        self.restic(self.repository, "unlock", "--remove-all")
        process.stdin.write(self.bytes(100_000))
        self.finish(process, expect=None)
        self.restic.check(self.repository)
        self.assertEqual(self.locks(), [])

    def test_interrupted_runs_leave_no_lock(self):
        for number in (2, 15):
            with self.subTest(signal=number):
                process = self.hold(self.salvor)
                process.send_signal(number)
                process.wait(timeout=30)  # before its input ends, which would be an ordinary end
                self.finish(process, expect=(130, 143))
                self.assertEqual(self.locks(), [])
        self.restic.check(self.repository)

    def test_waiting_for_a_lock(self):
        process = self.hold(self.restic)
        waiting = self.background(self.salvor.start(self.repository, "prune", "--retry-lock", "60s"))
        time.sleep(2)
        self.assertIsNone(waiting.poll(), "did not wait")
        process.stdin.write(b"data")
        self.finish(process)
        self.finish(waiting)

    def test_a_lock_nobody_can_read_blocks_and_is_explained(self):
        sealed.write_file(self.repository, "locks", b"not a lock at all, but named like one")
        result = self.salvor(self.repository, "prune", expect=range(1, 128), timeout=60)
        self.assertIn("lock", result.errors)
        self.salvor(self.repository, "unlock", "--remove-all")
        self.salvor(self.repository, "prune")


class WithOldRestic(_Locks):
    peer_name = RESTIC_OLD


class WithNewRestic(_Locks):
    peer_name = RESTIC_NEW
