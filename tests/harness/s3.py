"""S3 for the tests: real servers, and a small client of our own (signature version 4) that plays the administrator and
the attacker."""
import base64
import datetime
import hashlib
import hmac
import http.client
import os
import re
import subprocess
import time
import unittest
import urllib.parse
import urllib.request

import servers

KEY, SECRET = "salvortestkey", "salvor+test/secret=1"


class Client:
    """Requests with one pair of keys; None: anonymous."""

    def __init__(self, address, key=KEY, secret=SECRET):
        self.address, self.key, self.secret = address, key, secret

    def __call__(self, method, path, query="", body=b"", headers=None):
        """(status, headers in lower case, body). `query`: as it is sent, sorted by us."""
        body = body.encode() if isinstance(body, str) else body
        query = "&".join(sorted(p if "=" in p else p + "=" for p in query.split("&") if p))
        path = urllib.parse.quote(path, safe="/~")
        now = datetime.datetime.now(datetime.timezone.utc)
        sent = {"host": self.address, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
                "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
                **{k.lower(): v for k, v in (headers or {}).items()}}
        if body:
            sent["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        if self.key:
            names = ";".join(sorted(sent))
            request = "\n".join([method, path, query, *(f"{k}:{sent[k]}" for k in sorted(sent)), "", names,
                                 sent["x-amz-content-sha256"]])
            scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
            text = "\n".join(["AWS4-HMAC-SHA256", sent["x-amz-date"], scope,
                              hashlib.sha256(request.encode()).hexdigest()])
            key = ("AWS4" + self.secret).encode()
            for part in (f"{now:%Y%m%d}", "us-east-1", "s3", "aws4_request", text):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            sent["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, "
                                     f"Signature={key.hex()}")
        connection = http.client.HTTPConnection(self.address, timeout=20)
        connection.request(method, path + ("?" + query if query else ""), body=body or None, headers=sent)
        reply = connection.getresponse()
        result = reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        connection.close()
        return result

    def must(self, *arguments, **options):
        status, headers, body = self(*arguments, **options)
        if status >= 300:
            raise AssertionError(f"{arguments}: {status} {body.decode()[:500]}")
        return headers, body.decode()

    def versions(self, bucket, prefix=""):
        """[(key, version id, is the latest, is a delete marker)]"""
        found, marker = [], ""
        while True:
            _, text = self.must("GET", f"/{bucket}", f"versions&prefix={urllib.parse.quote(prefix, safe='')}{marker}")
            for kind, element in re.findall(r"(?s)<(Version|DeleteMarker)>(.*?)</\1>", text):
                value = lambda name: re.search(f"<{name}>(.*?)</{name}>", element).group(1)
                found.append((value("Key"), value("VersionId"), value("IsLatest") == "true", kind == "DeleteMarker"))
            if "<IsTruncated>true" not in text:
                return found
            next_marker = lambda name: urllib.parse.quote(re.search(f"<{name}>(.*?)</{name}>", text).group(1), safe="")
            marker = f"&key-marker={next_marker('NextKeyMarker')}&version-id-marker={next_marker('NextVersionIdMarker')}"

    def make_bucket(self, bucket, lock=False, versioned=False):
        self.must("PUT", f"/{bucket}", headers={"x-amz-bucket-object-lock-enabled": "true"} if lock else {})
        if versioned:
            self.must("PUT", f"/{bucket}", "versioning",
                      "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")


class Server:
    """versitygw or MinIO on loopback; skips the test when it is not built. Stopped by the case."""

    def __init__(self, case, name):
        root = case.peer_root
        found = subprocess.run([root / "tests/servers/get", name, "--find"], capture_output=True, text=True, check=False)
        if found.returncode != 0:
            raise unittest.SkipTest(f"server {name} is not here: tests/servers/get {name} builds it")
        self.name, self.binary = name, found.stdout.splitlines()[-1]
        self.port = servers.free_port()
        self.address = f"127.0.0.1:{self.port}"
        folder = case.path(f"s3-{name}")
        for sub in ("data", "versions", "iam"):
            (folder / sub).mkdir(parents=True)
        if name == "versitygw":
            command = [self.binary, "--port", self.address, "--quiet", "--keep-alive", "--iam-dir", folder / "iam",
                       "posix", "--versioning-dir", folder / "versions", folder / "data"]
        else:
            command = [self.binary, "server", "--quiet", "--address", self.address, folder / "data"]
        self.variables = dict(os.environ, ROOT_ACCESS_KEY=KEY, ROOT_SECRET_KEY=SECRET, MINIO_ROOT_USER=KEY,
                              MINIO_ROOT_PASSWORD=SECRET, MINIO_BROWSER="off", MINIO_UPDATE="off")
        case.background(subprocess.Popen(list(map(str, command)), env=self.variables, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.admin = Client(self.address)
        end = time.monotonic() + 30
        while True:
            try:
                if self.admin("GET", "/")[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"{name} does not start")
            time.sleep(0.05)

    def url(self, path):
        return f"s3:http://{self.address}/{path}"

    def add_user(self, key, secret):
        """An account without any right of its own (versitygw only)."""
        subprocess.run([self.binary, "admin", "--access", KEY, "--secret", SECRET, "--endpoint-url",
                        f"http://{self.address}", "create-user", "--access", key, "--secret", secret, "--role", "user"],
                       check=True, capture_output=True, env=self.variables)
        return Client(self.address, key, secret)
