"""Collect the jobs of the run, and which stage read what another made, for the diagram of the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from pardec.common.files import read_lines, write_json
from pardec.evidence.crate import describe_jobs, read_blocks
from pardec.jobs import job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--papers-from",
        required=True,
        type=Path,
        help="a file with one path per line: provenance of each job",
    )
    parser.add_argument("--out", required=True, help="results/jobs.json")
    options = parser.parse_args()
    with job() as this:
        sidecars = read_lines(options.papers_from)
        this.read(*sidecars)
        jobs = describe_jobs(read_blocks(sidecars))
        write_json(options.out, jobs)
        this.sign(options.out)
        print(f"{options.out}: {len(jobs['jobs'])} jobs of {len(jobs['stages'])} rules")


if __name__ == "__main__":
    main()
