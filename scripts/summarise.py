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
    found = read_json(args.values)
    print(f"\npardec: open {args.report} - {sentence(found['words'], found['values'])}")


def sentence(words: dict, values: dict) -> str:
    """The study's answer in one sentence, from its findings."""
    verdict = words.get("finding/answer/verdict")
    if verdict is None:
        return "no comparison at equal quality in this study"

    def count(name: str) -> int:
        return int(values.get(f"finding/answer/{name}", {}).get("value") or 0)

    parts = [(count("faster"), "faster"), (count("even"), "no difference shown"), (count("slower"), "slower")]
    parts += [(count("unmatched"), "quality not reached"), (count("unjudged"), "not judged")]
    listed = ", ".join(f"{word} on {number}" for number, word in parts if number)
    return f"masked diffusion at equal quality: {listed} of {count('tasks')} tasks"


if __name__ == "__main__":
    sys.exit(main_guard(main))
