"""Collect the jobs of the run, and which stage read what another made, for the diagram of the report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import write_json
from pardec.evidence.jobs import read_jobs
from pardec.evidence.provenance import now, write_sidecar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--papers-from", required=True, help="a file with one path a line: provenance of each job"
    )
    parser.add_argument("--out", required=True, help="results/jobs.json")
    options = parser.parse_args()
    begin = now()
    papers = [line for line in Path(options.papers_from).read_text(encoding="utf-8").splitlines() if line]
    found = read_jobs(papers)
    write_json(options.out, found)
    write_sidecar([options.out], sys.argv, begin, papers)
    print(f"{options.out}: {len(found['jobs'])} jobs of {len(found['stages'])} rules")


if __name__ == "__main__":
    sys.exit(main_guard(main))
