"""export and import: the file is a repository for the real restic, comes back whole, and lies about nothing."""
import hashlib
import io
import os
import signal
import subprocess
import tarfile
import time

from toolbox import PASSWORD, RESTIC_NEW, RESTIC_OLD, TestCase, limit


class Export(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("export", "import")
        self.source = self.new_repository(name="source")

    def tree(self, name="tree"):
        files = {f"d{i % 5}/f{i}": self.words(2000 * (i % 40)) for i in range(80)}
        files |= {f"large{i}": self.bytes(3_000_000) for i in range(3)}
        return self.make_tree(name, files)

    def target(self, name="target"):
        return self.new_repository(name=name)

    def untar(self, file):
        folder = self.path(f"untarred-{os.path.basename(file)}")
        folder.mkdir()
        subprocess.run(["tar", "-xf", file, "-C", folder], check=True)
        return folder / "salvor-export"

    def test_restic_reads_what_was_untarred(self):
        tree = self.tree()
        self.salvor.backup(self.source, tree, "--tag", "first", "--host", "a")
        (tree / "more").write_bytes(self.bytes(50_000))
        self.salvor.backup(self.source, tree, "--tag", "second", "--host", "b")
        for number, restic in enumerate((self.peer(RESTIC_NEW), self.peer(RESTIC_OLD))):
            file = self.path(f"all{number}.tar")
            self.salvor(self.source, "export", file)
            repository = self.untar(file)
            restic(repository, "check", "--read-data")
            self.assertEqual(2, len(restic.snapshots(repository)))
            self.assert_restores(restic, repository, tree)
        # The filters are restic's, and nothing else comes along.
        file = self.path("one.tar")
        self.salvor(self.source, "export", file, "--tag", "first")
        repository = self.untar(file)
        self.assertEqual([["first"]], [s["tags"] for s in restic.snapshots(repository)])
        stored = sum(p.stat().st_size for p in (repository / "data").rglob("*") if p.is_file())
        whole = sum(p.stat().st_size for p in (self.source / "data").rglob("*") if p.is_file())
        self.assertLess(stored, whole - 40_000, "the other snapshot's data came along")
        self.salvor(self.source, "export", self.path("none.tar"), "--tag", "none", expect=24)
        self.assertFalse(self.path("none.tar").exists())

    def test_it_comes_back_whole_from_one_file_volumes_and_a_stream(self):
        tree = self.tree()
        self.salvor.backup(self.source, tree)
        restic = self.peer(RESTIC_NEW)
        one, many = self.path("one.tar"), self.path("many.tar")
        self.salvor(self.source, "export", one)
        summary = self.salvor(self.source, "export", many, "--volume-size", "2M", "--json").message("summary")
        volumes = sorted(many.parent.glob("many.tar.0*"))
        self.assertGreaterEqual(len(volumes), 5)
        self.assertEqual([str(v) for v in volumes], [v["path"] for v in summary["volumes"]])
        self.assertEqual([hashlib.sha256(v.read_bytes()).hexdigest() for v in volumes],
                         [v["sha256"] for v in summary["volumes"]])
        self.assertTrue(all(v.stat().st_size == 2 << 20 for v in volumes[:-1]))
        for name in ("one.tar.sha256", "many.tar.sha256"):
            subprocess.run(["sha256sum", "--strict", "-c", name], cwd=self.folder, check=True,
                           stdout=subprocess.DEVNULL)
        for file in (one, many, volumes[0]):
            target = self.target(file.name)
            self.salvor(target, "import", file)
            restic(target, "check", "--read-data")
            self.assert_restores(restic, target, tree)
            packs = len(list((target / "data").rglob("*")))
            again = self.salvor(target, "import", file, "--json").message("summary")
            self.assertEqual((0, 1), (again["copied_snapshots"], again["skipped_snapshots"]))
            self.assertEqual(packs, len(list((target / "data").rglob("*"))))
        # The parts put together are the archive.
        joined = self.path("joined.tar")
        joined.write_bytes(b"".join(v.read_bytes() for v in volumes))
        self.salvor.check(f"tar:{joined}")
        # And into where it came from, nothing comes.
        again = self.salvor(self.source, "import", one, "--json").message("summary")
        self.assertEqual(0, again["copied_snapshots"])

        stream = self.salvor(self.source, "export", "-", "--json")
        self.assertIn(hashlib.sha256(stream.out).hexdigest(), stream.errors)
        target = self.target("stream")
        self.salvor(target, "import", "-", input=stream.out)
        restic(target, "check", "--read-data")
        self.assert_restores(restic, target, tree)
        self.assertEqual([], list((self.folder / "tmp").iterdir()))

    def test_it_is_read_where_it_lies_and_never_written(self):
        tree = self.tree()
        self.salvor.backup(self.source, tree)
        file = self.path("x.tar")
        self.salvor(self.source, "export", file)
        before = file.read_bytes()
        self.assert_restores(self.salvor, f"tar:{file}", tree)
        self.salvor(f"tar:{file}", "forget", "--keep-last", "1", "--prune", expect=22)
        self.salvor(f"tar:{file}", "backup", tree, expect=22)
        self.assertEqual(before, file.read_bytes())

    def test_only_missing_blobs_are_imported(self):
        tree = self.tree()
        self.salvor.backup(self.source, tree)
        file = self.path("x.tar")
        self.salvor(self.source, "export", file)
        target = self.path("target")
        self.salvor(target, "init", "--from-repo", self.source, "--copy-chunker-params",
                    env={"RESTIC_FROM_PASSWORD": PASSWORD})
        partly = self.make_tree("partly", {f"large{i}": (tree / f"large{i}").read_bytes() for i in range(3)})
        self.salvor.backup(target, partly)
        size = lambda: sum(p.stat().st_size for p in (target / "data").rglob("*") if p.is_file())
        before = size()
        self.salvor(target, "import", file)
        self.assertLess(size() - before, 3_000_000)
        self.salvor.check(target)

    def test_passwords(self):
        self.salvor.backup(self.source, self.tree())
        secret = self.path("secret")
        secret.write_text("its own\n")
        file, target = self.path("x.tar"), self.target()
        self.salvor(self.source, "export", file, "--export-password-file", secret)
        self.salvor(f"tar:{file}", "snapshots", expect=12)
        self.salvor(f"tar:{file}", "snapshots", password="its own")
        refused = self.salvor(target, "import", file, expect=12)
        self.assertIn("--export-password-file", refused.errors)
        self.salvor(target, "import", file, env={"SALVOR_EXPORT_PASSWORD": "its own"})
        self.assertEqual(1, len(self.salvor.snapshots(target)))

    def test_damaged_and_missing_volumes_are_named_and_nothing_is_imported(self):
        self.salvor.backup(self.source, self.tree())
        file, target = self.path("x.tar"), self.target()
        self.salvor(self.source, "export", file, "--volume-size", "2M")
        third, sums = self.path("x.tar.003"), self.path("x.tar.sha256")
        good = third.read_bytes()
        third.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
        self.assertIn("x.tar.003", self.salvor(target, "import", file, expect=20).errors)
        third.unlink()
        self.assertIn("x.tar.003 is missing", self.salvor(target, "import", file, expect=24).errors)
        listed = sums.read_bytes()
        sums.unlink()
        self.assertIn("x.tar.003 is missing", self.salvor(target, "import", file, expect=20).errors)
        # A flipped bit is found without sums, too: every blob is hashed.
        third.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
        self.salvor(target, "import", file, expect=range(1, 64))
        self.assertEqual([], self.salvor.snapshots(target))
        third.write_bytes(good)
        sums.write_bytes(listed)
        self.salvor(target, "import", file)
        self.salvor.check(target)

    def wait_for(self, condition, process):
        end = time.monotonic() + 60
        while not condition() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        self.assertIsNone(process.poll(), "it ended before it could be killed")

    @limit(180)
    def test_a_killed_export_leaves_no_file_of_that_name(self):
        tree = self.make_tree("tree", {f"f{i}": self.bytes(2_000_000) for i in range(12)})
        self.salvor.backup(self.source, tree)
        file = self.path("x.tar")
        process = self.background(self.salvor.start(self.source, "export", file, "--limit-download", "6000",
                                                    "--pack-size", "4"))
        partial = self.path("x.tar.partial")
        self.wait_for(lambda: partial.exists() and partial.stat().st_size > 5_000_000, process)
        process.kill()
        process.wait()
        self.assertFalse(file.exists() or self.path("x.tar.sha256").exists())
        target = self.target()
        self.salvor(target, "import", partial, expect=20)  # what there is has no end, and is told so
        self.salvor(self.source, "unlock")
        self.salvor(self.source, "export", file)
        self.assertFalse(partial.exists())
        self.salvor(target, "import", file)
        self.assert_restores(self.peer(RESTIC_NEW), target, tree)

        process = self.background(self.salvor.start(self.source, "export", file, "--limit-download", "6000",
                                                    "--overwrite"))
        before = file.read_bytes()
        self.wait_for(partial.exists, process)
        process.send_signal(signal.SIGINT)
        self.finish(process, expect=130)
        self.assertFalse(partial.exists())
        self.assertEqual(before, file.read_bytes())

    @limit(180)
    def test_a_killed_import_goes_on(self):
        tree = self.make_tree("tree", {f"f{i}": self.bytes(2_000_000) for i in range(12)})
        self.salvor.backup(self.source, tree)
        file, target = self.path("x.tar"), self.target()
        self.salvor(self.source, "export", file)
        packs = lambda: {p.name for p in (target / "data").rglob("*") if p.is_file() and len(p.name) == 64}
        for _ in range(2):
            have = len(packs())
            process = self.background(self.salvor.start(target, "import", file, "--limit-upload", "9000",
                                                        "--pack-size", "4"))
            self.wait_for(lambda: len(packs()) > have, process)
            process.kill()
            process.wait()
            self.salvor(target, "unlock")
        self.salvor(target, "import", file)
        self.peer(RESTIC_NEW)(target, "check", "--read-data")
        self.assert_restores(self.salvor, target, tree)

    def hostile(self, members, form=tarfile.USTAR_FORMAT):
        file = self.path(f"hostile{self.random.randrange(1 << 30)}.tar")
        with tarfile.open(file, "w", format=form) as archive:
            for name, kind, content in members:
                info = tarfile.TarInfo(name)
                info.type, info.size = kind, len(content) if kind == tarfile.REGTYPE else 0
                info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
                archive.addfile(info, io.BytesIO(content))
        return file

    def test_hostile_archives_are_refused_and_write_nothing(self):
        target, regular = self.target(), tarfile.REGTYPE
        outside = self.path("cwd")
        outside.mkdir()
        before = sorted(target.rglob("*"))
        config = ("config", regular, b"x")
        for members in ([("../escaped", regular, b"x"), config], [("/tmp/escaped", regular, b"x"), config],
                        [("config", tarfile.SYMTYPE, b"")], [("config", tarfile.LNKTYPE, b"")],
                        [("config", tarfile.FIFOTYPE, b"")], [config, config],
                        [("y/" * 60 + "z", regular, b"x"), config], [config, ("a/../../b", regular, b"x")]):
            for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
                self.salvor(target, "import", self.hostile(members, form), expect=(10, 12, 20), cwd=outside)
        self.salvor(target, "import", self.hostile([("readme", regular, b"x")]), expect=10)
        self.assertEqual([], list(outside.iterdir()))
        self.assertEqual(before, sorted(target.rglob("*")))
        for content in (b"", b"x", b"\0" * 512, b"\xff" * 10240):
            file = self.path("junk.tar")
            file.write_bytes(content)
            self.salvor(target, "import", file, expect=(10, 20))

    @limit(180)
    def test_whatever_is_changed_in_a_file_is_never_imported_as_something_else(self):
        tree = self.make_tree("tree", {f"f{i}": self.words(3000) for i in range(10)})
        self.salvor.backup(self.source, tree)
        file, changed = self.path("x.tar"), self.path("changed.tar")
        self.salvor(self.source, "export", file)
        good = file.read_bytes()
        target = self.target()
        for _ in range(15):
            bad = bytearray(good)
            if self.random.random() < 0.3:
                del bad[self.random.randrange(len(bad)):]
            for _ in range(self.random.randrange(1, 4)):
                at = self.random.randrange(max(1, len(bad)))
                bad[at:at + 1] = self.random.randbytes(1)
            changed.write_bytes(bad)
            self.salvor(target, "import", changed, expect=range(0, 64))
            for snapshot in self.salvor.snapshots(target):
                self.assert_restores(self.salvor, target, tree, snapshot["id"])
