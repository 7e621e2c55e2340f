"""Build one table from records, scores or other tables, and write it as CSV and Parquet."""

from __future__ import annotations

from pardec.measure.handover import hand_over


def main() -> None:
    import argparse

    from pardec.evidence.tables.inputs import gather, read_paths, sort_paths, write_table
    from pardec.evidence.tables.registry import TABLES, modules
    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True, help=f"one of: {', '.join(TABLES)}")
    parser.add_argument("--out-csv", required=True)
    parser.add_argument("--out-parquet", required=True)
    parser.add_argument("--records", nargs="*", default=[], help="timing.json files")
    parser.add_argument("--scores", nargs="*", default=[], help="score.json files")
    parser.add_argument("--likelihoods", nargs="*", default=[], help="likelihood files of models")
    parser.add_argument(
        "--tables", nargs="*", default=[], help="other tables: files, or folders that hold them"
    )
    parser.add_argument("--machine", help="the machine's description")
    parser.add_argument("--floors", help="the qualities that models must reach")
    parser.add_argument("--ideas-file", help="the study's drafting ideas; the shipped ones where left out")
    parser.add_argument("--inputs-from", help="a file with one input path a line, of any of these kinds")
    options = parser.parse_args()

    with job() as this:
        this.wildcards = {"table": options.table}
        paths = sort_paths(options.inputs_from) if options.inputs_from else {}
        for kind in ("records", "scores", "likelihoods", "tables"):
            paths[kind] = paths.get(kind, []) + getattr(options, kind)
        for kind in ("machine", "floors", "ideas_file"):
            if getattr(options, kind):
                paths[kind] = [getattr(options, kind)]

        this.read(*read_paths(options.table, paths))
        table = TABLES.load(options.table)
        write_table(table.make(gather(options.table, paths)), options.out_csv, options.out_parquet)
        this.load(*modules(options.table))
        this.sign(options.out_csv, options.out_parquet)


if __name__ == "__main__":
    hand_over("tables")  # before the imports of `main`, which take most of its time
    main()
