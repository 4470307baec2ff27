"""examples/github-actions/backup.yml: every shell step, run as GitHub runs it, on a real database."""
import datetime
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import textwrap
import threading

import postgres
from toolbox import PASSWORD, ROOT, TestCase, limit

WORKFLOW = ROOT / "examples/github-actions/backup.yml"


def shell_steps(job):
    """{name: script} of one job, in order. The file is ours, so its indentation is known."""
    text = WORKFLOW.read_text().split("\njobs:\n")[1]
    body = re.split(r"(?m)^  ([\w-]+):\n", text)
    body = dict(zip(body[1::2], body[2::2]))[job]
    found = {}
    for step in re.split(r"(?m)^      - ", body)[1:]:
        name = re.match(r"name: (.*)\n", step)
        script = re.search(r"(?ms)^        run: \|\n(.*)", step)
        if script:
            found[name.group(1)] = textwrap.dedent(script.group(1))
    return found


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers["Authorization"] == "Bearer a-token" and "name=salvor-backup" in self.path
        body = json.dumps({"artifacts": [{"expired": False, "created_at": self.server.created,
                                          "workflow_run": {"id": 4711}}]}).encode()
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Workflow(TestCase):
    def setUp(self):
        super().setUp()
        self.cluster = postgres.Cluster.make(self, postgres.Place(self))
        binaries = self.path("bin")
        binaries.mkdir()
        (binaries / "salvor").symlink_to(pathlib.Path(self.salvor.binary).resolve())
        self.output = self.path("output")
        self.output.touch()
        self.variables = self.environment | {
            "PATH": f"{binaries}:{self.environment['PATH']}", "SALVOR_PASSWORD": PASSWORD, "PGHOST": "127.0.0.1",
            "PGPORT": str(self.cluster.port), "PGUSER": "postgres", "PGPASSWORD": "", "BACKUP_PATHS": "",
            "GITHUB_OUTPUT": str(self.output), "GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": "a-token",
            "RESTORE_TEST_QUERY": "SELECT count(*) FROM users"}

    def step(self, script, folder, expect=0, **more):
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=folder,
                              env=self.variables | more, capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(expect, done.returncode, f"{script}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    @limit(180)
    def test_every_shell_step_works_and_the_restore_test_can_fail(self):
        self.cluster.sql("CREATE DATABASE app")
        for query in ("CREATE TABLE users AS SELECT g AS id, md5(g::text) AS name FROM generate_series(1, 5000) g",
                      "CREATE TABLE nobody (id int)"):
            postgres.run(["psql", "-h", "127.0.0.1", "-p", self.cluster.port, "-U", "postgres", "-d", "app",
                          "-c", query])
        files = self.make_tree("files", {"a": b"first", "b/c": self.bytes(100_000)})
        here, there = self.path("backup-job"), self.path("restore-job")
        here.mkdir()
        there.mkdir()
        steps = shell_steps("backup")
        self.assertEqual(["Install", "Back up"], list(steps))
        for script in steps.values():
            self.step(script, here, PGDATABASE="app", BACKUP_PATHS=str(files))

        shutil.copytree(here / "artifact", there / "artifact")  # what the two artifact actions do
        steps = shell_steps("restore-test")
        self.assertEqual(["Install", "Find the newest backup", "Import and check", "Restore into an empty server"],
                         list(steps))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        api = {"GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
        now = datetime.datetime.now(datetime.timezone.utc)
        server.created = (now - datetime.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assertIn("do not run", self.step(steps["Find the newest backup"], there, expect=1, **api))
        server.created = (now - datetime.timedelta(hours=25)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, script in steps.items():
            said = self.step(script, there, PGDATABASE="restored", **api)
        self.assertEqual("run=4711\n", self.output.read_text())
        self.assertIn("SELECT count(*) FROM users: 5000", said)
        # An empty table fails it.
        self.step(steps["Restore into an empty server"], there, expect=1, PGDATABASE="again",
                  RESTORE_TEST_QUERY="SELECT count(*) FROM nobody")
        # The files are in the artifact as well.
        self.assert_restores(self.salvor, f"tar:{there / 'artifact/backup.tar'}", files,
                             f"latest:{files}", env={"SALVOR_PASSWORD": PASSWORD})
        self.assertNotIn(PASSWORD, "".join(os.listdir(here / "artifact")))
