"""What a figure is, and how it becomes the same bytes every time.

Marks carry the id of the value they draw as their `gid`, so that an SVG can link each mark to its number; the
list of
those ids stands in the file's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.files import atomic
from pardec.common.lazy import lazy
from pardec.report.book import figures
from pardec.report.frames import measure, stem, unit_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas
    from pandas import DataFrame

matplotlib = lazy("matplotlib")

Tables = dict[str, "DataFrame"]


@dataclass(frozen=True)
class Figure:
    """A figure's description; light, so that a workflow may read it while it plans.

    tables: names of the tables it reads. optional: tables it uses when there. caption: template under
    `report/captions`.
    alt: what a reader who cannot see it is told.
    """

    name: str
    title: str
    tables: tuple[str, ...]
    alt: str
    draw: Callable[[Tables], Canvas]
    optional: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        return f"captions/{self.name}.html.j2"


def drawn(canvas: Canvas) -> list[str]:
    """Ids of the values that `canvas` draws, sorted, each once."""
    return sorted({a.get_gid() for a in canvas.findobj() if a.get_gid() and "/" in a.get_gid()})


def titled(svg: str, tables: Tables) -> str:
    """`svg` with a title in each mark, which any viewer shows on hover: the row, the number, its interval."""
    rows: dict[str, dict[str, Any]] = {}

    def row(table: str, key: str) -> Any:
        if table not in rows:
            frame = tables.get(table)
            rows[table] = {} if frame is None else {r["key"]: r for r in frame.to_dict("records")}
        return rows[table].get(key)

    def tell(match: re.Match) -> str:
        table, _, rest = unescape(match[1]).partition("/")
        key, _, column = rest.rpartition("/")
        found = row(table, key)
        return match[0] if found is None else f"{match[0]}<title>{escape(spoken(found, key, column))}</title>"

    return re.sub(r'<g id="([^"]*/[^"]*)">', tell, svg)


def spoken(row: Any, key: str, column: str) -> str:
    """One measurement in words: latency, grid, ar: 3.21 ms [3.1, 3.4]."""
    found = measure(row, column)
    ends = f" [{figures(found.low)}, {figures(found.high)}]" if any(found.spread) else ""
    unit = unit_of(column)
    words = f"{stem(column).replace('_', ' ')}, {key.replace('/', ', ')}: "
    return f"{words}{figures(found.value)}{' ' * bool(unit)}{unit}{ends}"


def save(figure: Figure, tables: Tables, svg: str | Path, png: str | Path) -> None:
    """Draw once and write both files; equal tables give equal bytes (the salt replaces random ids, no date is
    kept)."""
    from pardec.report.figures.style import RC

    with matplotlib.rc_context({**RC, "svg.hashsalt": figure.name}):
        canvas = figure.draw(tables)
        about = {"Title": figure.title, "Description": figure.alt, "Creator": "pardec"}
        with atomic(svg, ".svg") as path:
            canvas.savefig(path, metadata={**about, "Date": None, "Keywords": drawn(canvas)})
            path.write_text(titled(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
        with atomic(png, ".png") as path:
            notes = {"Title": figure.title, "Description": figure.alt, "Software": None}
            canvas.savefig(path, dpi=200, metadata=notes)
