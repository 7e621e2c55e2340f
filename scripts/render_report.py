"""Render the report: one self-contained HTML page in which every number opens its trail."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pardec.common.files import read_json, write_text
from pardec.jobs import Job, job
from pardec.report.figures.registry import FIGURES
from pardec.report.packed import fold
from pardec.report.render import LIMIT_BYTES, TEMPLATES, Material, render
from pardec.report.rows import load_tables, table_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", required=True, help="results/values.json")
    parser.add_argument("--tables", nargs="+", required=True, help="folders of tables, or .csv files")
    parser.add_argument("--figures", nargs="+", required=True, help="folders of figures, or .svg files")
    parser.add_argument("--study", required=True, help="the resolved study as JSON")
    parser.add_argument("--claims", help="results/claims.json")
    parser.add_argument("--verdicts", help="results/verdicts.json")
    parser.add_argument("--trails", help="provenance and samples of every record, as JSON")
    parser.add_argument("--comparison", help="this run against the published one, as JSON")
    parser.add_argument("--jobs", help="the run's jobs and stages, as JSON")
    parser.add_argument("--provenance", help="facts of the run for the first page, as JSON: {name: text}")
    parser.add_argument("--outputs", nargs="*", default=[], help="outputs.jsonl files to quote from")
    parser.add_argument("--templates", type=Path, default=TEMPLATES)
    parser.add_argument("--out", required=True, help="results/report.html")
    parser.add_argument("--out-packed", help="the same page folded small, for Snakemake's own report")
    options = parser.parse_args()
    with job() as this:
        make(options, this)


def make(options: argparse.Namespace, this: Job) -> None:
    """Write the page, its packed form, and their provenance."""
    collected = read_json(options.values)
    comparison = read_json(options.comparison) if options.comparison else {}
    material = Material(
        values=collected["values"] | comparison.get("values", {}),
        answers=collected["answers"],
        tables=load_tables(options.tables),
        figures=find_figures(options.figures),
        study=read_json(options.study),
        claims=read_json(options.claims) if options.claims else {},
        verdicts=read_json(options.verdicts) if options.verdicts else {},
        trails=read_json(options.trails) if options.trails else {},
        outputs=[Path(path) for path in options.outputs],
        origin=read_json(options.provenance) if options.provenance else {},
        jobs=read_json(options.jobs) if options.jobs else {},
        published=comparison,
    )
    files = files_read(options, material)
    this.read(*files)
    this.load(*map(FIGURES.module, FIGURES))
    material.files = [path.as_posix() for path in files]
    html = render(material, options.templates)
    written = [options.out]
    write_text(options.out, html)
    if options.out_packed:
        write_text(options.out_packed, fold(html, material.study["title"]))
        written.append(options.out_packed)
    this.sign(*written)
    size = len(html.encode())
    print(f"report: {options.out} ({size / 1e6:.1f} MB)")
    if size > LIMIT_BYTES:
        print(
            f"warning: {options.out} is larger than {LIMIT_BYTES / 1e6:.0f} MB and will open slowly",
            file=sys.stderr,
        )


def files_read(options: argparse.Namespace, material: Material) -> list[Path]:
    """Return every file the page was made from, templates included."""
    names = ("values", "study", "claims", "verdicts", "trails", "jobs", "comparison", "provenance")
    named = [getattr(options, name) for name in names]
    templates = [path for path in options.templates.rglob("*") if path.is_file()]
    tables = table_files(options.tables)
    return [
        *map(Path, filter(None, named)),
        *tables,
        *material.figures.values(),
        *material.outputs,
        *templates,
    ]


def find_figures(paths: list[str]) -> dict[str, Path]:
    """Return SVG files by figure name."""
    figures: dict[str, Path] = {}
    for path in map(Path, paths):
        for file in sorted(path.glob("*.svg")) if path.is_dir() else [path]:
            if file.suffix == ".svg":
                figures[file.stem] = file
    return figures


if __name__ == "__main__":
    main()
