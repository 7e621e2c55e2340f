"""`pardec status`: how far the study is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pardec.evidence.status import CellState

STYLES = {"done": "green", "stale": "yellow", "failed": "red", "missing": "magenta"}
SHOWN = 20
"""Cells that are listed unless all are asked for."""


def status(
    configfile: Annotated[
        list[Path] | None,
        typer.Option(help="a study, or changes to config.yaml, as for snakemake; may repeat"),
    ] = None,
    config: Annotated[list[str] | None, typer.Option(help="a single key=value; may repeat")] = None,
    cells: Annotated[bool, typer.Option("--cells", help="list every cell, not only those not done")] = False,
) -> None:
    """Show the study's cells (done, stale, failed, missing) and the time left by past durations.

    Asks Snakemake which records it would make again; reads config.yaml and results/ of the working directory.
    """
    from rich.table import Table
    from rich.text import Text

    from pardec.cli.guard import console
    from pardec.evidence.status import DONE, STATES, cell_states, stale_files
    from pardec.study.plan import read_plan

    root = Path.cwd()
    plan = read_plan(root, configfile or (), config or ())
    states = cell_states(plan, root, stale_files(root, configfile or (), config or ()))
    screen = console()
    table = Table(title=f"Study {plan.study.name}", title_justify="left")
    table.add_column("experiment")
    for name in (*STATES, "time left"):
        table.add_column(name, justify="right")
    experiments = dict.fromkeys(one.experiment for one in states)
    for name in experiments:
        table.add_row(name, *row([one for one in states if one.experiment == name]))
    table.add_section()
    table.add_row("all", *row(states), style="bold")
    screen.print(table)
    listed = [one for one in states if cells or one.state != DONE]
    for one in listed if cells else listed[:SHOWN]:
        line = Text(f"{one.state:8}", style=STYLES[one.state]).append(one.id, style="none")
        screen.print(line.append(f"  {one.why}", style="dim") if one.why else line, soft_wrap=True)
    if not cells and len(listed) > SHOWN:
        screen.print(f"and {len(listed) - SHOWN} more: `pardec status --cells` lists every cell")
    if all(one.state == DONE for one in states):
        screen.print("Nothing left to time.")


def row(states: list[CellState]) -> list[str]:
    """Return counts by state, and the time left."""
    from pardec.evidence.status import STATES

    counts = [str(sum(one.state == state for one in states) or "") for state in STATES]
    known = [one.left for one in states if one.left is not None]
    unknown = len(states) - len(known)
    parts = [span(sum(known))] if sum(known) or not unknown else []
    return [*counts, " + ".join([*parts, *([f"{unknown} unknown"] if unknown else [])])]


def span(seconds: float) -> str:
    """Return seconds in a readable unit."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
