"""Say in one line where the report is and what it found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", required=True)
    parser.add_argument("--report", required=True)
    args = parser.parse_args()
    if not Path(args.values).exists() or not Path(args.report).exists():
        return
    words = read_json(args.values)["words"]
    answer = words.get("answer/summary", {}).get("text", "")
    print(f"\npardec: open {args.report}  {answer}".rstrip())


if __name__ == "__main__":
    sys.exit(main_guard(main))
