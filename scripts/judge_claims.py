"""Judge every claim by the published tables and values."""

from __future__ import annotations

import argparse
from collections import Counter

from pardec.measure.handover import hand_over


def main() -> None:
    from pardec.common.files import read_json, write_json
    from pardec.evidence.claims import SHIPPED, judge
    from pardec.evidence.tables.registry import TABLES
    from pardec.evidence.values import located, publish
    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", nargs="+", default=[str(SHIPPED)], help="files of claims, in this order")
    parser.add_argument("--values", required=True, help="results/values.json")
    parser.add_argument("--tables", nargs="+", required=True, help="tables: files, or folders that hold them")
    parser.add_argument("--out", required=True, help="results/claims.json")
    options = parser.parse_args()
    with job() as this:
        this.read(*options.claims, options.values, *located(options.tables).values())
        this.load(*map(TABLES.module, TABLES))
        tables = {name: table.rows for name, table in publish(options.tables).items()}
        judged = judge(tables, read_json(options.values)["values"], options.claims)
        write_json(options.out, judged)
        this.sign(options.out)
    counts = Counter(claim["verdict"] for claim in judged["claims"])
    print(f"{options.out}: " + ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items())))


if __name__ == "__main__":
    hand_over("tables")  # before the imports of `main`, which take most of its time
    main()
