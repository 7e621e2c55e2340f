"""Publish every number of the tables as a value with its source, as JSON and as LaTeX macros."""

from __future__ import annotations

import argparse
import json

from pardec.measure.handover import hand_over


def main() -> None:
    from pardec.common.files import write_text
    from pardec.evidence.latex import macros
    from pardec.evidence.tables.registry import TABLES
    from pardec.evidence.values import collect, located
    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", required=True, help="tables: files, or folders that hold them")
    parser.add_argument("--out-json", required=True)
    parser.add_argument("--out-tex", required=True)
    options = parser.parse_args()
    with job() as this:
        this.read(*located(options.tables).values())
        this.load(*map(TABLES.module, TABLES))
        collected = collect(options.tables)
        write_text(options.out_json, as_lines(collected))
        write_text(options.out_tex, macros(collected))
        this.sign(options.out_json, options.out_tex)
        print(f"{options.out_json}: {len(collected['values'])} values")


def as_lines(collected: dict) -> str:
    """Return JSON with one value per line, so that runs can be compared line by line."""
    sections = []
    for name, entries in collected.items():
        lines = ",\n".join(f"{json.dumps(key)}: {_line(entry)}" for key, entry in entries.items())
        sections.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _line(entry: object) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


if __name__ == "__main__":
    hand_over("tables")  # before the imports of `main`, which take most of its time
    main()
