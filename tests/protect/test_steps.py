"""Every kind of step against real servers: sshd, HTTP with TLS, PostgreSQL, a webhook, systemd, Docker (R2)."""
import http.server
import json
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

import docker
import postgres
import servers
import systemd
from protect_case import ApplicationCase
from toolbox import PASSWORD, limit


class StepCase(ApplicationCase):
    def steps(self, steps, more="", **formats):
        """A plan `p` of these steps, for an application with one (empty) source."""
        uploads = self.folder / "uploads"
        uploads.mkdir(exist_ok=True)
        text = "sources: {{uploads: {{files: {uploads}}}}}\n" + more + "plans:\n  p:\n    steps:\n"
        text += "".join(f"      - {step}\n" for step in steps)
        self.configure(text, uploads=uploads, folder=self.folder, **formats)

    def run_plan(self, *arguments, **options):
        return self.shop("plan", "run", "p", "--yes", *arguments, **options)

    def journal(self):
        newest = max((self.state / "runs").glob("*/journal.jsonl"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(line) for line in newest.read_text().splitlines()]

    def done(self, step):
        return [e for e in self.journal() if e["type"] == "done" and e.get("step") == step][-1]

    def everything_written(self):
        """All that the run left, as one text."""
        return b"".join(p.read_bytes() for p in self.state.rglob("*") if p.is_file())

    def running(self, words):
        """Processes with these words in their command line."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if words.encode() in (entry / "cmdline").read_bytes():
                        found.append(entry.name)
                except OSError:
                    pass
        return found


class Ssh(StepCase):
    def setUp(self):
        super().setUp()
        self.server = servers.SshServer(self.folder / "ssh")
        self.addCleanup(self.server.stop)
        self.there = f"host: server, ssh-options: [-F, {self.server.client_config}]"

    def test_arguments_environment_directory_and_status(self):
        (self.folder / "a place").mkdir()
        self.steps([
            "{{name: words, command: {{command: [printf, '<%%s>', 'a b', \"it's\", '$HOME;`id`', \"two\\nlines\"], %s}}}}" % self.there,
            "{{name: line, command: {{command: 'pwd; echo got=$TOKEN; printf %%s \"$TOKEN\" > token; "
            "tr \"\\\\0\" \" \" </proc/$PPID/cmdline >> ps', directory: '{folder}/a place', "
            "environment: {{TOKEN: \"env:TOKEN\"}}, %s, outputs: [got]}}}}" % self.there,
            "{{name: three, command: {{command: 'exit 3', exit-codes: ['0', '3'], %s}}}}" % self.there,
            "{{name: stdin, command: {{command: 'cat; echo end', %s}}}}" % self.there])
        done = self.run_plan(env={"TOKEN": "s3cret'\"$word"})
        outputs = self.done("words")["outputs"]
        self.assertEqual(outputs["output"], "<a b><it's><$HOME;`id`><two\nlines>")
        self.assertEqual(self.done("line")["outputs"]["got"], "***")
        self.assertEqual((self.folder / "a place/token").read_text(), "s3cret'\"$word")
        self.assertNotIn("s3cret", (self.folder / "a place/ps").read_text(), "a secret in an argument")
        self.assertEqual(self.done("three")["outputs"]["status"], "3")
        self.assertEqual(self.done("stdin")["outputs"]["output"], "end")
        self.assertNotIn(b"s3cret", self.everything_written() + done.out + done.err)

    def test_what_fails_over_there_is_said_here(self):
        self.steps(["{{name: bad, command: {{command: 'echo no such disk >&2; exit 7', %s}}}}" % self.there])
        self.assertIn("exit status 7: no such disk", self.run_plan(expect=1).errors)
        self.steps(["{{name: killed, command: {{command: 'kill -9 $$', %s}}}}" % self.there])
        self.assertIn("exit status 137", self.run_plan(expect=1).errors)
        self.steps(["{{name: lost, command: {{command: [no-such-program, x], %s}}}}" % self.there])
        self.assertIn("exit status 127", self.run_plan(expect=1).errors)
        self.server.stop()
        gone = self.run_plan(expect=1).errors
        self.assertIn("exit status 255", gone)
        self.assertIn("Connection refused", gone)

    @limit(120)
    def test_the_time_limit_reaches_over_there(self):
        nap = f"{os.getpid()}.25"
        self.steps([f"{{{{name: slow, timeout: 2s, command: {{{{command: 'sleep {nap} & sleep {nap}', {self.there}}}}}}}}}"])
        self.assertIn("not done after 2 s", self.run_plan(expect=1).errors)
        for _ in range(100):
            if not self.running(nap):
                break
            time.sleep(0.1)
        time.sleep(1)  # a login that took long must not begin it now
        self.assertEqual(self.running(nap), [], "it goes on over there")

    def test_undo_runs_over_there(self):
        log = self.folder / "log"
        self.steps(["{{name: up, start: {{service: shop, run: 'touch %s', undo-run: 'rm %s', status: 'test -e %s', %s}}}}"
                    % (log, log, log, self.there),
                    "{{name: bad, on-failure: undo, command: 'test ! -e %s'}}" % log])
        self.assertIn("undone", self.run_plan(expect=1).errors)
        self.assertFalse(log.exists())
        # Nobody can say how it was when the host cannot be asked: it is not stopped then.
        log.touch()
        self.server.stop()
        self.run_plan(expect=1)
        self.shop("plan", "undo", self.journal()[0]["values"]["id"], expect=1)
        self.assertTrue(log.exists())


class Replies(http.server.BaseHTTPRequestHandler):
    """/status/N, /slow, /moved, /away, /json, /echo, and /ready, which is so after a while."""
    protocol_version = "HTTP/1.1"
    ready_at = 0
    seen = []

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/status/"):
            return self.answer(int(self.path[8:]), b"said so")
        if self.path == "/slow":
            time.sleep(0.6)
        if self.path == "/never":
            time.sleep(20)
        if self.path == "/moved":
            return self.answer(302, Location="/json")
        if self.path == "/away":
            return self.answer(302, Location="http://127.0.0.1:1/")
        if self.path == "/ready" and time.monotonic() < self.ready_at:
            return self.answer(503)
        token = self.headers.get("Authorization", "")
        return self.answer(200, json.dumps({"database": {"ok": True, "orders": 1500}, "token": token}).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, self.headers.get("Content-Type"), body))
        self.answer(500 if self.path == "/broken" else 200, b"taken")

    def log_message(self, *_):
        pass


def certificate(folder, name):
    """(authority, certificate, key) for 127.0.0.1."""
    folder.mkdir()
    run = lambda *words: subprocess.run(["openssl", *words], check=True, cwd=folder, stderr=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name} authority", "-keyout", "ca.key", "-out", "ca.pem")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
        "-keyout", "key.pem", "-out", "request.pem")
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    run("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "extensions", "-out", "certificate.pem")
    return folder / "ca.pem", folder / "certificate.pem", folder / "key.pem"


class Http(StepCase):
    def serve(self, tls=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replies)
        server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"

    def setUp(self):
        super().setUp()
        Replies.seen = []

    def http(self, settings, expect=0, env=None):
        self.steps([f"{{{{name: ask, http: {{{{{settings}}}}}}}}}"])
        return self.run_plan(expect=expect, env=env)

    def test_status_values_and_latency(self):
        at = self.serve()
        self.http(f"url: {at}/json, json: /database/orders, expect: '>= 1000', max-latency-ms: 5000")
        self.assertEqual(self.done("ask")["outputs"]["value"], "1500")
        self.assertIn("expected status 2xx", self.http(f"url: {at}/status/503", expect=1).errors)
        self.http(f"url: {at}/status/503, expect-status: ['503']")
        slow = self.http(f"url: {at}/slow, max-latency-ms: 300", expect=1).errors
        self.assertRegex(slow, r"latency of GET .*: found [67]\d\d ms, expected at most 300 ms")
        self.assertIn("no value at /database/lost", self.http(f"url: {at}/json, json: /database/lost", expect=1).errors)
        # A token goes there and nowhere else, though the server repeats it.
        said = self.http(f"url: {at}/json, headers: {{{{Authorization: \"env:TOKEN\"}}}}, json: /token, expect: '***'",
                         env={"TOKEN": "Bearer s3cret"})
        self.assertNotIn(b"s3cret", self.everything_written() + said.out + said.err)
        self.http(f"url: {at}/orders, method: POST, body: '{{{{\"a\": 1}}}}', repeatable: true")
        self.assertEqual(Replies.seen[-1][2], b'{"a": 1}')

    def test_redirects(self):
        at = self.serve()
        self.assertIn("found status 302", self.http(f"url: {at}/moved", expect=1).errors)
        self.http(f"url: {at}/moved, expect-status: [3xx]")
        self.http(f"url: {at}/moved, redirects: 1, json: /database/ok, expect: 'true'")
        # Elsewhere it is not followed: headers may hold a secret.
        self.assertIn("redirects to another place", self.http(f"url: {at}/away, redirects: 5", expect=1).errors)

    def test_tls_with_an_authority_of_ones_own(self):
        authority, *pair = certificate(self.folder / "tls", "shop")
        other = certificate(self.folder / "other", "other")[0]
        at = self.serve(pair)
        self.http(f"url: {at}/json, ca-file: {authority}, json: /database/ok, expect: 'true'")
        for wrong in ("", f", ca-file: {other}"):
            self.assertIn("certificate", self.http(f"url: {at}/json{wrong}", expect=1).errors)
        self.http(f"url: {at}/json, insecure: true")

    def test_time_limit_and_a_value_that_is_no_address(self):
        at = self.serve()
        self.steps([f"{{{{name: ask, timeout: 1s, http: {at}/never}}}}"])
        begun = time.monotonic()
        self.assertIn("not done after 1 s", self.run_plan(expect=1).errors)
        self.assertLess(time.monotonic() - begun, 8)
        self.steps(["{{name: say, command: \"printf 'x\\r\\nHost: evil'\"}}",
                    f"{{{{name: ask, http: \"{at}/${{{{say.output}}}}\"}}}}"])
        self.assertIn("holds blanks", self.run_plan(expect=1).errors)

    def test_notify_by_webhook(self):
        at = self.serve()
        self.steps(["{{name: count, command: 'echo 3 orders'}}",
                    "{{name: tell, notify: {{message: \"back: ${{count.output}} \\\"quoted\\\"\", severity: critical, "
                    "webhook: \"env:HOOK\"}}}}"])
        done = self.run_plan(env={"HOOK": f"{at}/hooks/s3cret"})
        path, kind, body = Replies.seen[-1]
        message = json.loads(body)
        self.assertEqual((path, kind), ("/hooks/s3cret", "application/json"))
        self.assertEqual((message["text"], message["severity"]), ('back: 3 orders "quoted"', "critical"))
        self.assertEqual(message["run"], self.journal()[0]["values"]["id"])
        failed = self.run_plan(env={"HOOK": f"{at}/broken"}, expect=1)
        self.assertIn("answered with status 500", failed.errors)
        away = self.run_plan(env={"HOOK": "http://127.0.0.1:1/hooks/s3cret"}, expect=1)
        self.assertIn("the webhook cannot be reached", away.errors)
        for one in (done, failed, away):
            self.assertNotIn(b"s3cret", self.everything_written() + one.out + one.err)

    def test_wait_for_http_tcp_and_file(self):
        at = self.serve()
        Replies.ready_at = time.monotonic() + 1.5
        port = servers.free_port()
        there = self.folder / "there"

        def later():
            time.sleep(1.2)
            there.touch()
            listener = socket.create_server(("127.0.0.1", port))
            self.addCleanup(listener.close)
        threading.Thread(target=later).start()
        self.steps([f"together: [{{{{name: web, wait-for: {{{{http: {at}/ready, every: 1s}}}}}}}}, "
                    f"{{{{name: port, wait-for: {{{{tcp: '127.0.0.1:{port}', every: 1s}}}}}}}}, "
                    f"{{{{name: file, wait-for: {{{{file: {there}, every: 1s}}}}}}}}]"])
        self.run_plan()
        for step in ("web", "port", "file"):
            self.assertGreater(float(self.done(step)["outputs"]["seconds"]), 0.5, step)
        self.steps([f"{{{{name: port, timeout: 2s, wait-for: {{{{tcp: '127.0.0.1:{servers.free_port()}'}}}}}}}}"])
        self.assertIn("not done after 2 s: Connection refused", self.run_plan(expect=1).errors)
        Replies.ready_at = time.monotonic() + 100
        self.steps([f"{{{{name: web, timeout: 2s, wait-for: {{{{http: {at}/ready}}}}}}}}"])
        self.assertIn("not done after 2 s: status 503", self.run_plan(expect=1).errors)


class CutAtCommit:
    """Before a PostgreSQL server: the first COMMIT takes effect there, but its answer is lost with the connection."""

    def __init__(self, port):
        self.port, self.cut = port, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"postgresql://{postgres.USER}@127.0.0.1:{self.listener.getsockname()[1]}/postgres"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client and b"commit\0" in data and not self.cut:
                        self.cut = True
                        server.sendall(data)
                        server.recv(65536)
                        return
                    (server if source is client else client).sendall(data)


class Sql(StepCase):
    @limit(120)
    def test_a_commit_whose_answer_is_lost_is_not_done_again(self):
        cluster = postgres.Cluster.make(self, postgres.Place(self))
        cluster.sql("CREATE TABLE paid (n int)")
        for rows, retries in enumerate((1, 0), 1):
            with self.subTest(retries=retries):
                proxy = CutAtCommit(cluster.port)
                self.addCleanup(proxy.listener.close)
                env = {"SHOP_URL": proxy.url}
                self.steps(["{{name: pay, retries: %d, retry-delay: 1s, sql: {{query: 'insert into paid values (1)', "
                            "changes: true, url: \"env:SHOP_URL\"}}}}" % retries])
                self.run_plan(env=env, expect=0 if retries else 1)
                self.assertTrue(proxy.cut)
                if not retries:
                    self.shop("plan", "resume", self.journal()[0]["values"]["id"], env=env)
                self.assertRegex(self.done("pay")["values"]["summary"], "^transaction [0-9]+ had been committed$")
                self.assertEqual([e["type"] for e in self.journal() if e.get("step") == "pay"],
                                 ["begin", "note", "failed", "done"])
                self.assertEqual(cluster.sql("SELECT count(*) FROM paid"), str(rows))

    @limit(200)
    def test_sql_and_wait_for(self):
        cluster = postgres.Cluster.make(self, postgres.Place(self))
        cluster.sql("CREATE TABLE orders AS SELECT n, 'x' || n AS note FROM generate_series(1, 100) n")
        env = {"SHOP_URL": cluster.url}
        url = "url: \"env:SHOP_URL\""
        self.steps([
            "{{name: count, sql: {{query: 'select count(*) as many from orders', %s, outputs: [many], expect: '>= 100'}}}}" % url,
            "{{name: one, sql: {{query: 'select note from orders where n = ${{count.many}}', %s, expect: x100}}}}" % url,
            "{{name: evil, command: [printf, \"x'; drop table orders; --\"]}}",
            "{{name: bound, sql: {{query: 'insert into orders values (101, $1)', values: [\"${{evil.output}}\"], "
            "changes: true, %s}}}}" % url])
        self.run_plan(env=env)
        self.assertEqual(cluster.sql("SELECT note FROM orders WHERE n = 101"), "x'; drop table orders; --")
        # Put into the statement itself it is refused.
        self.steps(["{{name: evil, command: [printf, \"x'; drop table orders; --\"]}}",
                    "{{name: bad, sql: {{query: \"select '${{evil.output}}'\", %s}}}}" % url])
        self.assertIn("would take apart", self.run_plan(env=env, expect=1).errors)
        # What only reads does not write, whatever it says.
        self.steps(["{{name: sly, sql: {{query: ['commit', 'drop table orders'], %s}}}}" % url])
        self.assertIn("read-only", self.run_plan(env=env, expect=1).errors)
        self.assertEqual(cluster.sql("SELECT count(*) FROM orders"), "101")
        cluster.stop()
        begin = threading.Timer(1.5, cluster.start)
        begin.start()
        self.addCleanup(begin.join)
        self.steps(["{{name: db, timeout: 60s, wait-for: {{sql: 'select count(*) from orders', expect: '101', %s}}}}" % url])
        self.run_plan(env=env)
        self.assertGreater(float(self.done("db")["outputs"]["seconds"]), 1)
        begin.join()


class Systemd(StepCase):
    def setUp(self):
        super().setUp()
        self.manager = systemd.UserManager(self.folder / "systemd")
        self.addCleanup(self.manager.stop)
        for name in ("shop", "cache"):
            (self.manager.units / f"{name}.service").write_text("[Service]\nExecStart=/bin/sleep 1000\n")
        (self.manager.units / "broken.service").write_text("[Service]\nExecStart=/bin/false\nType=oneshot\n")
        self.manager.control("daemon-reload")
        self.manager.control("start", "shop.service")

    def states(self):
        return [self.manager.control("is-active", f"{name}.service", check=False) for name in ("shop", "cache")]

    def test_services_are_stopped_and_started_and_put_back(self):
        self.steps(["{{name: down, stop: {{service: shop.service, user: true}}}}",
                    "{{name: up, start: {{service: cache.service, user: true}}}}"])
        self.run_plan(env=self.manager.environment)
        self.assertEqual(self.states(), ["inactive", "active"])
        self.shop("plan", "undo", self.journal()[0]["values"]["id"], env=self.manager.environment)
        self.assertEqual(self.states(), ["active", "inactive"])

    def test_what_was_so_already_stays_so(self):
        self.steps(["{{name: up, start: {{service: shop.service, user: true}}}}",
                    "{{name: down, stop: {{service: cache.service, user: true}}}}"])
        started = self.manager.control("show", "--property=MainPID", "shop.service")
        self.run_plan(env=self.manager.environment)
        self.shop("plan", "undo", self.journal()[0]["values"]["id"], env=self.manager.environment)
        self.assertEqual(self.states(), ["active", "inactive"])
        self.assertEqual(self.manager.control("show", "--property=MainPID", "shop.service"), started)

    def test_a_unit_that_fails_or_is_not_there_stops_the_plan(self):
        for service in ("broken.service", "nowhere.service"):
            with self.subTest(service):
                self.steps(["{{name: up, start: {{service: %s, user: true}}}}" % service,
                            "{{name: down, stop: {{service: shop.service, user: true}}}}"])
                failed = self.run_plan(env=self.manager.environment, expect=1)
                self.assertIn(service, failed.errors)
                self.assertEqual(self.states()[0], "active", "nothing after it was done")

    def test_no_manager_answers(self):
        self.manager.stop()
        self.steps(["{{name: up, start: {{service: shop.service, user: true}}}}"])
        self.assertIn("bus", self.run_plan(env=self.manager.environment, expect=1).errors)


class GeneratedUnits(StepCase):
    """What `generate systemd` writes, loaded and started by systemd (T1)."""

    def test_they_run_what_is_due(self):
        manager = systemd.UserManager(self.folder / "systemd")
        self.addCleanup(manager.stop)
        credentials = self.folder / "credentials"
        credentials.mkdir(mode=0o700)
        (credentials / "salvor-password").write_text(PASSWORD)
        (self.folder / "uploads").mkdir()
        (self.folder / "uploads/a").write_text("content")
        self.configure("sources: {{uploads: {{files: {uploads}}}}}", uploads=self.folder / "uploads")
        configuration = self.app / "salvor.yaml"
        configuration.write_text(configuration.read_text().replace("env:SHOP_PASSWORD", "credential:salvor-password"))
        self.salvor(None, "generate", "systemd", cwd=self.app, password=None)
        units = sorted(self.app.glob("salvor-*.*"))
        self.assertEqual([unit.suffix for unit in units], [".service", ".timer"])
        for unit in units:
            # A user's manager loads no credentials, so it is told where one would be, and may not remount /proc.
            text = re.sub("^LoadCredential=salvor-password:.*$", f"Environment=CREDENTIALS_DIRECTORY={credentials}",
                          unit.read_text(), flags=re.MULTILINE).replace("ProtectKernelTunables=yes\n", "")
            self.assertEqual("CREDENTIALS_DIRECTORY" in text, unit.suffix == ".service")
            (manager.units / unit.name).write_text(text)
        manager.control("daemon-reload")
        manager.control("start", units[1].name)
        self.assertIn(units[1].name, manager.control("list-timers", "--all"))
        manager.control("start", units[0].name)
        self.assertEqual(manager.control("show", "--property=Result", "--value", units[0].name), "success")
        self.assertEqual(len(self.salvor(self.repository, "snapshots", "--json").json()), 1)


class Compose(StepCase):
    def test_services_are_stopped_started_scaled_and_put_back(self):
        engine = docker.Engine(self.folder / "docker")
        self.addCleanup(engine.stop)
        file = self.folder / "compose.yaml"
        service = {"image": docker.IMAGE, "command": ["/bin/sleep", "1000"], "network_mode": "none", "stop_grace_period": "0s"}
        file.write_text(json.dumps({"services": {"web": service, "worker": service, "cache": service}}))
        engine.docker("compose", "-f", file, "up", "--detach", "--scale", "web=2", "web")
        self.assertEqual(engine.running(file, "web"), 2)
        at = f"compose-file: {file}"
        self.steps(["{{name: down, stop: {{service: web, %s}}}}" % at,
                    "{{name: more, scale: {{service: worker, replicas: 3, %s}}}}" % at,
                    "{{name: up, start: {{service: cache, %s}}}}" % at])
        self.run_plan(env=engine.environment)
        self.assertEqual([engine.running(file, name) for name in ("web", "worker", "cache")], [0, 3, 1])
        self.shop("plan", "undo", self.journal()[0]["values"]["id"], env=engine.environment)
        self.assertEqual([engine.running(file, name) for name in ("web", "worker", "cache")], [2, 0, 0], "as before")
        self.steps(["{{name: up, start: {{service: nothing, %s}}}}" % at])
        self.assertIn("nothing", self.run_plan(env=engine.environment, expect=1).errors)


class Refused(StepCase):
    def test_units_cannot_be_scaled(self):
        self.steps(["{{name: more, scale: {{service: shop.service, replicas: 3}}}}"])
        self.assertIn("cannot be scaled", self.run_plan(expect=1).errors)


class Approve(StepCase):
    def question(self, process):
        for line in process.stdout:
            if b"plan_question" in line:
                return json.loads(line)["run"]
        self.fail("nothing was asked")

    def start(self):
        return self.background(self.salvor.start(None, "plan", "run", "p", "--yes", "--json", password=None,
                                                 cwd=self.app, env={"SHOP_PASSWORD": PASSWORD}))

    def test_denied_and_time_over(self):
        self.steps(["{{name: ask, timeout: 30s, approve: 'switch over?'}}", "{{name: act, command: 'touch {folder}/acted'}}"])
        waiting = self.start()
        run = self.question(waiting)
        self.shop("plan", "approve", run, "ask", "--deny", "--comment", "not in office hours")
        done = self.finish(waiting, expect=1)
        self.assertIn("did not approve: not in office hours", done.errors)
        self.steps(["{{name: ask, timeout: 1s, approve: 'switch over?'}}", "{{name: act, command: 'touch {folder}/acted'}}"])
        self.assertIn("not done after 1 s", self.run_plan(expect=1).errors)
        self.steps(["{{name: act, timeout: 1s, approve: 'sure?', command: 'touch {folder}/acted'}}"])
        self.assertIn("nobody approved it in time", self.run_plan(expect=1).errors)
        self.assertFalse((self.folder / "acted").exists())

    def test_an_answer_outlives_the_one_who_asked(self):
        self.steps(["{{name: ask, approve: 'switch over?'}}", "{{name: act, command: 'echo x >> {folder}/acted'}}"])
        waiting = self.start()
        run = self.question(waiting)
        waiting.send_signal(signal.SIGKILL)
        waiting.communicate()
        self.shop("plan", "approve", run, "ask")
        self.shop("plan", "resume", run)
        self.assertEqual((self.folder / "acted").read_text(), "x\n")
