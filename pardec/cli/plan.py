"""`pardec plan`: what a study would take on a card, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pardec.measure.roofline import Card
    from pardec.study.estimate import CellEstimate, ModelEstimate, QualityEstimate

SMALL_GB = 24
"""Memory of a common card; the plan says which part of the study fits it."""


def plan(
    configfile: Annotated[
        list[Path] | None,
        typer.Option(help="a study, or changes to config.yaml, as for snakemake; may repeat"),
    ] = None,
    config: Annotated[list[str] | None, typer.Option(help="a single key=value; may repeat")] = None,
    card: Annotated[str, typer.Option(help="the card to plan for")] = "h200",
) -> None:
    """Show a study's cells, hours, memory and disk on a card, modelled from its data sheet; nothing is run or
    downloaded."""
    from pardec.cli.guard import console
    from pardec.measure.roofline import CARDS
    from pardec.study.estimate import estimate_cells, estimate_models, estimate_quality
    from pardec.study.plan import read_plan

    chosen = find_card(card)
    study = read_plan(Path.cwd(), configfile or (), config or ())
    cells, models = estimate_cells(study, chosen), estimate_models(study)
    screen = console()
    screen.print(f"Study {study.study.name} on one {card} ({chosen.memory_gb:g} GB), modelled, not measured")
    screen.print(cell_table(cells, CARDS[card].memory_gb))
    screen.print(model_table(models))
    quality = estimate_quality(study, chosen)
    if quality:
        screen.print(quality_table(quality))
    scoring = sum(one.seconds for one in quality)
    timing = sum(one.seconds for one in cells)
    screen.print(
        f"Timing {hours(timing)}, outputs and their scores {hours(scoring)}, together {hours(timing + scoring)}"
    )
    download = sum(one.download or 0 for one in models)
    screen.print(f"Disk: {download / 1e9:.0f} GB of weights from the hub, and about 1 MB per cell")
    screen.print(small_card(cells))
    if unknown := [one for one in cells if one.unknown]:
        screen.print(
            f"Without an estimate: {len(unknown)} cells, first {unknown[0].id} ({unknown[0].unknown})"
        )


def find_card(name: str) -> Card:
    """The data sheet of a card.

    Raises:
        UserError: no such card; names the nearest.
    """
    import difflib

    from pardec.common.errors import UserError
    from pardec.measure.roofline import CARDS

    if name in CARDS:
        return CARDS[name]
    near = difflib.get_close_matches(name, CARDS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"--card {name}", "is not known", f"{hint}known: {', '.join(CARDS)}")


def cell_table(cells: list[CellEstimate], memory_gb: float) -> Table:
    """Return one line per experiment."""
    from rich.table import Table

    table = Table(title="Cells", title_justify="left")
    for name in (
        "experiment", "cells", "without an estimate", "fit", "card hours", "largest, GB", "largest cell",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in ("experiment", "largest cell") else "right")
    for experiment in dict.fromkeys(one.experiment for one in cells):
        mine = [one for one in cells if one.experiment == experiment]
        known = [one for one in mine if not one.unknown]
        largest = max(known, key=lambda one: one.memory, default=None)
        fit = sum(one.memory <= memory_gb * 1e9 for one in known)
        counts = (experiment, str(len(mine)), str(len(mine) - len(known)))
        if largest is None:
            table.add_row(*counts)
            continue
        spent = sum(one.seconds for one in known) / 3600
        table.add_row(*counts, str(fit), f"{spent:.2f}", f"{largest.memory / 1e9:.1f}", largest.id)
    return table


def quality_table(estimates: list[QualityEstimate]) -> Table:
    """Return one line per rule that runs models untimed."""
    from rich.table import Table

    table = Table(title="Outputs and scores", title_justify="left")
    for name in ("rule", "jobs", "without an estimate", "card hours", "largest, GB"):
        table.add_column(name, justify="left" if name == "rule" else "right")
    for one in estimates:
        row = (one.jobs, one.unknown, f"{one.seconds / 3600:.2f}", f"{one.memory / 1e9:.1f}")
        table.add_row(one.rule, *map(str, row))
    return table


def model_table(models: list[ModelEstimate]) -> Table:
    """Return one line per model."""
    from rich.table import Table

    table = Table(title="Models", title_justify="left")
    for name in ("model", "from", "parameters, 10⁹", "weights, GB", "download, GB"):
        table.add_column(name, justify="left" if name in ("model", "from") else "right")
    for one in models:
        if one.parameters is None or one.weights is None or one.download is None:
            table.add_row(one.name, one.source, "not known before the download", "", "")
        else:
            numbers = (one.parameters / 1e9, one.weights / 1e9, one.download / 1e9)
            table.add_row(one.name, one.source, *(f"{number:.2f}" for number in numbers))
    return table


def small_card(cells: list[CellEstimate]) -> str:
    """Return how many cells of the study fit a card of `SMALL_GB`."""
    known = [one for one in cells if not one.unknown]
    fit = [one for one in known if one.memory <= SMALL_GB * 1e9]
    sentence = f"A {SMALL_GB} GB card holds {len(fit)} of {len(known)} cells"
    if not fit:
        least = min((one.memory for one in known), default=0.0)
        return (
            f"{sentence}: two models side by side need {least / 1e9:.0f} GB at least" if known else sentence
        )
    return f"{sentence}, up to batch {max(one.batch for one in fit)}"


def hours(seconds: float) -> str:
    """Return a duration in hours, below 90 minutes in minutes."""
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"
