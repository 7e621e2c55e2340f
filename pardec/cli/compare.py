"""`pardec compare`: does a second run reproduce the first?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pardec.audit.compare import Comparison


def compare(
    first: Annotated[Path, typer.Argument(help="folder of results, or an archive")],
    second: Annotated[Path, typer.Argument(help="the run to compare with it")],
    html: Annotated[Path | None, typer.Option(help="write every value to this page as well")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit status 1 if any value differs")] = False,
    times: Annotated[
        bool,
        typer.Option("--times/--no-times", help="compare absolute times and memory, for runs of one machine"),
    ] = True,
    rows: Annotated[int, typer.Option(min=0, help="differing values to list; 0 lists all")] = 40,
) -> None:
    """Show for each value whether the second run reproduces the first."""
    from pardec.audit.archive import open_run
    from pardec.audit.compare import DIFFERS, RULE, VERDICTS
    from pardec.audit.compare import compare as judge
    from pardec.audit.pages import page
    from pardec.audit.published import line, outcome
    from pardec.cli.guard import console
    from pardec.common.files import write_text

    with open_run(first) as a, open_run(second) as b:
        comparison = judge(a, b, times)
    screen = console()
    for table in tables(comparison, rows):
        screen.print(table)
    screen.print(RULE, style="dim")
    screen.print(" ".join(comparison.sentences()), style="bold")
    screen.print(line(outcome(comparison)), style="bold")
    if html is not None:
        write_text(html, page("compare", comparison=comparison, rule=RULE, verdicts=VERDICTS))
        screen.print(f"{html}: all {len(comparison.judged)} values", markup=False)
    if strict and comparison.count(DIFFERS):
        raise typer.Exit(1)


def tables(comparison: Comparison, rows: int) -> Iterator[Table]:
    """Return summary, machine, study, and the values that differ, at most `rows` of them unless that is 0."""
    from rich.table import Table
    from rich.text import Text

    from pardec.audit.compare import DIFFERS
    from pardec.audit.pages import chance, change, number

    summary = Table("verdict", "why", title="Values", title_justify="left")
    summary.add_column("values", justify="right")
    reasons = sorted(comparison.reasons().items(), key=lambda entry: (entry[0][0], -entry[1]))
    for (verdict, why), times in reasons:
        summary.add_row(verdict, why, str(times))
    yield summary
    for title, facts in comparison.facts.items():
        table = Table("", "first", "second", title=title, title_justify="left")
        for fact, pair in facts.items():
            table.add_row(fact, *(Text("-" if side is None else str(side)) for side in pair))
        yield table
    differing = comparison.of(DIFFERS)
    if differing:
        shown = differing[: rows or None]
        part = f", {len(shown)} of {len(differing)}" if len(shown) < len(differing) else ""
        table = Table(title=f"Differ{part}", title_justify="left")
        table.add_column("value", overflow="fold")
        for name in ("first", "second", "change", "p (Holm)"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in shown:
            table.add_row(Text(one.id), number(one.a), number(one.b), change(one.change), chance(one.p))
        yield table
