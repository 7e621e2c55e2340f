"""Publish every number of the tables as a value with its source, as JSON and as LaTeX macros."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import write_text
from pardec.evidence.latex import macros
from pardec.evidence.provenance import now, write_sidecar
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.values import collect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", required=True, help="tables: files, or folders that hold them")
    parser.add_argument("--out-json", required=True)
    parser.add_argument("--out-tex", required=True)
    options = parser.parse_args()

    begin = now()
    collected = collect(options.tables)
    write_text(options.out_json, as_lines(collected))
    write_text(options.out_tex, macros(collected))
    written = [options.out_json, options.out_tex]
    write_sidecar(
        written,
        sys.argv,
        begin,
        table_files(options.tables),
        modules=[TABLES.module(name) for name in TABLES],
    )
    print(f"{options.out_json}: {len(collected['values'])} values")


def table_files(paths: list[str]) -> list[Path]:
    """Returns the files that tables are read from: a folder's Parquet, else its CSV."""
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        held = {file.stem: file for end in ("csv", "parquet") for file in sorted(path.glob(f"*.{end}"))}
        files += [held[name] for name in TABLES if name in held]
    return files


def as_lines(collected: dict) -> str:
    """Returns JSON with one value per line, so that runs can be compared line by line."""
    sections = []
    for name, entries in collected.items():
        lines = ",\n".join(f"{json.dumps(key)}: {_line(entry)}" for key, entry in entries.items())
        sections.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _line(entry: object) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main_guard(main))
