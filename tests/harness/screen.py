"""A terminal: a program in a pseudo-terminal, and what a person would see of it."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unicodedata


class Screen:
    """Understands what Salvor prints: lines, colours, going up, clearing. Cells are (character, colour)."""

    def __init__(self, columns=80, rows=24):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column, self.color = [[]], 0, 0, ""
        self.rest = ""

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            found = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])").match(text, at)
            if found:
                self.control(found[1], found[2])
                at = found.end()
                continue
            if text[at] == "\x1b":  # the rest comes later
                self.rest = text[at:]
                return
            self.put(text[at])
            at += 1

    def control(self, number, letter):
        if letter == "m":
            self.color = "" if number in ("", "0") else number
        elif letter == "A":
            self.row = max(self.top(), self.row - int(number or 1))
        elif letter == "J":
            self.lines[self.row] = self.lines[self.row][:self.column]
            del self.lines[self.row + 1:]
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        else:
            raise AssertionError(f"ESC [ {number} {letter}")

    def top(self):
        return max(0, len(self.lines) - self.rows)

    def down(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.down()
            self.column = 0
        else:
            if self.column >= self.columns:
                self.down()
                self.column = 0
            line = self.lines[self.row]
            line.extend([(" ", "")] * (self.column - len(line)))
            line[self.column:self.column + 1] = [(character, self.color)]
            self.column += 2 if unicodedata.east_asian_width(character) in "WF" else 1

    def resize(self, columns):
        """Long lines wrap, as most terminals do it."""
        wrapped, row = [], 0
        for number, line in enumerate(self.lines):
            if number == self.row:
                row = len(wrapped) + self.column // columns
            wrapped.extend(line[i:i + columns] for i in range(0, max(1, len(line)), columns))
        self.lines, self.row, self.columns = wrapped, row, columns
        self.column %= columns

    def text(self):
        return "\n".join("".join(c for c, _ in line).rstrip() for line in self.lines).rstrip("\n")


class Session:
    """A program in a terminal."""

    def __init__(self, command, environment, columns=80, rows=24, cwd=None):
        self.screen = Screen(columns, rows)
        self.raw = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGQUIT):  # ignored in what a script runs in the background
                signal.signal(number, signal.SIG_DFL)
            os.chdir(cwd or ".")
            os.execve(command[0], [os.fspath(c) for c in command], environment)
        self.size(columns, rows)
        self.code = None

    def size(self, columns, rows):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns):
        self.size(columns, self.screen.rows)
        self.screen.resize(columns)

    def pump(self, seconds, until=None):
        """Reads for so long, or until `until(self)`. Whether that became true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until and until(self):
                return True
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    data = os.read(self.terminal, 65536)
                except OSError:  # the other end is closed: it is about to end
                    time.sleep(0.02)
                    continue
                self.raw += data
                self.screen.feed(data.decode("utf-8", "replace"))
        return bool(until and until(self))

    def shows(self, text, seconds=30):
        return self.pump(seconds, lambda s: text in s.screen.text())

    def press(self, keys):
        os.write(self.terminal, keys)

    def wait(self, seconds=60):
        self.pump(seconds, lambda s: s.ended())
        assert self.code is not None, f"still running:\n{self.screen.text()}"
        return self.code

    def ended(self):
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.code = os.waitstatus_to_exitcode(status)
                while select.select([self.terminal], [], [], 0)[0]:
                    try:
                        self.screen.feed(os.read(self.terminal, 65536).decode("utf-8", "replace"))
                    except OSError:
                        break
        return self.code is not None

    def close(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)
