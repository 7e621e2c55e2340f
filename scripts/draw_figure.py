"""Draw one figure of the paper from published tables."""

from __future__ import annotations

import argparse
import sys

from pardec.common.cli import main_guard
from pardec.evidence.provenance import now, write_sidecar
from pardec.report.figures.base import save
from pardec.report.figures.registry import FIGURES
from pardec.report.rows import load_tables, table_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, help=f"one of: {', '.join(FIGURES)}")
    parser.add_argument("--tables", nargs="+", required=True, help="folders of tables, or .csv files")
    parser.add_argument("--out-svg", required=True)
    parser.add_argument("--out-png", required=True)
    options = parser.parse_args()
    begin = now()
    save(FIGURES.load(options.figure), load_tables(options.tables), options.out_svg, options.out_png)
    write_sidecar(
        [options.out_svg, options.out_png],
        sys.argv,
        begin,
        table_files(options.tables),
        modules=[FIGURES.module(options.figure)],
        wildcards={"figure": options.figure},
    )


if __name__ == "__main__":
    sys.exit(main_guard(main))
