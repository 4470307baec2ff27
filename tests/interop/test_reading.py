"""Commands that read: over the same repository ours must say what restic says.

Differential: the same question to both, the answers compared as data. Fields of our own are welcome;
fields that restic documents must be there with the same values.
"""
import os
import subprocess
import tarfile

import treemaker
from toolbox import RESTIC_NEW, RESTIC_OLD, TestCase


def without(items, *names):
    return [{k: v for k, v in item.items() if k not in names} for item in items]


class _Reading(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.restic = self.peer(self.peer_name)
        self.repository = self.new_repository()
        self.tree = self.path("tree")
        treemaker.make_everything(self.tree, self.random, old_restic=True)
        self.restic.backup(self.repository, self.tree, "--tag", "one", "--time", "2026-01-01 00:00:00")
        treemaker.change_some(self.tree / "names", self.random, 0.5)
        (self.tree / "added").write_bytes(b"new")
        os.unlink(self.tree / "empty")
        self.restic.backup(self.repository, self.tree, "--tag", "two", "--host", "other",
                           "--time", "2026-01-02 00:00:00")

    def both(self, *arguments, **options):
        return (tool(self.repository, *arguments, **options) for tool in (self.salvor, self.restic))

    def assert_covers(self, ours, theirs):
        """Every field of theirs is in ours with the same value."""
        self.assertEqual(len(ours), len(theirs))
        for mine, other in zip(ours, theirs):
            self.assertEqual({k: mine.get(k) for k in other}, other)

    def test_snapshots(self):
        self.needs("snapshots")
        for arguments in ([], ["--tag", "two"], ["--host", "other"], ["--path", str(self.tree)],
                          ["--latest", "1"], ["latest"]):
            with self.subTest(arguments):
                ours, theirs = self.both("snapshots", "--json", *arguments)
                self.assert_covers(without(ours.json(), "summary"),
                                   without(theirs.json(), "summary"))

    def test_the_latest_of_a_relative_path(self):
        self.needs("ls")
        for path in (".", "./", f"../{self.tree.name}"):
            with self.subTest(path):
                ours, theirs = self.both("ls", "--quiet", "latest", "--path", path, cwd=self.tree)
                self.assertEqual(ours.text, theirs.text)
        self.salvor(self.repository, "ls", "latest", "--path", "links", cwd=self.tree, expect=24)

    def test_ls(self):
        self.needs("ls")
        for arguments in (["latest"], ["latest", "/links"], ["latest", "/links", "--recursive"],
                          ["latest", "/sizes/text"]):
            with self.subTest(arguments):
                ours, theirs = self.both("ls", "--json", *arguments)
                # The old one has no message_type; both call the kind struct_type.
                drop = ("message_type", "struct_type")
                self.assert_covers(without(ours.lines()[1:], *drop), without(theirs.lines()[1:], *drop))
                ours, theirs = self.both("ls", "--quiet", *arguments)
                self.assertEqual(ours.text, theirs.text)

    def test_find(self):
        self.needs("find")
        for arguments in (["*.moved"], ["SPARSE", "--ignore-case"], ["original", "--snapshot", "latest"],
                          ["--newest", "2020-01-01", "*"]):
            with self.subTest(arguments):
                ours, theirs = (r.json() for r in self.both("find", "--json", *arguments))

                def found(answer):
                    return sorted((a["snapshot"], sorted(m["path"] for m in a["matches"])) for a in answer)
                self.assertEqual(found(ours), found(theirs))
                self.assertEqual(sorted(a["hits"] for a in ours), sorted(a["hits"] for a in theirs))

    def test_diff(self):
        self.needs("diff")
        names = [s["id"] for s in self.restic.snapshots(self.repository)]
        ours, theirs = self.both("diff", "--json", *names)

        def changes(result):
            return sorted((m["path"], m["modifier"]) for m in result.lines()
                          if m["message_type"] == "change")
        self.assertEqual(changes(ours), changes(theirs))
        mine, other = ours.message("statistics"), theirs.message("statistics")
        self.assertEqual({k: mine.get(k) for k in other}, other)

    def test_dump_of_files(self):
        self.needs("dump")
        for name in ("sizes/text", "sizes/sparse", "sizes/constant", "added", "links/same"):
            with self.subTest(name):
                result = self.salvor(self.repository, "dump", "latest", f"/{name}")
                self.assertEqual(result.out, (self.tree / name).read_bytes())
        self.salvor(self.repository, "dump", "latest", "/not/there", expect=range(1, 128))

    def test_dump_of_a_folder_is_a_tar(self):
        self.needs("dump")
        archive = self.path("dump.tar")
        archive.write_bytes(self.salvor(self.repository, "dump", "latest", "/sizes").out)
        with tarfile.open(archive) as tar:
            files = {m.name.strip("/").split("/")[-1]: m for m in tar if m.isfile()}
            for name in os.listdir(self.tree / "sizes"):
                data = tar.extractfile(files[name]).read()
                self.assertEqual(data, (self.tree / "sizes" / name).read_bytes(), name)

    def test_dump_of_a_folder_as_zip(self):
        self.needs("dump")
        archive = self.path("dump.zip")
        archive.write_bytes(self.salvor(self.repository, "dump", "--archive", "zip", "latest",
                                        "/sizes").out)
        subprocess.run(["python3", "-m", "zipfile", "-t", str(archive)], check=True,
                       stdout=subprocess.DEVNULL)

    def test_stats(self):
        self.needs("stats")
        for mode in ("restore-size", "raw-data", "files-by-contents", "blobs-per-file"):
            with self.subTest(mode):
                ours, theirs = (r.json() for r in self.both("stats", "--json", "--mode", mode))
                theirs = {k: v for k, v in theirs.items() if not k.startswith("compression")}
                self.assertEqual({k: ours.get(k) for k in theirs}, theirs)

    def test_cat(self):
        self.needs("cat")
        for what in (["config"], ["snapshot", self.restic.snapshots(self.repository)[0]["id"]]):
            with self.subTest(what):
                ours, theirs = self.both("cat", *what)
                self.assertEqual(ours.json(), theirs.json())

    def test_snapshots_are_named_as_restic_names_them(self):
        self.needs("ls", "restore")
        name = self.restic.snapshots(self.repository)[0]["id"]
        for given in (name, name[:8], "latest"):
            with self.subTest(given):
                ours, theirs = self.both("ls", "--quiet", given)
                self.assertEqual(ours.text, theirs.text)
        ours, theirs = self.both("ls", "--quiet", "latest", "--host", "other", "--tag", "two")
        self.assertEqual(ours.text, theirs.text)
        self.salvor(self.repository, "ls", "00000000", expect=range(1, 128))


class LikeOldRestic(_Reading):
    peer_name = RESTIC_OLD


class LikeNewRestic(_Reading):
    peer_name = RESTIC_NEW

    # The old one has no --ncdu, and does not find root trees.
    def test_ls_for_ncdu(self):
        self.needs("ls")
        for arguments in ([], ["/links"], ["/links", "--recursive"], ["/sizes/text"]):
            with self.subTest(arguments):
                ours, theirs = self.both("ls", "--quiet", "--ncdu", "latest", *arguments)
                self.assertEqual(ours.json()[3:], theirs.json()[3:])
                self.assertEqual(ours.json()[:2], theirs.json()[:2])

    def test_find_objects(self):
        self.needs("find", "list")
        packs = self.restic(self.repository, "list", "packs", "--quiet").text.split()
        snapshot = self.restic.snapshots(self.repository)[0]
        trees = [["--tree", t] for t in (snapshot["tree"], snapshot["tree"][:8])]
        for arguments in [["--pack", p] for p in packs] + [["--pack", packs[0][:8]]] + trees:
            with self.subTest(arguments):
                ours, theirs = (r.json() for r in self.both("find", "--json", *arguments))

                def key(use):
                    return use["snapshot"], use["path"], use["id"]
                self.assertNotEqual(ours, [])
                self.assertEqual(sorted(ours, key=key), sorted(theirs, key=key))
        blob = next(u for u in ours if u["object_type"] == "tree")
        found = self.salvor(self.repository, "find", "--tree", blob["id"], "--show-pack-id").text
        self.assertTrue(any(pack in found for pack in packs), found)
