"""Draw one figure of the paper from published tables."""

from __future__ import annotations

from pardec.measure.handover import hand_over


def main() -> None:
    import argparse

    from pardec.jobs import job
    from pardec.report.figures.base import save
    from pardec.report.figures.registry import FIGURES
    from pardec.report.rows import load_tables, table_files

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, help=f"one of: {', '.join(FIGURES)}")
    parser.add_argument("--tables", nargs="+", required=True, help="folders of tables, or .csv files")
    parser.add_argument("--out-svg", required=True)
    parser.add_argument("--out-png", required=True)
    options = parser.parse_args()
    with job() as this:
        this.wildcards = {"figure": options.figure}
        this.read(*table_files(options.tables))
        save(FIGURES.load(options.figure), load_tables(options.tables), options.out_svg, options.out_png)
        this.load(FIGURES.module(options.figure))
        this.sign(options.out_svg, options.out_png)


if __name__ == "__main__":
    hand_over("tables")  # before the imports of `main`, which take most of its time
    main()
