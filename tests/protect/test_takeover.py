"""A run's journal in the repository: seen from another machine, taken over there, by one machine only; a plan goes
on without a repository that does not answer (R2). The second machine is a second state directory."""
import collections
import http.server
import json
import signal
import subprocess
import threading

from protect_case import ApplicationCase
from test_plan import KILLER
from toolbox import PASSWORD, limit


class TakeOver(ApplicationCase):
    def setUp(self):
        super().setUp()
        uploads = self.folder / "uploads"
        uploads.mkdir()
        (uploads / "one").write_text("x")
        self.effects = self.folder / "effects"
        self.effects.mkdir()

    def plan(self, steps):
        text = "sources: {{uploads: {{files: {uploads}}}}}\nplans:\n  p:\n    steps:\n"
        self.configure(text + "".join(f"      - {step}\n" for step in steps), uploads=self.folder / "uploads",
                       effects=self.effects, folder=self.folder, repository=self.repository)
        self.other = self.folder / "other"
        self.other.mkdir(exist_ok=True)
        text = (self.app / "salvor.yaml").read_text()
        (self.other / "salvor.yaml").write_text(text.replace(str(self.state), str(self.folder / "other-state")))

    def there(self, *arguments, **options):
        """The same command on the second machine."""
        return self.shop(*arguments, cwd=self.other, **options)

    def once(self, name):
        """A command that may be done once only, and can be asked whether it was."""
        return ("{{name: %s, command: {{command: 'echo x >> {effects}/%s', unless: 'test -e {effects}/%s'}}}}"
                % (name, name, name))

    def counts(self):
        return collections.Counter({p.name: len(p.read_text()) // 2 for p in self.effects.iterdir()})

    def start(self):
        process = self.background(self.salvor.start(None, "plan", "run", "p", "--yes", "--json", password=None,
                                                    cwd=self.app, env={"SHOP_PASSWORD": PASSWORD}))
        for line in process.stdout:
            if b"plan_question" in line:
                return process, json.loads(line)["run"]
        self.fail("no question")

    @limit(300)
    def test_killed_anywhere_and_taken_over(self):
        shim, source = self.folder / "killer.so", self.folder / "killer.c"
        source.write_text(KILLER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        self.plan([self.once("one"), "together: [%s, %s]" % (self.once("left"), self.once("right")), self.once("last")])
        entry, taken = 1, 0
        while True:
            entry += 1
            for path in self.effects.iterdir():
                path.unlink()
            done = self.shop("plan", "run", "p", "--yes", expect=(0, -signal.SIGKILL),
                             env={"LD_PRELOAD": str(shim), "KILL_AFTER": str(entry)})
            if done.code == 0:
                break
            with self.subTest(killed_after=entry - 1):
                newest = max((self.state / "runs").glob("*/journal.jsonl"), key=lambda p: p.stat().st_mtime_ns)
                run = newest.parent.name
                known = [m for m in self.there("plan", "runs", "--from-repository", "--json").lines() if m["run"] == run]
                if not known:  # it had only just begun: nothing was done either
                    self.assertLess(entry, 4)
                    self.assertEqual(self.counts(), {})
                    continue
                refused = self.there("plan", "resume", run, "--from-repository", expect=(64, 24))
                self.assertIn("two machines must not go on", refused.errors)
                self.there("plan", "resume", run, "--from-repository", "--yes")
                self.assertEqual(self.counts(), {"one": 1, "left": 1, "right": 1, "last": 1})
                taken += 1
                late = self.shop("plan", "resume", run, expect=11)
                self.assertIn("another machine has taken the run over", late.errors)
        self.assertGreater(taken, 6)

    @limit(120)
    def test_only_one_of_two_that_live(self):
        self.plan(["{{name: ask, approve: 'go?'}}", self.once("act")])
        process, run = self.start()
        shown = self.there("plan", "runs", "--from-repository").text
        self.assertIn("not ended", shown)
        taking = self.background(self.salvor.start(
            None, "plan", "resume", run, "--from-repository", "--yes", "--json", password=None, cwd=self.other,
            env={"SHOP_PASSWORD": PASSWORD}))
        for line in taking.stdout:
            if b"plan_question" in line:
                break
        # The first one learns it with its next entry, and stops before it acts.
        self.shop("plan", "approve", run, "ask")
        late = self.finish(process, expect=1)
        self.assertIn("another machine has taken the run over", late.errors)
        self.assertEqual(self.counts(), {})
        self.there("plan", "approve", run, "ask")
        self.finish(taking)
        self.assertEqual(self.counts(), {"act": 1})

    def test_what_stayed_on_the_other_machine(self):
        self.plan([self.once("one"), "{{name: ask, approve: 'go?'}}", self.once("two")])
        process, run = self.start()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (self.effects / "one").unlink()  # its disk is lost
        done = self.background(self.salvor.start(
            None, "plan", "resume", run, "--from-repository", "--redo-local", "--yes", password=None, cwd=self.other,
            env={"SHOP_PASSWORD": PASSWORD}))
        self.there("plan", "approve", run, "ask") if self.waits(run) else self.fail("it does not ask")
        said = self.finish(done)
        self.assertRegex(said.errors, "one was done on .*, and only there: it is done here again")
        self.assertEqual(self.counts(), {"one": 1, "two": 1})

    def undoable(self, name, extra=""):
        return ("{{name: %s, command: 'touch {effects}/%s'%s, undo: {{command: 'rm {effects}/%s'}}}}"
                % (name, name, extra, name))

    def test_undo_of_what_another_machine_did(self):
        self.plan([self.undoable("one"), "{{name: bad, command: 'test -e {folder}/good'}}", self.undoable("three")])
        self.shop("plan", "run", "p", "--yes", expect=1)
        run = next((self.state / "runs").glob("*/journal.jsonl")).parent.name
        (self.folder / "good").touch()
        self.there("plan", "resume", run, "--from-repository", "--yes")
        # Before anything is undone it says which machine has to do what.
        refused = self.there("plan", "undo", run, expect=1)
        self.assertRegex(refused.errors, r"what they changed is there \(one on .*\): nothing was undone")
        self.assertIn(f"`salvor plan undo {run[:8]} --leave one` here", refused.errors)
        self.assertIn(f"`salvor plan undo {run[:8]} --from-repository`", refused.errors)
        self.assertEqual(set(self.counts()), {"one", "three"})
        self.assertIn("the plan has no step two", self.there("plan", "undo", run, "--leave", "two", expect=64).errors)
        # What it says works: here all but that step, over there that step.
        self.there("plan", "undo", run, "--leave", "one")
        self.assertEqual(set(self.counts()), {"one"})
        self.assertIn("taken the run over", self.shop("plan", "undo", run, expect=11).errors)
        self.shop("plan", "undo", run, "--from-repository", "--yes")
        self.assertEqual(set(self.counts()), set())
        shown = [m for m in self.there("plan", "runs", "--from-repository", "--json").lines() if m["run"] == run]
        self.assertEqual(shown[0]["state"], "undone")

    def test_an_undo_that_works_from_anywhere(self):
        remote = "{{name: one, command: 'touch {effects}/one', undo: {{http: {{url: 'http://127.0.0.1:%d/undo'}}}}}}"
        asked = []

        class Shop(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass
        server = http.server.HTTPServer(("127.0.0.1", 0), Shop)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.plan([remote % server.server_port, "{{name: bad, command: 'test -e {folder}/good'}}"])
        self.shop("plan", "run", "p", "--yes", expect=1)
        run = next((self.state / "runs").glob("*/journal.jsonl")).parent.name
        self.there("plan", "undo", run, "--from-repository", "--yes")
        self.assertEqual(asked, ["/undo"])

    def waits(self, run):
        """Until the second machine has adopted the run."""
        import time
        for _ in range(200):
            if (self.folder / "other-state" / "runs" / run / "journal.jsonl").exists():
                return True
            time.sleep(0.05)
        return False

    def test_repository_away_while_the_plan_runs(self):
        copies = self.repository / "salvor" / "plans"  # a file in its place takes no objects
        self.plan([self.once("one"), "{{name: cut, command: 'cd {repository}/salvor && mv plans away && touch plans'}}",
                   self.once("two"), self.once("three")])
        done = self.shop("plan", "run", "p", "--yes", timeout=90)
        self.assertLess(done.seconds, 30)
        self.assertEqual(self.counts(), {"one": 1, "two": 1, "three": 1})
        self.assertIn("not in the repository", done.errors)
        copies.unlink()
        copies.with_name("away").rename(copies)
        run = max((self.state / "runs").glob("*/journal.jsonl"), key=lambda p: p.stat().st_mtime_ns).parent.name
        self.shop("plan", "finish", run, "--yes")
        there = [m for m in self.there("plan", "runs", "--from-repository", "--json").lines() if m["run"] == run]
        self.assertEqual(there[0]["state"], "finished")

    def test_a_journal_that_this_machine_has_lost(self):
        self.plan([self.once("one"), "{{name: bad, command: 'test -e {folder}/good'}}", self.once("two")])
        self.shop("plan", "run", "p", "--yes", expect=1)
        journal = next((self.state / "runs").glob("*/journal.jsonl"))
        run = journal.parent.name
        journal.unlink()
        (self.folder / "good").touch()
        self.shop("plan", "resume", run, expect=24)
        self.shop("plan", "resume", run, "--from-repository", "--yes")
        self.assertEqual(self.counts(), {"one": 1, "two": 1})
