"""The tree of a running plan as a person sees it: narrow, resized, without colours, interrupted once and twice."""
import json
import os
import pathlib
import signal
import time

from protect_case import ApplicationCase
from screen import Session
from toolbox import PASSWORD, limit


class Tree(ApplicationCase):
    def setUp(self):
        super().setUp()
        uploads = self.folder / "uploads"
        uploads.mkdir()
        (uploads / "one").write_text("x")
        self.go = self.folder / "go"
        self.nap = f"{os.getpid()}.75"  # known by it among all processes
        self.addCleanup(self.end_sleepers)
        self.configure("""
            sources: {{uploads: {{files: {uploads}}}}}
            plans:
              recover:
                steps:
                  - {{name: first, command: "true"}}
                  - together:
                    - {{name: a step with a rather long name of its own, command: "while [ -d {folder} -a ! -e {go} ]; do sleep 0.05; done"}}
                    - {{name: right, command: "sleep {nap}"}}
                  - {{name: last, command: "true"}}
              ask:
                steps:
                  - {{name: one, approve: "first question?"}}
                  - {{name: two, approve: "second question?"}}
              many:
                steps: [{many}]
            """, uploads=uploads, folder=self.folder, go=self.go, nap=self.nap,
            many=", ".join(f"{{name: step {i}, command: 'sleep 0.02'}}" for i in range(60)))

    def start(self, *arguments, columns=80, rows=24, **env):
        environment = self.salvor.variables(None, {"SHOP_PASSWORD": PASSWORD, "TERM": "xterm", "NO_COLOR": None, **env})
        session = Session([self.salvor.binary, "plan", *arguments], environment, columns, rows, self.app)
        self.addCleanup(session.close)
        return session

    def sleepers(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if self.nap.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def end_sleepers(self):
        for process in self.sleepers():
            os.kill(process, signal.SIGTERM)

    def state_of(self, run):
        listed = self.shop("plan", "runs", "--json").lines()
        return [one["state"] for one in listed if one["run"].startswith(run)][0]

    @limit(120)
    def test_colours_narrow_and_resized(self):
        session = self.start("run", "recover", "--yes", columns=100)
        self.assertTrue(session.shows("right"), session.screen.text())
        session.pump(0.6)
        lines = session.screen.text().splitlines()
        shown = [line for line in lines if line.startswith("  ")]
        self.assertEqual(len([line for line in lines if "plan recover, run" in line]), 1, "drawn in place")
        self.assertRegex(shown[0], r"^  ✓ first +\d+\.\d s")
        self.assertRegex(shown[1], r"^  │ ● a step with a rather long name ?…? +\d+\.\d s")
        self.assertRegex(shown[2], r"^  ╰ ● right +\d+\.\d s")
        self.assertRegex(shown[3], r"^  · last")
        sign = [c for line in session.screen.lines for c in line if c[0] == "✓"][0]
        self.assertEqual(sign[1], "32")
        session.resize(40)
        session.pump(0.8)
        self.assertEqual(session.screen.text().count("plan recover, run"), 1, session.screen.text())
        self.assertEqual(session.screen.text().count("first"), 1, session.screen.text())
        self.assertTrue(all(len(line) <= 40 for line in session.screen.lines))
        session.resize(90)
        session.pump(0.6)
        self.assertEqual(session.screen.text().count("╰"), 1, session.screen.text())
        session.press(b"\x03")
        self.assertEqual(session.wait(), 130)
        self.assertIn("salvor plan resume", " ".join(session.screen.text().split()))
        self.assertEqual(self.sleepers(), [])

    def test_without_colours_and_on_a_dumb_terminal(self):
        self.go.touch()
        plain = self.start("run", "many", "--yes", NO_COLOR="1")
        self.assertEqual(plain.wait(), 0)
        self.assertNotIn(b"\x1b[3", plain.raw)
        self.assertIn(b"\x1b[J", plain.raw)
        dumb = self.start("run", "many", "--yes", TERM="dumb")
        self.assertEqual(dumb.wait(), 0)
        self.assertNotIn(b"\x1b", dumb.raw)
        self.assertIn("step-59 done", dumb.screen.text())

    def test_a_plan_longer_than_the_screen(self):
        session = self.start("run", "many", "--yes", columns=60, rows=12)
        self.assertTrue(session.shows("… "), session.screen.text())
        self.assertEqual(session.wait(), 0)
        text = session.screen.text()
        self.assertEqual(text.count("plan many, run"), 0, "the live block is gone at the end")
        for i in (0, 30, 59):
            self.assertEqual(sum(line.split()[1:3] == ["step", str(i)] for line in text.splitlines()), 1, text)

    @limit(120)
    def test_interrupted_once_and_twice(self):
        session = self.start("run", "recover", "--yes")
        self.assertTrue(session.shows("right"))
        session.pump(0.3)
        session.press(b"\x03\x03")
        begun = time.monotonic()
        self.assertEqual(session.wait(), 130)
        self.assertLess(time.monotonic() - begun, 8)
        run = self.shop("plan", "runs", "--json").lines()[0]["run"]
        self.assertEqual(self.state_of(run), "interrupted")
        # What it left behind is known: the next one waits for it, or is told to go on.
        self.end_sleepers()
        self.go.touch()
        done = self.shop("plan", "resume", run, "--skip", "right", "--redo",
                         "a-step-with-a-rather-long-name-of-its-ow", expect=(0, 64, 130))
        self.assertNotRegex(done.errors, r"\d{4}\.\d s", "of a step that was begun by another process")
        if done.code != 0:  # `right` had ended by itself, so that there was nothing to decide
            self.shop("plan", "resume", run, "--redo", "a-step-with-a-rather-long-name-of-its-ow")
        self.assertEqual(self.state_of(run), "succeeded")

    @limit(120)
    def test_the_second_question_is_asked_when_the_first_was_answered_elsewhere(self):
        session = self.start("run", "ask", "--yes")
        self.assertTrue(session.shows("first question? (yes or no)"), session.screen.text())
        run = self.shop("plan", "runs", "--json").lines()[0]["run"]
        self.shop("plan", "approve", run, "one")
        self.assertTrue(session.shows("second question? (yes or no)"), session.screen.text())
        session.press(b"yes\n")
        self.assertEqual(session.wait(), 0)
        journal = (self.state_file(run)).read_text().splitlines()
        self.assertEqual([json.loads(line)["step"] for line in journal if '"type":"approval"' in line], ["one", "two"])

    def state_file(self, run):
        return self.folder / "state" / "runs" / run / "journal.jsonl"
