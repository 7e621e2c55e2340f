"""Keep the study as it was understood: every key with its value, defaults included."""

from __future__ import annotations

import argparse
import json
import sys

from pardec.common.cli import main_guard
from pardec.common.files import write_json
from pardec.evidence.provenance import now, write_sidecar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, type=json.loads, help="the resolved study, JSON")
    parser.add_argument("--rule", help="the rule that asks, where it is not named after this script")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    begin = now()
    write_json(args.out, args.study)
    write_sidecar([args.out], sys.argv, begin, [], rule=args.rule)


if __name__ == "__main__":
    sys.exit(main_guard(main))
