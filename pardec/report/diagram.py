"""The workflow as a drawing: one box a rule, from the top down as the data flow. SVG text, no library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from pardec.report.layers import Graph, Layout, lay_out, reduced

BOX = (164, 46)
"""Width and height of a box, in points of the drawing."""
GAP = 34
"""Between rows."""
EDGE = 12

STANDALONE = """<style>
text{font:600 13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328;text-anchor:middle}
.stage rect{fill:#f5f6f8;stroke:#5b636d}.flow{fill:none;stroke:#8a929b;stroke-width:1.4}.head{fill:#8a929b}
@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.stage rect{fill:#1c2229;stroke:#a3acb7}}
</style>"""


@dataclass(frozen=True)
class Box:
    """What stands in one box: its name, a line of markup below it, and attributes of its element."""

    name: str
    below: str = ""
    attributes: Mapping[str, str] | None = None


def draw(after: Graph, boxes: Iterable[Box], head: Mapping[str, str], style: str = "") -> str:
    """The graph `after` (see `layers.Graph`) as an `<svg>` element.

    boxes: one a node. head: attributes of the element, such as its label for those who cannot see it. style: a
    `<style>` element, for a file of its own.
    """
    found = lay_out(reduced(after))
    width, height = found.width * BOX[0] + 2 * EDGE, found.height * (BOX[1] + GAP) - GAP + 2 * EDGE
    given = {"viewBox": f"0 0 {width:.0f} {height:.0f}", **head}
    lines = [_edge(points) for _, points in sorted(found.routes.items())]
    drawn = [_box(box, found) for box in boxes]
    return f"<svg {_attributes(given)}>{style}<g>{''.join(lines)}</g>{''.join(drawn)}</svg>"


def _attributes(given: Mapping[str, str]) -> str:
    return " ".join(f'{name}="{escape(value)}"' for name, value in given.items())


def _box(box: Box, found: Layout) -> str:
    x, y = _place(found.columns[box.name], found.rows[box.name])
    middle = y + BOX[1] / 2
    title = f'<text x="{x:.1f}" y="{middle + (-4 if box.below else 5):.1f}">{escape(box.name)}</text>'
    below = f'<text class="below" x="{x:.1f}" y="{middle + 14:.1f}">{box.below}</text>' if box.below else ""
    rect = f'<rect x="{x - BOX[0] / 2:.1f}" y="{y:.1f}" width="{BOX[0]}" height="{BOX[1]}" rx="7"/>'
    return f'<g class="stage" {_attributes(box.attributes or {})}>{rect}{title}{below}</g>'


def _edge(points: list[tuple[float, int]]) -> str:
    """A smooth way through the points, and a head at its end. It runs straight down beside the boxes of rows it
    passes, and bends between the rows."""
    places = [_place(column, row) for column, row in points]
    x, y = places[0][0], places[0][1] + BOX[1]
    way = [f"M{x:.1f} {y:.1f}"]
    for place, (nx, ny) in enumerate(places[1:], 1):
        last = place == len(places) - 1
        ny -= 5 if last else 0
        middle = (y + ny) / 2
        way.append(f"C{x:.1f} {middle:.1f} {nx:.1f} {middle:.1f} {nx:.1f} {ny:.1f}")
        x, y = nx, ny
        if not last:
            y += BOX[1]
            way.append(f"V{y:.1f}")
    head = f"M{x - 4:.1f} {y - 2:.1f}L{x + 4:.1f} {y - 2:.1f}L{x:.1f} {y + 5:.1f}Z"
    return f'<path class="flow" d="{"".join(way)}"/><path class="head" d="{head}"/>'


def _place(column: float, row: int) -> tuple[float, float]:
    """Centre and top of a place, in points."""
    return EDGE + (column + 0.5) * BOX[0], EDGE + row * (BOX[1] + GAP)
