"""Shared by figures of the `grid` experiment: their cells, names and looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pardec.common.lazy import lazy
from pardec.report.rows import decoder_words, number, ok, text

style = lazy("pardec.report.figures.style")


@dataclass(frozen=True)
class Line:
    """One decoder with its settings over the sizes: words for a key, a look, rows in order of size.

    further: whether another arm of this decoder has a line already, such as Jacobi of another model.
    """

    words: str
    look: dict[str, Any]
    rows: tuple[Any, ...]
    further: bool = False


def lines(rows: Any) -> list[Line]:
    """Return lines of the figures: a selection of the decoders in the table.

    They are the reference; diffusion at the fewest and most steps that every size has; Jacobi decoding to its fixed
    point, by arm; and full passes.
    """
    rows = [row for row in rows if ok(row) and number(row, "batch") == 1]
    sizes = {number(row, "new_tokens") for row in rows}
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        if text(row, "decoder") == "jacobi" and text(row, "passes_set"):
            continue
        if text(row, "decoder") == "autoregressive" and text(row, "role") != "reference":
            continue
        groups.setdefault((text(row, "decoder"), text(row, "arm"), text(row, "steps")), []).append(row)
    kept = {name: group for name, group in groups.items() if not name[2] or _ends(name, groups, sizes)}
    drawn: list[Line] = []
    seen: dict[str, int] = {}
    spare = iter(style.SPARE * len(kept))
    for name in sorted(kept, key=_order):
        decoder, arm, steps = name
        index = seen[decoder] = seen.get(decoder, -1) + 1
        look = next(spare) if index else style.look(decoder)
        words = decoder_words({"decoder": decoder})
        words += f", {steps} {'pass' if steps == '1' else 'passes'}" if steps else f", {arm}" if index else ""
        order = sorted(kept[name], key=lambda row: number(row, "new_tokens"))
        drawn.append(Line(words, look, tuple(order), further=bool(index) and not steps))
    return drawn


def _ends(name: tuple[str, str, str], groups: dict, sizes: set[float]) -> bool:
    """Return whether an arm's steps are the fewest or most among those measured at every size."""
    decoder, arm, _ = name
    everywhere = [
        other
        for other, group in groups.items()
        if other[:2] == (decoder, arm) and other[2] and {number(r, "new_tokens") for r in group} == sizes
    ]
    steps = sorted(everywhere, key=lambda other: int(other[2]))
    return bool(steps) and name in (steps[0], steps[-1])


def _order(name: tuple[str, str, str]) -> tuple:
    decoder, arm, steps = name
    places = ("autoregressive", "masked_diffusion", "jacobi")
    place = places.index(decoder) if decoder in places else len(places)
    return place, decoder, len(arm), arm, int(steps or 0)


def hollow(row: Any) -> bool:
    """Return whether the row's tables are not right."""
    return text(row, "right").lower() in ("false", "0")


def key(canvas: Any, shown: list[Line], wrong: bool) -> None:
    """Draw the key above the panels. wrong: whether some mark is hollow."""
    from matplotlib.lines import Line2D

    entries = [
        (
            line.words,
            Line2D(
                [],
                [],
                color=line.look["color"],
                linestyle=line.look["line"],
                marker=line.look["marker"],
                markersize=4.5,
            ),
        )
        for line in shown
    ]
    if wrong:
        blank = Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=4.5,
            color=style.INK,
            markerfacecolor=style.BACKGROUND,
        )
        entries.append(("tables not right", blank))
    style.key(canvas, entries)
