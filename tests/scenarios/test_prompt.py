"""Typing a password: echo off, twice for a new one, three tries for a wrong one."""
import os
import pathlib
import pty
import select
import tempfile
import termios
import time
import unittest

SALVOR = os.environ["SALVOR_BIN"]


class Prompt(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.repository = str(pathlib.Path(scratch.name) / "repo")

    def dialogue(self, arguments, answers):
        """(status, everything the terminal showed); answers are (text to wait for, what to type)."""
        child, terminal = pty.fork()
        if child == 0:
            environment = {k: v for k, v in os.environ.items()
                           if not k.startswith(("SALVOR_", "RESTIC_"))}
            environment["TERM"] = "xterm"
            os.execve(SALVOR, [SALVOR, "-r", self.repository, *arguments], environment)
        self.addCleanup(os.close, terminal)
        shown, pending, deadline = "", list(answers), time.monotonic() + 60
        seen = 0
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
                self.assertFalse(termios.tcgetattr(terminal)[3] & termios.ECHO, "echo is on")
                seen = len(shown)
                os.write(terminal, pending.pop(0)[1])
        self.assertEqual(pending, [], shown)
        _, status = os.waitpid(child, 0)
        self.assertTrue(termios.tcgetattr(terminal)[3] & termios.ECHO, "echo stays off")
        return os.waitstatus_to_exitcode(status), shown

    def init(self):
        status, shown = self.dialogue(["init"], [("new repository: ", b"sesame\n"),
                                                 ("again: ", b"sesame\n")])
        self.assertEqual(status, 0, shown)
        self.assertNotIn("sesame", shown)

    def test_new_password_is_asked_for_twice_and_not_shown(self):
        self.init()
        status, shown = self.dialogue(["list", "keys"], [("repository: ", b"sesame\n")])
        self.assertEqual(status, 0, shown)
        self.assertNotIn("sesame", shown)

    def test_two_different_new_passwords_make_no_repository(self):
        status, shown = self.dialogue(["init"], [("new repository: ", b"sesame\n"),
                                                 ("again: ", b"sesam\n")])
        self.assertEqual(status, 64)
        self.assertIn("not the same", shown)
        self.assertFalse(os.path.exists(self.repository + "/config"))

    def test_a_wrong_password_may_be_typed_again_twice(self):
        self.init()
        status, shown = self.dialogue(["list", "keys"], [("repository: ", b"a\n"),
                                                         ("repository: ", b"sesame\n")])
        self.assertEqual(status, 0, shown)
        status, shown = self.dialogue(["list", "keys"], [("repository: ", b"a\n")] * 3)
        self.assertEqual(status, 12, shown)

    def test_interrupting_the_prompt_restores_the_echo(self):
        self.init()
        status, shown = self.dialogue(["list", "keys"], [("repository: ", b"\x03")])
        self.assertEqual(status, 130, shown)
