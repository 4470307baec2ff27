"""Could we recover right now? status, points, runs, catalog, retention, as a user meets them (O2, O3, O7, T3).

Runs are written into the repository here by hand from docs/format.md, at the times that a case needs.
"""
import datetime
import hashlib
import json
import os
import re
import shutil
import struct
import uuid

from protect_case import ApplicationCase
from toolbox import limit

UTC = datetime.timezone.utc
PROVEN, UNPROVEN, BREACHED, UNKNOWN = 0, 30, 31, 32


def stamp(when):
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class StatusCase(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.now = datetime.datetime.now(UTC)
        self.uploads = self.make_tree("uploads", {"a.txt": b"one"})
        self.configure("""\
            sources:
              uploads:
                files: {uploads}
                schedule: daily 02:00
            objectives: {{rto: 15m, rpo: 25h}}
            """, uploads=self.uploads)

    def backup(self, ago=0, *arguments):
        """A snapshot of the source, as if made `ago` hours ago; its id."""
        when = (self.now - datetime.timedelta(hours=ago)).strftime("%Y-%m-%d %H:%M:%S")
        (self.uploads / "b.txt").write_text(str(ago))
        return self.salvor.backup(self.repository, self.uploads, "--tag", "salvor:source=shop/uploads",
                                  "--time", when, *arguments, env={"TZ": "UTC"})["snapshot_id"]

    def record(self, kind, ago, snapshot="", outcome="succeeded", minutes=5, repository=None, **fields):
        """A run of `ago` hours ago in the repository, sealed as docs/format.md says."""
        started = self.now - datetime.timedelta(hours=ago)
        run = {"version": 1, "id": uuid.UUID(int=self.random.getrandbits(128)).hex, "kind": kind,
               "outcome": outcome, "subject": "uploads", "repository": "main", "snapshot": snapshot,
               "started": stamp(started),
               "finished": stamp(started + datetime.timedelta(minutes=minutes)), **fields}
        content = json.dumps(run).encode()
        name = f"records/{started:%Y-%m}/{started:%Y%m%dT%H%M%S}Z-{run['id']}"
        plain = struct.pack("<4sIQ", b"SJ01", 0, len(content)) + hashlib.sha256(content).digest()
        plain += struct.pack("<I", len(name)) + name.encode() + content
        root = repository or self.repository
        path = root / "salvor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.masters[root].seal(plain))
        return run["id"]

    def status(self, expect, *arguments):
        """The JSON of `salvor status`, which must end with `expect`."""
        return self.shop("status", "--json", *arguments, expect=expect).message("recovery_status")

    def whats(self, status):
        return " / ".join(c["what"] for store in status["stores"] for c in store["concerns"])


class Status(StatusCase):
    def test_from_nothing_to_proven(self):
        status = self.status(BREACHED)
        self.assertIn("there is no backup", self.whats(status))
        snapshot = self.backup()
        status = self.status(UNPROVEN)
        self.assertIn("never proven", status["sentence"])
        self.record("verify", 0.5, snapshot, minutes=6, **{"read-bytes": 1000})
        status = self.status(PROVEN)
        [store] = status["stores"]
        self.assertEqual(store["recovery_seconds"], 360)
        self.assertTrue(store["recovery_measured"])
        self.assertEqual(store["rto_seconds"], 900)
        self.assertRegex(status["sentence"], r"^Recoverable to \d\d:\d\d:\d\d CES?T, .*; last proven "
                         r".* ago in 6 min \(objective 15 min\)\.$")
        said = self.shop("status").text
        self.assertIn(status["sentence"].split(",")[0], said)
        self.assertIn("6 min of 15 min", said)
        self.assertNotIn("\x1b", said, "NO_COLOR, and no terminal")

    def test_objectives_that_are_not_met(self):
        old = self.backup(30)
        self.record("verify", 20, old)
        status = self.status(BREACHED)
        self.assertIn("would be lost, the objective is 25 h", self.whats(status))
        new = self.backup(1)
        self.assertEqual(self.status(PROVEN)["state"], "proven")
        self.record("verify", 0.2, new, outcome="failed", error="b.txt differs")
        self.assertIn("b.txt differs", self.whats(self.status(BREACHED)))

    def test_a_proof_grows_too_old(self):
        snapshot = self.backup(1)
        self.record("verify", 24 * 200, snapshot)
        self.assertIn("it was last proven", self.whats(self.status(UNKNOWN)))

    def test_a_dead_repository_leaves_what_was_seen(self):
        self.record("verify", 0.5, self.backup(1))
        seen = self.status(PROVEN)
        away = self.repository.with_name("away")
        os.rename(self.repository, away)
        status = self.status(UNKNOWN)
        [store] = status["stores"]
        self.assertEqual(store["recoverable_to"], seen["stores"][0]["recoverable_to"])
        self.assertEqual(store["seen_at"], seen["stores"][0]["seen_at"])
        self.assertIn("when last seen", status["sentence"])
        points = self.shop("points", "uploads", expect=23)
        self.assertIn("1 of 1 recovery points", points.text)
        os.rename(away, self.repository)
        self.assertEqual(self.status(UNKNOWN, "--offline")["state"], "unknown")
        self.assertEqual(self.status(PROVEN)["state"], "proven")

    def test_a_lost_or_broken_catalog_changes_nothing(self):
        self.record("verify", 0.5, self.backup(1))
        self.record("backup", 1)

        def told():
            status = self.status(PROVEN)
            runs = self.shop("runs", "--json").json()["runs"]
            keep = ("state", "recoverable_to", "proven_to", "proven_at", "recovery_seconds", "points")
            return [status["stores"][0][key] for key in keep], runs
        before = told()
        shutil.rmtree(self.state)
        self.assertEqual(told(), before)
        with open(self.state / "catalog.db", "r+b") as catalog:
            catalog.write(b"X" * 8192)
        warned = self.shop("status")
        self.assertIn("was damaged and is kept as", warned.errors)
        self.assertEqual(told(), before)
        shutil.rmtree(self.state)
        self.state.write_text("no directory")
        self.assertIn("going on without the catalog", self.shop("status").errors)
        self.assertEqual(told(), before)

    def test_the_catalog_is_made_again(self):
        self.record("backup", 1, self.backup(1))
        self.record("backup", 30)
        self.shop("status", expect=UNPROVEN)
        rebuilt = self.shop("catalog", "rebuild", "--json").json()
        self.assertEqual((rebuilt["runs"], rebuilt["unreachable"]), (2, 0))
        self.assertIn(str(self.state / "catalog.db"), self.shop("catalog", "show").text)
        os.rename(self.repository, self.repository.with_name("away"))
        self.shop("catalog", "rebuild", expect=3)

    def test_narrow_terminals(self):
        self.backup(1)
        wide = self.in_terminal(120)
        self.assertIn("\x1b[33munproven\x1b[0m", wide)
        plain = re.compile(r"\x1b\[[0-9;]*m")
        self.assertRegex(plain.sub("", wide), r"Store +State +Would lose")
        narrow = self.in_terminal(40)
        self.assertRegex(narrow, r"(?m)^  Would lose +\d+ ")
        for line in plain.sub("", narrow).splitlines():
            self.assertLessEqual(len(line), 40, line)

    def in_terminal(self, columns):
        import pty
        import fcntl
        import termios
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        from toolbox import PASSWORD
        process = self.background(self.salvor.start(
            None, "status", password=None, cwd=self.app, stdout=follower,
            env={"SHOP_PASSWORD": PASSWORD, "NO_COLOR": None, "TERM": "xterm-256color"}))
        os.close(follower)
        said = b""
        try:
            while piece := os.read(leader, 4096):
                said += piece
        except OSError:  # the other end is closed
            pass
        os.close(leader)
        self.finish(process, expect=UNPROVEN)
        return said.decode().replace("\r\n", "\n")


class Points(StatusCase):
    def test_points_of_a_source(self):
        first = self.backup(5, "--tag", "salvor:label=before")
        second = self.backup(2)
        self.record("verify", 1, first)
        points = self.shop("points", "uploads", "--json").json()["stores"][0]["points"]
        self.assertEqual([(p["snapshot"], p["proof"]) for p in points],
                         [(second, "unproven"), (first, "proven")])
        text = self.shop("points", "uploads", "--limit", "1").text
        self.assertIn("1 of 2 recovery points of uploads", text)
        self.assertIn("only then", text)
        self.assertIn("there is no source", self.shop("points", "nothing", expect=64).errors)

    def test_points_common_to_sources(self):
        other = self.make_tree("other", {"c": b"3"})
        self.configure("""\
            sources:
              uploads:
                files: {uploads}
              other:
                files: {other}
            """, uploads=self.uploads, other=other)
        self.backup(5)
        when = (self.now - datetime.timedelta(hours=5, seconds=-7)).strftime("%Y-%m-%d %H:%M:%S")
        self.salvor.backup(self.repository, other, "--tag", "salvor:source=shop/other", "--time", when,
                           env={"TZ": "UTC"})
        self.backup(1)
        common = self.shop("points", "--json").json()["common"]
        self.assertEqual([round(point["skew_seconds"]) for point in common][-1], 7)
        self.assertRegex(self.shop("points").text, "points? common to 2 stores")


class Runs(StatusCase):
    def test_history_of_all_machines(self):
        bad = self.record("backup", 3, outcome="failed", error="disk \x1b[31mgone", hint="Look at it.")
        good = self.record("backup", 2, "ab" * 32, checks=[{"name": "sample", "passed": True, "value": "5 packs"}])
        self.record("verify", 1, "ab" * 32)
        runs = self.shop("runs", "--json").json()["runs"]
        self.assertEqual([run["kind"] for run in runs], ["verify", "backup", "backup"])
        backups = self.shop("runs", "--kind", "backup", "--limit", "1", "--json").json()["runs"]
        self.assertEqual([run["id"] for run in backups], [good])
        text = self.shop("runs").text
        self.assertNotIn("\x1b", text)
        self.assertIn("3 runs", text)
        one = self.shop("runs", good[:10]).text
        self.assertIn("ok    sample: 5 packs", one)
        self.assertIn("Look at it.", self.shop("runs", bad).text)
        self.shop("runs", "ffffffffffffffff", expect=24)

    def test_another_application_in_the_repository_hides_nothing(self):
        """Its runs fill no list, its times are not quoted as ours."""
        others = {"facts": [["application", "other"]]}
        mine = [self.record("verify", ago, "ab" * 32, **{"rto-seconds": 42}) for ago in (20, 19)]
        for ago in range(1, 12):
            self.record("verify", ago, "cd" * 32, **{"rto-seconds": 77}, **others)
        self.record("restore", 0.5, "ab" * 32, facts=[["selection", "/one"]], **{"rto-seconds": 55})
        runs = self.shop("runs", "--kind", "verify", "--limit", "2", "--json").json()["runs"]
        self.assertEqual([run["id"] for run in runs], [mine[1], mine[0]])
        runbook = self.shop("runbook").text
        self.assertIn("42 s", runbook)
        self.assertNotIn("77 s", runbook)
        self.assertNotIn("1 min 17 s", runbook)
        self.assertNotIn("55 s", runbook, "of a part")

    def test_figures_say_what_could_not_be_asked(self):
        self.record("backup", 2, self.backup(2))
        self.shop("status", expect=None)
        self.repository.rename(self.repository.with_name("away"))
        told = self.shop("status", "--figures")
        self.assertIn("the repository of uploads cannot be asked", told.errors)

    def test_figures_count_what_did_not_run(self):
        # Ten nights at 02:00 UTC, of which two failed and one is not there at all.
        tonight = self.now.replace(hour=2, minute=0, second=30, microsecond=0)
        for night in range(1, 11):
            when = tonight - datetime.timedelta(days=night)
            if night != 4:
                self.record("backup", (self.now - when).total_seconds() / 3600,
                            outcome="failed" if night in (2, 3) else "succeeded", minutes=4)
        figures = self.shop("status", "--figures", "--json").json()["stores"][0]["periods"]
        month = figures[1]
        self.assertEqual(month["days"], 30)
        self.assertEqual(month["good"], 7)
        self.assertEqual(month["failed"], 2)
        self.assertGreaterEqual(month["expected"], 9)
        self.assertEqual(month["mean_backup_seconds"], 240)
        self.assertIn(" of ", self.shop("status", "--figures").text)


class Retention(StatusCase):
    def keep(self, rule):
        self.configure("""\
            sources:
              uploads:
                files: {uploads}
                retention: {rule}
            """, uploads=self.uploads, rule=rule)

    def snapshots(self):
        return {snapshot["id"] for snapshot in self.salvor.snapshots(self.repository)}

    @limit(200)
    def test_failing_backups_do_not_cost_the_last_good_one(self):
        self.keep("{daily: 2}")
        good = [self.backup(24 * (30 + n)) for n in range(3)]  # newest first
        for n, snapshot in enumerate(good):
            self.record("backup", 24 * (30 + n), snapshot)
        bad = [self.backup(24 * n + 1) for n in (0, 10, 20)]
        for n, snapshot in zip((0, 10, 20), bad):
            self.record("backup", 24 * n + 1, snapshot, outcome="incomplete")
        plan = self.shop("retention", "plan", "--json").json()["places"][0]
        self.assertEqual({p["snapshot"] for p in plan["points"] if p["keep"]}, {*good[:2], *bad})
        text = self.shop("retention", "plan").text
        self.assertIn("newer than the newest good one", text)
        self.assertIn("REMOVE", text)
        before = self.snapshots()
        self.shop("retention", "apply", expect=64)
        self.assertEqual(self.snapshots(), before, "nobody said yes")
        self.shop("retention", "apply", "--yes")
        self.assertEqual(self.snapshots(), {*good[:2], *bad})
        self.shop("retention", "apply", "--yes")
        self.assertEqual(self.snapshots(), {*good[:2], *bad}, "a second time removes nothing")
        runs = self.shop("runs", "--kind", "retention", "--json").json()["runs"]
        self.assertEqual(len(runs), 1)
        # A good one again: what is bad goes.
        new = self.backup(0)
        self.record("backup", 0.05, new, minutes=1)
        self.shop("retention", "apply", "--confirm", "shop")
        self.assertEqual(self.snapshots(), {new, good[0]})
        self.salvor.check(self.repository)

    def test_what_nobody_knows_about_stays(self):
        self.keep("{last: 1}")
        made = {self.backup(n) for n in (1, 2, 3)}  # by hand: there is no record
        self.shop("retention", "apply", "--yes")
        self.assertEqual(self.snapshots(), made)
