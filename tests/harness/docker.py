"""A Docker engine of the test's own, with an image that needs no registry: nothing of it is left, or seen by another."""
import os
import pathlib
import shutil
import subprocess
import time
import unittest

import servers

IMAGE = "salvor-test:1"  # one program: /bin/sleep
# Its own mounts and processes: whatever it started ends with it.
ENGINE = """
mount -t tmpfs tmpfs /run || exit 1
exec dockerd --data-root "$1/data" --exec-root "$1/exec" --host "unix://$1/socket" --pidfile "$1/pid" \\
  --storage-driver vfs --bridge none --iptables=false --ip6tables=false
"""


class Engine:
    """`environment` is what `docker` needs to find the engine and `docker compose`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        compose = servers.binary_of("docker-compose")
        if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("docker"):
            raise unittest.SkipTest("a Docker engine of the test's own needs root and dockerd")
        plugins = self.folder / "client/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(compose)
        self.environment = {"DOCKER_HOST": f"unix://{self.folder}/socket", "DOCKER_CONFIG": str(self.folder / "client")}
        self.log = open(self.folder / "engine.log", "w+b")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ENGINE, "sh", self.folder],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self._await()
            self._import()
        except BaseException:
            self.stop()
            raise

    def _await(self):
        end = time.monotonic() + 60
        while self.docker("version", check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise AssertionError(f"dockerd does not start: {self.log.read().decode(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def _import(self):
        tree = self.folder / "image/bin"
        tree.mkdir(parents=True)
        shutil.copy("/bin/busybox", tree / "sleep")
        packed = subprocess.run(["tar", "-C", tree.parent, "-c", "."], capture_output=True, check=True).stdout
        self.docker("import", "-", IMAGE, input=packed)

    def docker(self, *words, check=True, **options):
        done = subprocess.run(["docker", *words], env={**os.environ, **self.environment}, capture_output=True,
                              timeout=60, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"docker {words}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done

    def running(self, file, service):
        """How many containers of a compose file's service run."""
        return len(self.docker("compose", "-f", file, "ps", "--status", "running", "--quiet", service).stdout.split())

    def stop(self):
        listed = self.docker("ps", "--all", "--quiet", check=False).stdout.decode().split()
        if listed:
            self.docker("rm", "--force", *listed, check=False)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
