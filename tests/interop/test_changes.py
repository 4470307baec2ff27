"""Every command that changes a repository, run by one tool and judged by the other, in both directions.

The judge is always the other program's `check --read-data` and its restore of what must still be there.
"""
import os

import treemaker
import treestate
from toolbox import PASSWORD, RESTIC_NEW, RESTIC_OLD, TestCase


class _Maintenance(TestCase):
    """Subclasses name who changes (`one`) and who judges (`two`)."""
    peer_name = None
    we_change = True
    commands = ()

    def setUp(self):
        super().setUp()
        restic = self.peer(self.peer_name)
        self.one, self.two = (self.salvor, restic) if self.we_change else (restic, self.salvor)
        self.old = self.peer_name == RESTIC_OLD
        self.old_changes = self.old and not self.we_change

    def history(self, repository, count=6):
        """Snapshots of a changing tree, made by the two in turns: [(id, state of the tree)]."""
        files = {f"d{i % 5}/f{i}": self.bytes(20_000 + 977 * i) for i in range(40)}
        files["big"] = self.bytes(4_000_000)
        files["text"] = self.words(500_000)
        tree = self.make_tree("history", files)
        made = []
        for number in range(count):
            tool = (self.one, self.two)[number % 2]
            stamp = f"2026-03-{number + 1:02} 12:00:00"
            tool.backup(repository, tree, "--time", stamp, "--tag", f"t{number % 3}")
            made.append(treestate.capture(tree))
            treemaker.change_some(tree, self.random, 0.3)
        return list(zip(self.ids(repository), made, strict=True))  # ids come in the order of time

    def ids(self, repository):
        return [s["id"] for s in self.two.snapshots(repository)]

    def assert_whole(self, repository, history, *, full=True):
        """Both find nothing wrong and `two` restores exactly these states."""
        kept = self.ids(repository)
        states = [state for _, state in history]
        self.assertEqual(len(kept), len(states))
        self.two.check(repository)
        self.one.check(repository)
        for name, state in list(zip(kept, states))[:: 1 if full else 2]:
            self.assert_restores(self.two, repository, state, name)

    def blobs(self, repository):
        return sorted(self.peer(RESTIC_NEW).listed(repository, "blobs"))

    def repository_size(self, repository):
        return sum(os.path.getsize(os.path.join(f, n)) for f, _, ns in os.walk(repository) for n in ns)

    def test_forget_and_prune(self):
        self.needs("forget", "prune")
        for version in (1, 2):
            with self.subTest(version=version):
                repository = self.new_repository(version)
                history = self.history(repository)
                before = self.repository_size(repository)
                self.one(repository, "forget", history[0][0], history[3][0])
                self.assertEqual(set(self.ids(repository)),
                                 {n for i, (n, _) in enumerate(history) if i not in (0, 3)})
                self.one(repository, "prune", "--max-unused", "0")
                self.assertLess(self.repository_size(repository), before)
                self.assert_whole(repository, [h for i, h in enumerate(history) if i not in (0, 3)])
                # Nothing is left that nobody needs: the other one's prune finds no blob to remove.
                blobs = self.blobs(repository)
                self.two(repository, "prune", "--max-unused", "0")
                self.assertEqual(self.blobs(repository), blobs)

    def test_forget_by_policy_with_prune(self):
        self.needs("forget", "prune")
        repository = self.new_repository()
        history = self.history(repository)
        self.one(repository, "forget", "--keep-last", "2", "--prune")
        self.assert_whole(repository, history[-2:])
        # Paths were the same, so the group was one; nothing but the two remains.
        self.two(repository, "forget", "--keep-last", "1", "--prune")
        self.one.check(repository)

    def test_prune_with_the_default_slack(self):
        self.needs("prune")
        repository = self.new_repository()
        history = self.history(repository)
        self.one(repository, "forget", history[1][0])
        self.one(repository, "prune")
        self.assert_whole(repository, history[:1] + history[2:], full=False)
        self.one.backup(repository, self.path("history"))
        self.two.backup(repository, self.path("history"))
        self.two.check(repository)

    def test_prune_of_everything(self):
        self.needs("forget", "prune")
        repository = self.new_repository()
        for name, _ in self.history(repository, 2):
            self.one(repository, "forget", name)
        self.one(repository, "prune")
        self.assertEqual(self.two.listed(repository, "packs"), [])
        self.two.check(repository)
        tree = self.make_tree("again", {"a": b"fresh start"})
        self.two.backup(repository, tree)
        self.assert_restores(self.one, repository, tree)

    def test_tags(self):
        self.needs("tag")
        repository = self.new_repository()
        name = self.history(repository, 1)[0][0]
        first = self.two.snapshots(repository)[0]
        self.one(repository, "tag", "--add", "gold,silver", name)
        tagged = self.two.snapshots(repository)[0]
        self.assertEqual(tagged["tags"], ["t0", "gold", "silver"])
        self.assertEqual(tagged["original"], first["id"])
        self.assertEqual((tagged["tree"], tagged["time"]), (first["tree"], first["time"]))
        self.one(repository, "tag", "--remove", "t0")
        self.assertEqual(sorted(self.two.snapshots(repository)[0]["tags"]), ["gold", "silver"])
        self.one(repository, "tag", "--set", "only", "latest")
        last = self.two.snapshots(repository)
        self.assertEqual([s["tags"] for s in last], [["only"]])
        self.assertEqual(last[0]["original"], first["id"])
        self.two.check(repository)

    def test_rewrite_leaves_something_out(self):
        self.needs("rewrite")
        if self.old_changes:
            return  # restic 0.14 has no rewrite: there is no such direction
        repository = self.new_repository()
        tree = self.path("tree")
        treemaker.make_everything(tree, self.random, old_restic=self.old)
        self.two.backup(repository, tree)
        self.one(repository, "rewrite", "--exclude", "copies", "--forget", "latest")
        snapshots = self.two.snapshots(repository)
        self.assertEqual(len(snapshots), 1)
        expected = treestate.capture(tree)
        for path in [p for p in expected.entries if p.split(b"/")[0] == b"copies"]:
            del expected.entries[path]
        self.assert_restores(self.two, repository, expected)
        self.two.check(repository)

    def test_migration_to_version_2(self):
        self.needs("migrate", "prune")
        repository = self.new_repository(1)
        history = self.history(repository, 3)
        before = self.two(repository, "cat", "config").json()
        self.one(repository, "migrate", "upgrade_repo_v2")
        after = self.two(repository, "cat", "config").json()
        self.assertEqual(after, {**before, "version": 2})
        self.assert_whole(repository, history, full=False)
        self.one(repository, "prune", "--repack-uncompressed")
        self.assert_whole(repository, history)
        self.one.backup(repository, self.path("history"))
        self.two.backup(repository, self.path("history"))
        self.two.check(repository)

    def test_copy(self):
        self.needs("copy")
        source, target = self.new_repository(1), self.new_repository(2)
        history = self.history(source, 3)
        password = self.path("password")
        password.write_text(PASSWORD)
        origin = ["--from-repo", source, "--from-password-file", password]
        self.one(target, "copy", *origin)
        self.assert_whole(target, history)
        self.assertEqual([s["tree"] for s in self.two.snapshots(source)],
                         [s["tree"] for s in self.two.snapshots(target)])
        self.assertEqual(sorted(s["original"] for s in self.two.snapshots(target)),
                         sorted(n for n, _ in history))
        # Both recognise what has been copied, whoever copied it.
        self.one(target, "copy", *origin)
        self.two(target, "copy", *origin)
        self.assertEqual(len(self.ids(target)), 3)

    def test_copy_of_one_snapshot(self):
        self.needs("copy")
        source, target = self.new_repository(), self.new_repository()
        history = self.history(source, 3)
        password = self.path("password")
        password.write_text(PASSWORD)
        self.one(target, "copy", "--from-repo", source, "--from-password-file", password, history[1][0])
        self.assert_whole(target, history[1:2])

    def repair_index(self, tool, repository):
        tool(repository, *(["rebuild-index"] if tool.name == RESTIC_OLD else ["repair", "index"]))

    def test_lost_index_is_rebuilt(self):
        self.needs("repair")
        for version in (1, 2):
            with self.subTest(version=version):
                repository = self.new_repository(version)
                history = self.history(repository, 2)
                for index in (repository / "index").iterdir():
                    index.unlink()
                self.repair_index(self.one, repository)
                self.assert_whole(repository, history)

    def test_index_of_a_lost_pack_is_corrected(self):
        self.needs("repair")
        if self.old_changes:
            return  # restic 0.14 has no repair
        repository = self.new_repository()
        self.history(repository, 2)
        biggest = max(repository.glob("data/*/*"), key=lambda p: p.stat().st_size)
        biggest.unlink()
        self.two.check(repository, expect=range(1, 128))
        self.repair_index(self.one, repository)
        self.one(repository, "repair", "snapshots", "--forget")
        self.two.check(repository)
        self.two(repository, "prune")
        self.one.check(repository)
        for snapshot in self.two.snapshots(repository):
            target = self.path("restored-" + snapshot["short_id"])
            self.two.restore(repository, target, snapshot["id"])
            self.assertTrue((target / "d0").is_dir())

    def test_snapshot_removed_by_name_prefix(self):
        self.needs("forget")
        repository = self.new_repository()
        history = self.history(repository, 2)
        self.one(repository, "forget", history[0][0][:10])
        self.assertEqual(self.ids(repository), [history[1][0]])


class WeChangeOldResticJudges(_Maintenance):
    peer_name = RESTIC_OLD


class WeChangeNewResticJudges(_Maintenance):
    peer_name = RESTIC_NEW


class OldResticChangesWeJudge(_Maintenance):
    peer_name, we_change = RESTIC_OLD, False


class NewResticChangesWeJudge(_Maintenance):
    peer_name, we_change = RESTIC_NEW, False
