"""`pardec compare`: does a second run reproduce the first?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pardec.evidence.compare import Comparison, Judged

RULE = (
    "Reproduced: the 95 % interval of the difference covers 0 (normal theory from both intervals, Holm over all "
    "values tested); without an interval, counts and what follows from the study must be equal."
)


def compare(
    first: Annotated[Path, typer.Argument(help="folder of results, or an archive")],
    second: Annotated[Path, typer.Argument(help="the run to hold against it")],
    html: Annotated[Path | None, typer.Option(help="write every value to this page as well")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit status 1 if any value differs")] = False,
    rows: Annotated[int, typer.Option(min=0, help="differing values to list; 0 lists all")] = 40,
) -> None:
    """Say of each value whether the second run reproduces the first."""
    from pardec.cli.compare_page import page as written
    from pardec.cli.guard import console
    from pardec.common.errors import UserError
    from pardec.common.files import write_text
    from pardec.evidence.compare import DIFFERS
    from pardec.evidence.compare import compare as hold
    from pardec.evidence.run import open_run

    with open_run(first) as a, open_run(second) as b:
        for run in (a, b):
            if run.damaged:
                name, why = run.damaged[0]
                raise UserError(f"{run.label}: {name}", why, "fetch or write the archive again")
        found = hold(a, b)
    screen = console()
    for table in tables(found, rows):
        screen.print(table)
    screen.print(RULE, style="dim")
    screen.print(sentence(found), style="bold")
    if html is not None:
        write_text(html, written(found, RULE, sentence(found)))
        screen.print(f"{html}: all {len(found.judged)} values", markup=False)
    if strict and found.count(DIFFERS):
        raise typer.Exit(1)


def tables(found: Comparison, rows: int) -> list[Any]:
    """Summary, machine, study, and the values that differ."""
    from rich.table import Table
    from rich.text import Text

    from pardec.evidence.compare import DIFFERS

    summary = Table("verdict", "why", title="Values", title_justify="left")
    summary.add_column("values", justify="right")
    for (verdict, why), times in sorted(found.reasons().items(), key=lambda entry: (entry[0][0], -entry[1])):
        summary.add_row(verdict, why, str(times))
    made = [summary]
    for title, facts in (("The machines differ in", found.machine), ("The studies differ in", found.study)):
        if facts:
            table = Table("", "first", "second", title=title, title_justify="left")
            for name, pair in facts.items():
                table.add_row(name, *(Text("-" if fact is None else str(fact)) for fact in pair))
            made.append(table)
    differing = worst_first([one for one in found.judged if one.verdict == DIFFERS])
    if differing:
        shown = differing[: rows or None]
        more = f", {len(shown)} of {len(differing)}" if len(shown) < len(differing) else ""
        table = Table(title=f"Differ{more}", title_justify="left")
        table.add_column("value", overflow="fold")
        for name in ("first", "second", "change", "p (Holm)"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in shown:
            table.add_row(Text(one.id), number(one.a), number(one.b), change(one), chance(one))
        made.append(table)
    return made


def worst_first(judged: list[Judged]) -> list[Judged]:
    return sorted(judged, key=lambda one: (one.p or 0.0, -abs(one.change or 0.0), one.id))


def number(value: dict[str, Any] | None) -> str:
    """A value as published, with its interval and unit."""
    if value is None:
        return "missing"
    if value.get("value") is None:
        return "no value"
    text = value.get("text") or f"{value['value']:.4g}"
    if value.get("ci_low") is not None and value.get("ci_high") is not None:
        text += f" [{value.get('text_low') or value['ci_low']}, {value.get('text_high') or value['ci_high']}]"
    return f"{text} {value.get('unit') or ''}".strip()


def change(one: Judged) -> str:
    return "" if one.change is None else f"{one.change:+.1%}"


def chance(one: Judged) -> str:
    return "" if one.p is None else f"{one.p:.2g}"


def sentence(found: Comparison) -> str:
    """The whole comparison in a line or two."""
    from pardec.evidence.compare import DIFFERS, NOT_COMPARABLE, REPRODUCED

    right, wrong, open_ = (found.count(verdict) for verdict in (REPRODUCED, DIFFERS, NOT_COMPARABLE))
    share = "" if found.share is None else f" ({found.share:.2%} of those that can be judged)"
    text = f"{right} reproduced{share}, {wrong} differ, {open_} not comparable."
    if wrong and found.noise is not None:
        within = sum(one.verdict == DIFFERS and abs(one.change or 1.0) <= found.noise for one in found.judged)
        text += f" {within} of those that differ do so by less than the runs' own noise floor ({found.noise:.1%})."
    return text
