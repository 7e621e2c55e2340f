"""Judge every claim by the published tables and values."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import read_json, write_json
from pardec.evidence.claims import SHIPPED, judge
from pardec.evidence.provenance import now, write_sidecar
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.values import publish


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", nargs="+", default=[str(SHIPPED)], help="files of claims, in this order")
    parser.add_argument("--values", required=True, help="results/values.json")
    parser.add_argument("--tables", nargs="+", required=True, help="tables: files, or folders that hold them")
    parser.add_argument("--out", required=True, help="results/claims.json")
    options = parser.parse_args()

    begin = now()
    published = publish(options.tables)
    tables = {name: table.rows for name, table in published.items()}
    judged = judge(tables, read_json(options.values)["values"], options.claims)
    write_json(options.out, judged)
    read = [*options.claims, options.values, *(table.path for table in published.values())]
    write_sidecar([options.out], sys.argv, begin, map(Path, read), modules=[*map(TABLES.module, TABLES)])
    counts = Counter(claim["verdict"] for claim in judged["claims"])
    print(f"{options.out}: " + ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items())))


if __name__ == "__main__":
    sys.exit(main_guard(main))
