"""Recovery plans of the real program: run, killed at every entry of the journal, resumed, taken back (R2, R3,
R5, R11)."""
import collections
import http.server
import json
import os
import signal
import subprocess
import threading
import time

import postgres
from protect_case import ApplicationCase
from toolbox import limit

# Counts what is made durable in run journals, and dies right after one of them.
KILLER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int fdatasync(int fd) {
  static int count;
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  int result = real(fd);
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  const char *at = getenv("KILL_AFTER");
  if (size > 13 && at && !memcmp(path + size - 13, "journal.jsonl", 13) &&
      __sync_add_and_fetch(&count, 1) == atoi(at)) {
    kill(getpid(), SIGKILL);
  }
  return result;
}
"""

# Two days ago.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
  int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(id, at);
  if (id == CLOCK_REALTIME) at->tv_sec -= 2 * 86400;
  return result;
}
"""


class PlanCase(ApplicationCase):
    def journal(self):
        """The newest run's entries."""
        newest = max((self.state / "runs").glob("*/journal.jsonl"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(line) for line in newest.read_text().splitlines()]

    def lines(self):
        log = self.folder / "log"
        return collections.Counter(log.read_text().split() if log.exists() else [])


class Files(PlanCase):
    def setUp(self):
        super().setUp()
        self.uploads = self.folder / "uploads"
        self.uploads.mkdir()
        (self.uploads / "one").write_text("good")
        self.up = self.folder / "up"
        self.up.touch()
        self.plan()
        self.shop("backup", "uploads")
        (self.uploads / "one").write_text("bad")

    def plan(self, last="echo last >> {log}"):
        self.configure("""
            sources:
              uploads:
                files: {uploads}
            plans:
              recover:
                parameters: {{point: latest}}
                steps:
                  - name: stop app
                    stop: {{service: app, run: "rm -f {up}", undo-run: "touch {up}", status: "test -e {up}"}}
                  - name: bring back
                    restore: {{source: uploads, to: "${{point}}"}}
                  - together:
                    - {{name: left, command: "echo left >> {log}"}}
                    - {{name: right, command: "echo right >> {log}"}}
                  - name: last
                    command: "grep -q good {uploads}/one && """ + last + """"
                    undo: {{command: "echo unlast >> {log}"}}
            """, uploads=self.uploads, up=self.up, log=self.folder / "log",
            folder=self.folder)

    def run_plan(self, *arguments, **options):
        return self.shop("plan", "run", "recover", "--yes", *arguments, **options)

    def test_run_undo_finish(self):
        shown = self.shop("plan", "run", "recover", "--dry-run")
        self.assertIn("not measured yet", shown.text)
        self.assertIn("is replaced", shown.text)
        refused = self.shop("plan", "run", "recover", expect=64)
        self.assertIn("nobody can be asked", refused.errors)
        self.assertEqual((self.uploads / "one").read_text(), "bad")
        self.run_plan()
        self.assertEqual((self.uploads / "one").read_text(), "good")
        self.assertFalse(self.up.exists())
        self.assertEqual(self.lines(), {"left": 1, "right": 1, "last": 1})
        self.assertRegex(self.shop("plan", "run", "recover", "--dry-run").text, r"forecast: about \d+\.\d s\n")
        # The newest run is over: it must be named.
        run = self.journal()[0]["values"]["id"]
        self.shop("plan", "undo", expect=24)
        self.shop("plan", "undo", run[:8])
        self.assertEqual((self.uploads / "one").read_text(), "bad")
        self.assertTrue(self.up.exists(), "the service runs again")
        self.assertEqual(self.lines()["unlast"], 1)
        self.run_plan()
        run = self.journal()[0]["values"]["id"]
        refused = self.shop("plan", "finish", run[:8], expect=64)
        self.assertIn("nobody can be asked", refused.errors)
        self.shop("plan", "finish", run[:8], "--yes")
        self.assertEqual(self.old_data(), [])
        kinds = [record["kind"] for record in self.records()]
        self.assertEqual(kinds.count("plan"), 3)

    def old_data(self):
        return [p for p in self.folder.iterdir() if ".before-" in p.name]

    def test_finish_keeps_the_old_data_of_a_run_that_proved_nothing(self):
        self.plan(last="exit 3")
        self.run_plan(expect=1)
        run = self.journal()[0]["values"]["id"]
        for _ in range(2):  # refused, it is as it was
            refused = self.shop("plan", "finish", run, "--yes", expect=64)
            self.assertIn(f"run {run[:8]} (failed): nothing proves what it restored", refused.errors)
            self.assertIn("--although-it-failed", refused.errors)
            self.assertEqual([(p / "one").read_text() for p in self.old_data()], ["bad"])
        self.shop("plan", "resume", run, expect=1)
        self.shop("plan", "undo", run)
        self.assertEqual((self.uploads / "one").read_text(), "bad")
        # Killed: nobody knows how far it came.
        self.plan()
        self.run_plan(expect=-signal.SIGKILL, env={"LD_PRELOAD": self.shim("killer", KILLER), "KILL_AFTER": "12"})
        run = self.journal()[0]["values"]["id"]
        self.assertIn("(interrupted)", self.shop("plan", "finish", run, "--yes", expect=64).errors)
        self.assertEqual([(p / "one").read_text() for p in self.old_data()], ["bad"])
        self.shop("plan", "finish", run, "--yes", "--although-it-failed")
        self.assertEqual(self.old_data(), [])

    def test_dry_run_says_what_would_be_done(self):
        self.shop("verify", "uploads")  # measures a restore, not the plan
        before = {p.name: p.read_text() for p in self.uploads.iterdir()}
        text = self.shop("plan", "run", "recover", "--dry-run").text
        snapshot = self.salvor.snapshots(self.repository)[0]["id"]
        self.assertIn("restore uploads to latest", text, "what is known is put in")
        self.assertNotIn("${", text)
        self.assertRegex(text, rf"from snapshot {snapshot[:8]} of .*, 4 B")
        self.assertRegex(text, r"bring-back +restore uploads to latest +~\d")
        self.assertRegex(text, r"forecast: about .*, not counting stop-app, left, right, last \(never measured\)")
        shown = self.shop("plan", "run", "recover", "--dry-run", "--json").message("plan_dry_run")
        steps = {step["id"]: step for step in shown["steps"]}
        self.assertEqual(steps["bring-back"]["snapshot"], snapshot)
        self.assertEqual((steps["bring-back"]["bytes"], shown["bytes"]), (4, 4))
        self.assertEqual(steps["bring-back"]["after"], ["stop-app"])
        self.assertAlmostEqual(steps["bring-back"]["forecast_seconds"], shown["forecast_seconds"])
        self.assertEqual({p.name: p.read_text() for p in self.uploads.iterdir()}, before)
        self.assertTrue(self.up.exists())

    def test_failed_step_and_changed_plan(self):
        self.plan(last="echo no luck; exit 3")
        failed = self.run_plan(expect=1)
        self.assertIn("exit status 3: no luck", failed.errors)
        self.assertIn("salvor plan resume", failed.errors)
        self.plan()
        changed = self.shop("plan", "resume", expect=64)
        self.assertIn("+      command: [", changed.errors)
        self.shop("plan", "resume", "--accept-changed-plan")
        self.assertEqual(self.lines(), {"left": 1, "right": 1, "last": 1})

    def test_preflight(self):
        self.configure("""
            sources: {{uploads: {{files: {uploads}}}}}
            plans:
              recover:
                parameters: {{point: latest}}
                steps:
                  - restore: {{source: uploads, to: "${{point}}"}}
                  - command: [no-such-program, "x"]
            """, uploads=self.uploads)
        found = self.run_plan("--to", "2001-01-01 00:00:00Z", expect=1)
        self.assertIn("nothing was touched", found.errors)
        self.assertIn("no backup brings uploads to 2001-01-01", found.errors)
        self.assertIn("there is no program no-such-program", found.errors)
        self.assertIn("has no parameter colour", self.run_plan("colour=red", expect=64).errors)

    def test_approval_from_another_process(self):
        self.configure("""
            sources: {{uploads: {{files: {uploads}}}}}
            contacts: {{ann: {{role: owner}}}}
            plans:
              recover:
                steps:
                  - name: may we
                    approve: {{question: "go on?", by: [ann]}}
                  - restore: uploads
            """, uploads=self.uploads)
        waiting = self.salvor.start(None, "plan", "run", "recover", "--yes", "--json", password=None,
                                    cwd=self.app, env={"SHOP_PASSWORD": self.password()})
        for line in waiting.stdout:
            if b"plan_question" in line:
                break
        run = json.loads(line)["run"]
        self.assertIn("it is for ann", self.shop("plan", "approve", run, "may-we", expect=22).errors.lower())
        self.assertEqual((self.uploads / "one").read_text(), "bad")
        busy = self.run_plan(expect=11)
        self.assertIn("is running already", busy.errors)
        self.shop("plan", "approve", run, "may-we", "--as", "ann")
        waiting.communicate(timeout=60)
        self.assertEqual(waiting.returncode, 0)
        self.assertEqual((self.uploads / "one").read_text(), "good")
        self.assertTrue(any(e["type"] == "approval" and e["values"]["by"].startswith("ann (")
                            for e in self.journal()))

    @staticmethod
    def password():
        from toolbox import PASSWORD
        return PASSWORD

    @limit(400)
    def test_killed_after_every_entry(self):
        shim = self.folder / "killer.so"
        source = self.folder / "killer.c"
        source.write_text(KILLER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        entry = 0
        while True:
            entry += 1
            (self.uploads / "one").write_text("bad")
            self.up.touch()
            (self.folder / "log").write_text("")
            done = self.run_plan(expect=(0, -signal.SIGKILL),
                                 env={"LD_PRELOAD": str(shim), "KILL_AFTER": str(entry + 1)})
            if done.code == 0:
                break
            with self.subTest(killed_after=entry):
                entries = self.journal()
                self.assertEqual(len(entries), entry)
                if entry % 3 == 0:  # resumed, killed again two entries on
                    self.shop("plan", "resume", expect=(0, -signal.SIGKILL),
                              env={"LD_PRELOAD": str(shim), "KILL_AFTER": "3"})
                if self.journal()[-1]["type"] != "end":
                    self.shop("plan", "resume", entries[0]["values"]["id"])
                self.assertEqual((self.uploads / "one").read_text(), "good")
                self.assertFalse(self.up.exists())
                self.assertEqual(self.lines(), {"left": 1, "right": 1, "last": 1})
                if entry % 2 == 0:  # what was there before is kept, once, and comes back
                    self.shop("plan", "undo", entries[0]["values"]["id"])
                    self.assertEqual((self.uploads / "one").read_text(), "bad")
                    self.assertTrue(self.up.exists())
        self.assertGreater(entry, 14)

    def shim(self, name, text):
        source, library = self.folder / f"{name}.c", self.folder / f"{name}.so"
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        return str(library)

    @limit(200)
    def test_killed_at_every_entry_of_an_undo(self):
        killer = self.shim("killer", KILLER)
        entry = 0
        while True:
            entry += 1
            (self.uploads / "one").write_text("bad")
            self.up.touch()
            (self.folder / "log").write_text("")
            self.run_plan()
            run = self.journal()[0]["values"]["id"]
            done = self.shop("plan", "undo", run, expect=(0, -signal.SIGKILL),
                             env={"LD_PRELOAD": killer, "KILL_AFTER": str(entry + 1)})
            with self.subTest(killed_after=entry):
                if self.journal()[-1]["type"] != "end" or done.code != 0:
                    self.shop("plan", "undo", run)
                self.assertEqual((self.uploads / "one").read_text(), "bad")
                self.assertTrue(self.up.exists())
                self.assertIn(self.lines()["unlast"], (1, 2), "an undo may be told twice")
                self.assertEqual(self.journal()[-1]["values"]["outcome"], "undone")
            if done.code == 0:
                break
        self.assertGreater(entry, 8)

    @limit(120)
    def test_torn_journals_and_two_resumes_at_once(self):
        for tail in (b"\0" * 5000, b'{"n":99,"time":"2026-', b'{"n":99,' + b"\0" * 4000, b"old\nblocks\nof a disk\n"):
            with self.subTest(tail=tail[:12]):
                (self.uploads / "one").write_text("bad")
                self.up.touch()
                (self.folder / "log").write_text("")
                self.plan(last="test -e {folder}/good && echo last >> {log}")
                self.run_plan(expect=1)
                run = self.journal()[0]["values"]["id"]
                file = self.state / "runs" / run / "journal.jsonl"
                with open(file, "ab") as journal:
                    journal.write(tail)
                (self.folder / "good").touch()
                several = [self.background(self.salvor.start(None, "plan", "resume", run, password=None, cwd=self.app,
                                                             env={"SHOP_PASSWORD": self.password()}))
                           for _ in range(4)]
                ends = [self.finish(one, expect=(0, 11)) for one in several]
                self.assertGreaterEqual([e.code for e in ends].count(0), 1)
                self.assertIn("was not finished", "".join(e.errors for e in ends))
                self.assertEqual(self.lines(), {"left": 1, "right": 1, "last": 1}, "done by one of them")
                self.assertEqual((self.uploads / "one").read_text(), "good")
                (self.folder / "good").unlink()

    def test_clock_set_back_between_run_and_resume(self):
        back = self.shim("back", CLOCK)
        self.plan(last="test -e {folder}/good && echo last >> {log}")
        self.run_plan(expect=1)
        (self.folder / "good").touch()
        done = self.shop("plan", "resume", "--json", env={"LD_PRELOAD": back})
        end = done.message("plan_end")
        self.assertEqual((end["outcome"], end["seconds"] >= 0), ("succeeded", True))
        self.assertEqual(self.lines(), {"left": 1, "right": 1, "last": 1})
        self.assertEqual((self.uploads / "one").read_text(), "good", "the point that was pinned, not one by today's clock")
        for record in self.records():
            self.assertGreaterEqual(record.get("rto_seconds") or 0, 0)
            self.assertGreaterEqual(record["finished"], record["started"])
        forecast = self.shop("plan", "run", "recover", "--dry-run").text
        self.assertNotRegex(forecast, r"(about |~)-")
        self.shop("plan", "undo", self.journal()[0]["values"]["id"], env={"LD_PRELOAD": back})
        self.assertEqual((self.uploads / "one").read_text(), "bad")


class Shop(http.server.BaseHTTPRequestHandler):
    """The application: says how many orders it finds."""
    cluster = None

    def do_GET(self):
        count = self.cluster.sql("SELECT count(*) FROM orders", expect=None).strip()
        self.send_response(200 if count.isdigit() else 500)
        self.end_headers()
        self.wfile.write(json.dumps({"orders": int(count) if count.isdigit() else None}).encode())

    def log_message(self, *_):
        pass


class Postgres(PlanCase):
    @limit(300)
    def test_accident_to_recovery(self):
        place = postgres.Place(self)
        cluster = postgres.Cluster.make(self, place, wal_keep_size="1GB")
        cluster.sql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n")
        Shop.cluster = cluster
        server = http.server.HTTPServer(("127.0.0.1", 0), Shop)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        control = " ".join(postgres.as_user([cluster.bin / "pg_ctl", "-D", cluster.data, "-w"]))
        self.configure("""
            sources:
              db:
                postgres: {{url: "env:SHOP_URL", data-directory: {data}, wal: archive}}
            plans:
              recover:
                parameters: {{point: latest}}
                steps:
                  - name: stop db
                    stop: {{service: db, run: "{control} stop -m fast", undo-run: "{start}", status: "{control} status"}}
                  - restore: {{source: db, to: "${{point}}"}}
                  - name: start db
                    start: {{service: db, run: "{start}", undo-run: "{control} stop -m fast", status: "{control} status"}}
                  - wait-for: {{sql: "select not pg_is_in_recovery()", expect: t}}
                    timeout: 60s
                  - name: orders
                    sql: {{query: "select count(*) from orders", expect: "1500"}}
                  - name: shop answers
                    http: {{url: "http://127.0.0.1:{port}/", json: /orders, expect: "1500", max-latency-ms: 2000}}
            """, data=cluster.data, control=control, port=server.server_port,
            start=f"{control} -l {place.path}/plan.log -o '-p {cluster.port}' start")
        env = {"SHOP_URL": cluster.url}
        self.shop("backup", "db", env=env)
        cluster.sql("INSERT INTO orders SELECT n FROM generate_series(1001, 1500) n")
        time.sleep(0.05)
        moment = cluster.sql("SELECT now()")
        time.sleep(0.05)
        cluster.sql("DROP TABLE orders")
        cluster.sql("SELECT pg_switch_wal()")
        cluster.sql("CHECKPOINT")
        for segment in sorted((cluster.data / "pg_wal").iterdir()):
            if len(segment.name) == 24:
                self.salvor(self.repository, "wal", "push", segment, "--batch", "1", "--notes",
                            self.folder / "notes", expect=(0, 1, 20))
        done = self.shop("plan", "run", "recover", "--to", moment, "--yes", env=env)
        self.assertIn("succeeded", done.text)
        self.assertEqual(cluster.sql("SELECT count(*) FROM orders"), "1500")
        checks = [c for e in self.journal() for c in e.get("checks", [])]
        self.assertTrue(checks and all(c["passed"] for c in checks))
        self.assertIn("1500", [c["value"] for c in checks])
        run = self.journal()[0]["values"]["id"]
        self.shop("plan", "undo", run, env=env)
        self.assertEqual(cluster.sql("SELECT to_regclass('orders') IS NULL"), "t", "the accident is back")
        postgres.run([cluster.bin / "pg_ctl", "-D", cluster.data, "-m", "immediate", "stop"], expect=None)
