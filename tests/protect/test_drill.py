"""Drills of the real program: sandboxes, faults made real, measured against objectives, nothing left (V3-V6)."""
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

import postgres
from protect_case import ApplicationCase
from toolbox import PASSWORD, limit


class Files(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.uploads = self.folder / "uploads"
        self.uploads.mkdir()
        for i in range(20):
            (self.uploads / f"file{i}").write_text(f"content {i}" * 100)
        self.setup()
        self.shop("backup", "uploads")

    def setup(self, more=""):
        self.configure("""
            sources:
              uploads:
                files: {uploads}
                assertions: ["test -s file3"]
            """ + more, uploads=self.uploads, log=self.folder / "log")

    def drill(self, *arguments, expect=0):
        done = self.shop("drill", "run", "--json", *arguments, expect=expect)
        return done.message("drill_report")

    def nothing_left(self):
        self.assertEqual(list(self.sandboxes.iterdir()) if self.sandboxes.exists() else [], [])

    def test_every_scenario(self):
        self.setup("objectives: {{rto: 1m, rpo: 5m, scenarios: {{loss: {{rto: 50s, rpo: 4m}}}}}}")
        before = {p.name: p.read_text() for p in self.uploads.iterdir()}
        for scenario in ("corruption", "deletion", "loss", "region", "ransomware"):
            with self.subTest(scenario=scenario):
                report = self.drill("--scenario", scenario)
                self.assert_recovered(report, 50 if scenario == "loss" else 60, 240 if scenario == "loss" else 300)
                self.assertRegex(report["points"][0]["fault"], '; seen by "content is the snapshot\'s": ')
        self.assertEqual({p.name: p.read_text() for p in self.uploads.iterdir()}, before)
        self.nothing_left()
        self.assertIn("uploads", [r["subject"] for r in self.records() if r["kind"] == "drill"])
        self.assertGreaterEqual(len(self.salvor(self.repository, "evidence", "list").text.splitlines()), 5)

    def assert_recovered(self, report, rto, rpo):
        """Measured for the application and each source, against these objectives, and for each step."""
        self.assertEqual(report["outcome"], "succeeded", report)
        self.assertTrue(report["checks"] and all(c["passed"] for c in report["checks"]), report)
        for measure in report["measures"]:
            self.assertTrue(measure["met"], report)
            self.assertLess(measure["rto_seconds"], rto)
            self.assertLess(measure["rpo_seconds"], rpo)
        self.assertGreater(report["measures"][0]["rto_seconds"], 0)
        steps = [s for s in report["steps"] if s["state"] == "done"]
        self.assertTrue(steps)
        for step in steps:
            self.assertGreaterEqual(step["seconds_after_disaster"], step["seconds"] - 0.01)
        # The application is back when the last step has ended.
        self.assertAlmostEqual(max(s["seconds_after_disaster"] for s in steps), report["measures"][0]["rto_seconds"],
                               delta=1)

    def test_one_that_finds_no_backup_is_written_down_too(self):
        more = self.folder / "more"
        more.mkdir()
        self.configure("""
            sources:
              uploads: {{files: {uploads}}}
              more: {{files: {more}}}
            """, uploads=self.uploads, more=more)
        self.drill("--source", "more", expect=1)
        self.assertIn("FAILED", self.salvor(self.repository, "evidence", "list").text)
        shutil.rmtree(self.state)
        runs = self.shop("runs", "--kind", "drill", "--json").json()["runs"]
        self.assertEqual([run["outcome"] for run in runs], ["failed"], "all machines know of it")

    def test_an_older_point_now_and_then(self):
        (self.uploads / "file0").write_text("later")
        self.shop("backup", "uploads")
        newest = self.shop("points", "--json").lines()
        for percent, older in ((100, True), (0, False)):
            self.setup(f"verification: {{{{older-point-percent: {percent}}}}}")
            report = self.drill("--scenario", "deletion")
            self.assertEqual(report["points"][0]["older"], older)
            snapshots = self.salvor.snapshots(self.repository)
            self.assertEqual(report["points"][0]["snapshot"] == snapshots[-1]["id"], not older, newest)
            self.assertEqual(report["outcome"], "succeeded")
            self.assertLess(report["measures"][0]["rpo_seconds"], 300, "what would be lost is judged by the newest")

    def test_kept_sandboxes(self):
        report = self.drill("--keep", "1h", "--scenario", "deletion")
        self.assertEqual(len(report["kept"]), 1)
        source, _, enter = report["kept"][0].partition(": ")
        self.assertEqual(source, "uploads")
        look = ["sh", "-c", enter + " && cat file3"]
        self.assertEqual(subprocess.run(look, capture_output=True, text=True, check=True).stdout,
                         (self.uploads / "file3").read_text())
        self.assertIn(enter, self.shop("drill", "kept").text)
        self.drill()  # a later drill leaves it alone
        subprocess.run(look, check=True, stdout=subprocess.DEVNULL)
        self.shop("drill", "clean", "ffff", expect=24)
        self.shop("drill", "clean", report["id"][:8])
        self.nothing_left()
        # Its time is over: the next one removes it.
        self.drill("--keep", "1s")
        self.assertEqual(len(list(self.sandboxes.iterdir())), 1)
        time.sleep(1.1)
        self.assertIn("whose time was over", self.shop("drill", "run").errors)
        self.nothing_left()
        # No more than three at a time, the oldest goes.
        kept = [self.drill("--keep", "1h")["id"] for _ in range(4)]
        self.assertEqual([m["drill"] for m in self.shop("drill", "kept", "--json").lines()], kept[1:])
        self.shop("drill", "clean", "--all")
        self.nothing_left()
        self.assertIn("at most 7d", self.shop("drill", "run", "--keep", "8d", expect=64).errors)

    def test_commands_are_cut_off_from_the_network(self):
        if subprocess.run(["unshare", "--net", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("nobody may make network namespaces here")
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        scripts = self.folder / "scripts"
        scripts.mkdir()
        (scripts / "reach.py").write_text(
            f"import socket\nsocket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 3)\n")
        (scripts / "serve.sh").write_text(
            "cd /; nohup python3 -m http.server 8099 --bind 127.0.0.1 --directory $1 >/dev/null 2>&1 &\n")
        (scripts / "ask.py").write_text(
            "import urllib.request\nassert urllib.request.urlopen('http://127.0.0.1:8099/file3').read()\n")
        for network in ("true", "false"):
            self.setup("""
                plans:
                  net:
                    steps:
                      - restore: uploads
                      - {{name: serve, command: [sh, "%s/serve.sh", "${{target.directory}}"]}}
                      - {{name: ask, retries: 20, retry-delay: 1s, command: [python3, "%s/ask.py", "${{target.directory}}"]}}
                      - {{name: reach, command: {{command: [python3, "%s/reach.py", "${{target.directory}}"], network: %s}}}}
                      - check: uploads
                """.replace("\n    ", "\n") % (scripts, scripts, scripts, network))
            report = self.drill("net", expect=0 if network == "true" else 1)
            said = {s["id"]: s["network"] for s in report["steps"]}
            self.assertEqual((said["serve"], said["ask"]), ("off", "off"), report)
            if network == "true":
                self.assertEqual(said["reach"], "open: network: true")
            else:
                self.assertTrue(any("ran without a network" in f for f in report["findings"]), report)
            # What a command left running went with the drill.
            self.assertEqual(subprocess.run(["pgrep", "-f", "http.server 8099"], check=False,
                                            stdout=subprocess.PIPE).stdout, b"")
        shown = self.shop("drill", "run", "net", expect=1).text
        self.assertIn("network: 2 commands cut off from it", shown)

    def test_plan_and_production_untouched(self):
        self.setup("""
            plans:
              recover:
                steps:
                  - {{name: stop app, stop: {{service: app, run: "echo stopped >> {log}"}}}}
                  - {{restore: uploads, undo: {{command: "echo restarted >> {log}"}}}}
                  - {{name: look, command: "test -s ${{target.directory}}/file3",
                     undo: {{command: "echo undone >> {log}"}}}}
                  - check: uploads
                  - {{name: mark, command: "touch ${{target.directory}}/mark",
                     undo: {{command: "rm ${{target.directory}}/mark && touch {log}-inside"}}}}
            """)
        report = self.drill("recover", "--scenario", "deletion")
        self.assertEqual(report["outcome"], "succeeded", report)
        self.assertFalse((self.folder / "log").exists(), "the drill stopped production, or took something back there")
        self.assertTrue((self.folder / "log-inside").exists(), "what refers to the target is taken back")
        for left in ("stop-app", "the undo of restore-uploads", "the undo of look"):
            self.assertTrue(any(f"not exercised: {left} (" in f for f in report["findings"]), report)
        self.assertFalse(any("mark" in f for f in report["findings"]), report)

    def test_objective_missed(self):
        self.setup("""
            objectives: {{scenarios: {{deletion: {{rto: 1s, rpo: 1d}}}}}}
            plans:
              recover:
                steps:
                  - restore: uploads
                  - command: "cd ${{target.directory}} && sleep 1.2"
                  - check: uploads
            """)
        report = self.drill("recover", "--scenario", "deletion", expect=3)
        self.assertFalse(report["measures"][0]["met"])
        self.assertTrue(any("recovery time of the application: measured" in f for f in report["findings"]), report)

    def test_failed_check_fails_the_drill(self):
        (self.uploads / "file3").write_text("")
        self.shop("backup", "uploads")
        while True:  # now and then a drill takes the older, good point
            report = self.drill(expect=(0, 1))
            if not report["points"][0]["older"]:
                break
        self.assertEqual(report["outcome"], "failed")
        self.assertIn("test -s file3", [c["name"] for c in report["checks"] if not c["passed"]])

    def test_killed_drill_is_cleared_by_the_next(self):
        self.setup("""
            plans:
              slow:
                steps:
                  - restore: uploads
                  - {{name: wait, command: "cd ${{target.directory}} && exec sleep 100"}}
                  - check: uploads
            """)
        running = self.salvor.start(None, "drill", "run", "slow", "--json", password=None, cwd=self.app,
                                    env={"SHOP_PASSWORD": PASSWORD})
        for line in running.stdout:
            if b'"step":"wait","state":"begun"' in line:
                break
        time.sleep(0.3)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        left = list(self.sandboxes.iterdir())
        self.assertEqual(len(left), 1)
        done = self.shop("drill", "run")
        self.assertIn("which a drill that died had left", done.errors)
        self.nothing_left()
        for process in os.listdir("/proc"):
            if process.isdigit():
                try:
                    self.assertNotIn(str(left[0]), os.readlink(f"/proc/{process}/cwd"))
                except OSError:
                    pass


class Postgres(ApplicationCase):
    @limit(400)
    def test_every_scenario(self):
        place = postgres.Place(self)
        self.sandboxes = place.path / "sandboxes"  # where the server's user can get through
        self.sandboxes.mkdir()
        cluster = postgres.Cluster.make(self, place)
        cluster.sql("CREATE TABLE orders AS SELECT n, 'customer ' || n AS customer, n * 2 AS cents "
                    "FROM generate_series(1, 5000) n")
        space = place.path / "space"
        space.mkdir()
        place.own(space)
        cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
        cluster.sql("CREATE TABLE far TABLESPACE elsewhere AS SELECT generate_series(1, 100) AS x")
        self.configure("""
            sources:
              db:
                postgres: {{url: "env:SHOP_URL", data-directory: {data}, wal: none}}
                assertions: ["SELECT count(*) = 5000 FROM orders"]
            objectives: {{rto: 10m, rpo: 1h, scenarios: {{migration: {{rto: 9m, rpo: 50m}}}}}}
            verification: {{older-point-percent: 0}}
            plans:
              recover:
                steps:
                  - restore: db
                  - check: db
                  - {{name: customers, sql: {{query: "select count(*) from orders where customer = 'customer ' || n", expect: "5000"}}}}
                  - {{name: cents, sql: {{query: "select sum(cents) from orders", expect: "25005000"}}}}
            """, data=cluster.data)
        env = {"SHOP_URL": cluster.url}
        self.shop("backup", "db", env=env)
        seen = {"corruption": ("a bit was flipped in page ", "invalid page|page verification"),
                "deletion": ("all rows of public.orders", "SELECT count|0 rows instead of 5000"),
                "migration": ("customer of public.orders of postgres was emptied in every row, column cents", "columns|schema"),
                "loss": ("the data directory was emptied", "it does not"),
                "region": ("the data directory was emptied", "it does not"),
                "ransomware": ("files of the data directory were overwritten", "it does not")}
        for scenario, (fault, by) in seen.items():
            with self.subTest(scenario=scenario):
                report = self.shop("drill", "run", "recover", "--scenario", scenario, "--json", env=env,
                                   ).message("drill_report")
                Files.assert_recovered(self, report, 540 if scenario == "migration" else 600, 3600)
                self.assertIn(fault, report["points"][0]["fault"])
                self.assertRegex(report["points"][0]["fault"], "; seen by .*(" + by + ")")
                self.assertIn("25005000", [c["value"] for c in report["checks"]])
                print(f"{scenario}: recovered in {report['measures'][0]['rto_seconds']:.1f} s; "
                      + ", ".join(f"{s['id']} {s['seconds']:.1f} s" for s in report["steps"]))
        self.assertEqual(cluster.sql("SELECT sum(cents) FROM orders"), "25005000")
        self.assertEqual(list(self.sandboxes.iterdir()), [])
        self.kept_server(env)

    def kept_server(self, env):
        report = self.shop("drill", "run", "--keep", "1h", "--json", env=env).message("drill_report")
        enter = report["kept"][0].partition(": ")[2]
        self.assertTrue(enter.startswith("psql '"), enter)
        url = enter[6:-1]
        asked = lambda: subprocess.run([postgres.DEBIAN_15 / "psql", "-XAtc", "select count(*) from orders", url],
                                       capture_output=True, text=True, check=False)
        self.assertEqual(asked().stdout.strip(), "5000", asked().stderr)
        self.shop("drill", "clean", report["id"][:8])
        self.assertNotEqual(asked().returncode, 0)
        self.assertEqual(list(self.sandboxes.iterdir()), [])
        folder = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["host"][0]
        self.assertFalse(os.path.exists(folder), "its socket's folder is left")
