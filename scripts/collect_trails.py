"""Gather the trail behind every published number: the samples and the provenance of the records it came from."""

from __future__ import annotations

import argparse
import sys

from pardec.common.cli import main_guard
from pardec.common.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--records", nargs="*", default=[], help="JSON files: timing records, scores, likelihoods"
    )
    parser.add_argument("--inputs-from", help="a file with one path a line")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    from pardec.evidence.provenance import now, write_sidecar
    from pardec.evidence.trails import trail

    begin = now()
    paths = list(args.records)
    if args.inputs_from:
        with open(args.inputs_from, encoding="utf-8") as lines:
            paths += [line.strip() for line in lines if line.strip()]
    write_json(args.out, {path: trail(path) for path in sorted(set(paths))}, indent=None)
    write_sidecar([args.out], sys.argv, begin, paths)


if __name__ == "__main__":
    sys.exit(main_guard(main))
