"""The files connector against restic: the same options must give the same trees, to the last byte."""
import os
import pathlib
import subprocess

from toolbox import RESTIC_NEW, TestCase, limit, needs_root

WORDS = ["a", "b", "ab", "A", "foo", "foo.o", "x.log", "Cache", "\u00e9", "[x]", "a*", "d-1", "?"]
PARTS = ["a", "b", "*", "**", "a*", "*b", "[ab]", "[^a]", "?", "*.o", "*o*", "foo", "\\*", "\\[x\\]", "A", "c?che",
         "\u00c9", "x.*", "d-[0-9]"]


class _Files(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("backup", "restore")
        self.restic = self.peer(RESTIC_NEW)
        self.repository = self.new_repository()

    def tree_of(self, tool, *arguments, expect=(0, 3), **options):
        summary = tool(self.repository, "backup", "--json", "--force", *arguments, expect=expect,
                       **options).message("summary")
        snapshots = self.restic.snapshots(self.repository)
        return next(s for s in snapshots if s["id"] == summary["snapshot_id"])

    def assert_same_snapshot(self, *arguments, **options):
        theirs = self.tree_of(self.restic, *arguments, **options)
        ours = self.tree_of(self.salvor, *arguments, **options)
        if ours["tree"] != theirs["tree"] and not self.same_below_temporary(ours, theirs):
            listings = [self.restic(self.repository, "ls", s["id"]).text.splitlines()[1:] for s in (ours, theirs)]
            self.fail(f"{arguments}: trees differ; ours - theirs: {sorted(set(listings[0]) - set(listings[1]))}, "
                      f"theirs - ours: {sorted(set(listings[1]) - set(listings[0]))}\n"
                      + "".join(self.restic(self.repository, "cat", "tree", s["id"]).text for s in (ours, theirs)))
        self.assertEqual(ours["paths"], theirs["paths"])

    def same_below_temporary(self, ours, theirs):
        """The folder that holds everybody's temporary files changes meanwhile; what is below it must not."""
        below = [self.restic(self.repository, "cat", "tree", f"{s['id']}:{self.folder.parent}", expect=None)
                 for s in (ours, theirs)]
        return all(b.code == 0 for b in below) and below[0].out == below[1].out

    def make_names(self, name="names", depth=3):
        """Nested directories of names that patterns like to match."""
        root = self.path(name)
        def fill(folder, level):
            folder.mkdir()
            for word in self.random.sample(WORDS, 6):
                if level < depth and self.random.random() < 0.5:
                    fill(folder / word, level + 1)
                else:
                    (folder / word).write_bytes(word.encode())
        fill(root, 1)
        return root

    def a_pattern(self, anchor):
        parts = [self.random.choice(PARTS) for _ in range(self.random.randint(1, 3))]
        start = self.random.choice(["", "", anchor + "/", "/**/", "./"])
        return self.random.choice(["", "", "", "!"]) + start + "/".join(parts) + self.random.choice(["", "", "/"])


class Patterns(_Files):
    @limit(600)
    def test_excludes_choose_the_same_files(self):
        root = self.make_names()
        for _ in range(40):
            patterns = [self.a_pattern(str(root)) for _ in range(self.random.randint(1, 6))]
            arguments = []
            for pattern in patterns:
                arguments += [self.random.choice(["--exclude", "--iexclude"]), pattern]
            with self.subTest(patterns=arguments):
                self.assert_same_snapshot(*arguments, "names", cwd=self.folder)

    @limit(300)
    def test_exclude_files_are_read_alike(self):
        root = self.make_names()
        lists = [
            b"# comment\n\n  *.o  \t\r\n$ROOT/a\n${ROOT}/b/*\n!$ROOT/b/foo\n",
            b"\xef\xbb\xbffoo\n\tCache\n",
            "\ufefffoo.o\n\u00e9\n".encode("utf-16-le"),
            b"$$x\n$UNSET\n*.log\n${ROOT}\n",
            b"$UNSET/foo\n",
        ]
        for i, content in enumerate(lists):
            path = self.path(f"list{i}")
            path.write_bytes(content)
            for option in ("--exclude-file", "--iexclude-file"):
                with self.subTest(content=content, option=option):
                    self.assert_same_snapshot(option, str(path), "names", cwd=self.folder, env={"ROOT": str(root)})

    @limit(600)
    def test_restores_choose_the_same_files(self):
        root = self.make_names()
        self.restic.backup(self.repository, root)
        for i in range(25):
            option = self.random.choice(["--include", "--exclude", "--iinclude", "--iexclude"])
            arguments = []
            for _ in range(self.random.randint(1, 4)):
                arguments += [option, self.a_pattern("")]
            with self.subTest(arguments=arguments):
                targets = [self.path(f"restored{i}-{tool}") for tool in ("theirs", "ours")]
                for target, tool in zip(targets, (self.restic, self.salvor)):
                    target.mkdir()
                    tool.restore(self.repository, target, "latest", *arguments)
                self.assert_same_tree(targets[0], targets[1])


class Targets(_Files):
    def make_places(self):
        return self.make_tree("places", {
            "one/a/f": b"1", "one/a/g": b"2", "one/b/h": b"3", "two/a/f": b"4", "two/one/x": b"5", "top": b"6",
            "deep/er/and/deeper/file": b"7"})

    @limit(300)
    def test_targets_stand_at_the_same_place(self):
        root = self.make_places()
        (root / "link").symlink_to("one")
        os.chmod(root / "deep/er", 0o2750)
        os.utime(root / "deep", ns=(1, 1_600_000_000_123_456_789))
        cases = [
            (["."], root), (["one"], root), (["one/a", "two/a"], root), (["./one/", "two/../top"], root),
            ([str(root / "one"), str(root / "one/a")], root), ([str(root / "deep/er/and/deeper/file")], root),
            (["../one", "../two/one"], root / "one"), (["one", "../one"], root / "two"),
            (["../two/one", "one", "../../top"], root / "two/a/.."), (["..", "."], root / "one"),
            (["link"], root), (["link/a"], root), ([str(root / "link/a/f")], root), (["top", "top", "./top"], root),
            (["one/a/f", "one"], root), (["one", "missing"], root), (["../../places/one/../two"], root / "two"),
        ]
        for targets, cwd in cases:
            with self.subTest(targets=targets, cwd=cwd):
                self.assert_same_snapshot(*targets, cwd=cwd)

    def test_named_targets_are_exempt_from_exclusions(self):
        root = self.make_places()
        for arguments in (["--exclude", "one", "one"], ["--exclude", "a", "one/a", "two"],
                          ["--exclude", "*", "--exclude", "!f", "one/a/f", "top"], ["--exclude", "top", "."]):
            with self.subTest(arguments=arguments):
                self.assert_same_snapshot(*arguments, cwd=root)

    def test_tags_sizes_and_times(self):
        root = self.make_tree("tags", {
            "cache/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55 ...", "cache/data": b"x",
            "fake/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc5", "fake/data": b"x",
            "skip/.skip": b"yes", "skip/deep/data": b"x", "unskip/.skip": b"no", "unskip/data": b"x",
            "large": bytes(2048), "exact": bytes(1024)})
        for arguments in (["--exclude-caches"], ["--exclude-if-present", ".skip"],
                          ["--exclude-if-present", ".skip:yes", "--exclude-if-present", "CACHEDIR.TAG"],
                          ["--exclude-larger-than", "1k"], ["--with-atime"]):
            with self.subTest(arguments=arguments):
                self.assert_same_snapshot(*arguments, "tags", cwd=self.folder)
                self.assert_same_snapshot(*arguments, ".", cwd=root)

    def test_lists_of_files(self):
        root = self.make_places()
        lists = {"--files-from": b"# comment\n one/* \n\ntwo/[ab]\n*op\n",
                 "--files-from-verbatim": b"one/a\r\ntop\n\n", "--files-from-raw": b"one\0top\0"}
        for option, content in lists.items():
            path = self.path("list")
            path.write_bytes(content)
            with self.subTest(option=option):
                self.assert_same_snapshot(option, str(path), cwd=root)
                self.assert_same_snapshot(option, str(path), "deep", cwd=root)

    @needs_root
    def test_other_file_systems(self):
        root = self.make_places()
        mount = root / "one/mount"
        mount.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "salvor-test", str(mount)], check=False)
        if done.returncode != 0:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)], check=False)
        (mount / "inside").write_bytes(b"x")
        (mount / "dir").mkdir()
        for targets in (["."], ["one"], ["one", "one/mount/dir"], [str(mount)], ["one/mount", "one"]):
            with self.subTest(targets=targets):
                self.assert_same_snapshot("--one-file-system", *targets, cwd=root)
                self.assert_same_snapshot(*targets, cwd=root)


class Streams(_Files):
    def test_standard_input_and_commands(self):
        time = ["--time", "2024-02-03 04:05:06"]
        for name in ("stdin", "dir/deep/dump.sql"):
            with self.subTest(name=name):
                self.assert_same_snapshot("--stdin", "--stdin-filename", name, *time, input=b"content\n" * 1000)
                self.assert_same_snapshot("--stdin-filename", name, "--stdin-from-command", *time, "--", "seq", "5000")

    def test_failing_commands_leave_no_snapshot(self):
        before = len(self.restic.snapshots(self.repository))
        for command in (["sh", "-c", "echo partial; exit 3"], ["sh", "-c", "echo x; kill -9 $$"], ["false"], ["true"],
                        ["/no/such/command"]):
            with self.subTest(command=command):
                result = self.salvor(self.repository, "backup", "--stdin-from-command", "--", *command, expect=None)
                self.assertNotEqual(result.code, 0)
        self.salvor(self.repository, "backup", "--stdin", input=b"", expect=1)
        self.assertEqual(len(self.restic.snapshots(self.repository)), before)
        self.restic.check(self.repository)
