"""Keep the study as it was understood: every key with its value, defaults included."""

from __future__ import annotations

import argparse
import json
import sys

from pardec.common.cli import main_guard
from pardec.common.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, type=json.loads, help="the resolved study, JSON")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    write_json(args.out, args.study)


if __name__ == "__main__":
    sys.exit(main_guard(main))
