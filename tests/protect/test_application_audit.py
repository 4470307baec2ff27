"""The audit trail of a configured application (O4): what is done is in it, with the configuration it was done
under, also when the repository was away."""
import json
import os
import time

from protect_case import ApplicationCase


class ApplicationAudit(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.data.mkdir()
        (self.data / "one").write_text("one")
        self.write("daily: 30")

    def write(self, retention, more=""):
        self.configure("""
            sources:
              files: {{files: {data}, schedule: "daily 02:00", retention: {{{retention}}}}}
            """ + more, data=self.data, retention=retention)

    def shown(self, *arguments, **options):
        return self.shop("audit", "show", "--json", *arguments, **options).lines()

    def seen(self, *arguments, **options):
        return [(r["action"], r["phase"], r["outcome"], r["subject"]) for r in self.shown(*arguments, **options)
                if r["action"] not in ("audit", "configuration")]

    def whole(self):
        self.assertIn("the trail is whole", self.shop("audit", "verify").text)

    def test_jobs_are_recorded(self):
        self.shop("run")
        seen = self.seen()
        self.assertIn(("backup", "", "succeeded", "files"), seen)
        self.assertIn(("retention", "", "succeeded", "files"), seen)
        self.assertIn(("verification", "", "succeeded", "files"), seen)
        self.assertIn(("verification", "", "succeeded", "main"), seen)
        count = len(seen)
        self.shop("run")  # nothing is due
        self.shop("status", expect=None)
        self.assertEqual(len(self.seen()), count)
        backup = self.shown("--action", "backup")[0]
        self.assertEqual(backup["details"]["snapshot"], self.salvor.snapshots(self.repository)[0]["id"])
        self.assertEqual(backup["text"], "backup of files")
        self.whole()

    def test_what_destroys_is_recorded_before(self):
        self.write("last: 1")
        self.shop("backup", "files")
        (self.data / "one").write_text("two")
        self.shop("backup", "files")
        self.shop("retention", "apply", "files", "--yes")
        seen = self.seen("--action", "retention")
        self.assertEqual(seen[0], ("retention", "begun", "", "files"))
        self.assertEqual(seen[-1][2], "succeeded")
        self.assertIn("1 of 2 points of files", self.shown("--action", "retention")[0]["text"])
        self.shop("restore", "files", "--yes")
        self.assertEqual(self.seen("--action", "restore"),
                         [("restore", "begun", "", "files"), ("restore", "", "succeeded", "files")])
        runs = {r["run"] for r in self.shown("--action", "restore")}
        self.assertEqual(len(runs), 1, "begin and end belong together")
        self.shop("restore", "files", "--undo", "--yes")
        self.assertEqual(self.seen("--action", "restore")[2:],
                         [("restore", "begun", "", "files"), ("restore", "ended", "succeeded", "files")])
        self.whole()

    def test_nothing_is_destroyed_that_cannot_be_recorded(self):
        self.shop("backup", "files")
        (self.data / "one").write_text("precious")
        os.rename(self.repository / "salvor", self.repository / "was")
        (self.repository / "salvor").write_text("no directory")
        # The spool of this machine is durable: enough for a record.
        self.shop("restore", "files", "--yes")
        os.rename(self.repository / "salvor", self.repository / "other")
        os.rename(self.repository / "was", self.repository / "salvor")
        self.shop("backup", "files")
        self.assertIn(("restore", "begun", "", "files"), self.seen())
        self.whole()

    def test_changes_of_the_configuration(self):
        self.shop("backup", "files")
        first = self.shown("--action", "configuration")
        self.assertEqual([r["outcome"] for r in first], ["first seen"])
        self.write("daily: 7", "\n            # a comment\n")
        self.shop("schedule", "show")  # sees it first
        self.write("daily: 7")         # nothing that counts
        self.shop("backup", "files")
        changed = self.shown("--action", "configuration")[1:]
        self.assertEqual([r["outcome"] for r in changed], ["changed"])
        details = changed[0]["details"]
        self.assertEqual(details["before"], first[0]["details"]["after"])
        self.assertIn("retention.daily", details["keys"])
        self.assertIn("retention.daily", changed[0]["text"])
        backups = self.shown("--action", "backup")
        self.assertEqual(backups[0]["details"]["configuration"], details["before"])
        self.assertEqual(backups[1]["details"]["configuration"], details["after"])
        self.assertLess(changed[0]["happened"], self.shown()[-1]["happened"] + "z")
        text = self.shop("audit", "show").text
        self.assertIn("changed", text)
        self.whole()

    def test_single_commands_say_under_which_configuration(self):
        self.shop("backup", "files")
        self.shop("ls", "latest")
        self.shop("check")
        want = self.shown("--action", "configuration")[0]["details"]["after"]
        for action in ("access", "verification", "backup"):
            self.assertEqual({r["details"]["configuration"] for r in self.shown("--action", action)}, {want}, action)
        self.whole()

    def test_secrets_and_values_stay_out(self):
        self.configure("""
            sources:
              files:
                files: {data}
                hooks: {{before: "true hunter2"}}
            """, data=self.data)
        self.shop("backup", "files")
        for path in [p for p in self.state.rglob("*") if p.is_file() and "audit" in p.parts]:
            self.assertNotIn(b"hunter2", path.read_bytes(), path)
        self.assertNotIn("hunter2", json.dumps(self.shown()))

    def test_an_outage_loses_no_record(self):
        self.shop("backup", "files")
        away = self.repository.with_name("away")
        self.repository.rename(away)
        self.shop("backup", "files", expect=None)
        time.sleep(1.1)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        time.sleep(1.1)
        away.rename(self.repository)
        waiting = self.shop("audit", "show", expect=0)
        self.assertIn("wait on this machine", waiting.errors)
        self.shop("backup", "files")
        self.assertEqual([outcome for _, _, outcome, _ in self.seen("--action", "backup")],
                         ["succeeded", "failed", "succeeded"])
        self.assertEqual([outcome for _, _, outcome, _ in self.seen("--action", "backup", "--until", until)],
                         ["succeeded", "failed"], "by when it happened, not by when it could be recorded")
        self.whole()

    def test_off_means_off(self):
        off = {"SALVOR_AUDIT": "off"}
        self.shop("run", env=off)
        self.shop("ls", "latest", env=off)
        self.assertFalse((self.repository / "salvor/audit").exists())
        self.assertFalse((self.state / "audit").exists())

    def test_plans_and_approvals(self):
        self.write("daily: 30", """
            plans:
              recover:
                steps:
                  - restore: {{source: files}}
                  - name: ask
                    approve: {{question: "go on?"}}
            """)
        self.shop("backup", "files")
        process = self.salvor.start(None, "plan", "run", "recover", "--yes", password=None, cwd=self.app,
                                    env={"SHOP_PASSWORD": "correct horse battery staple"})
        self.background(process)
        run = self.wait_for_run()
        self.shop("plan", "approve", run, "ask", "--comment", "looks fine")
        self.assertEqual(process.wait(60), 0)
        plans = self.seen("--action", "plan")
        self.assertEqual(plans, [("plan", "begun", "", "recover"), ("plan", "", "succeeded", "recover")])
        approvals = self.shown("--action", "approval")
        self.assertEqual([r["outcome"] for r in approvals], ["granted"])
        self.assertIn("looks fine", approvals[0]["text"])
        self.shop("plan", "undo", run)
        self.assertIn("undo of plan recover", [r["text"] for r in self.shown("--action", "plan")])
        self.shop("drill", "run")
        self.assertEqual({outcome for _, _, outcome, _ in self.seen("--action", "drill")}, {"succeeded"})
        self.whole()

    def wait_for_run(self):
        import time
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            for run in self.shop("plan", "runs", "--json").lines():
                journal = next(self.state.rglob(f"*{run['run']}*/journal*"), None) or \
                    next(self.state.rglob("journal*"), None)
                if journal and "ask" in journal.read_text():
                    return run["run"]
            time.sleep(0.1)
        self.fail("the plan never asked")
