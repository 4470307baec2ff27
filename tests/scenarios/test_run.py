"""The scenario runner must notice: a runner that passes everything would hide every regression."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import run


def outcome(text):
    """(status, report) of a scenario, with /bin/true standing in for salvor."""
    with tempfile.TemporaryDirectory() as folder, io.StringIO() as report:
        path = pathlib.Path(folder) / "x.scn"
        path.write_text(text)
        with contextlib.redirect_stdout(report):
            status = run.run_scenario(path, "/bin/true")
        return status, report.getvalue()


class Runner(unittest.TestCase):
    def passes(self, text):
        status, report = outcome(text)
        self.assertEqual(status, 0, report)

    def fails(self, text, why):
        status, report = outcome(text)
        self.assertEqual(status, 1)
        self.assertIn(why, report)

    def test_passes_what_is_right(self):
        self.passes("# c\n$ echo a; echo b >&2; exit 3\na\n! b\n? 3\n\n$ salvor\n")

    def test_notices_missing_and_additional_output(self):
        self.fails("$ echo a\n", "+a")
        self.fails("$ true\na\n", "-a")
        self.fails("$ echo a; echo b\na\n", "+b")
        self.fails("$ echo a >&2\n", "+a")
        self.fails("$ true\n! a\n", "-a")

    def test_notices_the_exit_status(self):
        self.fails("$ exit 3\n", "exit status 3, expected 0")
        self.fails("$ true\n? 3\n", "exit status 0, expected 3")

    def test_placeholders_match_their_kind_only(self):
        self.passes("$ echo id 0af3 took 1.5 at 2026-01-02 03:04:05\nid <hex> took <num> at <time>\n")
        self.fails("$ echo xyz\n<hex>\n", "+xyz")
        self.fails("$ echo a; echo b\n<any>\n", "+b")
        self.passes("$ echo 'a.b*'\na.b*\n")
        self.fails("$ echo axb\na.b\n", "+axb")

    def test_captured_text_reaches_later_commands(self):
        self.passes("$ echo id 12ab\nid <key=hex>\n$ echo $key\n12ab\n")

    def test_dots_stand_for_any_lines_but_what_follows_must_come(self):
        self.passes("$ seq 5\n1\n...\n5\n")
        self.passes("$ true\n...\n")
        self.fails("$ seq 5\n1\n...\n6\n", "-6")

    def test_commands_continue_and_variables_are_set_and_unset(self):
        self.passes("env A=x y\n$ echo $A\n> echo 2\nx y\n2\nenv A\n$ echo \"[$A]\"\n[]\n")

    def test_a_scenario_without_commands_or_with_nonsense_fails(self):
        self.fails("# nothing\n", "has no commands")
        self.fails("echo a\n", "not understood")

    def test_missing_program_skips(self):
        self.assertEqual(outcome("needs no-such-program-anywhere\n$ true\n")[0], run.SKIPPED)
