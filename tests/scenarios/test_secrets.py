"""Passwords must not show where other users, other programs or logs can see them."""
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

SALVOR = os.environ["SALVOR_BIN"]
SECRET = "tulip-hammock-93174"


class Secrets(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.environment = {k: v for k, v in os.environ.items()
                            if not k.startswith(("SALVOR_", "RESTIC_"))}
        self.environment.update(HOME=scratch.name, SALVOR_REPOSITORY=str(self.folder / "repo"))

    def salvor(self, *arguments, **more):
        return subprocess.run([SALVOR, *arguments], env={**self.environment, **more}, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    def init(self):
        done = self.salvor("init", SALVOR_PASSWORD=SECRET)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(SECRET, done.stdout + done.stderr)

    def test_children_do_not_inherit_password_variables(self):
        self.init()
        seen = self.folder / "seen"
        helper = self.folder / "helper"
        helper.write_text(f"#!/bin/sh\nenv > {seen}\necho {SECRET}\n")
        helper.chmod(0o700)
        done = self.salvor("list", "keys", "--password-command", str(helper), SALVOR_PASSWORD=SECRET,
                           RESTIC_PASSWORD=SECRET, RESTIC_FROM_PASSWORD=SECRET, KEPT="kept")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("KEPT=kept", seen.read_text())
        self.assertNotIn(SECRET, seen.read_text())
        self.assertNotIn("PASSWORD", seen.read_text())

    def test_the_running_process_does_not_show_it(self):
        """The environment block of a process stays readable in /proc unless it is overwritten."""
        started = self.folder / "started"
        helper = self.folder / "helper"
        helper.write_text(f"#!/bin/sh\ntouch {started}\nexec sleep 60\n")
        helper.chmod(0o700)
        self.init()
        process = subprocess.Popen(
            [SALVOR, "list", "keys", "--password-command", str(helper)],
            env={**self.environment, "SALVOR_PASSWORD": SECRET, "KEPT": "kept"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not started.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertTrue(started.exists())
            proc = pathlib.Path(f"/proc/{process.pid}")
            try:
                block = (proc / "environ").read_bytes()
            except PermissionError:  # even better: core dumps and peeking are off
                block = b"KEPT"
            self.assertIn(b"KEPT", block)
            self.assertNotIn(SECRET.encode(), block)
            self.assertNotIn(SECRET.encode(), (proc / "cmdline").read_bytes())
            self.assertEqual((proc / "limits").read_text().split("Max core file size")[1].split()[:2],
                             ["0", "0"])
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, errors)

    def test_failures_do_not_print_what_the_command_printed(self):
        self.init()
        done = self.salvor("list", "keys", "--password-command", f"sh -c 'echo {SECRET}; exit 1'")
        self.assertEqual(done.returncode, 1)
        self.assertNotIn(SECRET, done.stdout + done.stderr)
        done = self.salvor("list", "keys", SALVOR_PASSWORD=SECRET + "x")
        self.assertEqual(done.returncode, 12)
        self.assertNotIn(SECRET, done.stdout + done.stderr)

    def test_two_interrupts_end_it_at_once(self):
        helper = self.folder / "helper"
        helper.write_text("#!/bin/sh\ntrap '' TERM INT\ntouch started\nsleep 30\n")
        helper.chmod(0o700)
        self.init()
        process = subprocess.Popen([SALVOR, "list", "keys", "--password-command", str(helper)],
                                   env=self.environment, cwd=self.folder, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        deadline = time.monotonic() + 20
        while not (self.folder / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        time.sleep(0.3)
        process.terminate()
        self.assertEqual(process.wait(timeout=10), 130)
        process.stderr.close()
