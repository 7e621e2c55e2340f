"""Print where the report is, and the answer to each question in one sentence."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from pardec.common.files import read_json
from pardec.evidence.answers import in_order
from pardec.evidence.sentences import text_of
from pardec.jobs import job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--study", required=True, help="results/study.json, in whose order the answers come")
    parser.add_argument("--comparison", help="this run against the published one, as JSON")
    options = parser.parse_args()
    with job():
        if Path(options.values).exists() and Path(options.report).exists():
            collected, study = read_json(options.values), read_json(options.study)
            print("\n".join(summary(collected, study, options.report)))
            if options.comparison and Path(options.comparison).exists():
                line = read_json(options.comparison)["line"]
                print("\n".join(textwrap.wrap(line, 110, subsequent_indent="  ")))


def summary(collected: dict, study: dict, report: str) -> list[str]:
    """Return lines for the terminal: one sentence per question, as on the page."""
    lines = ["", f"pardec: open {report}"]
    for experiment, answer in in_order(collected["answers"], study).items():
        sentence = f"{experiment}: {text_of(answer['pieces'], collected['values'])}"
        lines += textwrap.wrap(sentence, 110, initial_indent="  ", subsequent_indent="    ")
    return lines


if __name__ == "__main__":
    main()
