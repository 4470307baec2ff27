"""Damaged and hostile repositories: found, named, survived. Nothing undamaged is lost, nothing is
written outside of the target."""
import os

import sealed
import treestate
from toolbox import RESTIC_NEW, TestCase

FAILS = range(1, 128)  # an exit code, never a signal


class Damage(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("backup", "check", "restore")
        self.restic = self.peer(RESTIC_NEW)
        self.repository = self.new_repository()
        self.tree = self.make_tree("t", {f"d{i}/f{i}": self.bytes(5000 + i) for i in range(8)})
        self.salvor.backup(self.repository, self.tree)
        self.extra = self.make_tree("extra", {"x": self.bytes(40_000)})
        self.salvor.backup(self.repository, self.extra)

    def files(self):
        return sorted(p for p in self.repository.rglob("*") if p.is_file())

    def spoil_the_blob_of(self, name):
        """Flips one bit in the only blob of a file of the first snapshot; returns the snapshot."""
        wanted, hits = sealed.blob_id((self.tree / name).read_bytes()), 0
        for pack in self.repository.glob("data/*/*"):
            data = bytearray(pack.read_bytes())
            for _, offset, _, blob in sealed.pack_entries(bytes(data), self.masters[self.repository]):
                if blob == wanted:
                    data[offset + 20] ^= 1
                    hits += 1
                    pack.chmod(0o600)
                    pack.write_bytes(data)
        self.assertEqual(hits, 1)
        return self.restic.snapshots(self.repository)[0]

    def test_a_flipped_byte_is_found_wherever_it_is(self):
        """Every file, several places in each: head, tail, middle, and some at random."""
        for path in self.files():
            whole = path.read_bytes()
            spots = {0, 15, 16, len(whole) // 2, len(whole) - 17, len(whole) - 1,
                     self.random.randrange(len(whole))}
            for spot in sorted(spots):
                with self.subTest(file=str(path.relative_to(self.repository)), byte=spot):
                    broken = bytearray(whole)
                    broken[spot] ^= 1 << self.random.randrange(8)
                    path.chmod(0o600)
                    path.write_bytes(broken)
                    try:
                        result = self.salvor.check(self.repository, expect=FAILS)
                        if path.name not in ("config",):
                            self.assertIn(path.name[:8], result.text + result.errors)
                    finally:
                        path.write_bytes(whole)
                        path.chmod(0o400)
        self.salvor.check(self.repository)

    def test_a_missing_file_is_found(self):
        for path in self.files():
            if path.parent.name in ("keys", "snapshots"):
                continue  # without its key nothing opens; a missing snapshot is simply not there
            with self.subTest(str(path.relative_to(self.repository))):
                whole = path.read_bytes()
                path.unlink()
                self.salvor.check(self.repository, expect=FAILS)
                path.write_bytes(whole)
                path.chmod(0o400)
        self.salvor.check(self.repository)

    def test_a_truncated_file_is_found(self):
        for path in self.files():
            whole = path.read_bytes()
            for size in (0, 1, 31, len(whole) // 2, len(whole) - 1):
                with self.subTest(file=str(path.relative_to(self.repository)), size=size):
                    path.chmod(0o600)
                    path.write_bytes(whole[:size])
                    self.salvor.check(self.repository, expect=FAILS)
                    path.write_bytes(whole)
                    path.chmod(0o400)

    def test_check_names_the_snapshots_and_files_that_are_hit(self):
        snapshot = self.spoil_the_blob_of("d3/f3")
        result = self.salvor.check(self.repository, expect=FAILS)
        said = result.text + result.errors
        self.assertIn(snapshot["short_id"], said)
        self.assertIn("d3/f3", said)
        self.assertNotIn("d4/f4", said)

    def test_what_is_undamaged_still_restores(self):
        """One data blob is spoiled: exactly its file is missing or wrong, and the run says so."""
        state = treestate.capture(self.tree)
        first = self.spoil_the_blob_of("d3/f3")
        target = self.path("restored")
        result = self.salvor.restore(self.repository, target, first["id"], expect=FAILS)
        self.assertIn("f3", result.errors)
        found = treestate.differences(state, treestate.capture(target), ("mtime_ns",))
        self.assertTrue(found)
        self.assertTrue(all(line.startswith("d3/f3") for line in found), found)

    def test_a_lost_pack_is_healed_by_the_next_backup(self):
        """`repair index` forgets what is gone; a backup of the same files then stores it again."""
        self.needs("repair")
        biggest = max(self.repository.glob("data/*/*"), key=lambda p: p.stat().st_size)
        biggest.unlink()
        self.salvor(self.repository, "repair", "index")
        self.salvor.backup(self.repository, self.tree, "--force")
        self.salvor.backup(self.repository, self.extra, "--force")
        self.restic.check(self.repository)
        self.assert_restores(self.restic, self.repository, self.extra)

    def test_repair_writes_beside_never_in_place(self):
        self.needs("repair")
        before = {p: p.read_bytes() for p in self.files()}
        biggest = max(self.repository.glob("data/*/*"), key=lambda p: p.stat().st_size)
        biggest.unlink()
        self.salvor(self.repository, "repair", "index")
        self.salvor(self.repository, "repair", "snapshots")  # without --forget: only adds
        for path, data in before.items():
            if path.exists():
                self.assertEqual(path.read_bytes(), data, path)
        for path in before:
            if path.parent.name == "snapshots":
                self.assertTrue(path.exists(), "a snapshot was removed without --forget")

    def test_foreign_files_are_left_alone(self):
        strange = {
            "README": b"hello", "salvor/journal/x": b"ours", "salvor/data/ab/" + "ab" * 32: b"x",
            "tmp/old": b"", ".hidden/x": b"", "data/zz/foo": b"x", "index/readme.txt": b"x",
            "snapshots/.DS_Store": b"x", "keys/note": b"x", "locks/x.tmp": b"x",
            "data/00/" + "00" * 32 + "-tmp-123": b"torn"}
        for name, data in strange.items():
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_bytes(data)
        self.salvor.check(self.repository)
        self.salvor.backup(self.repository, self.tree)
        self.needs("forget", "prune")
        self.salvor(self.repository, "forget", "--keep-last", "1", "--prune")
        self.salvor(self.repository, "prune", "--max-unused", "0")
        for name, data in strange.items():
            self.assertEqual((self.repository / name).read_bytes(), data, name)
        self.restic.check(self.repository)

    def test_prune_refuses_when_something_needed_cannot_be_read(self):
        self.needs("prune")
        packs = {p: p.read_bytes() for p in self.repository.glob("data/*/*")}
        for kind in ("snapshots", "index"):
            path = next((self.repository / kind).iterdir())
            whole = path.read_bytes()
            path.chmod(0o600)
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            with self.subTest(kind):
                # A cache from better days would hide the damage.
                self.salvor(self.repository, "prune", "--max-unused", "0", expect=FAILS,
                            env={"XDG_CACHE_HOME": str(self.path(f"no-cache-{kind}"))})
                self.assertEqual({p: p.read_bytes() for p in self.repository.glob("data/*/*")}, packs)
            path.write_bytes(whole)
            path.chmod(0o400)
        self.salvor.check(self.repository)


class Hostile(TestCase):
    """Somebody with the key wrote a snapshot that wants to get out of the target."""

    def setUp(self):
        super().setUp()
        self.needs("restore")
        self.repository = self.new_repository(1)
        self.master = self.masters[self.repository]
        self.secret = self.make_tree("outside", {"victim": b"precious"})
        self.target = self.path("outside/target")
        self.content = b"evil"

    def snapshot(self, *trees):
        """The last of `trees` is the root."""
        packs = [sealed.write_pack(self.repository, self.master, "tree", trees),
                 sealed.write_pack(self.repository, self.master, "data", [self.content])]
        sealed.write_index(self.repository, self.master, packs)
        return sealed.write_snapshot(self.repository, self.master, sealed.blob_id(trees[-1]))

    def file(self, name):
        return sealed.node(name, size=len(self.content), content=[sealed.blob_id(self.content)])

    def outside_and_inside(self):
        outside = treestate.capture(self.secret)
        inside = {p for p in outside.entries if p.startswith(b"target")}
        for path in inside:
            del outside.entries[path]
        return outside, inside

    def restore(self):
        """Restores, checks that nothing outside has changed, and returns what is inside."""
        before, _ = self.outside_and_inside()
        result = self.salvor.restore(self.repository, self.target, expect=range(0, 128))
        after, inside = self.outside_and_inside()
        self.assertEqual(treestate.differences(before, after), [])
        self.assertEqual((self.secret / "victim").read_bytes(), b"precious")
        return result, inside

    def test_names_that_climb(self):
        for name in ("..", ".", "../victim", "a/b", "/victim", "a/../../victim", "..\\\\x/../../victim",
                     "nul\\x00byte", ""):
            with self.subTest(name):
                self.setUp()
                self.snapshot(sealed.tree_blob([self.file(name), self.file("zz-good")]))
                result, inside = self.restore()
                if inside - {b"target"}:
                    self.assertEqual(inside, {b"target", b"target/zz-good"})
                self.assertNotEqual(result.code, 0, "a refused name is not a success")

    def test_a_directory_called_dot_dot(self):
        leaf = sealed.tree_blob([self.file("victim")])
        self.snapshot(leaf, sealed.tree_blob([sealed.node("..", "dir", subtree=sealed.blob_id(leaf))]))
        self.restore()

    def test_a_symlink_and_a_directory_of_one_name(self):
        """The link is made first, then files are written 'below' it."""
        leaf = sealed.tree_blob([self.file("victim")])
        for order in (0, 1):
            with self.subTest(order):
                self.setUp()
                pair = [sealed.node("way", "symlink", linktarget=str(self.secret)),
                        sealed.node("way", "dir", subtree=sealed.blob_id(leaf))]
                self.snapshot(leaf, sealed.tree_blob(pair[::-1] if order else pair))
                self.restore()

    def test_a_symlink_already_in_the_way(self):
        leaf = sealed.tree_blob([self.file("victim")])
        self.snapshot(leaf, sealed.tree_blob([sealed.node("way", "dir", subtree=sealed.blob_id(leaf))]))
        self.target.mkdir()
        os.symlink(self.secret, self.target / "way")
        self.restore()
        self.assertFalse((self.target / "way").is_symlink())
        self.assertEqual((self.target / "way/victim").read_bytes(), b"evil")

    def test_a_file_link_already_in_the_way(self):
        self.snapshot(sealed.tree_blob([self.file("f")]))
        self.target.mkdir()
        os.symlink(self.secret / "victim", self.target / "f")
        self.restore()
        self.assertFalse((self.target / "f").is_symlink())

    def test_a_hard_link_already_in_the_way(self):
        self.snapshot(sealed.tree_blob([self.file("f")]))
        self.target.mkdir()
        os.link(self.secret / "victim", self.target / "f")
        before = (self.secret / "victim").read_bytes()
        self.salvor.restore(self.repository, self.target, expect=range(0, 128))
        self.assertEqual((self.secret / "victim").read_bytes(), before)
        self.assertEqual((self.target / "f").read_bytes(), b"evil")

    def test_hard_links_are_not_taken_from_unset_inodes(self):
        """links > 1 without an inode says nothing about who is linked to whom."""
        nodes = []
        for number in range(3):
            made = self.file(f"f{number}")
            made["links"] = 2
            nodes.append(made)
        self.snapshot(sealed.tree_blob(nodes))
        self.restore()
        self.assertEqual(len({os.stat(self.target / f"f{n}").st_ino for n in range(3)}), 3)

    def test_a_tree_that_contains_itself_or_nests_without_end(self):
        """Ids make cycles impossible, but 2**40 paths over 40 trees are not: check must stay linear."""
        tree = sealed.tree_blob([])
        trees = [tree]
        for _ in range(40):
            name = sealed.blob_id(trees[-1])
            trees.append(sealed.tree_blob([sealed.node("a", "dir", subtree=name),
                                           sealed.node("b", "dir", subtree=name)]))
        self.snapshot(*trees)
        self.salvor(self.repository, "check", "--read-data", timeout=60)

    def test_broken_documents(self):
        good = sealed.tree_blob([self.file("f")])
        for broken in (b"", b"{", b"[]", b'{"nodes":7}', b'{"nodes":[7]}', b'{"nodes":[{"name":"x"}]}',
                       good[:-10], b'{"nodes":[' + b'{"a":' * 100_000, b"\xff" * 100, b"null",
                       good.replace(b'"file"', b'"unheard-of"'), good.replace(b"2026-", b"yesterday-")):
            with self.subTest(broken[:30]):
                self.setUp()
                self.snapshot(broken)
                self.salvor.check(self.repository, expect=FAILS)
                self.salvor.restore(self.repository, self.target, expect=range(0, 128))
                self.salvor(self.repository, "ls", "latest", expect=range(0, 128))


class ExitCodes(TestCase):
    """restic's table: scripts branch on it."""

    def test_no_repository(self):
        for command in (["snapshots"], ["backup", "."], ["check"], ["restore", "latest", "--target", "x"]):
            self.needs(command[0])
            with self.subTest(command):
                place = self.path("nothing-here")
                result = self.salvor(place, *command, expect=10)
                self.assertIn(str(place), result.errors)
                self.assertIn("HINT", result.errors)
                self.assertFalse(place.exists())

    def test_wrong_password(self):
        self.needs("snapshots")
        result = self.salvor(self.new_repository(), "snapshots", password="wrong", expect=12)
        self.assertIn("HINT", result.errors)

    def test_unknown_options_and_commands(self):
        for arguments in (["snapshots", "--no-such-option"], ["no-such-command"], []):
            self.salvor(self.new_repository(), *arguments, expect=range(1, 128) if arguments else
                        range(0, 128))

    def test_unreadable_files_make_a_partial_snapshot(self):
        self.needs("backup")
        if os.geteuid() != 0:
            runner = ()
        else:  # root reads everything: become somebody else
            runner = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        tree = self.make_tree("t", {"good": b"1", "bad": b"2", "dir/inner": b"3"})
        (tree / "bad").chmod(0)
        (tree / "dir").chmod(0)
        repository = self.new_repository()
        os.system(f"chmod 755 {self.folder} {self.fast}; chown -R 65534 {self.folder} {self.fast}")
        self.addCleanup(os.system, f"chmod -R u+rwX {tree}")
        result = self.salvor(repository, "backup", ".", cwd=tree, prefix=runner, expect=3)
        for name in ("bad", "dir"):
            self.assertIn(name, result.errors)
        self.assertIn("ermission", result.errors)
        listed = self.peer(RESTIC_NEW)(repository, "ls", "latest").text
        self.assertIn("/good", listed)
        self.assertNotIn("/bad", listed)

    def test_files_named_that_are_not_there(self):
        self.needs("backup")
        tree, repository = self.make_tree("t", {"good": b"1"}), self.new_repository()
        self.salvor(repository, "backup", "good", "bad", cwd=tree, expect=3)
        self.salvor(repository, "backup", "bad", cwd=tree, expect=range(1, 128))
        self.assertEqual(len(self.salvor.snapshots(repository)), 1)

    def test_json_errors_are_json(self):
        self.needs("snapshots")
        result = self.salvor(self.path("nothing"), "snapshots", "--json", expect=10)
        text = (result.text + result.errors).strip().splitlines()
        message = [line for line in text if line.startswith("{")]
        self.assertTrue(message, result)
        import json
        self.assertEqual(json.loads(message[-1])["message_type"], "exit_error")
