"""docs/faults.md: every row names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/faults.md").read_text()
ROWS = [
    line
    for line in TABLE.splitlines()
    if line.startswith("| ") and not line.startswith(("| What happens", "| What |", "| The case |"))
]
FILES = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}


def names(row):
    """Return (file, part of a test's name or None) of each test that a row names; `…` takes the file before."""
    file = None
    for word in re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1] if row.count("|") > 3 else row):
        result = re.fullmatch(r"(?:(test_\w+\.py)(?:::(\w+))?|…(\w+)…?)", word)
        if result and result[1]:
            file = result[1]
            yield file, result[2]
        elif result and file:
            yield file, result[3]
        elif word == "tests/browser":
            yield "test_report.py", None


def test_every_row_names_a_test_and_every_test_exists():
    assert len(ROWS) > 25
    for row in ROWS:
        given = list(names(row)) or ([("test_hub_faults.py", None)] if "test_hub_faults" in row else [])
        assert given, row
        for file, part in given:
            assert file in FILES, (file, row)
            assert part is None or re.search(rf"def test_\w*{part.removeprefix('test_')}", FILES[file]), (
                file,
                part,
            )
