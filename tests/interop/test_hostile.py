"""Repositories made to mislead, by somebody with the key or with access to the storage: every command
ends soon, says what is wrong and where, and gives back what is sound."""
import json
import os
import shutil

import sealed
import treestate
from toolbox import PASSWORD, TestCase, limit

ANY = range(0, 128)  # an exit code, never a signal
FAILS = range(1, 128)
DAMAGED, INCOMPLETE = 20, 3


class Made(TestCase):
    """A repository that is written object by object."""

    def setUp(self):
        super().setUp()
        self.needs("restore")
        self.repository = self.new_repository()
        self.master = self.masters[self.repository]
        self.packs = []

    def pack(self, kind, blobs):
        self.packs.append(sealed.write_pack(self.repository, self.master, kind, blobs))
        return self.packs[-1]

    def index(self):
        return sealed.write_index(self.repository, self.master, self.packs)

    def snapshot(self, tree):
        return sealed.write_snapshot(self.repository, self.master, sealed.blob_id(tree))[:8]

    @staticmethod
    def file(name, *blobs):
        return sealed.node(name, size=sum(map(len, blobs)), content=[sealed.blob_id(b) for b in blobs])


class Trees(Made):
    def exploding(self, levels=40):
        """2**levels directories in as many trees; the last is the root."""
        trees = [sealed.tree_blob([self.file("f")])]
        for _ in range(levels):
            name = sealed.blob_id(trees[-1])
            trees.append(sealed.tree_blob([sealed.node("a", "dir", subtree=name),
                                           sealed.node("b", "dir", subtree=name)]))
        return trees

    def test_two_to_the_forty_directories(self):
        trees, other = self.exploding(), sealed.tree_blob([self.file("g")])
        self.pack("tree", [*trees, other])
        self.index()
        good = self.snapshot(other)
        bad = self.snapshot(trees[-1])
        target = self.fast / "target"
        for command in (["ls", bad], ["ls", bad, "--json"], ["ls", bad, "--ncdu"], ["find", "f", "-s", bad],
                        ["find", "--tree", sealed.blob_id(trees[0]), "-s", bad], ["dump", bad, "/"],
                        ["dump", bad, "/", "-a", "zip"], ["stats", bad], ["diff", good, bad],
                        ["restore", bad, "--target", target, "--dry-run"],
                        ["restore", bad, "--target", target]):
            with self.subTest(command):
                result = self.salvor(self.repository, *command, expect=DAMAGED, timeout=60)
                said = result.text + result.errors
                where = trees[-2] if command[0] == "diff" else trees[-1]  # it begins at what is new
                self.assertIn(f"tree {sealed.blob_id(where)} unfolds to more than", said)
                self.assertIn("salvor forget", said)
                self.assertLess(len(result.out), 50_000_000)
        self.assertLess(sum(1 for _ in target.rglob("*")), 100_000)
        for command in (["ls", bad, "/a"], ["ls", f"{bad}:" + "/a" * 35], ["stats", bad, "--mode", "raw-data"],
                        ["stats", bad, "--mode", "files-by-contents"],
                        ["check", "--read-data"], ["prune", "--dry-run"],
                        ["restore", good, "--target", self.path("good")]):
            with self.subTest(command):
                self.salvor(self.repository, *command, timeout=60)
        copy = self.new_repository()
        self.salvor(copy, "copy", "--from-repo", self.repository,
                    env={"RESTIC_FROM_PASSWORD": PASSWORD}, timeout=60)
        self.salvor.check(copy)
        self.salvor(self.repository, "forget", bad, "--prune", timeout=60)
        self.salvor.check(self.repository)

    def test_a_path_longer_than_a_system_call_takes(self):
        """Listed, searched, dumped, restored; with few descriptors, too."""
        trees = [sealed.tree_blob([self.file("f", b"at the end")])]
        for _ in range(400):
            trees.append(sealed.tree_blob([sealed.node("d" * 12, "dir", subtree=sealed.blob_id(trees[-1]))]))
        self.pack("tree", trees)
        self.pack("data", [b"at the end"])
        self.index()
        self.snapshot(trees[-1])
        path = ("/" + "d" * 12) * 400 + "/f"
        self.assertIn(path, self.salvor(self.repository, "ls", "latest").text)
        self.assertIn(path, self.salvor(self.repository, "find", "f").text)
        self.assertEqual(self.salvor(self.repository, "dump", "latest", path).out, b"at the end")
        target = self.fast / "target"
        # A single descriptor for each directory would not do.
        self.salvor.restore(self.repository, target, prefix=["prlimit", "--nofile=64"])
        self.salvor.restore(self.repository, target, prefix=["prlimit", "--nofile=64"])
        state = treestate.capture(target)
        self.assertEqual(len(state.entries), 402)


class LyingIndex(Made):
    """The index says what is not so of one blob. It is found and named, costs that file only, and where
    another index tells the truth it costs nothing."""

    def setUp(self):
        super().setUp()
        self.contents = {f"f{n}": self.bytes(2000 + n) for n in range(4)}
        nodes = [self.file(name, data) for name, data in sorted(self.contents.items())]
        self.tree = sealed.tree_blob(nodes)
        self.pack("tree", [self.tree])
        self.truth = self.pack("data", list(self.contents.values()))
        self.victim = self.truth["blobs"][1]
        self.name = self.victim["id"]

    def lie(self, lie):
        """An index in which `lie` has changed what it may: (the pack, the blob)."""
        packs = json.loads(json.dumps(self.packs))
        lie(packs[1], packs[1]["blobs"][1])
        return sealed.write_index(self.repository, self.master, packs)

    def assert_costs_one_file(self, why):
        said = self.salvor.check(self.repository, expect=FAILS)
        said = said.text + said.errors
        self.assertTrue(self.name[:8] in said or "abababab" in said, why)
        self.assertIn("/f1", said, why)
        self.assertNotIn("/f2", said, why)
        target = self.fast / f"restored-{why}"
        result = self.salvor.restore(self.repository, target, expect=INCOMPLETE)
        self.assertIn("/f1", result.errors, why)
        self.assertNotIn("/f2", result.errors, why)
        for name, data in self.contents.items():
            if name != "f1":
                self.assertEqual((target / name).read_bytes(), data, why)
        self.assertNotEqual(self.salvor(self.repository, "dump", "latest", "/f1", expect=FAILS).out,
                            self.contents["f1"])
        self.assertEqual(self.salvor(self.repository, "dump", "latest", "/f2").out, self.contents["f2"])

    def lies(self):
        other = self.pack("data", [b"something else"])
        first = self.truth["blobs"][0]
        return {
            "offset beyond the pack": lambda pack, blob: blob.update(offset=1 << 20),
            "offset of another blob": lambda pack, blob: blob.update(offset=first["offset"],
                                                                     length=first["length"]),
            "offset one too far": lambda pack, blob: blob.update(offset=blob["offset"] + 1),
            "length one too short": lambda pack, blob: blob.update(length=blob["length"] - 1),
            "length of the seal only": lambda pack, blob: blob.update(length=32),
            "length of four gigabytes": lambda pack, blob: blob.update(
                length=(1 << 32) - 1 - blob["offset"]),
            "compressed though it is raw": lambda pack, blob: blob.update(uncompressed_length=2001),
            "four gigabytes when decompressed": lambda pack, blob: blob.update(
                uncompressed_length=(1 << 32) - 1),
            "a tree": lambda pack, blob: blob.update(type="tree"),
            "not listed": lambda pack, blob: pack["blobs"].remove(blob),
            "in another pack": lambda pack, blob: (pack["blobs"].remove(blob), self.packs[2]["id"]),
            "in a pack that is not there": lambda pack, blob: blob.update(id=blob["id"]),
        }, other

    def test_one_lie_costs_one_file_and_the_truth_beside_it_heals(self):
        lies, other = self.lies()
        for why, lie in lies.items():
            with self.subTest(why):
                for path in (self.repository / "index").iterdir():
                    path.unlink()
                packs = json.loads(json.dumps(self.packs))
                blob = packs[1]["blobs"][1]
                lie(packs[1], blob)
                if why == "in another pack":
                    packs[2]["blobs"].append({**blob, "offset": 0, "length": other["blobs"][0]["length"]})
                elif why == "in a pack that is not there":
                    packs[1]["blobs"].remove(blob)
                    packs.append({"id": "ab" * 32, "blobs": [{**blob, "offset": 0}]})
                index = sealed.write_index(self.repository, self.master, packs)
                for path in (self.repository / "snapshots").iterdir():
                    path.unlink()
                self.snapshot(self.tree)
                self.assert_costs_one_file(why)
                if why == "in another pack":
                    continue  # its place in the file follows from a length that is a lie: stays refused
                # The truth in a second index, as after a repair that could not remove the first.
                sealed.write_index(self.repository, self.master, self.packs)
                target = self.fast / f"healed-{why}"
                self.salvor.restore(self.repository, target)
                self.assertEqual({p.name: p.read_bytes() for p in target.iterdir()}, self.contents, why)
                (self.repository / "index" / index).unlink()

    def test_repair_index_finds_the_truth_in_the_packs(self):
        lies, other = self.lies()
        del other
        for why, lie in lies.items():
            if "pack" in why and "offset" not in why:
                continue
            with self.subTest(why):
                for path in [*(self.repository / "index").iterdir(), *(self.repository / "snapshots").iterdir()]:
                    path.unlink()
                self.lie(lie)
                self.snapshot(self.tree)
                self.salvor(self.repository, "repair", "index", "--read-all-packs")
                self.salvor.check(self.repository)
                target = self.fast / f"repaired-{why}"
                self.salvor.restore(self.repository, target)
                self.assertEqual({p.name: p.read_bytes() for p in target.iterdir()}, self.contents, why)

    def test_prune_does_not_believe_a_lie(self):
        """Rewriting by a lying index must not throw away the only good copy."""
        for why, lie in self.lies()[0].items():
            if why.startswith("in "):
                continue
            with self.subTest(why):
                for path in [*(self.repository / "index").iterdir(), *(self.repository / "snapshots").iterdir()]:
                    path.unlink()
                self.lie(lie)
                self.snapshot(self.tree)
                self.salvor(self.repository, "prune", "--max-unused", "0", "--repack-small", expect=ANY)
                self.salvor(self.repository, "repair", "index", "--read-all-packs")
                target = self.fast / f"pruned-{why}"
                self.salvor.restore(self.repository, target)
                self.assertEqual({p.name: p.read_bytes() for p in target.iterdir()}, self.contents, why)


class MovedPacks(Made):
    def setUp(self):
        super().setUp()
        self.contents = {f"f{n}": self.bytes(3000) for n in range(3)}
        self.trees = {name: sealed.tree_blob([self.file(name, data)]) for name, data in self.contents.items()}
        self.pack("tree", list(self.trees.values()))
        self.paths = []
        for data in self.contents.values():
            name = self.pack("data", [data])["id"]
            self.paths.append(self.repository / "data" / name[:2] / name)
        self.index()
        self.snapshots = {name: self.snapshot(tree) for name, tree in self.trees.items()}

    def assert_lost(self, lost):
        result = self.salvor.check(self.repository, expect=FAILS)
        said = result.text + result.errors
        for number, (name, data) in enumerate(self.contents.items()):
            hit = name in lost
            self.assertEqual(f"/{name}" in said, hit, said)
            self.assertEqual(self.snapshots[name] in said, hit, said)
            if hit:
                self.assertIn(self.paths[number].name[:8], said)
            target = self.fast / f"target-{name}"
            self.salvor.restore(self.repository, target, self.snapshots[name],
                                expect=INCOMPLETE if hit else 0)
            if not hit:
                self.assertEqual((target / name).read_bytes(), data)

    def test_two_packs_swapped(self):
        one, two = self.paths[0].read_bytes(), self.paths[1].read_bytes()
        for path, data in ((self.paths[0], two), (self.paths[1], one)):
            path.chmod(0o600)
            path.write_bytes(data)
        self.assert_lost({"f0", "f1"})
        # Nothing is lost: the headers tell what is where.
        self.salvor(self.repository, "repair", "index", "--read-all-packs")
        for name, data in self.contents.items():
            self.assertEqual(self.salvor(self.repository, "dump", self.snapshots[name], name).out, data)

    def test_a_pack_overwritten_with_another(self):
        self.paths[0].chmod(0o600)
        self.paths[0].write_bytes(self.paths[2].read_bytes())
        self.assert_lost({"f0"})

    def test_a_pack_under_another_name(self):
        """A copy costs nothing, is reported, and goes with the next prune; a renamed pack is found again."""
        stranger = self.repository / "data/ab" / ("ab" * 32)
        stranger.write_bytes(self.paths[0].read_bytes())
        result = self.salvor.check(self.repository, "-vv")
        self.assertIn("abababab", result.text + result.errors)
        self.salvor(self.repository, "prune")
        self.salvor.check(self.repository)
        for name, data in self.contents.items():
            self.assertEqual(self.salvor(self.repository, "dump", self.snapshots[name], name).out, data)
        self.paths[1].rename(stranger)
        self.assert_lost({"f1"})
        self.salvor(self.repository, "repair", "index")
        for name, data in self.contents.items():
            self.assertEqual(self.salvor(self.repository, "dump", self.snapshots[name], name).out, data)


def zstd_frame(claimed, blocks):
    """A frame of blocks that repeat one byte: (length, byte). `claimed`: the size its header states."""
    head = b"\x28\xb5\x2f\xfd"
    head += b"\x80\x58" if claimed is None else b"\xc0\x58"  # a window of 2 MiB
    head += b"" if claimed is None else claimed.to_bytes(8, "little")
    if claimed is None:
        head = b"\x28\xb5\x2f\xfd\x00\x58"
    body = b"".join((length << 3 | 2 | (number == len(blocks) - 1)).to_bytes(3, "little") + byte
                    for number, (length, byte) in enumerate(blocks))
    return head + body


BLOCK = 128 << 10


class Bombs(Made):
    """Compressed objects that unfold to gigabytes, or whose headers say so. Each command runs with less
    memory than the bomb wants, and must end with an error that names the object."""
    MEMORY = 1 << 30

    def setUp(self):
        super().setUp()
        self.good = self.bytes(5000)

    def frame_pack(self, kind, name, frame, plain_length):
        box = self.master.seal(frame)
        header = self.master.seal(bytes([3 if kind == "tree" else 2]) + len(box).to_bytes(4, "little") +
                                  plain_length.to_bytes(4, "little") + bytes.fromhex(name))
        pack = sealed.write_file(self.repository, "data", box + header + len(header).to_bytes(4, "little"))
        self.packs.append({"id": pack, "blobs": [{"id": name, "type": kind, "offset": 0, "length": len(box),
                                                  "uncompressed_length": plain_length}]})
        return pack

    def limited(self, *arguments, **options):
        return self.salvor(self.repository, *arguments, timeout=60,
                           prefix=self.address_space(self.MEMORY), **options)

    def bombs(self):
        """(what, frame, length in the index). The ids are made up: no content can match."""
        blocks = [(BLOCK, b"\0")] * 20_000  # 2.6 GB in 80 kB
        honest = [(BLOCK, b"\0")] * 8
        return (("all of it", zstd_frame(len(blocks) * BLOCK, blocks), len(blocks) * BLOCK),
                ("no size in the frame", zstd_frame(None, blocks), len(blocks) * BLOCK),
                ("the index says little", zstd_frame(len(blocks) * BLOCK, blocks), 1000),
                ("the frame says little", zstd_frame(1000, blocks), len(blocks) * BLOCK),
                ("the frame says little and so does the index", zstd_frame(1000, blocks), 1000),
                ("both say much and there is little", zstd_frame((1 << 32) - 1, honest), (1 << 32) - 1),
                ("the index says much", zstd_frame(8 * BLOCK, honest), (1 << 32) - 1),
                ("the frame says exabytes", zstd_frame((1 << 62), honest), 8 * BLOCK))

    def test_a_file_that_unfolds(self):
        for number, (why, frame, length) in enumerate(self.bombs()):
            with self.subTest(why):
                self.setUp()
                name = sealed.blob_id(b"bomb %d" % number)
                tree = sealed.tree_blob([sealed.node("bomb", size=length, content=[name]),
                                         self.file("good", self.good)])
                self.pack("tree", [tree])
                self.pack("data", [self.good])
                self.frame_pack("data", name, frame, length)
                self.index()
                self.snapshot(tree)
                result = self.limited("check", "--read-data", expect=FAILS)
                self.assertIn(name[:8], result.text + result.errors)
                self.assertIn("/bomb", result.text + result.errors)
                self.assertNotIn("/good", result.text + result.errors)
                target = self.fast / "target"
                result = self.limited("restore", "latest", "--target", target, expect=INCOMPLETE)
                self.assertIn("/bomb", result.errors)
                self.assertEqual((target / "good").read_bytes(), self.good)
                for command in (["cat", "blob", name], ["dump", "latest", "bomb"]):
                    result = self.limited(*command, expect=FAILS)
                    self.assertIn(name[:8], result.errors)
                    self.assertLess(len(result.out), 1 << 20)
                self.limited("ls", "latest")

    @limit(400)
    def test_a_directory_that_unfolds(self):
        for number, (why, frame, length) in enumerate(self.bombs()):
            with self.subTest(why):
                self.setUp()
                name = sealed.blob_id(b"bomb %d" % number)
                tree = sealed.tree_blob([sealed.node("bomb", "dir", subtree=name),
                                         self.file("good", self.good)])
                self.pack("tree", [tree])
                self.pack("data", [self.good])
                self.frame_pack("tree", name, frame, length)
                self.index()
                self.snapshot(tree)
                for command in (["check"], ["check", "--read-data"], ["ls", "latest"], ["stats"],
                                ["find", "x"], ["cat", "tree", f"latest:bomb"]):
                    result = self.limited(*command, expect=FAILS)
                    self.assertIn(name[:8], result.text + result.errors)
                target = self.fast / "target"
                self.limited("restore", "latest", "--target", target, expect=INCOMPLETE)
                self.assertEqual((target / "good").read_bytes(), self.good)

    def test_documents_that_unfold(self):
        """Snapshots, indexes and locks are compressed as well; nothing says how large they will be."""
        tree = sealed.tree_blob([self.file("good", self.good)])
        self.pack("tree", [tree])
        self.pack("data", [self.good])
        self.index()
        good = self.snapshot(tree)
        bomb = self.master.seal(b"\2" + zstd_frame(None, [(BLOCK, b" ")] * 20_000))
        for kind, commands in (("snapshots", [["snapshots"], ["check"], ["ls", "latest"]]),
                               ("index", [["check"], ["ls", good], ["stats"]]),
                               ("locks", [["snapshots"], ["check"], ["list", "locks"]])):
            name = sealed.write_file(self.repository, kind, bomb)
            for command in commands:
                with self.subTest(kind=kind, command=command):
                    result = self.limited(*command, expect=ANY)
                    if result.code != 0:
                        self.assertIn(name[:8], result.text + result.errors)
                        self.assertNotIn("bad_alloc", result.errors)
            (self.repository / kind / name).unlink()
        self.limited("restore", good, "--target", self.fast / "target")


class Surroundings(TestCase):
    """The machine is not as expected. Nothing hangs, and what is said names the cause."""

    def setUp(self):
        super().setUp()
        self.tree = self.make_tree("t", {"a": self.bytes(20_000), "d/b": self.words(20_000)})

    def use(self, place, **options):
        """A whole life in a repository at `place`, which a prior setUp made."""
        self.salvor.backup(place, self.tree.resolve(), **options)
        self.salvor.check(place, **options)
        target = self.fast / f"target{self.random.randrange(1 << 40)}"
        self.salvor.restore(place, target, **options)
        self.assert_same_tree(self.tree, target)
        self.assertEqual(len(self.salvor.snapshots(place, **options)), 1)

    def test_repositories_are_found_however_they_are_written(self):
        for number, spell in enumerate((lambda path: f"{path}///", lambda path: f"local:{path}",
                                        lambda path: f"{path}/./", lambda path: f"{path}/data/..")):
            path = self.new_repository()
            with self.subTest(number):
                self.use(spell(path))
        path = self.new_repository()
        link = self.fast / "link"
        link.symlink_to(path)
        self.use(link)
        for name in ("line\nbreak", "back\\slash", " blank ", "d\u00e9j\u00e0", "quote'\"", "per%cent", "-dash",
                     "colon:s3:x"):
            with self.subTest(name):
                self.new_repository(name=name)
                self.use(self.fast / name)

    def test_a_relative_repository(self):
        path = self.new_repository(name="relative")
        for spelled in ("relative", "./relative", "../" + self.fast.name + "/relative//"):
            self.assertEqual(self.salvor.snapshots(spelled, cwd=self.fast), [])
        self.salvor("relative", "backup", self.tree, cwd=self.fast)
        self.assertEqual(len(self.salvor.snapshots(path)), 1)

    def test_a_location_with_a_line_break_does_not_break_the_output(self):
        result = self.salvor(self.fast / "no\nsuch\x1b[31m", "snapshots", expect=10)
        self.assertNotIn("\x1b", result.errors)
        self.assertEqual(len(result.errors.splitlines()), 2, result.errors)

    @limit(300)  # 144 runs
    def test_what_should_be_a_file_is_something_else(self):
        def fifo(path):
            os.mkfifo(path)

        def directory(path):
            path.mkdir()

        def loop(path):
            path.symlink_to(path.name)

        for make in (fifo, directory, loop):
            for kind in ("config", "keys", "index", "snapshots", "data", "locks"):
                with self.subTest(what=make.__name__, kind=kind):
                    place = self.new_repository()
                    self.salvor.backup(place, self.tree)
                    if kind == "locks":
                        path = place / "locks" / ("ab" * 32)
                    elif kind == "config":
                        path = place / "config"
                    else:
                        path = next(p for p in (place / kind).rglob("*") if p.is_file())
                    path.unlink(missing_ok=True)
                    make(path)
                    for command in (["snapshots"], ["check", "--read-data"], ["backup", self.tree],
                                    ["restore", "latest", "--target", self.fast / "x", "--dry-run"],
                                    ["prune", "--dry-run"], ["unlock"]):
                        self.salvor(place, *command, expect=ANY, timeout=20)
                    # An index or snapshot that is gone is not there; `check` sees what that leaves.
                    if kind in ("config", "keys", "data"):
                        self.salvor.check(place, expect=FAILS, timeout=20)

    def test_a_source_that_holds_its_own_repository(self):
        place = self.new_repository()
        inside = self.tree / "repository"
        shutil.move(place, inside)
        for _ in range(3):  # each backs up what the one before has stored
            self.salvor.backup(inside, self.tree, expect=(0, 3))  # its own lock may come and go
        self.salvor.check(inside)
        self.salvor(inside, "backup", "--exclude", inside, self.tree)
        target = self.fast / "target"
        self.salvor.restore(inside, target)
        self.assertEqual((target / str(self.tree)[1:] / "a").read_bytes(), (self.tree / "a").read_bytes())

    def test_no_place_for_temporary_files_nor_a_home(self):
        place = self.new_repository()
        for env in ({"TMPDIR": "/nonexistent"}, {"TMPDIR": "/dev/null"}, {"TMPDIR": ""}, {"HOME": None},
                    {"HOME": "/nonexistent", "XDG_CACHE_HOME": None}, {"XDG_CACHE_HOME": "/dev/null"},
                    {"HOME": None, "XDG_CACHE_HOME": None, "TMPDIR": None, "PATH": None, "LANG": None}):
            with self.subTest(env):
                self.salvor.backup(place, self.tree, env=env)
                self.salvor.check(place, env=env)
                target = self.fast / f"target{self.random.randrange(1 << 40)}"
                self.salvor.restore(place, target, env=env)
                self.assert_same_tree(self.tree, target)

    def test_little_memory(self):
        """With an address space too small for the work: an error that says so, no crash, no half snapshot."""
        place = self.new_repository()
        big = self.make_tree("big", {f"f{n}": self.bytes(200_000) for n in range(100)})
        told = worked = 0
        for mebibytes in (40, 80, 120, 160, 240, 320, 480, 640, 1000, 2000):
            limited = {"prefix": self.address_space(mebibytes << 20), "timeout": 60, "expect": ANY}
            result = self.salvor(place, "backup", big, **limited)
            if result.code == 0:
                worked += 1
            elif result.code != 127:  # 127: the loader could not map the libraries
                told += 1
                self.assertTrue("memory" in result.errors or "resource" in result.errors.lower(), result)
            self.salvor(place, "unlock")  # removing the own lock takes memory, too: it may have stayed
            self.salvor.check(place)
            target = self.fast / f"target{mebibytes}"
            if worked:
                result = self.salvor.restore(place, target, **limited)
                if result.code == 0:
                    self.assertEqual((target / str(big)[1:] / "f7").read_bytes(), (big / "f7").read_bytes())
        self.assertGreater(worked, 0)
        self.assertEqual(len(self.salvor.snapshots(place)), worked)
