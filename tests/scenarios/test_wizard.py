"""`salvor init` on a terminal: the questions, and what becomes of the answers."""
import os
import pathlib
import pty
import select
import subprocess
import tempfile
import time
import unittest

SALVOR = os.environ["SALVOR_BIN"]


class Wizard(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / "shop"
        (self.folder / "uploads").mkdir(parents=True)
        (self.folder / "media").mkdir()
        self.sockets = pathlib.Path(scratch.name) / "sockets"
        self.sockets.mkdir()
        self.environment = {k: v for k, v in os.environ.items()
                            if not k.startswith(("SALVOR_", "RESTIC_", "AWS_")) and k != "DATABASE_URL"}
        self.environment.update(HOME=scratch.name, TERM="xterm", PGHOST=str(self.sockets))

    def dialogue(self, answers):
        """(status, what was shown); answers are (text to wait for, what to type)."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.execve(SALVOR, [SALVOR, "init"], self.environment)
        self.addCleanup(os.close, terminal)
        shown, seen, pending, deadline = "", 0, list(answers), time.monotonic() + 60
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    data = os.read(terminal, 4096)
                except OSError:  # the other side has gone
                    data = b""
                if not data:
                    break
                shown += data.decode()
            if pending and pending[0][0] in shown[seen:]:
                seen = len(shown)
                os.write(terminal, pending.pop(0)[1])
        self.assertEqual(pending, [], shown)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown

    def salvor(self, *arguments):
        return subprocess.run([SALVOR, *arguments], cwd=self.folder, env=self.environment, text=True,
                              stdout=subprocess.PIPE, check=True).stdout

    def test_answers_become_the_configuration(self):
        (self.sockets / ".s.PGSQL.5433").touch()
        repository = self.folder.parent / "kept: here"
        status, shown = self.dialogue([
            ("application [shop]: ", b"web shop\n"), ("port 5433? [Y/n]: ", b"\n"),
            ("uploads, a folder here? [Y/n]: ", b"maybe\n"), ("[Y/n]: ", b"y\n"),
            ("media, a folder here? [Y/n]: ", b"n\n"), ("sftp:...)", str(repository).encode() + b"\n"),
            ("a password for it", b"\n"), ("repository now? [Y/n]: ", b"\n")])
        self.assertEqual(status, 0, shown)
        self.assertIn("created repository", shown)
        self.assertTrue((repository / "config").is_file())
        for name in ("password", "database-url"):
            self.assertEqual((self.folder / ".salvor" / name).stat().st_mode & 0o777, 0o600)
        self.assertEqual((self.folder / ".salvor/database-url").read_text(),
                         f"postgresql:///postgres?host={self.sockets}&port=5433\n")
        self.assertEqual(self.salvor("config", "check"),
                         "web shop: 2 sources, 1 repository, 0 plans, 1 drill; no mistakes in salvor.yaml\n")
        shown = self.salvor("config", "show")
        self.assertIn(f"url: file:{self.folder}/.salvor/database-url\n".replace(str(self.folder) + "/", ""), shown)
        self.assertNotIn("media", shown)

    def test_an_interrupted_dialogue_leaves_nothing(self):
        status, shown = self.dialogue([("application [shop]: ", b"\x04")])
        self.assertEqual(status, 130, shown)
        self.assertIn("Nothing was written", shown)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["media", "uploads"])


if __name__ == "__main__":
    unittest.main()
