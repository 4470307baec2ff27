"""Azure Blob Storage: the real restic and we in the same container, on Azurite, over TLS and through a proxy."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
import urllib.parse

import servers
from toolbox import RESTIC_NEW, TestCase, limit


class Azure(TestCase):
    repository = "azure:backups:/some/where"

    def setUp(self):
        super().setUp()
        self.restic = self.peer(RESTIC_NEW)
        server = servers.Azurite(self.path("azurite"))
        self.addCleanup(server.stop)
        self.environment |= server.environment
        self.ours = ("--cacert", str(server.certificate))
        # Without a tier restic sends an empty header, which Azurite does not take.
        self.theirs = (*self.ours, "-o", "azure.access-tier=Hot")

    def tree(self):
        files = {f"d{i % 7}/f{i}": self.words(3000 * (i % 50)) for i in range(150)}
        files |= {f"large{i}": self.bytes(9_000_000) for i in range(4)}
        return self.make_tree("tree", files)

    def restored_by(self, tool, tree):
        target = self.path(f"restored-by-{tool.name}")
        tool.restore(self.repository, target, "latest", *(self.ours if tool.name == "salvor" else self.theirs))
        self.assert_same_tree(tree, target)

    def signature(self, rights):
        """A shared access signature for the account."""
        until = "2199-01-01T00:00:00Z"
        text = "\n".join([servers.Azurite.ACCOUNT, rights, "b", "co", "", until, "", "https", "2020-08-04", ""])
        digest = hmac.digest(base64.b64decode(servers.Azurite.KEY), text.encode(), hashlib.sha256)
        return "?" + urllib.parse.urlencode({"sv": "2020-08-04", "ss": "b", "srt": "co", "sp": rights, "se": until,
                                             "spr": "https", "sig": base64.b64encode(digest).decode()})

    def test_the_rights_in_the_documentation_are_enough_and_needed(self):
        tree = self.make_tree("tree", {"file": b"content"})
        signed = {"AZURE_ACCOUNT_KEY": "", "AZURE_ACCOUNT_SAS": self.signature("rcl")}
        self.salvor(self.repository, *self.ours, "init", env=signed)
        self.salvor.backup(self.repository, tree, *self.ours, env=signed)
        self.salvor.check(self.repository, "--no-lock", *self.ours, env=signed)
        self.salvor.backup(self.repository, tree, *self.ours, env=signed)
        refused = self.salvor(self.repository, *self.ours, "--retry-lock", "0s", "forget", "--keep-last", "1", env=signed,
                              expect=range(1, 256))
        self.assertEqual(len(self.salvor.snapshots(self.repository, *self.ours, "--no-lock")), 2, refused)
        # With the right to delete the locks are gone, and forgetting works.
        signed["AZURE_ACCOUNT_SAS"] = self.signature("rcdl")
        self.salvor(self.repository, *self.ours, "unlock", "--remove-all", env=signed)
        self.salvor.backup(self.repository, tree, *self.ours, env=signed)
        self.salvor(self.repository, *self.ours, "forget", "--keep-last", "1", "--prune", env=signed)
        self.assertEqual(len(self.salvor.snapshots(self.repository, *self.ours, env=signed)), 1)

    def test_an_application_signs_in_with_its_secret(self):
        asked = []

        def part(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        class Authority(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
                # Azurite looks at all of it but the signature. The token lives so short that it is renewed.
                now = int(time.time())
                claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/my-tenant/", "iat": now,
                          "nbf": now - 60, "exp": now + 250, "oid": "me", "tid": "my-tenant", "ver": "1.0"}
                token = f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"
                body = json.dumps({"access_token": token, "expires_in": 250, "token_type": "Bearer"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        authority = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Authority)
        self.addCleanup(authority.server_close)
        self.addCleanup(authority.shutdown)
        threading.Thread(target=authority.serve_forever, daemon=True).start()
        tree = self.make_tree("tree", {"file": b"content"})
        app = {"AZURE_ACCOUNT_KEY": "", "AZURE_TENANT_ID": "my-tenant", "AZURE_CLIENT_ID": "app",
               "AZURE_CLIENT_SECRET": "the secret",
               "AZURE_AUTHORITY_HOST": f"http://127.0.0.1:{authority.server_address[1]}"}
        self.salvor(self.repository, *self.ours, "init", env=app)
        self.salvor.backup(self.repository, tree, *self.ours, env=app)
        self.assertIn("client_secret=the%20secret", asked[0][1])
        self.assertEqual(asked[0][0], "/my-tenant/oauth2/v2.0/token")
        self.restic.check(self.repository, *self.theirs)

    @limit(180)
    def test_we_write_and_restic_reads(self):
        tree = self.tree()
        self.salvor(self.repository, *self.ours, "init")
        # Packs in several blocks, too.
        self.salvor.backup(self.repository, tree, *self.ours, "-o", "azure.block-size=1")
        self.restic(self.repository, *self.theirs, "check", "--read-data")
        self.restored_by(self.restic, tree)
        # And goes on with it: nothing is new to it.
        self.assert_nothing_added(self.restic.backup(self.repository, tree, *self.theirs))

    @limit(180)
    def test_restic_writes_and_we_read_change_and_prune(self):
        tree = self.tree()
        self.restic(self.repository, *self.theirs, "init")
        self.restic.backup(self.repository, tree, *self.theirs)
        self.salvor.check(self.repository, *self.ours)
        self.restored_by(self.salvor, tree)
        self.assert_nothing_added(self.salvor.backup(self.repository, tree, *self.ours))
        (tree / "large1").unlink()
        self.salvor.backup(self.repository, tree, *self.ours)
        self.salvor(self.repository, *self.ours, "forget", "--keep-last", "1", "--group-by", "", "--prune")
        self.assertEqual(1, len(self.restic.snapshots(self.repository, *self.theirs)))
        self.restic(self.repository, *self.theirs, "check", "--read-data")
        self.restored_by(self.restic, tree)

    def test_errors_name_cause_and_next_step_and_no_secret(self):
        result = self.salvor(self.repository, *self.ours, "snapshots", expect=10)
        self.assertIn("there is no repository at azure:backups:/some/where", result.errors)
        self.salvor(self.repository, *self.ours, "init")
        wrong = "d3Jvbmcta2V5LW9mLXRoZS1hY2NvdW50"
        result = self.salvor(self.repository, *self.ours, "snapshots", expect=22, env={"AZURE_ACCOUNT_KEY": wrong})
        self.assertIn("AZURE_ACCOUNT_KEY", result.errors)
        self.assertNotIn(wrong, result.errors)
        result = self.salvor(self.repository, "-o", "azure.colour=red", "snapshots", expect=64)
        self.assertIn("azure.access-tier", result.errors)
