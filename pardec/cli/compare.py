"""`pardec compare`: does a second run reproduce the first?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pardec.audit.compare import Comparison, Judged

RULE = (
    "Reproduced: the 95 % interval of the difference covers 0. Its standard error comes from both intervals (normal "
    "theory, MOVER), for absolute timings also from the noise between processes, which each run measures on its "
    "reference arms; a timing without an interval borrows its row's latency's. p is adjusted by Holm over all distinct "
    "numbers tested. Counts and qualities must be equal, memory within one percent."
)
TITLES = {
    "machine": "The machines differ in",
    "study": "The studies differ in",
    "verdicts": "Verdicts that turned",
}


def compare(
    first: Annotated[Path, typer.Argument(help="folder of results, or an archive")],
    second: Annotated[Path, typer.Argument(help="the run to hold against it")],
    html: Annotated[Path | None, typer.Option(help="write every value to this page as well")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit status 1 if any value differs")] = False,
    rows: Annotated[int, typer.Option(min=0, help="differing values to list; 0 lists all")] = 40,
) -> None:
    """Say of each value whether the second run reproduces the first."""
    from pardec.audit.archive import open_run
    from pardec.audit.compare import DIFFERS
    from pardec.audit.compare import compare as hold
    from pardec.cli.compare_page import page as written
    from pardec.cli.guard import console
    from pardec.common.errors import UserError
    from pardec.common.files import write_text

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

    from pardec.audit.compare import DIFFERS

    summary = Table("verdict", "why", title="Values", title_justify="left")
    summary.add_column("values", justify="right")
    for (verdict, why), times in sorted(found.reasons().items(), key=lambda entry: (entry[0][0], -entry[1])):
        summary.add_row(verdict, why, str(times))
    made = [summary]
    for name, title in TITLES.items():
        facts = getattr(found, name)
        if facts:
            table = Table("", "first", "second", title=title, title_justify="left")
            for fact, pair in facts.items():
                table.add_row(fact, *(Text("-" if side is None else str(side)) for side in pair))
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
    from pardec.audit.compare import DIFFERS, NOT_COMPARABLE, REPRODUCED

    right, wrong, open_ = (found.count(verdict) for verdict in (REPRODUCED, DIFFERS, NOT_COMPARABLE))
    share = "" if found.share is None else f" ({found.share:.2%} of those that can be judged)"
    text = f"{right} reproduced{share}, {wrong} differ, {open_} not comparable."
    if found.raw:
        missed = found.missed / len(found.raw)
        text += (
            f" {len(found.raw)} distinct numbers were tested, and {missed:.1%} of their intervals exclude 0:"
        )
        text += " by chance alone 5.0% would."
    if None not in found.processes:
        first, second = found.processes
        text += " Processes of one configuration scatter by"
        text += f" {first:.1%} in the first run and {second:.1%} in the second."
    if wrong and found.noise is not None:
        within = sum(one.verdict == DIFFERS and abs(one.change or 1.0) <= found.noise for one in found.judged)
        text += f" {within} of those that differ do so by less than the runs' own noise floor ({found.noise:.1%})."
    return text
