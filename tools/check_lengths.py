#!/usr/bin/env python3
"""Fails when a file is longer than 800 lines (tests: 1,200) or a line than 100 characters. Functions are
clang-tidy's business; tables and test vectors within raw strings may be as wide as they are."""
import pathlib
import sys

bad = []
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    lines = path.read_text(encoding="utf-8").splitlines()
    is_test = path.name.endswith("_test.cc") or path.parts[0] != "src"
    limit = 1200 if is_test else 800
    if len(lines) > limit:
        bad.append(f"{name}: {len(lines)} lines, more than {limit}")
    for number, line in enumerate(lines, 1):
        if len(line) > 100 and not is_test and path.suffix != ".inc":
            bad.append(f"{name}:{number}: {len(line)} characters, more than 100")
print("\n".join(bad), end="\n" if bad else "")
sys.exit(bool(bad))
