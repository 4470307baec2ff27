"""Lines of repo/, storage/ and engine/ that no test executes and for which nobody has written down why.

usage: uncovered.py LINES_JSON REASONS    (gcovr --json, tests/coverage-reasons.txt)

A stretch of lines that were not executed is explained when one of them contains a text that the reasons give for
its file. Prints the stretches without a reason, and reasons that explain nothing any more.
"""
import json
import pathlib
import sys

LAYERS = ("src/repo/", "src/storage/", "src/engine/")


def stretches(lines):
    """First and last numbers of runs of lines that were not executed; what is not code does not end a run."""
    runs, open_run = [], None
    for line in sorted((line for line in lines if not line.get("gcovr/noncode")), key=lambda l: l["line_number"]):
        if line["count"] > 0:
            open_run = None
        elif open_run:
            open_run[1] = line["line_number"]
        else:
            open_run = [line["line_number"]] * 2
            runs.append(open_run)
    return runs


def read_reasons(path):
    """{file: {text of a line: reason}}: a reason stands in a line of its own, below it its files and their texts."""
    reasons, reason = {}, ""
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            reason = line
            continue
        file, _, text = line.strip().partition(": ")
        if not reason or not text:
            sys.exit(f"{path}:{number}: expected \"  file: text of a line\" below a reason")
        reasons.setdefault(file, {})[text] = reason
    return reasons


def main():
    lines_json, reasons_file = sys.argv[1:]
    reasons = read_reasons(reasons_file)
    used, explained, open_lines, total, executed = set(), 0, 0, 0, 0
    for file in json.loads(pathlib.Path(lines_json).read_text(encoding="utf-8"))["files"]:
        name = file.get("file") or file["filename"]
        if not name.startswith(LAYERS):
            continue
        source = pathlib.Path(name).read_text(encoding="utf-8").splitlines()
        code = [line for line in file["lines"] if not line.get("gcovr/noncode")]
        total += len(code)
        executed += sum(line["count"] > 0 for line in code)
        uncovered = {line["line_number"] for line in code if line["count"] == 0}
        for first, last in stretches(file["lines"]):
            found = [text for text in reasons.get(name, ()) if any(text in line for line in source[first - 1:last])]
            size = len(uncovered.intersection(range(first, last + 1)))
            if found:
                used.update((name, text) for text in found)
                explained += size
                continue
            open_lines += size
            print(f"    {name}:{first}-{last}: {source[first - 1].strip()}")
    for file, texts in reasons.items():
        for text in texts:
            if (file, text) not in used:
                print(f"    executed by now, the reason can go: {file}: {text}")
    print(f"    repo, storage and engine: {executed} of {total} lines executed, {explained} with a written reason, "
          f"{open_lines} without")


if __name__ == "__main__":
    main()
