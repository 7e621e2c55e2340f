"""Gather the trail behind every published number: the samples and the provenance of the records it came from."""

from __future__ import annotations

import argparse
from pathlib import Path

from pardec.common.files import read_lines, write_json
from pardec.evidence.trails import trail
from pardec.jobs import job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--records", nargs="*", default=[], help="JSON files: timing records, scores, likelihoods"
    )
    parser.add_argument("--inputs-from", type=Path, help="a file with one path per line")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    with job() as this:
        listed = read_lines(options.inputs_from) if options.inputs_from else []
        paths = sorted({*options.records, *listed})
        this.read(*paths)
        write_json(options.out, {path: trail(path) for path in paths}, indent=None)
        this.sign(options.out)


if __name__ == "__main__":
    main()
