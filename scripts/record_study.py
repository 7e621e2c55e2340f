"""Keep the study as it was understood: every key with its value, defaults included."""

from __future__ import annotations

import argparse
import json

from pardec.common.files import write_json
from pardec.jobs import job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, type=json.loads, help="the resolved study, JSON")
    parser.add_argument("--rule", help="the rule that asks, where it is not named after this script")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    with job() as this:
        this.rule = args.rule
        write_json(args.out, args.study)
        this.sign(args.out)


if __name__ == "__main__":
    main()
