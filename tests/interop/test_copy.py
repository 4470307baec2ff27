"""copy between two repositories beside the real restic: each reads, skips and goes on with what the other
copied."""
import json
import signal
import time

from toolbox import PASSWORD, RESTIC_NEW, TestCase, limit


class Copy(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("backup", "copy")
        self.restic = self.peer(RESTIC_NEW)
        self.source = self.new_repository(name="source")
        self.target = self.new_repository(name="target")

    def copy(self, tool, source, target, *arguments, **options):
        variables = {"RESTIC_FROM_PASSWORD": PASSWORD}
        return tool(target, "copy", "--from-repo", str(source), *arguments, env=variables, **options)

    def history(self, tool=None, runs=3, size=300_000):
        tool = tool or self.salvor
        files = {f"d{i}/f{i}": self.words(size) for i in range(8)}
        tree = None
        for run in range(runs):
            files[f"d{run}/f{run}"] = self.bytes(size)
            tree = self.make_tree("tree", files)
            tool.backup(self.source, tree, "--time", f"2024-03-{run + 1:02} 12:00:00", "--host", "h",
                        "--tag", f"t{run}", "--force")
        return tree

    def snapshots(self, repository):
        return json.loads(self.restic(repository, "snapshots", "--json").out)

    def test_restic_reads_what_we_copied(self):
        tree = self.history()
        self.copy(self.salvor, self.source, self.target)
        self.restic(self.target, "check", "--read-data")
        originals = self.snapshots(self.source)
        copies = self.snapshots(self.target)
        self.assertEqual([s["id"] for s in originals], [s["original"] for s in copies])
        for field in ("time", "tree", "paths", "hostname", "username", "tags", "summary"):
            self.assertEqual([s.get(field) for s in originals], [s.get(field) for s in copies], field)
        self.assertFalse([s for s in copies if "parent" in s])
        restored = self.path("restored")
        self.restic(self.target, "restore", "latest", "--target", str(restored))
        for file in tree.rglob("*"):
            if file.is_file():
                found = [f for f in restored.rglob(file.name) if f.is_file()]
                self.assertEqual(found[0].read_bytes(), file.read_bytes())

    def test_both_skip_what_the_other_copied(self):
        self.history()
        self.copy(self.salvor, self.source, self.target)
        self.copy(self.restic, self.source, self.target)
        self.assertEqual(3, len(self.snapshots(self.target)))
        second = self.new_repository(name="second")
        self.copy(self.restic, self.source, second)
        self.copy(self.salvor, self.source, second)
        self.assertEqual(3, len(self.snapshots(second)))
        # And neither copies back what came from there.
        self.copy(self.salvor, self.target, self.source)
        self.copy(self.restic, self.target, self.source)
        self.assertEqual(3, len(self.snapshots(self.source)))

    def test_we_copy_what_restic_stored_and_the_filters_are_its(self):
        self.history(self.restic)
        self.copy(self.salvor, self.source, self.target, "--tag", "t1")
        self.assertEqual([["t1"]], [s["tags"] for s in self.snapshots(self.target)])
        self.copy(self.salvor, self.source, self.target, "latest")
        self.assertEqual([["t1"], ["t2"]], [s["tags"] for s in self.snapshots(self.target)])
        self.restic(self.target, "check", "--read-data")

    def test_a_warning_when_the_two_cut_files_differently(self):
        self.history()
        warning = "cut files at different places"
        other, alike = self.path("other"), self.path("alike")
        self.salvor(other, "init")
        self.assertIn(warning, self.copy(self.salvor, self.source, other).errors)
        self.salvor(alike, "init", "--from-repo", str(self.source), "--copy-chunker-params",
                    env={"RESTIC_FROM_PASSWORD": PASSWORD})
        self.assertNotIn(warning, self.copy(self.salvor, self.source, alike).errors)
        self.assertEqual(3, len(self.snapshots(alike)))

    @limit(180)
    def test_an_interrupted_copy_loses_nothing_that_it_stored(self):
        tree = self.make_tree("tree", {f"f{i}": self.bytes(4_000_000) for i in range(30)})
        self.salvor.backup(self.source, tree)
        process = self.background(self.salvor.start(
            self.target, "copy", "--from-repo", str(self.source), "--limit-upload", "20000",
            "--pack-size", "4", env={"RESTIC_FROM_PASSWORD": PASSWORD}))
        packs = lambda: [p for p in (self.target / "data").rglob("*") if p.is_file() and len(p.name) == 64]
        end = time.monotonic() + 60
        while len(packs()) < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        self.finish(process, expect=range(1, 256))
        self.assertEqual([], self.snapshots(self.target) or [])
        before = {p.name for p in packs()}
        self.assertGreaterEqual(len(before), 3)
        self.copy(self.salvor, self.source, self.target)
        self.restic(self.target, "check", "--read-data")
        stored = sum(p.stat().st_size for p in packs())
        self.assertTrue(before <= {p.name for p in packs()})
        # But for the pack that nobody had looked for yet: what is not seen to have arrived is not listed.
        self.assertLess(stored, 1.02 * 30 * 4_000_000 + 8_500_000, "more than one pack was stored twice")
