"""Where the boxes of a layered drawing of a directed acyclic graph go (Sugiyama, Tagawa and Toda 1981, simplified).

Equal graphs give equal drawings: every step is a fixed number of sweeps with ties kept in the order given.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

SWEEPS = 40

Graph = dict[str, list[str]]
"""Name -> names it comes after; a name comes later than all it is after."""


@dataclass
class Layout:
    """columns: horizontal centre of each node in box widths, left is 0. rows: its layer, top is 0.

    routes: for each edge (from, to) the (column, row) points it passes through, ends included.
    """

    columns: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    routes: dict[tuple[str, str], list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def width(self) -> float:
        """In boxes, from the left edge of the leftmost to the right edge of the rightmost."""
        return 1 + max(self.columns.values(), default=0.0)

    @property
    def height(self) -> int:
        return 1 + max(self.rows.values(), default=0)


def reduced(after: Graph) -> Graph:
    """Without the edges that a longer way already tells (transitive reduction), and without edges that lead back up."""
    above: dict[str, set[str]] = {}
    kept: Graph = {}
    for name in after:
        near = [other for other in after[name] if other in above]
        above[name] = set().union(*({other} | above[other] for other in near))
        kept[name] = [other for other in near if not any(other in above[third] for third in near)]
    return kept


def lay_out(after: Graph, gap: float = 0.16, slack: float = 0.45) -> Layout:
    """Rows by the longest way from the top, columns so that edges are short and nothing overlaps.

    gap: between boxes of a row, in box widths. slack: width that a passing edge takes.
    """
    rows = _rows(after)
    chains = {(low, high): _chain(low, high, rows) for high, near in after.items() for low in near}
    places: list[list[str]] = [[] for _ in range(1 + max(rows.values(), default=0))]
    for name, row in rows.items():
        places[row].append(name)
    for chain in chains.values():
        for row, passing in chain[1:-1]:
            places[row].append(passing)
    near = _neighbours(chains)
    _order(places, near)
    wide = {name: 1.0 + gap if name in rows else slack for row in places for name in row}
    x = _columns(places, near, wide)
    left = min((x[name] for name in rows), default=0.0)
    return Layout(
        columns={name: x[name] - left for name in rows},
        rows=rows,
        routes={edge: [(x[name] - left, row) for row, name in chain] for edge, chain in chains.items()},
    )


def _rows(after: Graph) -> dict[str, int]:
    rows: dict[str, int] = {}
    for name, near in after.items():
        rows[name] = 1 + max((rows[other] for other in near), default=-1)
    # What nothing precedes moves down to just above its first reader: short edges, narrow rows.
    for name in reversed(list(after)):
        readers = [rows[other] for other, near in after.items() if name in near]
        if readers and not after[name]:
            rows[name] = max(rows[name], min(readers) - 1)
    return rows


def _chain(low: str, high: str, rows: dict[str, int]) -> list[tuple[int, str]]:
    """An edge with a place in every row it crosses."""
    between = [(row, f"{low}>{high}@{row}") for row in range(rows[low] + 1, rows[high])]
    return [(rows[low], low), *between, (rows[high], high)]


def _neighbours(chains: dict[tuple[str, str], list[tuple[int, str]]]) -> dict[str, list[str]]:
    near: dict[str, list[str]] = {}
    for chain in chains.values():
        for (_, one), (_, other) in itertools.pairwise(chain):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    return near


def _order(places: list[list[str]], near: dict[str, list[str]]) -> None:
    """Sort each row by the mean place of its neighbours, down and up in turn."""
    for sweep in range(SWEEPS):
        rows = range(len(places)) if sweep % 2 == 0 else range(len(places) - 1, -1, -1)
        for row in rows:
            other = row - 1 if sweep % 2 == 0 else row + 1
            if not 0 <= other < len(places):
                continue
            at = {name: (i + 0.5) / len(places[other]) for i, name in enumerate(places[other])}
            here = {name: (i + 0.5) / len(places[row]) for i, name in enumerate(places[row])}
            places[row].sort(
                key=lambda name: _mean([at[n] for n in near.get(name, ()) if n in at], here[name])
            )


def _columns(places: list[list[str]], near: dict[str, list[str]], wide: dict[str, float]) -> dict[str, float]:
    """Pull each node towards its neighbours; within a row the nearest positions without overlap."""
    x: dict[str, float] = {}
    for row in places:
        edge = -sum(wide[name] for name in row) / 2
        for name in row:
            x[name] = edge + wide[name] / 2
            edge += wide[name]
    for _ in range(SWEEPS):
        for row in [*places, *reversed(places)]:
            wanted = [_mean([x[n] for n in near.get(name, ())], x[name]) for name in row]
            for name, place in zip(row, _apart(wanted, [wide[name] for name in row]), strict=True):
                x[name] = place
    # What stands alone in its row needs no compromise: it goes straight below what leads to it.
    for upper, row in itertools.pairwise(places):
        if len(row) == 1:
            x[row[0]] = _mean([x[n] for n in near.get(row[0], ()) if n in upper], x[row[0]])
    return x


def _apart(wanted: list[float], wide: list[float]) -> list[float]:
    """The positions nearest to `wanted`, in order and at least half of both widths apart: isotonic regression by
    pooling adjacent violators, after the widths are taken out."""
    taken, offsets = 0.0, []
    for i, width in enumerate(wide):
        taken += (wide[i - 1] + width) / 2 if i else 0.0
        offsets.append(taken)
    pools: list[tuple[float, int]] = []
    for target in (want - offset for want, offset in zip(wanted, offsets, strict=True)):
        mean, size = target, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    return [base + offset for base, offset in zip(level, offsets, strict=True)]


def _mean(found: list[float], otherwise: float) -> float:
    return sum(found) / len(found) if found else otherwise
