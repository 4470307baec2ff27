"""S3: the real restic and we on the same bucket, on real servers (tests/servers/get)."""
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

from toolbox import PASSWORD, RESTIC_NEW, ROOT, TestCase, limit

KEY, SECRET = "salvortestkey", "salvor+test/secret=1"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class _S3(TestCase):
    server = None

    def setUp(self):
        super().setUp()
        found = subprocess.run([ROOT / "tests/servers/get", self.server, "--find"], capture_output=True,
                               text=True, check=False)
        if found.returncode != 0:
            self.skipTest(f"server {self.server} is not here: tests/servers/get {self.server} builds it")
        self.restic = self.peer(RESTIC_NEW)
        binary, port, data = found.stdout.splitlines()[-1], free_port(), self.path("bucket-data")
        data.mkdir()
        address = f"127.0.0.1:{port}"
        if self.server == "versitygw":
            command = [binary, "--port", address, "--quiet", "--keep-alive", "posix", str(data)]
        else:
            command = [binary, "server", "--quiet", "--address", address, str(data)]
        variables = dict(os.environ, ROOT_ACCESS_KEY=KEY, ROOT_SECRET_KEY=SECRET, MINIO_ROOT_USER=KEY,
                         MINIO_ROOT_PASSWORD=SECRET, MINIO_BROWSER="off", MINIO_UPDATE="off",
                         MINIO_DOMAIN="localhost")
        self.background(subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/", timeout=1)
                break
            except urllib.error.HTTPError:
                break  # refused, but there
            except OSError:
                self.assertLess(time.monotonic(), end, "the server does not start")
                time.sleep(0.05)
        self.port = port
        self.repository = f"s3:http://{address}/backups/some/where"
        self.environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def tree(self):
        files = {f"d{i % 7}/f{i}": self.words(3000 * (i % 50)) for i in range(150)}
        files |= {f"large{i}": self.bytes(9_000_000) for i in range(4)}
        return self.make_tree("tree", files)


class _Both(_S3):
    @limit(180)
    def test_we_write_and_restic_reads(self):
        tree = self.tree()
        self.salvor(self.repository, "init")
        self.salvor.backup(self.repository, tree)
        self.restic(self.repository, "check", "--read-data")
        self.assert_restores(self.restic, self.repository, tree)
        # And goes on with it: nothing is new to it.
        summary = self.restic.backup(self.repository, tree)
        self.assert_nothing_added(summary)

    @limit(180)
    def test_restic_writes_and_we_read_change_and_prune(self):
        tree = self.tree()
        self.restic(self.repository, "init")
        self.restic.backup(self.repository, tree)
        self.salvor.check(self.repository)
        self.assert_restores(self.salvor, self.repository, tree)
        self.assert_nothing_added(self.salvor.backup(self.repository, tree))
        self.salvor(self.repository, "key", "list")
        (tree / "large1").unlink()
        self.salvor.backup(self.repository, tree)
        self.salvor(self.repository, "forget", "--keep-last", "1", "--group-by", "", "--prune")
        self.assertEqual(1, len(self.restic.snapshots(self.repository)))
        self.restic(self.repository, "check", "--read-data")
        self.assert_restores(self.restic, self.repository, tree)

    def test_errors_name_cause_and_next_step_and_no_secret(self):
        wrong = {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}
        result = self.salvor(self.repository, "snapshots", expect=range(1, 256), env=wrong)
        self.assertIn("SECRET", result.err.decode().upper())
        self.assertNotIn("not-the-secret", result.err.decode())
        result = self.salvor(self.repository, "snapshots", expect=10)
        self.assertIn("there is no repository at s3:http://127.0.0.1", result.err.decode())
        result = self.salvor(self.repository, "-o", "s3.colour=red", "snapshots", expect=64)
        self.assertIn("s3.region", result.err.decode())


class Versitygw(_Both):
    server = "versitygw"


class Minio(_Both):
    server = "minio"

    def test_the_bucket_stands_in_the_hosts_name(self):
        by_host = (f"s3:http://localhost:{self.port}/by-host/some/where", "-o", "s3.bucket-lookup=dns")
        by_path = f"s3:http://127.0.0.1:{self.port}/by-host/some/where"
        tree = self.make_tree("small", {"a b+c": b"1", "d/e": self.bytes(3_000_000)})
        self.salvor(*by_host, "init")  # makes the bucket, too
        self.salvor(*by_host, "backup", ".", cwd=tree)
        self.salvor(*by_host, "check", "--read-data")
        self.restic(by_path, "check", "--read-data")
        self.assert_restores(self.restic, by_path, tree)
        self.salvor(*by_host, "forget", "latest", "--prune")
        self.assertEqual([], self.restic.snapshots(by_path) or [])
