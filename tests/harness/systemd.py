"""A service manager of the test's own: systemd as `--user` runs it, so that units are really started and stopped."""
import os
import pathlib
import shutil
import subprocess
import time
import unittest

MANAGER = "/lib/systemd/systemd"
# systemd looks for the first, and wants to be alone in its control group, of either version.
ALONE = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 1
for group; do echo $$ > "$group/cgroup.procs" || exit 1; done
exec {manager} --user --log-level=warning --log-target=console
"""


class UserManager:
    """Units are files in `units`; `environment` is what `systemctl --user` needs to find the manager."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.units = self.folder / "home/.config/systemd/user"
        self.units.mkdir(parents=True)
        runtime = self.folder / "runtime"
        runtime.mkdir(mode=0o700)
        self.environment = {"XDG_RUNTIME_DIR": str(runtime), "HOME": str(self.folder / "home")}
        self.groups = []
        if os.geteuid() != 0 or not os.access(MANAGER, os.X_OK) or not shutil.which("systemctl"):
            raise unittest.SkipTest("a service manager of the test's own needs root and systemd")
        try:
            self._start(runtime)
        except BaseException:
            self.stop()
            raise

    def _start(self, runtime):
        for parent in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
            if os.access(f"{parent}/cgroup.procs", os.W_OK):
                group = pathlib.Path(parent, f"salvor-test-{os.getpid()}")
                group.mkdir()
                self.groups.append(group)
        self.log = open(self.folder / "manager.log", "w+b")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", ALONE.format(manager=MANAGER), "sh", *self.groups],
            env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 20
        while not (runtime / "systemd/private").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise AssertionError(f"systemd does not start: {self.log.read().decode(errors='replace')}")
            time.sleep(0.02)

    def control(self, *words, check=True):
        done = subprocess.run(["systemctl", "--user", *words], env={**os.environ, **self.environment},
                              capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"systemctl {words}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def stop(self):
        process = getattr(self, "process", None)
        if process is not None:
            self.control("exit", check=False)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self.log.close()
        for group in self.groups:
            for inner in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                inner.rmdir()
            group.rmdir()
        self.groups = []
