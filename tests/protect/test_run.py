"""`salvor run` and `salvor schedule`: what is due is done once, also after being killed and by two at once (T1,
T2, P16, S2)."""
import json
import shutil
import signal
import time
import unittest

from protect_case import ApplicationCase
from toolbox import limit


class Run(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.data.mkdir()
        for number in range(20):
            (self.data / f"file-{number}").write_bytes(self.random.randbytes(3000))
        self.log = self.folder / "hooks.log"

    def simple(self, more="", **formats):
        self.configure("""
            sources:
              files:
                files: {data}
                schedule: daily 02:00
            """ + more, data=self.data, log=self.log, **formats)

    def kinds(self, result):
        return [(run["kind"], run["outcome"]) for run in self.runs(result)]

    def snapshots(self):
        return self.salvor.snapshots(self.repository, "--no-lock")

    def test_once(self):
        self.simple()
        due = self.shop("run", "--dry-run").text
        self.assertIn("backup of files", due)
        first = self.kinds(self.shop("run", "--json"))
        self.assertEqual(first[0], ("backup", "succeeded"))
        self.assertIn(("verify", "succeeded"), first, "the first proof does not wait for its day")
        self.assertEqual({outcome for _, outcome in first}, {"succeeded"})
        again = self.shop("run")
        self.assertIn("nothing is due", again.text)
        self.assertIn("nothing is due", self.shop("run", "--dry-run", "--only", "files").text)
        self.shop("run", "--dry-run", "--only", "fils", expect=64)
        self.assertEqual(len(self.snapshots()), 1)

    def test_missed(self):
        if not shutil.which("faketime"):
            self.skipTest("faketime is not installed")
        self.simple()
        self.shop("run", "--only", "files")
        later = self.shop("run", "--json", "--only", "files", prefix=("faketime", "-f", "+5d"))
        begun = [m for m in later.lines() if m.get("message_type") == "begin" and m["kind"] == "backup"]
        self.assertEqual(len(begun), 1, "five days are caught up once")
        self.assertEqual(begun[0]["missed"], 4)
        missed = [r for r in self.records() if r.get("outcome") == "missed" and r["kind"] == "backup"]
        self.assertEqual(len(missed), 4)
        self.assertEqual(len(self.snapshots()), 2)

    def later(self, days, *arguments):
        return self.shop(*arguments, prefix=("faketime", "-f", f"+{days}d"))

    @unittest.skipUnless(shutil.which("faketime"), "faketime is not installed")
    def test_sandboxes_over_their_time_go(self):
        self.simple()
        self.shop("run")
        kept = self.shop("drill", "run", "--keep", "1d", "--json").message("drill_report")["id"][:8]
        self.shop("run")
        self.assertEqual(len(list(self.sandboxes.iterdir())), 1, "its time is not over")
        dead = self.sandboxes / "salvor-drill-0123456789ab"  # its drill was killed
        dead.mkdir()
        self.later(2, "run", "--only", "files")
        self.assertEqual(len(list(self.sandboxes.iterdir())), 2, "--only looks at nothing else")
        said = self.later(2, "run").errors
        self.assertIn("removed sandbox", said)
        self.assertIn(kept, said)
        self.assertEqual(list(self.sandboxes.iterdir()), [])

    @unittest.skipUnless(shutil.which("faketime"), "faketime is not installed")
    def test_old_copies_of_journals_go(self):
        self.simple("""
            plans:
              good: {{steps: [{{name: one, command: "true"}}]}}
              back: {{steps: [{{restore: {{source: files}}}}]}}
              bad: {{steps: [{{name: one, command: "false"}}]}}
            """)
        self.shop("run")
        for plan, status in (("good", 0), ("back", 0), ("bad", 1)):
            self.shop("plan", "run", plan, "--yes", expect=status)
        plans = self.repository / "salvor/plans"

        def copies():
            return {m["plan"] for m in self.shop("plan", "runs", "--from-repository", "--json").lines()}
        self.later(89, "run")
        self.assertEqual(copies(), {"good", "back", "bad"})
        self.later(91, "run")
        self.assertEqual(copies(), {"back", "bad"}, "old data is kept, or it could be resumed")
        back = next(m["run"] for m in self.shop("plan", "runs", "--json").lines() if m["plan"] == "back")
        self.shop("plan", "finish", back, "--yes")
        self.later(92, "run")
        self.assertEqual(copies(), {"bad"})
        self.assertEqual(len({path.name[:32] for path in plans.iterdir()}), 1)
        removed = [r["facts"] for r in self.records() if r["kind"] == "retention"]
        self.assertEqual(sum("removed copies of plans' journals" in json.dumps(facts) for facts in removed), 2)

    def test_killed_and_again(self):
        self.simple("""
                hooks:
                  quiesce: ["echo quiesce >> {log}"]
                  resume: ["echo resume >> {log}"]
                  before: ["echo before >> {log}; sleep 30"]
            """)
        process = self.salvor.start(None, "run", password=None, cwd=self.app,
                                    env={"SHOP_PASSWORD": "correct horse battery staple"})
        self.background(process)
        limit = time.monotonic() + 30
        while not (self.log.exists() and "before" in self.log.read_text()):
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.assertEqual(self.log.read_text().split(), ["quiesce", "before"])
        self.simple("""
                hooks:
                  quiesce: ["echo quiesce >> {log}"]
                  resume: ["echo resume >> {log}"]
                  after: ["echo after-$SALVOR_OUTCOME >> {log}"]
            """)
        again = self.shop("run", "--json")
        self.assertEqual(self.kinds(again)[0], ("backup", "succeeded"))
        self.assertEqual(self.log.read_text().split(),
                         ["quiesce", "before", "resume", "quiesce", "after-succeeded", "resume"])

    def test_hooks_that_fail(self):
        self.simple("""
                hooks:
                  before: ["exit 7"]
                  failure: ["echo failure-$SALVOR_SOURCE >> {log}"]
                  after: ["echo after-$SALVOR_OUTCOME >> {log}"]
                  resume: ["echo resume >> {log}"]
                  quiesce: ["echo quiesce >> {log}"]
            """)
        failed = self.shop("run", "--json", expect=1)
        self.assertEqual(self.kinds(failed), [("backup", "failed")])
        self.assertIn("exit status 7", self.runs(failed)[0]["error"])
        self.assertEqual(self.log.read_text().split(),
                         ["quiesce", "failure-files", "after-failed", "resume"])
        self.assertEqual(self.snapshots(), [])
        self.assertIn("nothing is due", self.shop("run").text, "not again at once")

    def test_two_at_once(self):
        self.simple("""
                hooks:
                  before: ["echo before >> {log}; sleep 2"]
            """)
        first = self.salvor.start(None, "run", "--only", "files", password=None, cwd=self.app,
                                  env={"SHOP_PASSWORD": "correct horse battery staple"})
        self.background(first)
        limit = time.monotonic() + 30
        while not self.log.exists():
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        second = self.shop("run", "--only", "files")
        self.assertIn("another run is at it", second.errors)
        self.assertEqual(first.wait(60), 0)
        self.assertEqual(self.log.read_text().split(), ["before"])
        self.assertEqual(len(self.snapshots()), 1)

    def test_copies(self):
        second = self.new_repository(name="second")
        (self.app / "salvor.yaml").write_text(f"""\
application: shop
state-directory: {self.state}
repositories:
  main: {{location: {self.repository}, password: env:SHOP_PASSWORD}}
  offsite: {{location: {second}, password: env:SHOP_PASSWORD}}
sources:
  files:
    files: {self.data}
    repository: main
    schedule: daily 02:00
    copies: [{{to: offsite}}]
""")
        done = self.shop("run", "--json")
        self.assertIn(("copy", "succeeded"), self.kinds(done))
        self.assertEqual(len(self.salvor.snapshots(second)), 1)
        self.salvor.check(second)
        shutil.rmtree(second)
        self.shop("backup", "files")
        failed = self.shop("run", "--json", expect=1)
        self.assertEqual(self.kinds(failed)[0], ("copy", "failed"))

    def test_a_damaged_snapshot_keeps_no_other_from_being_copied(self):
        if not shutil.which("faketime"):
            self.skipTest("faketime is not installed")
        far = self.new_repository(name="far")
        self.configure("""
            repositories: {{far: "{far}"}}
            sources:
              files:
                files: {data}
                schedule: manual
                retention: {{last: 9}}
                verification: {{restore: manual, check: manual}}
                copies: [{{to: far}}]
            """, data=self.data, far=far)
        self.shop("backup", "files")
        pack = max((self.repository / "data").rglob("*/*"), key=lambda path: path.stat().st_size)
        shutil.rmtree(self.data)
        self.data.mkdir()
        (self.data / "new").write_text("nothing of what was there before")
        self.shop("backup", "files")
        old, new = (snapshot["id"] for snapshot in self.salvor.snapshots(self.repository))
        self.flip_bit(pack, 40)
        done = self.shop("run", "--json", expect=1)
        copy, = self.runs(done, "copy")
        self.assertIn(f"1 of 2 snapshots cannot be copied; {old[:8]}: ", copy["error"])
        self.assertEqual([snapshot["original"] for snapshot in self.salvor.snapshots(far)], [new])
        self.salvor.check(far)
        # So does one whose own file is damaged.
        document = self.repository / "snapshots" / old
        document.chmod(0o600)
        document.write_bytes(b"x" + document.read_bytes()[1:])
        (self.data / "new").write_text("and once more")
        self.shop("backup", "files")
        self.shop("run", prefix=("faketime", "-f", "+10m"))
        self.assertEqual(len(self.salvor.snapshots(far)), 2)

    @limit(200)
    def test_a_copy_keeps_by_its_own_rule(self):
        """Eight days: the repository keeps three, its copy five, the last resort one a month; nothing is copied again
        that its rule has let go."""
        if not shutil.which("faketime"):
            self.skipTest("faketime is not installed")
        places = {name: self.new_repository(name=name) for name in ("offsite", "vault")}
        self.configure("""
            repositories: {{offsite: {offsite}, vault: {vault}}}
            sources:
              files:
                files: {data}
                schedule: daily 02:00
                retention: {{daily: 3}}
                verification: {{restore: manual, check: manual}}
                copies:
                  - {{to: offsite, retention: {{daily: 5}}}}
                  - {{to: vault, retention: {{monthly: 1, monthly-on: 1}}}}
            """, data=self.data, **places)
        copied = []
        for day in range(8):
            (self.data / "day").write_text(str(day))
            done = self.shop("run", "--json", prefix=("faketime", f"2026-03-{17 + day} 03:00:00"),
                             env={"TZ": "UTC", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
            copied += [(run["repository"], run["items"]) for run in self.runs(done, "copy")]

        def days(repository):
            return sorted(s["time"][:10] for s in self.salvor.snapshots(repository, "--no-lock"))
        self.assertEqual(days(self.repository), ["2026-03-22", "2026-03-23", "2026-03-24"])
        self.assertEqual(days(places["offsite"]), [f"2026-03-{day}" for day in range(20, 25)])
        self.assertEqual(days(places["vault"]), ["2026-03-17", "2026-03-24"], "and the newest good one, always")
        self.assertEqual(sum(items for name, items in copied if name == "offsite"), 8, "each once")
        for place in (self.repository, *places.values()):
            self.salvor.check(place)

    def test_schedule(self):
        self.configure("""
            time-zone: Europe/Berlin
            sources:
              files: {{files: "{data}", schedule: "daily 02:00"}}
            """, data=self.data)
        lines = self.shop("schedule", "show", "--days", "3", "--json").lines()
        backups = [line for line in lines if line["kind"] == "backup"]
        self.assertEqual(len(backups), 3)
        for line in backups:
            self.assertIn(" 02:00:00", line["local"])
            self.assertEqual(line["zone"], "Europe/Berlin")
            self.assertEqual(line["why"], "daily 02:00")
        self.assertIn("backup of files", self.shop("schedule", "show").text)
        # A zone that stands in the schedule itself is the one whose clock is shown.
        lines = self.shop("schedule", "show", "--days", "3", "--json", "--set",
                          "sources.files.schedule=daily 03:00 Asia/Tokyo").lines()
        tokyo = [(line["local"][-9:], line["zone"]) for line in lines if line["kind"] == "backup"]
        self.assertEqual(tokyo, [(" 03:00:00", "Asia/Tokyo")] * 3)
