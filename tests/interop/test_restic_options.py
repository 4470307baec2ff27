"""restic's scripts go on working: each command and option of restic's own --help is ours, too, with the
same short name, and each variable that its binary knows (docs/restic-differences.md lists the rest)."""
import re
import subprocess

from toolbox import RESTIC_NEW, TestCase

OPTION = re.compile(r"^\s+(?:(-[a-zA-Z]), )?\s*(--[a-z][a-z0-9-]*)( [a-zA-Z]|=)?", re.M)
LEFT_OUT = {"self-update"}  # a package manager's business


class Options(TestCase):
    def setUp(self):
        super().setUp()
        self.restic = self.peer(RESTIC_NEW)

    @staticmethod
    def help(tool, *command):
        result = tool(None, *command, "--help", expect=None, password=None)
        return result.text + result.errors

    def commands(self, *parent):
        found = re.findall(r"^  ([a-z][a-z-]+)  +\S", self.help(self.restic, *parent), re.M)
        for name in found if not parent or found else ():
            if name in LEFT_OUT:
                continue
            yield (*parent, name)
            if not parent and name in ("key", "repair"):
                yield from self.commands(name)

    def options(self, tool, *command):
        found = {}
        for short, name, _ in OPTION.findall(self.help(tool, *command)):
            found[name] = found.get(name) or short  # a text may mention it at a line's begin, too
        return found

    def test_every_command_and_option_of_restic_is_known(self):
        seen = set()
        for command in self.commands():
            seen.add(command)
            with self.subTest(command):
                ours, theirs = self.options(self.salvor, *command), self.options(self.restic, *command)
                self.assertIn("--help", theirs)
                self.assertEqual({k: v for k, v in theirs.items() if ours.get(k) != v}, {})
        self.assertIn(("key", "passwd"), seen)
        self.assertGreater(len(seen), 30)

    def test_what_restic_calls_deprecated_still_works(self):
        place = self.new_repository()
        tree = self.make_tree("t", {"a": b"1"})
        self.salvor.backup(place, tree)
        self.salvor.backup(place, tree)
        self.salvor(place, "rebuild-index", "--read-all-packs")
        self.assertEqual(len(self.salvor.snapshots(place, "--last")), 1)
        self.salvor(place, "check", "--check-unused")
        self.assertNotIn("rebuild-index", self.help(self.salvor))

    def test_variables_have_restics_names(self):
        """The places to which each variable leads, seen from its effect."""
        place = self.new_repository()
        tree = self.make_tree("t", {"a": b"1"})
        self.salvor.backup(place, tree)
        (self.path("location")).write_text(f"{place}\n")
        (self.path("password")).write_text("correct horse battery staple\n")
        files = {"RESTIC_REPOSITORY_FILE": str(self.path("location")),
                 "RESTIC_PASSWORD_FILE": str(self.path("password"))}
        self.salvor(None, "snapshots", env=files, password=None)
        self.salvor(None, "snapshots", password=None, env={
            "RESTIC_REPOSITORY": str(place), "RESTIC_PASSWORD_COMMAND": f"cat {self.path('password')}"})
        for name, value, code in (("RESTIC_COMPRESSION", "best", 64), ("RESTIC_PACK_SIZE", "x", 64),
                                  ("RESTIC_PACK_SIZE", "32", 0), ("RESTIC_READ_CONCURRENCY", "0.5", 64),
                                  ("RESTIC_KEY_HINT", "abcd", 0), ("RESTIC_PROGRESS_FPS", "1", 0)):
            with self.subTest(name=name, value=value):
                self.salvor(place, "backup", tree, env={name: value}, expect=code)
        self.salvor(place, "backup", tree, env={"RESTIC_HOST": "cron"})
        self.assertEqual(self.salvor.snapshots(place)[-1]["hostname"], "cron")
        result = self.salvor(place, "cache", env={"RESTIC_CACHE_DIR": str(self.path("caches"))})
        self.assertIn(str(self.path("caches")), result.text + result.errors)

    def test_a_password_and_none(self):
        place = self.new_repository()
        for tool in (self.salvor, self.restic):
            result = tool(place, "snapshots", "--insecure-no-password", expect=range(1, 128))
            self.assertIn("password", result.errors)
            self.assertNotIn("wrong password", result.errors)

    def test_a_night_in_cron(self):
        """The options that scripts are full of, in the forms that restic takes."""
        place = self.fast / "cron"
        tree = self.make_tree("t", {"a": self.words(50_000), "b/c": b"x"})
        (self.path("excludes")).write_text("*.tmp\n# a comment\n\n/nowhere\n")
        runs = (
            ["init", "--repository-version", "stable"],
            ["-q", "backup", "--cleanup-cache", "--no-cache", "--limit-upload", "100000", "--limit-download=100000",
             "--pack-size", "32", "--compression=max", "-o", "s3.connections=10", "-o", "local.connections=2",
             "--retry-lock", "5m", "--exclude-file", self.path("excludes"), "--exclude-caches", "-x",
             "--one-file-system", "--tag", "a,b", "--tag=c", "--host", "h", "-H", "h", tree],
            ["backup", "--verbose=2", "-vv", tree],
            ["backup", "--verbose", "--verbose", "--host=h", "--group-by", "", tree],
            ["snapshots", "--no-lock", "--group-by", "host,tags", "-c", "--host", "h", "--host=g"],
            ["forget", "--group-by", "host,paths", "-l", "3", "-d=7", "--keep-weekly", "5", "-m", "12", "-y", "unlimited",
             "--keep-tag", "a", "--keep-within", "1y5m7d2h", "--keep-within-daily=7d", "-n", "--prune", "-c"],
            ["forget", "--keep-last", "1", "--prune", "--max-unused", "5%", "--max-repack-size", "10G"],
            ["prune", "--max-unused=unlimited", "--repack-cacheable-only"],
            ["check", "--read-data-subset=1/2"], ["check", "--read-data-subset", "50%"], ["check", "--read-data-subset=1M"],
            ["stats", "--mode", "raw-data", "latest"], ["unlock", "--remove-all"], ["cache", "--cleanup", "--max-age", "5"],
            ["restore", "latest", "-t", self.fast / "out", "-i", "a", "--verify", "--sparse"],
            ["ls", "-l", "--recursive", "latest", str(tree)], ["find", "-i", "--long", "A"],
            ["tag", "--add", "x", "--remove", "a", "latest"], ["key", "list"], ["list", "snapshots"], ["version"])
        for tool, name in ((self.restic, "restic"), (self.salvor, "salvor")):
            where = place.with_name(f"cron-{name}")
            for run in runs:
                with self.subTest(tool=name, run=run):
                    result = tool(where, *run)
                    if run[0] == "-q":
                        self.assertEqual(result.out, b"")
            subprocess.run(["rm", "-rf", self.fast / "out"], check=True)
