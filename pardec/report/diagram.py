"""Draw the workflow: one box per rule, data flowing from top to bottom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy

if TYPE_CHECKING:
    import networkx
else:
    networkx = lazy("networkx")

BOX = (164, 46)
"""Width and height of a box, in points of the drawing."""
GAP = (26, 34)
"""Gaps between boxes of a row, and between rows."""
EDGE = 12
PASSING = 40
"""Width of a passing edge."""
SWEEPS = 8
"""Number of times that rows are sorted by their neighbours, down and up in turn."""
STANDALONE = """<style>
text{font:600 13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328;text-anchor:middle}
.stage rect{fill:#f5f6f8;stroke:#5b636d}.flow{fill:none;stroke:#8a929b;stroke-width:1.4}.head{fill:#8a929b}
@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.stage rect{fill:#1c2229;stroke:#a3acb7}}
</style>"""

Node = str | tuple[str, str, int]
"""A rule, or the position where an edge passes a row."""
Graph = Mapping[str, Iterable[str]]
"""Name -> names before it; edges that lead back up are left out."""


@dataclass(frozen=True)
class Box:
    """One box: its name, a line of markup below it, and attributes of its element."""

    name: str
    below: str = ""
    attributes: Mapping[str, str] | None = None


def reduced(after: Graph) -> networkx.DiGraph:
    """Return `after` without edges implied by longer paths, and without edges that lead back up."""
    graph = networkx.DiGraph()
    for name, near in after.items():
        edges = [(other, name) for other in near if other in graph]
        graph.add_node(name)
        graph.add_edges_from(edges)
    kept = networkx.transitive_reduction(graph)
    kept.add_nodes_from(graph)
    return kept


def stretched(graph: networkx.DiGraph) -> networkx.DiGraph:
    """Return `graph` with a nameless node in every row that an edge passes, so that edges avoid boxes."""
    depth = {n: k for k, row in enumerate(networkx.topological_generations(graph)) for n in row}
    longer = networkx.DiGraph()
    longer.add_nodes_from(graph)
    for low, high in graph.edges:
        between = [(low, high, row) for row in range(depth[low] + 1, depth[high])]
        networkx.add_path(longer, [low, *between, high])
    return longer


def rows_of(graph: networkx.DiGraph) -> list[list[Node]]:
    """Return nodes by row: rows by longest path from the top, ordered by the mean position of neighbours.

    The algorithm is that of Sugiyama, Tagawa and Toda (1981).
    """
    rows = [sorted(row, key=str) for row in networkx.topological_generations(graph)]
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            place = {name: k / len(other) for other in rows for k, name in enumerate(other)}
            near = graph.predecessors if down else graph.successors
            row.sort(key=lambda name: fmean([place[other] for other in near(name)] or [place[name]]))
    return rows


def places_of(rows: list[list[Node]]) -> dict[Node, tuple[float, float]]:
    """Return centre and top of each node, in points; rows are centred."""
    widths = [[BOX[0] + GAP[0] if isinstance(name, str) else PASSING for name in row] for row in rows]
    widest = max(map(sum, widths), default=0)
    places: dict[Node, tuple[float, float]] = {}
    for depth, (row, wide) in enumerate(zip(rows, widths, strict=True)):
        x = EDGE + (widest - sum(wide) - GAP[0]) / 2
        for name, width in zip(row, wide, strict=True):
            places[name] = (x + width / 2, EDGE + depth * (BOX[1] + GAP[1]))
            x += width
    return places


def draw(after: Graph, boxes: Iterable[Box], head: Mapping[str, str], style: str = "") -> str:
    """Return the graph `after` as an `<svg>` element.

    boxes: one per node. head: attributes of the element, such as its label for screen readers. style: a `<style>`
    element, for a standalone file.
    """
    graph = reduced(after)
    longer = stretched(graph)
    rows = rows_of(longer)
    places = places_of(rows)
    width = max((x for x, _ in places.values()), default=0) + BOX[0] / 2 + EDGE
    height = len(rows) * (BOX[1] + GAP[1]) - GAP[1] + 2 * EDGE
    given = {"viewBox": f"0 0 {width:.0f} {height}", **head}
    ways = [networkx.shortest_path(longer, low, high) for low, high in sorted(graph.edges)]
    lines = "".join(_edge([places[node] for node in way]) for way in ways)
    drawn = "".join(_box(box, *places[box.name]) for box in boxes)
    return f"<svg {_attributes(given)}>{style}<g>{lines}</g>{drawn}</svg>"


def _attributes(given: Mapping[str, str]) -> str:
    return " ".join(f'{name}="{escape(value)}"' for name, value in given.items())


def _box(box: Box, x: float, y: float) -> str:
    middle = y + BOX[1] / 2
    title = f'<text x="{x:.1f}" y="{middle + (-4 if box.below else 5):.1f}">{escape(box.name)}</text>'
    below = f'<text class="below" x="{x:.1f}" y="{middle + 14:.1f}">{box.below}</text>' if box.below else ""
    rect = f'<rect x="{x - BOX[0] / 2:.1f}" y="{y:.1f}" width="{BOX[0]}" height="{BOX[1]}" rx="7"/>'
    return f'<g class="stage" {_attributes(box.attributes or {})}>{rect}{title}{below}</g>'


def _edge(points: list[tuple[float, float]]) -> str:
    """Return a smooth path through the points, vertical beside boxes and curved between rows, with an arrowhead."""
    (x, y), *rest = points
    y += BOX[1]
    way = f"M{x:.1f} {y:.1f}"
    for place, (nx, ny) in enumerate(rest, 1):
        last = place == len(rest)
        ny -= 5 if last else 0
        middle = (y + ny) / 2
        way += f"C{x:.1f} {middle:.1f} {nx:.1f} {middle:.1f} {nx:.1f} {ny:.1f}"
        x, y = nx, ny
        if not last:
            y += BOX[1]
            way += f"V{y:.1f}"
    head = f"M{x - 4:.1f} {y - 2:.1f}L{x + 4:.1f} {y - 2:.1f}L{x:.1f} {y + 5:.1f}Z"
    return f'<path class="flow" d="{way}"/><path class="head" d="{head}"/>'
