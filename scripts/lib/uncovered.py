"""Lines of repo/, storage/ and engine/ that no test executes and for which nobody has written down why.

usage: uncovered.py LINES_JSON REASONS    (gcovr --json, tests/coverage-reasons.txt)

A stretch of lines that were not executed is explained when one of them contains a text that the reasons give for
its file. Prints the stretches without a reason, and reasons that explain nothing any more.
"""
import json
import pathlib
import sys

LAYERS = ("src/repo/", "src/storage/", "src/engine/")


def stretches(code):
    """Numbers of lines that were not executed, by runs without an executed line between them."""
    runs, ended = [], True
    for line in sorted(code, key=lambda line: line["line_number"]):
        if line["count"] > 0:
            ended = True
            continue
        if ended:
            runs.append([])
            ended = False
        runs[-1].append(line["line_number"])
    return runs


def read_reasons(path):
    """{(file, text of a line)}: a reason stands in a line of its own, below it its files and their texts."""
    explained, reason = set(), ""
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            reason = line
            continue
        file, _, text = line.strip().partition(": ")
        if not reason or not text:
            sys.exit(f"{path}:{number}: expected \"  file: text of a line\" below a reason")
        explained.add((file, text))
    return explained


def main():
    lines_json, reasons_file = sys.argv[1:]
    reasons = read_reasons(reasons_file)
    used, explained, unexplained, executed = set(), 0, 0, 0
    for file in json.loads(pathlib.Path(lines_json).read_text(encoding="utf-8"))["files"]:
        name = file.get("file") or file["filename"]
        if not name.startswith(LAYERS):
            continue
        source = pathlib.Path(name).read_text(encoding="utf-8").splitlines()
        texts = [text for of, text in reasons if of == name]
        code = [line for line in file["lines"] if not line.get("gcovr/noncode")]
        executed += sum(line["count"] > 0 for line in code)
        for run in stretches(code):
            first, last = run[0], run[-1]
            found = {(name, text) for text in texts if any(text in line for line in source[first - 1:last])}
            used |= found
            if found:
                explained += len(run)
                continue
            unexplained += len(run)
            print(f"    {name}:{first}-{last}: {source[first - 1].strip()}")
    for file, text in sorted(reasons - used):
        print(f"    executed by now, the reason can go: {file}: {text}")
    total = executed + explained + unexplained
    print(f"    repo, storage and engine: {executed} of {total} lines executed, {explained} with a written reason, "
          f"{unexplained} without")


if __name__ == "__main__":
    main()
