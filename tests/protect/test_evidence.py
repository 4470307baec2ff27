"""Evidence as others see it: OpenSSL's own program signs and verifies, and the program must agree (V6)."""
import base64
import hashlib
import json
import subprocess

from toolbox import TestCase

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SNAPSHOT, PLAN = "1a" * 32, "2b" * 32


def statement(**changes):
    """A drill's statement, written here by hand from docs/evidence.md."""
    predicate = {
        "id": "5f0c2a9be17d4c3386d1a04f77b2e951", "application": "Shop", "environment": "production",
        "drill": "monthly", "scenario": "deletion", "sandbox": "local", "who": "ops@backup-1",
        "program": "salvor 0.1.0", "outcome": "succeeded", "passed": True,
        "plan": {"name": "full-recovery", "sha256": PLAN},
        "time": {"started": "2026-11-02T06:00:00Z", "declared": "2026-11-02T06:00:31Z",
                 "serviceOk": "2026-11-02T06:06:43Z", "finished": "2026-11-02T06:06:52Z"},
        "points": [{"source": "shop-db", "snapshot": SNAPSHOT, "asked": "latest", "restoredBytes": 1000}],
        "steps": [{"id": "db", "title": "Restore the database", "kind": "restore", "state": "done",
                   "started": "2026-11-02T06:00:36Z", "finished": "2026-11-02T06:04:38Z"}],
        "checks": [{"name": "rows of orders", "passed": True, "value": "12", "expected": "12"}],
        "measures": [{"source": "", "rtoSeconds": 372, "rpoSeconds": 0.4, "rtoObjectiveSeconds": 900,
                      "rpoObjectiveSeconds": 3600, "met": True}],
        "findings": []}
    predicate.update(changes)
    return {"_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "snapshot of shop-db", "digest": {"sha256": SNAPSHOT}},
                        {"name": "plan full-recovery", "digest": {"sha256": PLAN}}],
            "predicateType": "urn:salvor:evidence:drill:v1", "predicate": predicate}


def pae(kind, body):
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


class Evidence(TestCase):
    def setUp(self):
        super().setUp()
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.path("private.pem"))
        self.openssl("pkey", "-in", self.path("private.pem"), "-pubout", "-out", self.path("public.pem"))

    def openssl(self, *arguments):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout

    def key_id(self):
        der = self.openssl("pkey", "-pubin", "-in", self.path("public.pem"), "-outform", "DER")
        return hashlib.sha256(der).hexdigest()

    def signed(self, body, name="drill.json", kind=PAYLOAD_TYPE):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.path("pae").write_bytes(pae(kind, body))
        self.openssl("pkeyutl", "-sign", "-inkey", self.path("private.pem"), "-rawin", "-in", self.path("pae"),
                     "-out", self.path("sig"))
        envelope = {"payloadType": kind, "payload": base64.b64encode(body).decode(),
                    "signatures": [{"keyid": self.key_id(),
                                    "sig": base64.b64encode(self.path("sig").read_bytes()).decode()}]}
        path = self.path(name)
        path.write_text(json.dumps(envelope, separators=(",", ":")) + "\n")
        return path

    def verify(self, path, expect=0, key=None):
        # Neither a repository nor a configuration is at hand.
        return self.salvor(None, "evidence", "verify", path, "--key", key or self.path("public.pem"),
                           expect=expect, password=None)

    def test_what_openssl_signed_is_authentic(self):
        answer = self.verify(self.signed(statement()))
        self.assertIn(f"authentic, signed with key {self.key_id()[:16]}", answer.text)
        self.assertIn("passed", answer.text)

    def test_a_failed_drill_is_authentic_and_said_to_have_failed(self):
        answer = self.verify(self.signed(statement(outcome="failed")))
        self.assertIn("FAILED", answer.text)

    def test_manipulations_are_refused_with_the_reason(self):
        good = self.signed(statement())
        text = good.read_text()
        envelope = json.loads(text)
        body = base64.b64decode(envelope["payload"])
        other = self.path("other.pem")
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.path("o"))
        self.openssl("pkey", "-in", self.path("o"), "-pubout", "-out", other)
        self.assertIn("signed with the key", self.verify(good, 20, other).errors)

        def written(change):
            path = self.path(f"bad{len(change)}-{self.random.getrandbits(60)}.json")
            path.write_text(change)
            return path
        forged = dict(envelope, payload=base64.b64encode(body.replace(b'"12"', b'"13"')).decode())
        cases = [
            (written(json.dumps(forged, separators=(",", ":"))), "changed after signing"),
            (written(text[:-40]), "not valid JSON"),
            (written(text + "{}"), "not valid JSON"),
            (written(text.replace("{", '{"payload":"",', 1)), "comes twice"),
            (written(json.dumps(envelope)), "the file around it"),
            (self.signed(dict(statement(), predicateType="https://slsa.dev/provenance/v1"), "statement-a"), "slsa.dev"),
            (self.signed(json.dumps(statement()).replace('"id"', '"passed":false,"passed":true,"id"')
                         .encode(), "statement-b"), "comes twice"),
            (self.signed(b"not json", "statement-c"), "not valid JSON"),
            (self.signed(statement(), "statement-d", kind="text/plain"), "text/plain"),
            (self.signed(dict(statement(), subject=[]), "statement-e"), "subjects"),
        ]
        for number, (path, reason) in enumerate(cases):
            with self.subTest(reason, number=number):
                self.assertIn(reason, self.verify(path, 20).errors)

    def test_every_byte_counts(self):
        good = self.signed(statement()).read_bytes()
        bad = self.path("bad.json")
        for at in self.random.sample(range(len(good) - 1), 12):
            bad.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            self.assertIn("not authentic", self.verify(bad, 20).errors, at)

    def test_reports_of_a_file_need_nothing_else(self):
        path = self.signed(statement())
        html, pdf = self.path("drill.html"), self.path("drill.pdf")
        self.salvor(None, "evidence", "report", path, "--key", self.path("public.pem"), "--html", html, "--pdf",
                    pdf, password=None)
        self.assertIn("6 min 12 s", html.read_text())
        self.assertTrue(pdf.read_bytes().startswith(b"%PDF-"))
        text = subprocess.run(["pdftotext", "-layout", pdf, "-"], check=True, capture_output=True).stdout.decode()
        self.assertIn("PASSED", text)
        self.assertIn("rows of orders", text)
        # A page of what is not authentic says so, and the status does.
        forged = json.loads(path.read_text())
        forged["payload"] = base64.b64encode(
            base64.b64decode(forged["payload"]).replace(b"succeeded", b"succeedeD")).decode()
        path.write_text(json.dumps(forged))
        self.salvor(None, "evidence", "report", path, "--key", self.path("public.pem"), "--html", html,
                    password=None, expect=20)

    def test_a_page_shows_where_a_long_text_was_cut(self):
        for words in (300, 900):  # more than a column of a page, and more than a line may have
            path = self.signed(statement(checks=[{"name": "long", "passed": True, "value": "word " * words,
                                                  "expected": ""}]), f"long{words}.json")
            pdf = self.path(f"long{words}.pdf")
            self.salvor(None, "evidence", "report", path, "--key", self.path("public.pem"), "--pdf", pdf,
                        password=None)
            text = subprocess.run(["pdftotext", pdf, "-"], check=True, capture_output=True).stdout.decode()
            self.assertIn("…", text)

    def test_keys_of_the_repository_are_openssls(self):
        repository = self.new_repository()
        self.salvor(repository, "evidence", "key", "public", expect=24)
        self.salvor(repository, "evidence", "key", "new", "--comment", "first")
        self.salvor(repository, "evidence", "key", "new", "--from", f"file:{self.path('private.pem')}", "--reason",
                    "kept elsewhere now")
        shown = [json.loads(line) for line in
                 self.salvor(repository, "evidence", "key", "show", "--json").text.splitlines()]
        self.assertEqual([key["ordinal"] for key in shown], [1, 2])
        self.assertEqual(shown[1]["key_id"], self.key_id())
        self.assertEqual(shown[0]["end_reason"], "kept elsewhere now")
        self.assertTrue(all(key["vouched_for"] for key in shown))
        out = self.path("trusted.pem")
        self.salvor(repository, "evidence", "key", "public", "--output", out)
        self.assertIn("Valid-To", out.read_text())
        self.salvor(repository, "evidence", "key", "public", "--current", "--output", out)
        self.assertEqual(self.openssl("pkey", "-pubin", "-in", out), self.path("public.pem").read_bytes())
        # Who has the password can add a key: whoever verifies with the repository's keys is told.
        self.path("private.pem").rename(self.path("lost.pem"))
        self.assertNotIn("no earlier key", self.salvor(repository, "evidence", "list").errors)
        self.salvor(repository, "evidence", "key", "new")
        self.assertIn("no earlier key has signed key 3", self.salvor(repository, "evidence", "list").errors)
        self.path("lost.pem").rename(self.path("private.pem"))
        # The key signs only from now on: an old drill was not signed with it.
        self.assertIn("before its key was made", self.verify(self.signed(statement()), 20, out).errors)
