"""Judge every drafting idea by the published table of ideas."""

from __future__ import annotations

import argparse
from collections import Counter

from pardec.measure.handover import hand_over


def main() -> None:
    from pardec.common.files import read_json, write_json
    from pardec.evidence.ideas import SHIPPED
    from pardec.evidence.tables.registry import TABLES
    from pardec.evidence.values import publish
    from pardec.evidence.verdicts import judge_ideas
    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ideas", default=str(SHIPPED), help="the file of ideas")
    parser.add_argument("--values", required=True, help="results/values.json")
    parser.add_argument("--table", required=True, help="results/tables/ideas.parquet")
    parser.add_argument("--out", required=True, help="results/verdicts.json")
    options = parser.parse_args()

    with job() as this:
        this.read(options.ideas, options.values, options.table)
        rows = publish([options.table])["ideas"].rows
        judged = judge_ideas(rows, read_json(options.values)["values"], options.ideas)
        write_json(options.out, judged)
        this.load(TABLES.module("ideas"))
        this.sign(options.out)
    counts = Counter(idea["status"] for idea in judged["ideas"])
    print(f"{options.out}: " + ", ".join(f"{number} {status}" for status, number in sorted(counts.items())))


if __name__ == "__main__":
    hand_over("tables")  # before the imports of `main`, which take most of its time
    main()
