"""`pardec merge`: one study, several machines, one report with a column a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    runs: Annotated[list[Path], typer.Argument(help="folders of results, or archives, one per machine")],
    out: Annotated[Path, typer.Option(help="folder for merged.html, merged.csv and merged.json")] = Path(
        "merged"
    ),
) -> None:
    """Put runs of one study on several machines side by side; no number mixes two machines."""
    import contextlib

    from pardec.audit.archive import open_run
    from pardec.audit.merge import long_table, material
    from pardec.audit.merge import merge as lay
    from pardec.audit.pages import page
    from pardec.cli.guard import console
    from pardec.common.files import write_json, write_text

    with contextlib.ExitStack() as opened:
        parts = lay([opened.enter_context(open_run(run)) for run in runs])
    shown = material(parts)
    write_text(out / "merged.csv", long_table(parts).to_csv(index=False, lineterminator="\n"))
    write_json(
        out / "merged.json",
        [
            {"run": part.label, "machine": part.machine, "facts": part.facts, "cells": len(part.rows)}
            for part in parts
        ],
    )
    write_text(out / "merged.html", page("merge", **shown))
    names = "; ".join(part.machine for part in parts)
    console().print(
        f"{out}/merged.html: {len(shown['cells'])} cells on {len(parts)} machines: {names}", markup=False
    )
