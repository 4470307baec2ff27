"""Drills of the real program: sandboxes, faults made real, measured against objectives, nothing left (V3-V6)."""
import os
import signal
import time

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
        before = {p.name: p.read_text() for p in self.uploads.iterdir()}
        for scenario in ("corruption", "deletion", "loss", "region", "ransomware"):
            with self.subTest(scenario=scenario):
                report = self.drill("--scenario", scenario)
                self.assertEqual(report["outcome"], "succeeded", report)
                self.assertTrue(report["points"][0]["fault"], report)
                self.assertTrue(report["checks"] and all(c["passed"] for c in report["checks"]))
                self.assertIn("rto_seconds", report["measures"][0])
                self.assertLess(report["measures"][0]["rto_seconds"], 60)
                self.assertLess(report["measures"][0]["rpo_seconds"], 300)
        self.assertEqual({p.name: p.read_text() for p in self.uploads.iterdir()}, before)
        self.nothing_left()
        self.assertIn("uploads", [r["subject"] for r in self.records() if r["kind"] == "drill"])
        self.assertGreaterEqual(len(self.salvor(self.repository, "evidence", "list").text.splitlines()), 5)

    def test_plan_and_production_untouched(self):
        self.setup("""
            plans:
              recover:
                steps:
                  - {{name: stop app, stop: {{service: app, run: "echo stopped >> {log}"}}}}
                  - restore: uploads
                  - {{name: look, command: "test -s ${{target.directory}}/file3"}}
                  - check: uploads
            """)
        report = self.drill("recover", "--scenario", "deletion")
        self.assertEqual(report["outcome"], "succeeded", report)
        self.assertFalse((self.folder / "log").exists(), "the drill stopped production")
        self.assertTrue(any("not exercised: stop-app" in f for f in report["findings"]), report)

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
    @limit(300)
    def test_deletion_and_corruption(self):
        place = postgres.Place(self)
        self.sandboxes = place.path / "sandboxes"  # where the server's user can get through
        self.sandboxes.mkdir()
        cluster = postgres.Cluster.make(self, place)
        cluster.sql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 5000) n")
        self.configure("""
            sources:
              db:
                postgres: {{url: "env:SHOP_URL", data-directory: {data}, wal: none}}
                assertions: ["SELECT count(*) = 5000 FROM orders"]
            objectives: {{rto: 10m, rpo: 1h}}
            plans:
              recover:
                steps:
                  - restore: db
                  - check: db
                  - {{name: orders, sql: {{query: "select count(*) from orders", expect: "5000"}}}}
            """, data=cluster.data)
        env = {"SHOP_URL": cluster.url}
        self.shop("backup", "db", env=env)
        for scenario in ("deletion", "loss"):
            with self.subTest(scenario=scenario):
                report = self.shop("drill", "run", "recover", "--scenario", scenario, "--json", env=env,
                                   ).message("drill_report")
                self.assertEqual(report["outcome"], "succeeded", report)
                self.assertIn("5000", [c["value"] for c in report["checks"]])
                self.assertTrue(all(m["met"] for m in report["measures"]), report)
        self.assertEqual(cluster.sql("SELECT count(*) FROM orders"), "5000")
        self.assertEqual(list(self.sandboxes.iterdir()), [])
