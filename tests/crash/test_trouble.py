"""A world that does not cooperate: full disks, missing permissions, clocks that jump, stolen locks.

Each time: the run ends with an error that names the cause, the repository is whole, what was committed
before restores, and the same run succeeds when the trouble is gone.
"""
import errno
import os
import signal
import subprocess
import time

import treestate
from toolbox import RESTIC_NEW, TestCase, limit, needs_root

FAILS = range(1, 128)
# A file system that takes everything, and says when a file is closed that it did not.
REFUSE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int close(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
  const char *below = getenv("REFUSE_BELOW");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  int flags = fcntl(fd, F_GETFL);
  int result = real(fd);
  if (below && size > (ssize_t)strlen(below) && !memcmp(path, below, strlen(below)) &&
      (flags & O_ACCMODE) != O_RDONLY) {
    errno = atoi(getenv("REFUSE_WITH"));
    return -1;
  }
  return result;
}
"""
# A disk with a sector that cannot be read any more: byte 100 of a file.
BAD_SECTOR = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static ssize_t look(const char *call, int fd, void *out, size_t size, off_t at) {
  ssize_t (*real)(int, void *, size_t, off_t) =
      (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, call);
  const char *bad = getenv("BAD_FILE");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (bad && length == (ssize_t)strlen(bad) && !memcmp(path, bad, length) && at <= 100 && at + (off_t)size > 100) {
    errno = EIO;
    return -1;
  }
  return real(fd, out, size, at);
}
ssize_t pread(int fd, void *out, size_t size, off_t at) { return look("pread", fd, out, size, at); }
ssize_t pread64(int fd, void *out, size_t size, off_t at) { return look("pread64", fd, out, size, at); }
"""
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


class Trouble(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("backup", "restore", "check")
        self.restic = self.peer(RESTIC_NEW)
        self.tree = self.make_tree("tree", {f"f{i}": self.bytes(100_000 + i) for i in range(10)})
        self.state = treestate.capture(self.tree)

    def mount(self, size, name="mounted"):
        place = self.fast / name
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "salvor-test", place],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest("cannot mount a tmpfs here: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=False)
        return place

    def remount(self, place, options):
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    def repository_on(self, place):
        return self.new_repository(name=os.path.join(place.name, "repository"))

    # no space

    @needs_root
    def test_repository_disk_full(self):
        place = self.mount("8m")
        repository = self.repository_on(place)
        self.salvor.backup(repository, self.tree)
        more = self.make_tree("more", {f"f{i}": self.bytes(1_000_000) for i in range(20)})
        for _ in range(2):  # the second time there is not even room for a lock
            result = self.salvor(repository, "backup", ".", cwd=more, expect=FAILS)
            self.assertIn("space", result.errors)
            self.assertIn("HINT", result.errors)
        self.assertEqual(len(self.restic.snapshots(repository, "--no-lock")), 1)
        self.remount(place, "size=100m")
        self.salvor(repository, "unlock")
        self.restic.check(repository)
        self.assert_restores(self.restic, repository, self.state)
        self.salvor.backup(repository, more)
        self.assert_restores(self.restic, repository, more)

    @needs_root
    def test_prune_on_a_full_disk(self):
        self.needs("prune")
        place = self.mount("40m")
        repository = self.repository_on(place)
        files = {f"f{i}": self.bytes(200_000) for i in range(100)}
        tree = self.make_tree("half", files)
        self.salvor.backup(repository, tree)
        for name in list(files)[::2]:
            (tree / name).unlink()
        self.salvor.backup(repository, tree, "--force")
        self.restic(repository, "forget", "--keep-last", "1")
        (place / "filler").write_bytes(b"")
        with open(place / "filler", "wb") as file:  # leave about 2 MB
            room = os.statvfs(place)
            file.write(bytes(room.f_bavail * room.f_frsize - 2_000_000))
        self.salvor(repository, "prune", "--max-unused", "0", expect=range(0, 128))
        (place / "filler").unlink()
        self.salvor(repository, "unlock")
        self.restic.check(repository)
        self.assert_restores(self.restic, repository, tree)
        self.salvor(repository, "prune", "--max-unused", "0")
        self.restic.check(repository)
        self.assert_restores(self.restic, repository, tree)

    @needs_root
    def test_restore_target_full(self):
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        place = self.mount("300k")
        result = self.salvor.restore(repository, place, expect=FAILS)
        self.assertIn("space", result.errors)
        self.remount(place, "size=10m")
        self.salvor.restore(repository, place)
        self.assert_same_tree(self.state, place)

    def shim(self, name, text, **variables):
        """Variables under which a program's system calls go wrong."""
        source, library = self.path(f"{name}.c"), self.path(f"{name}.so")
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        return {"LD_PRELOAD": str(library), **{key: str(value) for key, value in variables.items()},
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}

    def refusing(self, place, error):
        """Whatever is written below `place` is refused when it is closed."""
        return self.shim("refuse", REFUSE, REFUSE_BELOW=place, REFUSE_WITH=error)

    @staticmethod
    def lose_content(place):
        """As a server does that has refused the data: names, sizes and times stay."""
        for path in place.rglob("*"):
            if path.is_file():
                status = path.stat()
                path.write_bytes(bytes(status.st_size))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def test_restore_target_refuses_at_close(self):
        """NFS, FUSE and quotas may not say earlier that there is no room: nothing was restored."""
        repository = self.new_repository()
        tree = self.make_tree("kinds", {"empty": b"", "small": self.bytes(1000),
                                        "large": self.bytes(12_000_000)})
        self.salvor.backup(repository, tree)
        for error, code in ((errno.EDQUOT, 21), (errno.EIO, 3)):
            with self.subTest(errno.errorcode[error]):
                target = self.path(f"target{error}")
                result = self.salvor.restore(repository, target, expect=code,
                                             env=self.refusing(target, error))
                self.assertIn(os.strerror(error), result.errors)
                if code == 3:
                    for name in ("empty", "small", "large"):
                        self.assertIn("/" + name, result.errors)
                self.lose_content(target)
                self.salvor.restore(repository, target, "latest", "--overwrite", "if-changed")
                self.assert_same_tree(tree, target)

    def test_dump_target_refuses_at_close(self):
        self.needs("dump")
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        place = self.path("dumps")
        place.mkdir()
        refuse = self.refusing(place, errno.EDQUOT)
        redirected = ("sh", "-c", 'file=$1; shift; exec "$@" > "$file"', "sh", place / "redirected")
        for arguments, prefix in ((("--target", place / "file"), ()), ((), redirected)):
            with self.subTest(prefix[:1]):
                result = self.salvor(repository, "dump", *arguments, "latest", "/f1", expect=21,
                                     env=refuse, prefix=prefix)
                self.assertIn(os.strerror(errno.EDQUOT), result.errors)

    @needs_root
    def test_cache_disk_full(self):
        """A cache is a convenience: without it the work is done all the same."""
        place = self.mount("64k", "cache-disk")
        (place / "fill").write_bytes(bytes(os.statvfs(place).f_bavail * 4096))
        repository = self.new_repository()
        self.environment["XDG_CACHE_HOME"] = str(place)
        self.salvor.backup(repository, self.tree)
        self.salvor.backup(repository, self.tree)
        self.assert_restores(self.salvor, repository, self.state)

    def test_files_may_not_grow(self):
        """A quota, as RLIMIT_FSIZE: another error than a full disk, and by default a deadly signal."""
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        big = self.make_tree("big", {"f": self.bytes(40_000_000)})
        self.salvor(repository, "backup", ".", cwd=big, prefix=("prlimit", "--fsize=2000000"),
                    expect=(*FAILS, -signal.SIGXFSZ))
        self.salvor(repository, "unlock")
        self.assertEqual(len(self.restic.snapshots(repository)), 1)
        self.restic.check(repository)
        self.salvor.backup(repository, big)
        self.assert_restores(self.restic, repository, big)

    def test_few_open_files(self):
        repository = self.new_repository()
        tree = self.make_tree("many", {f"d{i}/f{j}": b"%d" % j for i in range(50) for j in range(10)})
        tight = ("prlimit", "--nofile=64")
        self.salvor.backup(repository, tree, prefix=tight)
        target = self.path("target")
        self.salvor.restore(repository, target, prefix=tight)
        self.assert_same_tree(tree, target)

    # a failing disk

    def test_no_pack_is_repaired_of_which_no_copy_can_be_kept(self):
        self.needs("repair")
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        pack = max(repository.glob("data/*/*"), key=lambda p: p.stat().st_size)
        bad = self.shim("sector", BAD_SECTOR, BAD_FILE=pack)
        result = self.salvor(repository, "repair", "packs", pack.name, cwd=self.folder, env=bad, expect=FAILS)
        self.assertIn(os.strerror(errno.EIO), result.errors)
        self.assertIn("HINT", result.errors)
        self.assertTrue(pack.exists())
        self.restic.check(repository)
        pack.unlink()  # of this there is no copy to be kept
        self.salvor(repository, "repair", "packs", pack.name, cwd=self.folder)
        self.assertFalse((self.folder / f"pack-{pack.name}").exists())

    # no permission

    @needs_root
    def test_read_only_repository(self):
        place = self.mount("20m")
        repository = self.repository_on(place)
        self.salvor.backup(repository, self.tree)
        self.remount(place, "ro")
        result = self.salvor(repository, "backup", ".", cwd=self.tree, expect=FAILS)
        self.assertIn("ead-only", result.errors)
        self.salvor.snapshots(repository, "--no-lock")
        self.salvor(repository, "check", "--no-lock", "--read-data")
        self.assert_restores_without_lock(repository)

    def assert_restores_without_lock(self, repository):
        target = self.path("target")
        self.salvor.restore(repository, target, "latest", "--no-lock")
        self.assert_same_tree(self.state, target)

    @needs_root
    def test_repository_of_somebody_else(self):
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        os.chmod(self.folder, 0o755)
        os.chmod(self.fast, 0o755)
        os.chmod(self.path("tmp"), 0o777)
        private = {"HOME": str(self.path("tmp")), "XDG_CACHE_HOME": str(self.path("tmp/cache"))}
        result = self.salvor(repository, "snapshots", prefix=NOBODY, env=private, expect=FAILS)
        self.assertIn("ermission denied", result.errors)
        self.assertIn("HINT", result.errors)
        # Readable, but not writable: reading works without a lock, writing says why not.
        subprocess.run(["chmod", "-R", "a+rX", repository], check=True)
        self.salvor(repository, "snapshots", "--no-lock", prefix=NOBODY, env=private)
        result = self.salvor(repository, "backup", ".", cwd=self.tree, prefix=NOBODY, env=private,
                             expect=FAILS)
        self.assertIn("ermission denied", result.errors)
        self.restic.check(repository)

    @needs_root
    def test_restore_as_somebody_else(self):
        """Who may not chown gets the contents all the same, and exit code 0 as in restic."""
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        place = self.path("theirs")
        place.mkdir()
        for path in (self.folder, self.fast):
            path.chmod(0o755)
        subprocess.run(["chown", "-R", "65534:65534", place, repository], check=True)
        self.salvor.restore(repository, place / "t", prefix=NOBODY, env={
            "HOME": str(place), "XDG_CACHE_HOME": str(place / "cache")})
        self.assert_same_tree(self.state, place / "t", ignore=("uid", "gid"))

    # time

    # A calendar that is wrong, as after a dead battery: files keep their times, and the monotonic clock
    # never goes back.
    FAKETIME = {"DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}

    def faketime(self, how):
        if subprocess.run(["which", "faketime"], capture_output=True, check=False).returncode != 0:
            self.skipTest("faketime is not installed")
        return ("faketime", "-m", "-f", how)

    def test_clock_set_back(self):
        repository = self.new_repository()
        self.salvor.backup(repository, self.tree)
        past = self.FAKETIME
        summary = self.salvor.backup(repository, self.tree, prefix=self.faketime("-400d"), env=past)
        self.assert_nothing_added(summary)
        self.salvor.backup(repository, self.tree, prefix=self.faketime("+400d"), env=past)
        times = [s["time"] for s in self.restic.snapshots(repository)]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len(times), 3)
        self.restic.check(repository)
        self.assert_restores(self.salvor, repository, self.state)
        # And with no clock trick at all the next run still finds its parent.
        self.assertEqual(self.salvor.backup(repository, self.tree)["files_new"], 0)

    def test_clock_jumps_during_a_run(self):
        for jump in ("-3h", "+3h"):
            with self.subTest(jump):
                self.faketime("+0")
                repository = self.new_repository()
                clock = self.path("clock")
                clock.write_text("+0\n")
                library = next(iter(sorted(self.libraries())))
                process = self.background(self.salvor.start(
                    repository, "backup", "--stdin", "--stdin-filename", "s", stdin=subprocess.PIPE,
                    env={**self.FAKETIME, "LD_PRELOAD": library, "FAKETIME_NO_CACHE": "1",
                         "FAKETIME_TIMESTAMP_FILE": str(clock)}))
                process.stdin.write(self.bytes(1_000_000))
                process.stdin.flush()
                time.sleep(1)
                clock.write_text(jump + "\n")
                time.sleep(0.5)
                process.stdin.write(self.bytes(1_000_000))
                self.finish(process, expect=range(0, 128), timeout=60)
                self.assertEqual(os.listdir(repository / "locks"), [])
                self.restic.check(repository)

    @staticmethod
    def libraries():
        for folder, _, names in os.walk("/usr/lib"):
            for name in names:
                if name == "libfaketimeMT.so.1":
                    yield os.path.join(folder, name)

    # locks

    @limit(240)
    def test_a_prune_whose_lock_was_stolen_deletes_nothing_needed(self):
        """Stopped before it deletes, robbed of its lock, it wakes up in a world where somebody has begun
        to use what it was about to throw away."""
        self.needs("prune", "unlock")
        tree = self.make_tree("again", {f"f{i}": self.bytes(300_000) for i in range(20)})
        aborted = 0
        for _ in range(16):
            if aborted == 2:
                break
            repository = self.new_repository()
            name = self.restic.backup(repository, tree)["snapshot_id"]
            self.restic.backup(repository, self.tree)
            self.restic(repository, "forget", name)
            index = sorted(os.listdir(repository / "index"))
            process = self.background(self.salvor.start(repository, "prune", "--max-unused", "0"))
            while not os.listdir(repository / "locks") and process.poll() is None:
                time.sleep(0.002)
            time.sleep(self.random.random() * 0.05)
            process.send_signal(signal.SIGSTOP)
            if process.poll() is not None or sorted(os.listdir(repository / "index")) != index:
                process.send_signal(signal.SIGCONT)  # too late: it was deleting already
                self.finish(process)
                continue
            self.restic(repository, "unlock", "--remove-all")
            self.restic.backup(repository, tree)  # uses the blobs that are about to go
            process.send_signal(signal.SIGCONT)
            result = self.finish(process, expect=None)
            aborted += result.code != 0
            self.restic.check(repository)
            self.assert_restores(self.restic, repository, tree)
            subprocess.run(["rm", "-rf", repository], check=True)
        self.assertGreater(aborted, 0, "no prune noticed that its lock was gone")

    # the tree moves while it is read

    def test_files_that_vanish_and_change_while_read(self):
        repository = self.new_repository()
        tree = self.make_tree("moving", {f"d{i}/f{j}": self.bytes(20_000)
                                         for i in range(20) for j in range(20)})
        stop = self.path("stop")
        script = (f"while [ ! -e '{stop}' ]; do for i in d*/f1*; do rm -f $i; echo new > $i; "
                  "mv $i $i.x; mv $i.x $i; done; rm -rf d7; mkdir -p d7; echo back > d7/f0; done")
        mover = self.background(subprocess.Popen(["sh", "-c", script], cwd=tree,
                                                 stderr=subprocess.DEVNULL))
        for _ in range(5):
            self.salvor(repository, "backup", "--quiet", ".", cwd=tree, expect=(0, 3))
        stop.write_text("")
        mover.wait(timeout=20)
        self.restic.check(repository)
        self.salvor.backup(repository, tree)
        self.assert_restores(self.restic, repository, tree)

    def test_a_file_that_is_shorter_than_it_says(self):
        """Files of /proc say they are empty and are not: what they gave is what is kept."""
        self.needs("dump")
        repository = self.new_repository()
        self.salvor(repository, "backup", "--quiet", "/proc/self/status", "/proc/cpuinfo", expect=(0, 3))
        self.restic.check(repository)
        status = self.salvor(repository, "dump", "latest", "/proc/cpuinfo").out
        self.assertIn(b"processor", status)
