"""Real PostgreSQL servers for the tests: made, loaded, started on recovered data, and judged by their own tools.

A server runs on loopback on a free port, from a temporary folder, as the user `postgres` (it refuses to be
root). Everything that it is asked goes through PostgreSQL's own programs: the server's binaries may be of any version, the
clients are Debian's (15).
"""
import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

USER = "postgres"
DEBIAN_15 = pathlib.Path("/usr/lib/postgresql/15/bin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_user(command):
    """The command line that runs `command` as a user whom the server accepts."""
    if os.geteuid() != 0:
        return [str(part) for part in command]
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", *map(str, command)]


def run(command, expect=0, timeout=110, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(as_user(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          cwd="/", timeout=timeout, **options)
    text = done.stdout.decode("utf-8", "replace")
    if expect is not None and done.returncode != expect:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{text[-2000:]}\n"
                             f"{done.stderr.decode('utf-8', 'replace')[-3000:]}")
    return text


class Place:
    """A folder that the server's user owns and can reach; removed by the test case."""

    def __init__(self, case):
        parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="salvor-pg-", dir=parent))
        self.own(self.path)
        if "SALVOR_KEEP" not in os.environ:
            case.addCleanup(shutil.rmtree, self.path, ignore_errors=True)

    @staticmethod
    def own(path):
        """Gives `path` and all in it to the server's user."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", str(path)], check=True)


class Cluster:
    """One cluster: a data directory and, while it runs, a server."""

    def __init__(self, case, data, binaries=DEBIAN_15, port=None):
        self.case, self.data, self.bin = case, pathlib.Path(data), pathlib.Path(binaries)
        self.tools = DEBIAN_15  # the judges
        self.port = port or free_port()
        self.log = self.data.with_name(self.data.name + ".log")
        self.process = None
        case.addCleanup(self.kill)

    @classmethod
    def make(cls, case, place, name="cluster", binaries=DEBIAN_15, checksums=True, arguments=(), **settings):
        """initdb, and started."""
        cluster = cls(case, place.path / name, binaries)
        run([cluster.bin / "initdb", "-D", cluster.data, "-A", "trust", "-U", USER, "--no-sync",
             "--locale=C", "-E", "UTF8", *(["-k"] if checksums else []), *arguments])
        cluster.configure(**{"fsync": "off", "shared_buffers": "32MB", **settings})
        cluster.start()
        return cluster

    def configure(self, **settings):
        with open(self.data / "postgresql.auto.conf", "a", encoding="utf-8") as file:
            for name, value in settings.items():
                quoted = str(value).replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def start(self, wait=60, **settings):
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                   "logging_collector": "off", **settings}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(as_user([self.bin / "postgres", "-D", self.data, *arguments]),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        limit = time.monotonic() + wait
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise AssertionError(f"the server did not start:\n{self.log_tail()}")
            if subprocess.run([DEBIAN_15 / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                              check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"the server is not ready:\n{self.log_tail()}")

    def log_tail(self, size=4000):
        return self.log.read_bytes()[-size:].decode("utf-8", "replace") if self.log.exists() else ""

    def stop(self, how=signal.SIGINT, timeout=60):
        """Fast shutdown."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout)
        self.process = None

    def kill(self):
        """As a power cut would, but for the disk cache."""
        if self.process and self.process.poll() is None:
            children = self._children()
            segment, files = self._shared_memory([self.process.pid, *children])
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.kill()
            self.process.wait(30)
            # A server does not start while one of them still has the shared memory.
            limit = time.monotonic() + 30
            while any(map(self._alive, children)) and time.monotonic() < limit:
                time.sleep(0.01)
            # They would outlive it, and a kernel has room for a few thousand segments.
            if segment:
                subprocess.run(["ipcrm", "-m", segment], stderr=subprocess.DEVNULL, check=False)
            for file in files:
                file.unlink(missing_ok=True)
        self.process = None

    @staticmethod
    def _shared_memory(pids):
        """What a killed server leaves in the system: the id of the segment by which servers see each other (it ends
        line 7 of postmaster.pid, in the directory that the first process stands in), and files."""
        segment, files = None, set()
        with contextlib.suppress(OSError, IndexError):
            segment = pathlib.Path(f"/proc/{pids[0]}/cwd/postmaster.pid").read_text().splitlines()[6].split()[1]
        for pid in pids:
            with contextlib.suppress(OSError):
                files |= set(re.findall(r"/dev/shm/PostgreSQL\.[0-9]+", pathlib.Path(f"/proc/{pid}/maps").read_text()))
        return segment, [pathlib.Path(file) for file in files]

    @staticmethod
    def _alive(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
        except OSError:
            return False

    def _children(self):
        try:
            pid = self.process.pid
            return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    @property
    def url(self):
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def sql(self, text, database="postgres", expect=0):
        return run([DEBIAN_15 / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.port,
                    "-U", USER, "-d", database, "-c", text], expect).strip()

    # load

    def pgbench_init(self, scale=2, database="postgres"):
        run([DEBIAN_15 / "pgbench", "-i", "-q", "-s", scale, "-h", "127.0.0.1", "-p", self.port, "-U", USER,
             database])

    def pgbench_start(self, seconds, clients=2, database="postgres", arguments=()):
        process = subprocess.Popen(
            [DEBIAN_15 / "pgbench", "-n", "-T", str(seconds), "-c", str(clients), "-h", "127.0.0.1",
             "-p", str(self.port), "-U", USER, *arguments, database],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.case.background(process)

    def pgbench_sums(self, database="postgres"):
        """The invariant: all four sums are one. Returns it and how many transactions there were."""
        row = self.sql("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM "
                       "pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches), (SELECT "
                       "coalesce(sum(delta), 0) FROM pgbench_history), (SELECT count(*) FROM "
                       "pgbench_history)", database).split("|")
        if len(set(row[:4])) != 1:
            raise AssertionError(f"pgbench's sums differ: {row}")
        return int(row[0]), int(row[4])

    # judges

    def verify_backup(self, *arguments, expect=0):
        return run([self.tools / "pg_verifybackup", *arguments, self.data], expect)

    def check_checksums(self, expect=0):
        return run([self.tools / "pg_checksums", "--check", "-D", self.data], expect)

    def amcheck(self, database="postgres"):
        return run([self.tools / "pg_amcheck", "--install-missing", "--heapallindexed", "-h", "127.0.0.1", "-p",
                    self.port, "-U", USER, "-d", database])
