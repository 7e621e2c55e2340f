"""`pardec merge`: one study, several machines, one report with a column a machine."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pardec.audit.merge import Part


def merge(
    runs: Annotated[list[Path], typer.Argument(help="folders of results, or archives, one a machine")],
    out: Annotated[Path, typer.Option(help="folder for merged.html, merged.csv and merged.json")] = Path(
        "merged"
    ),
) -> None:
    """Lay runs of one study on several machines side by side; no number is made from two machines."""
    import contextlib

    from pardec.audit.archive import open_run
    from pardec.audit.merge import cells, long_table
    from pardec.audit.merge import merge as lay
    from pardec.cli.guard import console
    from pardec.common.files import write_json, write_text

    with contextlib.ExitStack() as opened:
        parts = lay([opened.enter_context(open_run(run)) for run in runs])
    write_text(out / "merged.csv", long_table(parts).to_csv(index=False, lineterminator="\n"))
    write_json(
        out / "merged.json",
        [
            {"run": part.label, "machine": part.machine, "facts": part.facts, "cells": len(part.rows)}
            for part in parts
        ],
    )
    write_text(out / "merged.html", page(parts))
    names = "; ".join(part.machine for part in parts)
    console().print(
        f"{out}/merged.html: {len(cells(parts))} cells on {len(parts)} machines: {names}", markup=False
    )


def page(parts: list[Part]) -> str:
    """The whole page as text: what each machine is, then each measure with a column a machine."""
    from pardec.audit.merge import MEASURES
    from pardec.cli.compare_page import STYLE

    title = "One study, several machines"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>",
            "<p>Every number is one run's own. Brackets hold its 95 % interval; a dash: the run has none.</p>",
            _machines(parts),
            *(_measure(parts, name, said) for name, (said, _, _) in MEASURES.items()),
            "</body></html>\n",
        ]
    )


def _head(parts: list[Part]) -> str:
    return "<tr><td>" + "".join(f"<th scope=col>{escape(part.machine)}" for part in parts) + "</tr>"


def _machines(parts: list[Part]) -> str:
    keys = list(dict.fromkeys(key for part in parts for key in part.facts))
    rows = [
        ("run", [part.label for part in parts]),
        *((key, [part.facts.get(key) for part in parts]) for key in keys),
    ]
    body = "".join(
        f"<tr><th scope=row>{escape(key)}{''.join(f'<td>{escape(_shown(value))}' for value in values)}</tr>"
        for key, values in rows
    )
    return f"<div class=wide><table><caption>Machines</caption>{_head(parts)}{body}</table></div>"


def _measure(parts: list[Part], name: str, said: str) -> str:
    from pardec.audit.merge import cells, figures

    body = "".join(
        f"<tr><th scope=row>{escape(cell)}"
        + "".join(f"<td class=n>{escape(_figure(figures(part, cell, name)))}" for part in parts)
        + "</tr>\n"
        for cell in cells(parts)
    )
    caption = f"<caption>{escape(name)}: {escape(said)}</caption>"
    return f"<div class=wide><table>{caption}{_head(parts)}{body}</table></div>"


def _figure(found: Any) -> str:
    if found is None or isinstance(found, str):
        return found or "–"
    value, low, high = found
    interval = f" [{_shown(low)}, {_shown(high)}]" if low is not None and high is not None else ""
    return _shown(value) + interval


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
