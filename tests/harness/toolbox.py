"""What the suites use: temporary places, tools to run (ours and the peers), repositories, trees.

A test case owns one temporary folder for trees, one for repositories, and a private cache and home, so
tests can run side by side. Every tool runs with the same small environment, in Europe/Berlin: trees carry
local times, and a zone with an offset shows who forgets it.
"""
import ctypes
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import sealed
import treestate

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
RESTIC_OLD, RESTIC_NEW, RUSTIC = "restic-debian", "restic", "rustic"


# --- marks, read by list_tests.py from the source as well ---------------------------------------------

def limit(_seconds):
    """Ends the test after so many seconds instead of the default."""
    return lambda thing: thing


def labelled(_label):
    """Gives the ctest test a label."""
    return lambda thing: thing


def slow(thing):
    """Left out unless asked for by `scripts/test --slow`."""
    return thing


def needs_root(thing):
    return unittest.skipUnless(os.geteuid() == 0, "needs root")(thing)


# --- running programs ---------------------------------------------------------------------------------

class Result:
    """What a finished command left: exit code, output, errors."""

    def __init__(self, command, code, out, err, seconds):
        self.command, self.code, self.out, self.err, self.seconds = command, code, out, err, seconds

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    @property
    def errors(self):
        return self.err.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.out)

    def lines(self):
        """The objects of newline-delimited JSON."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip().startswith(b"{")]

    def message(self, kind):
        """The last object with this message_type."""
        found = [m for m in self.lines() if m.get("message_type") == kind]
        if not found:
            raise AssertionError(f"no {kind} message from {self}")
        return found[-1]

    def __str__(self):
        return (f"{' '.join(map(str, self.command))}\n  exit {self.code}\n"
                f"  out: {self.text[-1500:]}\n  err: {self.errors[-1500:]}")


class Tool:
    """A restic-compatible program. Call it with a repository and arguments; it must exit with `expect`."""

    def __init__(self, binary, environment, name):
        self.binary, self.environment, self.name = str(binary), environment, name

    def command(self, repository, arguments):
        place = ["-r", os.fspath(repository)] if repository is not None else []
        return [self.binary, *place, *map(os.fspath, arguments)]

    def variables(self, password, extra):
        merged = dict(self.environment)
        if password is not None:
            merged["RESTIC_PASSWORD"] = password
        merged.update(extra or {})
        return {k: v for k, v in merged.items() if v is not None}

    def __call__(self, repository, *arguments, expect=0, password=PASSWORD, env=None, timeout=100,
                 prefix=(), **options):
        command = [*prefix, *self.command(repository, arguments)]
        begun = time.monotonic()
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              env=self.variables(password, env), check=False, **options)
        result = Result(command, done.returncode, done.stdout, done.stderr, time.monotonic() - begun)
        allowed = expect if isinstance(expect, (tuple, list, set, range)) else (expect,)
        if expect is not None and result.code not in allowed:
            raise AssertionError(f"expected exit {expect}: {result}")
        return result

    def start(self, repository, *arguments, password=PASSWORD, env=None, prefix=(), **options):
        """Runs in the background; the caller waits for it (TestCase.finish)."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([*prefix, *self.command(repository, arguments)],
                                env=self.variables(password, env), **options)

    # Shorthands for what nearly every test does. All speak the JSON that restic documents.

    def backup(self, repository, tree, *arguments, what=".", **options):
        """Backs `tree` up as the root of the snapshot; returns the summary message."""
        options.setdefault("cwd", tree)
        return self(repository, "backup", "--json", *arguments, what, **options).message("summary")

    def restore(self, repository, target, snapshot="latest", *arguments, **options):
        return self(repository, "restore", snapshot, "--target", target, *arguments, **options)

    def check(self, repository, *arguments, **options):
        return self(repository, "check", "--read-data", *arguments, **options)

    def snapshots(self, repository, *arguments, **options):
        return self(repository, "snapshots", "--json", *arguments, **options).json() or []

    def listed(self, repository, kind):
        """Ids of the files (or blobs) of one kind."""
        return self(repository, "list", kind, "--no-lock").text.split()


class OpenWatcher:
    """Notes which regular files below a folder are opened meanwhile (inotify): who claims to have read
    nothing is taken at the kernel's word, not at its own."""
    IN_OPEN, IN_ISDIR = 0x20, 0x40000000

    def __init__(self, folder):
        self.folder = os.fsencode(folder)

    def __enter__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watched = {}
        for folder, _, _ in os.walk(self.folder):
            number = libc.inotify_add_watch(self.descriptor, folder, self.IN_OPEN)
            if number < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", folder)
            self.watched[number] = folder
        return self

    def __exit__(self, *_):
        self.events = b""
        try:
            while piece := os.read(self.descriptor, 1 << 20):
                self.events += piece
        except BlockingIOError:
            pass
        os.close(self.descriptor)

    def opened(self):
        names, at = set(), 0
        while at < len(self.events):
            watch, mask, _, length = struct.unpack_from("iIII", self.events, at)
            name = self.events[at + 16:at + 16 + length].rstrip(b"\0")
            at += 16 + length
            if mask & self.IN_OPEN and not mask & self.IN_ISDIR:
                names.add(os.path.join(self.watched[watch], name))
        return sorted(names)


# --- the test case ------------------------------------------------------------------------------------

def _fast_folder():
    """Repositories go to memory where there is room: thousands of fsyncs teach these tests nothing."""
    chosen = os.environ.get("SALVOR_TEST_REPOSITORIES")
    if chosen:
        return chosen
    try:
        if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 1 << 30:
            return "/dev/shm"
    except OSError:
        pass
    return tempfile.gettempdir()


class TestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.seed = int(os.environ.get("SALVOR_SEED", random.randrange(1 << 32)))
        self.random = random.Random(self.seed)
        self.folder = self._temporary(tempfile.gettempdir())
        self.fast = self._temporary(_fast_folder())
        self.masters = {}
        (self.folder / "home").mkdir()
        (self.folder / "tmp").mkdir()
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.fast / "cache"), "TMPDIR": str(self.folder / "tmp"),
            "TZ": "Europe/Berlin", "LANG": "C.UTF-8", "NO_COLOR": "1",
        }
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self._processes = []
        self.addCleanup(self._end_processes)

    def run(self, result=None):
        failures = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > failures:
            print(f"seed {getattr(self, 'seed', '?')}: repeat with SALVOR_SEED")

    def _temporary(self, parent):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="salvor-test-", dir=parent)).resolve()
        if "SALVOR_KEEP" not in os.environ:
            self.addCleanup(subprocess.run, ["rm", "-rf", "--one-file-system", str(folder)], check=False)
        return folder

    def _end_processes(self):
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()

    # tools

    @property
    def salvor(self):
        binary = os.environ.get("SALVOR_BIN") or ROOT / "build/dev/salvor"
        if not os.access(binary, os.X_OK):
            self.fail(f"no program at {binary}: build it, or set SALVOR_BIN")
        return Tool(binary, self.environment, "salvor")

    def needs(self, *commands):
        """Skips while a command of ours is not there yet. In CI a skip is a failure."""
        for command in commands:
            answer = self.salvor(None, command, "--help", expect=None)
            if answer.code != 0 or command not in answer.text:
                self.skipTest(f"salvor has no command '{command}'")

    def address_space(self, size_bytes):
        """A prefix that leaves a program of ours so much memory. Skips under a sanitizer, whose shadow takes more."""
        libraries = subprocess.run(["ldd", self.salvor.binary], capture_output=True, check=False).stdout
        if b"libasan" in libraries or b"libtsan" in libraries:
            self.skipTest("a program with a sanitizer does not start in limited memory")
        return ["prlimit", f"--as={size_bytes}"]

    def peer(self, name):
        found = subprocess.run([ROOT / "tests/peers/get", name, "--find"], capture_output=True,
                               text=True, check=False)
        if found.returncode != 0:
            self.skipTest(f"peer {name} cannot be had: {found.stderr.splitlines()[0]}")
        return Tool(found.stdout.splitlines()[-1], self.environment, name)

    def background(self, process):
        self._processes.append(process)
        return process

    def finish(self, process, expect=0, timeout=100):
        out, err = process.communicate(timeout=timeout)
        result = Result(process.args, process.returncode, out or b"", err or b"", 0)
        allowed = expect if isinstance(expect, (tuple, list, set, range)) else (expect,)
        if expect is not None and result.code not in allowed:
            self.fail(f"expected exit {expect}: {result}")
        return result

    # places

    @staticmethod
    def flip_bit(path, at):
        """Damages a stored file at an offset, from the end when negative; returns what it held."""
        good = path.read_bytes()
        path.chmod(0o600)  # nobody but root could change it as it was stored
        bad = bytearray(good)
        bad[at] ^= 1
        path.write_bytes(bad)
        return good

    def path(self, name):
        return self.folder / name

    def new_repository(self, version=2, name=None):
        path = self.fast / (name or f"repository{len(self.masters)}")
        self.masters[path] = sealed.make_repository(path, PASSWORD, version)
        return path

    def make_tree(self, name, files):
        """A tree from {relative name: bytes}; a name that ends in / is a directory."""
        root = self.folder / name
        root.mkdir(exist_ok=True)
        for relative, data in files.items():
            path = root / relative
            if relative.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    def bytes(self, count):
        """Incompressible bytes, the same for the same seed."""
        return self.random.randbytes(count)

    def words(self, count):
        """Compressible text of about `count` bytes."""
        some = [b"%x" % self.random.randrange(1 << 20) for _ in range(400)]
        return b" ".join(self.random.choices(some, k=count // 6))

    # judgements

    def assert_same_tree(self, before, after, ignore=()):
        if not isinstance(before, treestate.State):
            before = treestate.capture(before)
        found = treestate.differences(before, treestate.capture(after), ignore)
        if found:
            more = f"\n... and {len(found) - 40} more" if len(found) > 40 else ""
            self.fail("the trees differ:\n" + "\n".join(found[:40]) + more)

    def assert_restores(self, tool, repository, expected, snapshot="latest", ignore=(), **options):
        target = pathlib.Path(tempfile.mkdtemp(prefix="restored-", dir=self.folder))
        tool.restore(repository, target, snapshot, **options)
        self.assert_same_tree(expected, target, ignore)
        subprocess.run(["rm", "-rf", str(target)], check=True)

    def assert_nothing_added(self, summary):
        """The run stored no blob at all: every one was known already."""
        added = {k: summary[k] for k in ("data_blobs", "tree_blobs", "data_added")}
        self.assertEqual(added, {"data_blobs": 0, "tree_blobs": 0, "data_added": 0}, summary)

    def hostname(self):
        return socket.gethostname()


def dead_pid():
    """A process id that nobody has (it was ours a moment ago)."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid
