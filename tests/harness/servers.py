"""Servers that the suites run against: on loopback, on a free port, with throw-away credentials."""
import http.client
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import threading
import time
import unittest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port, process, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.03)
    raise AssertionError(f"the server on port {port} does not start")


def binary_of(server):
    """What tests/servers/get has built; without it the test is skipped."""
    root = pathlib.Path(__file__).resolve().parents[2]
    found = subprocess.run([root / "tests/servers/get", server, "--find"], capture_output=True, text=True)
    if found.returncode != 0:
        raise unittest.SkipTest(f"{server} is not here: tests/servers/get {server} gets it")
    return found.stdout.splitlines()[-1]


class SshServer:
    """OpenSSH's; `client_config` makes `ssh -F client_config server` work."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o700)
        self.port = free_port()
        sshd = shutil.which("sshd", path="/usr/sbin:" + os.environ["PATH"])
        if not sshd:
            raise unittest.SkipTest("sshd is not installed (openssh-server)")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", self.folder / name],
                           check=True)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized_keys")
        (self.folder / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {(self.folder / 'host.pub').read_text()}")
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PasswordAuthentication no\nSubsystem sftp internal-sftp\nMaxStartups 100\n")
        self.client_config = self.folder / "ssh_config"
        self.client_config.write_text(
            f"Host server\n  HostName 127.0.0.1\n  Port {self.port}\n  User {pwd.getpwuid(os.geteuid()).pw_name}\n"
            f"  IdentityFile {self.folder}/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n")
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
        self.process = subprocess.Popen([sshd, "-D", "-e", "-f", self.folder / "sshd_config"],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


class RestServer:
    """restic's rest-server over a folder."""

    def __init__(self, folder, *arguments):
        self.binary = binary = binary_of("rest-server")
        self.port = free_port()
        self.process = subprocess.Popen(
            [binary, "--path", folder, "--listen", f"127.0.0.1:{self.port}", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


class S3Server:
    """versitygw or MinIO over a folder; `environment` holds the credentials."""
    KEY, SECRET = "salvortestkey", "salvor+test/secret=1"

    def __init__(self, name, folder):
        root = pathlib.Path(__file__).resolve().parents[2]
        found = subprocess.run([root / "tests/servers/get", name, "--find"], capture_output=True, text=True)
        if found.returncode != 0:
            raise unittest.SkipTest(f"server {name} is not here: tests/servers/get {name} builds it")
        binary = found.stdout.splitlines()[-1]
        pathlib.Path(folder).mkdir(exist_ok=True)
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        if name == "versitygw":
            command = [binary, "--port", address, "--quiet", "--keep-alive", "posix", str(folder)]
        else:
            command = [binary, "server", "--quiet", "--address", address, str(folder)]
        variables = dict(os.environ, ROOT_ACCESS_KEY=self.KEY, ROOT_SECRET_KEY=self.SECRET,
                         MINIO_ROOT_USER=self.KEY, MINIO_ROOT_PASSWORD=self.SECRET, MINIO_BROWSER="off",
                         MINIO_UPDATE="off")
        self.environment = {"AWS_ACCESS_KEY_ID": self.KEY, "AWS_SECRET_ACCESS_KEY": self.SECRET}
        self.process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(self.port, self.process, 30)
        await_http(self.port)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def await_http(port, seconds=30):
    """Until the server gives any answer at all (MinIO listens before it can)."""
    end = time.monotonic() + seconds
    while True:
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            client.request("GET", "/")
            if client.getresponse().status < 500:
                return
        except OSError:
            pass
        finally:
            client.close()
        if time.monotonic() > end:
            raise AssertionError(f"the server on port {port} does not answer")
        time.sleep(0.05)


class FaultProxy:
    """tests/proxy/fault_proxy.cc before a server's port. `faults`: {kind: weight}."""

    def __init__(self, server_port, *arguments, faults=None):
        root = pathlib.Path(__file__).resolve().parents[2]
        program = pathlib.Path(os.environ.get("SALVOR_BIN") or root / "build/dev/salvor")
        binary = os.environ.get("SALVOR_FAULT_PROXY") or program.parent / "tests/fault_proxy"
        if not os.path.exists(binary):
            raise SystemExit(f"{binary} is missing: build the tests too (-DSALVOR_TESTS=ON), or say in SALVOR_FAULT_PROXY where it is")
        kinds = [part for kind, weight in (faults or {}).items() for part in ("--fault", f"{kind}={weight}")]
        self.process = subprocess.Popen([binary, "--server", str(server_port), *map(str, arguments), *kinds],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stats(self):
        return self.tell("stats")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class Tunnel:
    """A proxy for HTTPS that connects everything to one port of this machine, whatever host was asked for:
    programs reach a test's server under a name that no name server knows."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            request = b""
            while b"\r\n\r\n" not in request:
                more = client.recv(4096)
                if not more:
                    return
                request += more
            if not request.startswith(b"CONNECT "):
                client.sendall(b"HTTP/1.1 405 Only CONNECT\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.target_port)) as server:
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.close()


class Azurite:
    """Microsoft's emulator of Azure Blob Storage, over TLS, as https://ACCOUNT.blob.salvor.test behind a
    tunnel: `environment` and `certificate` make programs find it and believe it."""
    ACCOUNT = "devstoreaccount1"  # its own, and the key that Microsoft has published
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, folder):
        program = binary_of("azurite")
        folder = pathlib.Path(folder)
        folder.mkdir()
        self.certificate, key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=salvor.test", "-addext", "subjectAltName=DNS:*.blob.salvor.test", "-keyout", key,
                        "-out", self.certificate], check=True, stderr=subprocess.DEVNULL)
        self.port = free_port()
        self.process = subprocess.Popen(
            [program, "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", folder / "data",
             "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--oauth", "basic", "--cert", self.certificate,
             "--key", key],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(self.port, self.process, seconds=60)
        self.tunnel = Tunnel(self.port)
        self.environment = {"AZURE_ACCOUNT_NAME": self.ACCOUNT, "AZURE_ACCOUNT_KEY": self.KEY,
                            "AZURE_ENDPOINT_SUFFIX": "salvor.test",
                            "HTTPS_PROXY": f"http://127.0.0.1:{self.tunnel.port}"}

    def stop(self):
        self.tunnel.stop()
        self.process.terminate()
        self.process.wait(timeout=10)
