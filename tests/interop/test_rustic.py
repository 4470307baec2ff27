"""rustic, the third program of the format. It takes minutes to build, so these run where it is there:
tests/peers/get rustic; scripts/test -L rustic."""
from pathlib import Path

import treemaker
import treestate
from toolbox import PASSWORD, RESTIC_NEW, RUSTIC, TestCase, labelled, limit


@labelled("rustic")
@limit(300)
class WithRustic(TestCase):
    def setUp(self):
        super().setUp()
        self.rustic = self.peer(RUSTIC)
        self.environment |= {"RUSTIC_PASSWORD": PASSWORD}
        self.repository = self.new_repository()
        self.tree = self.path("tree")
        treemaker.make_everything(self.tree, self.random, old_restic=True)

    def restored_by_rustic(self, name):
        target = self.path(name)
        self.rustic(self.repository, "restore", "latest", target)
        return target

    def test_rustic_reads_what_we_write(self):
        self.salvor.backup(self.repository, self.tree)
        self.rustic(self.repository, "check", "--read-data")
        self.restored_by_rustic("target")
        # Seen in 0.11: default ACLs of directories, times of links and mode 000 are not brought back.
        (self.path("target") / "modes/0").chmod(0)
        found = treestate.differences(treestate.capture(self.tree), treestate.capture(
            self.path("target")), ignore=("xattrs", "mtime_ns"))
        self.assertEqual(found, [])

    def test_we_read_what_rustic_writes(self):
        self.rustic(self.repository, "backup", ".", cwd=self.tree)
        self.salvor.check(self.repository)
        target = self.path("ours")
        self.salvor.restore(self.repository, target)
        found = treestate.differences(treestate.capture(self.restored_by_rustic("theirs")),
                                      treestate.capture(target), ignore=("xattrs", "mtime_ns"))
        self.assertEqual(found, [])

    def test_data_deduplicates(self):
        self.rustic(self.repository, "backup", ".", cwd=self.tree)
        summary = self.salvor.backup(self.repository, self.tree, "--force")
        self.assertEqual(summary["data_blobs"], 0, summary)

    def test_rustic_prunes_beside_us_and_we_after_it(self):
        self.salvor.backup(self.repository, self.tree)
        junk = self.make_tree("junk", {f"{i}": self.bytes(50_000) for i in range(10)})
        name = self.salvor.backup(self.repository, junk)["snapshot_id"]
        self.rustic(self.repository, "forget", name)
        self.rustic(self.repository, "prune", "--instant-delete")
        self.salvor.check(self.repository)
        self.salvor(self.repository, "prune", "--max-unused", "0")
        self.rustic(self.repository, "check", "--read-data")
        self.assert_restores(self.salvor, self.repository, self.tree)

    def test_prune_waits_where_rustic_works_and_rustic_understands_the_marks(self):
        """rustic takes no locks, so what is unneeded is marked first and removed later (ADR 0006)."""
        self.rustic(self.repository, "backup", ".", cwd=self.tree)
        junk = self.make_tree("junk", {f"{i}": self.bytes(50_000) for i in range(10)})
        name = self.salvor.backup(self.repository, junk)["snapshot_id"]
        snapshot = Path(self.repository) / "snapshots" / name
        document = snapshot.read_bytes()
        self.salvor(self.repository, "forget", name)
        packs = self.salvor.listed(self.repository, "packs")
        told = self.salvor(self.repository, "prune", "--max-unused", "0", "--json").json()
        self.assertGreater(told["packs_marked"], 0)
        self.assertEqual(told["packs_removed"], 0)
        self.assertLessEqual(set(packs), set(self.salvor.listed(self.repository, "packs")))
        for tool in (self.salvor, self.peer(RESTIC_NEW), self.rustic):
            tool(self.repository, "check")

        # A rustic backup that had begun before the prune ends now and needs what is marked.
        snapshot.write_bytes(document)
        self.assertIn("marked for deletion", str(self.salvor(self.repository, "check", expect=1)))
        told = self.salvor(self.repository, "prune", "--max-unused", "0", "--json").json()
        self.assertGreater(told["packs"]["recover"], 0)
        for tool in (self.salvor, self.peer(RESTIC_NEW), self.rustic):
            tool(self.repository, "check")
        self.assert_restores(self.salvor, self.repository, junk, name)

        # rustic's own prune goes on from our marks.
        self.salvor(self.repository, "forget", name)
        self.salvor(self.repository, "prune", "--max-unused", "0")
        before = len(self.salvor.listed(self.repository, "packs"))
        self.rustic(self.repository, "prune", "--keep-delete", "0s")
        self.assertLess(len(self.salvor.listed(self.repository, "packs")), before)
        self.salvor.check(self.repository)
        # And ours from rustic's.
        self.salvor(self.repository, "prune", "--max-unused", "0", "--instant-delete")
        self.rustic(self.repository, "check", "--read-data")
        self.assert_restores(self.salvor, self.repository, self.tree)
