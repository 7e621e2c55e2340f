"""Judge every drafting idea by the published table of ideas."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import read_json, write_json
from pardec.evidence.ideas import SHIPPED
from pardec.evidence.provenance import now, write_sidecar
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.values import publish
from pardec.evidence.verdicts import judge_ideas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ideas", default=str(SHIPPED), help="the file of ideas")
    parser.add_argument("--values", required=True, help="results/values.json")
    parser.add_argument("--table", required=True, help="results/tables/ideas.parquet")
    parser.add_argument("--out", required=True, help="results/verdicts.json")
    options = parser.parse_args()

    begin = now()
    rows = publish([options.table])["ideas"].rows
    judged = judge_ideas(rows, read_json(options.values)["values"], options.ideas)
    write_json(options.out, judged)
    read = map(Path, (options.ideas, options.values, options.table))
    write_sidecar([options.out], sys.argv, begin, read, modules=[TABLES.module("ideas")])
    counts = Counter(idea["status"] for idea in judged["ideas"])
    print(f"{options.out}: " + ", ".join(f"{number} {status}" for status, number in sorted(counts.items())))


if __name__ == "__main__":
    sys.exit(main_guard(main))
