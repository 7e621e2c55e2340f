"""Describe this machine and measure its copy bandwidth and matmul rate."""

from __future__ import annotations

import argparse
import sys

from pardec.common.cli import main_guard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    from pardec.common.files import write_json
    from pardec.evidence.provenance import now, provenance, sealed
    from pardec.measure.machine import describe

    begin = now()
    facts = describe(args.device, args.threads, args.precision)
    origin = provenance(sys.argv, begin, [])
    write_json(args.out, sealed(args.out, facts | {"provenance": origin}))


if __name__ == "__main__":
    sys.exit(main_guard(main))
