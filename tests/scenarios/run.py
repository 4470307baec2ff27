#!/usr/bin/env python3
"""Runs text scenarios: what a user types and what must come back.

    # a comment
    needs restic                       skipped (exit 77) unless this program is installed
    env SALVOR_PASSWORD=secret         for the commands that follow; "env NAME" unsets
    $ salvor init -r repo              a bash command; a line that begins with "> " continues it
    created repository <id=hex> at repo    expected standard output, the whole of it
    ! warning: <any>                   expected standard error, line by line
    ? 12                               expected exit status; 0 when not said

Within expected lines: <any> part of a line, <hex> hexadecimal digits, <num> a number, <time> a date and
time, <name=kind> the same and later commands see it as $name. A line "..." (or "! ...") stands for any
lines. Everything else must match exactly. What a command prints and the scenario does not show is an error.

Each scenario runs in an empty directory of its own, with HOME there, TERM=dumb, TZ=UTC, PROJECT the folder of
the sources, and no SALVOR_* or RESTIC_* variables.
"""
import argparse, difflib, os, pathlib, re, shutil, subprocess, sys, tempfile

SKIPPED = 77
TIMEOUT_SECONDS = 120
KINDS = {"any": r"[^\n]*", "hex": r"[0-9a-f]+", "num": r"[0-9]+(?:\.[0-9]+)?",
         "time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9:]{5})?"}
PLACEHOLDER = re.compile(r"<(?:([a-z_][a-z0-9_]*)=)?(any|hex|num|time)>")


class Malformed(Exception):
    pass


class Step:
    def __init__(self, line, command):
        self.line, self.command = line, command
        self.out, self.err, self.status = [], [], 0


class Environment:
    def __init__(self, line, name, value):
        self.line, self.name, self.value = line, name, value


class Needs:
    def __init__(self, line, program):
        self.line, self.program = line, program


def parse(text):
    """The items of a scenario in order."""
    items, step = [], None
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("$ "):
            step = Step(number, line[2:])
            items.append(step)
        elif line.startswith("> ") and step and not step.out and not step.err:
            step.command += "\n" + line[2:]
        elif line.startswith("#"):
            continue
        elif step is None or line.startswith(("env ", "needs ")):
            step = None
            word, _, rest = line.partition(" ")
            if word == "env" and rest:
                name, equals, value = rest.partition("=")
                items.append(Environment(number, name, value if equals else None))
            elif word == "needs" and rest:
                items.append(Needs(number, rest))
            elif line:
                raise Malformed(f"line {number}: not understood: {line}")
        elif line.startswith("? "):
            step.status = int(line[2:])
        elif line == "!" or line.startswith("! "):
            step.err.append(line[2:])
        else:
            step.out.append(line)
    for step in items:
        if isinstance(step, Step):
            while step.out and step.out[-1] == "":  # empty lines part steps
                step.out.pop()
    return items


def pattern(lines):
    regex = ""
    for line in lines:
        if line == "...":
            regex += r"(?:[^\n]*\n)*?"
            continue
        at = 0
        for found in PLACEHOLDER.finditer(line):
            regex += re.escape(line[at:found.start()])
            kind = KINDS[found[2]]
            regex += f"(?P<{found[1]}>{kind})" if found[1] else f"(?:{kind})"
            at = found.end()
        regex += re.escape(line[at:]) + "\n"
    return re.compile(regex)


def compare(name, lines, actual):
    """Variables captured, or None and a report."""
    text = actual if not actual or actual.endswith("\n") else actual + "\n"
    found = pattern(lines).fullmatch(text)
    if found:
        return found.groupdict(), ""
    report = "\n".join(difflib.unified_diff(lines, text.split("\n")[:-1], f"expected {name}",
                                            f"actual {name}", lineterm=""))
    return None, report


def run_step(step, environment, folder):
    """Variables captured, or a report of what went wrong."""
    done = subprocess.run(["bash", "-c", step.command], cwd=folder, env=environment, text=True,
                          errors="backslashreplace", stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=TIMEOUT_SECONDS)
    out_values, out_report = compare("output", step.out, done.stdout)
    err_values, err_report = compare("errors", step.err, done.stderr)
    reports = [r for r in (out_report, err_report) if r]
    if done.returncode != step.status:
        reports.append(f"exit status {done.returncode}, expected {step.status}")
        if done.stderr and not err_report:
            reports.append(done.stderr)
    return ({**out_values, **err_values}, "") if not reports else (None, "\n".join(reports))


def base_environment(salvor, folder, tools):
    environment = {k: v for k, v in os.environ.items()
                   if not k.startswith(("SALVOR_", "RESTIC_", "NO_COLOR", "XDG_"))}
    (tools / "salvor").symlink_to(salvor)
    environment.update(HOME=str(folder), TERM="dumb", TZ="UTC", LC_ALL="C.UTF-8",
                       PATH=f"{tools}:{environment['PATH']}",
                       PROJECT=str(pathlib.Path(__file__).resolve().parent.parent.parent))
    return environment


def run_scenario(path, salvor):
    """0, 1 or SKIPPED."""
    try:
        items = parse(path.read_text())
    except (Malformed, ValueError) as error:
        print(f"{path}: {error}")
        return 1
    with tempfile.TemporaryDirectory(prefix="scenario-") as scratch:
        folder, tools = pathlib.Path(scratch) / "work", pathlib.Path(scratch) / "bin"
        folder.mkdir()
        tools.mkdir()
        environment = base_environment(salvor, folder, tools)
        for item in items:
            if isinstance(item, Needs):
                if not shutil.which(item.program):
                    print(f"{path}: skipped: {item.program} is not installed")
                    return SKIPPED
            elif isinstance(item, Environment):
                environment.pop(item.name, None)
                if item.value is not None:
                    environment[item.name] = item.value
            else:
                values, report = run_step(item, environment, folder)
                if values is None:
                    print(f"{path}:{item.line}: $ {item.command}\n{report}")
                    return 1
                environment.update(values)
    if not any(isinstance(item, Step) for item in items):
        print(f"{path}: has no commands")
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--salvor", default=os.environ.get("SALVOR_BIN"), help="the program (or $SALVOR_BIN)")
    parser.add_argument("scenarios", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    if not arguments.salvor or not os.access(arguments.salvor, os.X_OK):
        parser.error("name the program with --salvor")
    results = [run_scenario(path, os.path.abspath(arguments.salvor)) for path in arguments.scenarios]
    return 1 if 1 in results else SKIPPED if results and set(results) == {SKIPPED} else 0


if __name__ == "__main__":
    sys.exit(main())
