#!/usr/bin/env python3
"""A command's output in a terminal as a picture: capture.py [--at SECONDS | --answer TEXT...] OUT.svg COLUMNS COMMAND...

Understands what Salvor prints: lines, bold and the eight colours. --at: the screen after so long, of a command that
draws in place; it is then ended. --answer: typed when a question ends in a colon; may be repeated.
"""
import fcntl
import html
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios

COLORS = {"31": "#ff6b68", "32": "#6ad08a", "33": "#e5c07b", "35": "#d68fe0", "36": "#5cc8d7", "1": "#ffffff",
          "2": "#7d838c"}
WIDTH, HEIGHT, MARGIN = 8.43, 19, 16  # of a character at 14 px; of a line


def run(columns, command, answers=()):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    text, answers = b"", list(answers)
    try:
        while True:
            if answers and not select.select([leader], [], [], 1.0)[0] and text.endswith(b": "):
                os.write(leader, answers.pop(0).encode() + b"\n")
                continue
            if not (piece := os.read(leader, 4096)):
                break
            text += piece
    except OSError:  # the other end is closed
        pass
    process.wait()
    return text.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


def screen_at(seconds, columns, command):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/harness"))
    import screen
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    session = screen.Session([shutil.which(command[0]), *command[1:]], environment, columns, 50)
    session.pump(seconds)
    lines = []
    for cells in session.screen.lines:
        text, color = "", ""
        for character, now in cells:
            if now != color:
                text += f"\x1b[{now or 0}m"
                color = now
            text += character
        lines.append(text + ("\x1b[0m" if color else ""))
    session.close()
    while lines and not lines[-1]:
        lines.pop()
    return lines


def line_svg(number, line):
    spans, column, style = [], 0, ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b"):
            codes = [code for code in part[2:-1].split(";") if code in COLORS]
            style = f' fill="{COLORS[codes[-1]]}"' if codes else ""
            style += ' font-weight="bold"' if "1" in codes else ""
        elif part:
            x = MARGIN + column * WIDTH
            spans.append(f'<tspan x="{x:.1f}" textLength="{len(part) * WIDTH:.1f}"{style}>'
                         f"{html.escape(part)}</tspan>")
            column += len(part)
    y = MARGIN + (number + 1) * HEIGHT - 5
    return f'<text y="{y}" xml:space="preserve">{"".join(spans)}</text>'


def main():
    seconds, answers = None, []
    while sys.argv[1] in ("--at", "--answer"):
        if sys.argv[1] == "--at":
            seconds = float(sys.argv[2])
        else:
            answers.append(sys.argv[2])
        del sys.argv[1:3]
    out, columns, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    lines = run(columns, command, answers) if seconds is None else screen_at(seconds, columns, command)
    lines.insert(0, "\x1b[1m$ " + " ".join([os.path.basename(command[0]), *command[1:]]) + "\x1b[0m")
    width = 2 * MARGIN + columns * WIDTH
    height = 2 * MARGIN + len(lines) * HEIGHT
    with open(out, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
                   f'width="{width:.0f}" height="{height}" font-family="DejaVu Sans Mono, monospace" '
                   'font-size="14" fill="#d5d8dd">\n'
                   f'<rect width="100%" height="100%" rx="8" fill="#1e2228"/>\n')
        file.writelines(line_svg(i, line) + "\n" for i, line in enumerate(lines))
        file.write("</svg>\n")


if __name__ == "__main__":
    main()
