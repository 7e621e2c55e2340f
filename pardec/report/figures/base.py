"""Describe figures and write them; equal tables give equal bytes.

Marks have the id of their value as `gid`, so that an SVG can link each mark to its number; the file's metadata lists
these ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from pardec.common.files import atomic
from pardec.common.lazy import lazy
from pardec.report.book import SEPARATE, figures
from pardec.report.rows import Row, Tables, column_words, measure
from pardec.report.svg import titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas
matplotlib = lazy("matplotlib")


@dataclass(frozen=True)
class Figure:
    """A figure's description; it imports little, since the workflow reads it while planning.

    tables: names of the tables it reads. optional: tables it uses if present. caption: template under
    `report/captions`. alt: text for screen readers.
    """

    name: str
    title: str
    tables: tuple[str, ...]
    alt: str
    draw: Callable[[Tables], Canvas]
    optional: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """Return the path of the caption's template."""
        return f"captions/{self.name}.html.j2"


def drawn(canvas: Canvas) -> list[str]:
    """Return ids of the values that `canvas` draws, sorted, each once."""
    idents = {artist.get_gid() or "" for artist in canvas.findobj()}
    return sorted(ident for ident in idents if "/" in ident)


def speaker(tables: Tables) -> Callable[[str], str | None]:
    """Return a function from a value's id to words: row, number, interval; None if no row in `tables` has it."""
    rows = {name: {row["key"]: row for row in table} for name, table in tables.items()}

    def words(ident: str) -> str | None:
        key, _, column = ident.partition("/")[2].rpartition("/")
        # Marks of a view have the ids of the table it shows.
        near = (table[key] for table in rows.values() if key in table and column in table[key])
        row = next((row for row in near if row.id(column) == ident), None)
        return None if row is None else spoken(row, key, column)

    return words


def spoken(row: Row, key: str, column: str) -> str:
    """Return one measurement in words: latency, grid, ar: 3.21 ms [3.1, 3.4]."""
    measured = measure(row, column)
    ends = f" [{figures(measured.low)}, {figures(measured.high)}]" if any(measured.spread) else ""
    unit = row.unit_of(column)
    words = f"{column_words(row, column)}, {key.replace('/', ', ')}: {figures(measured.value)}"
    return f"{words}{'' if unit in SEPARATE else ' '}{unit}{ends}"


def save(figure: Figure, tables: Tables, svg: str | Path, png: str | Path | None = None) -> None:
    """Draw once and write the SVG, and the PNG if asked for; equal tables give equal bytes (the salt replaces random
    ids, no date is kept)."""
    from pardec.report.figures.style import RC

    with matplotlib.rc_context():
        # A user's matplotlibrc would change the bytes.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**RC, "svg.hashsalt": figure.name})
        canvas = figure.draw(tables)
        about = {"Title": figure.title, "Description": figure.alt, "Creator": "pardec"}
        with atomic(svg, ".svg") as path:
            canvas.savefig(path, metadata={**about, "Date": None, "Keywords": drawn(canvas)})
            path.write_bytes(titled(path.read_bytes(), speaker(tables)))
        if png is not None:
            canvas.set_layout_engine("none")  # keep the layout, which takes as long as drawing
            with atomic(png, ".png") as path:
                save_png(canvas, path, {"Title": figure.title, "Description": figure.alt})


def save_png(canvas: Canvas, path: Path, notes: dict[str, str]) -> None:
    """Write `canvas` with a palette of 256 colours, which is a third of the size: lines and letters need no more."""
    from PIL import Image, PngImagePlugin

    about = PngImagePlugin.PngInfo()
    for key, text in notes.items():
        about.add_text(key, text) if text.isascii() else about.add_itxt(key, text)
    buffer = BytesIO()
    canvas.savefig(buffer, format="png", dpi=200, pil_kwargs={"compress_level": 1})
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(256).save(path, format="PNG", pnginfo=about, dpi=(200, 200))
