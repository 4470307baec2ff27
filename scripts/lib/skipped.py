#!/usr/bin/env python3
"""Prints the tests of a ctest JUnit file that were skipped or never ran: 'name: why', one a line."""
import sys
import xml.etree.ElementTree as xml

for case in xml.parse(sys.argv[1]).getroot().iter("testcase"):
    skipped = case.find("skipped")
    if skipped is None and case.get("status") not in ("notrun", "disabled"):
        continue
    why = skipped.get("message", "") if skipped is not None else case.get("status")
    # The harness and gtest print their own reason, which says more than ctest's "SKIP_RETURN_CODE=77".
    for line in (case.findtext("system-out") or "").splitlines():
        if line.startswith("SKIPPED: "):
            why = line.removeprefix("SKIPPED: ")
    print(f"{case.get('name')}: {why}")
