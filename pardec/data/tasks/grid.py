"""Mega-Grid: H rows and W columns as CSV, cell (i, j) = i + j. `grid 2 x 3 =` -> `0,1,2\\n1,2,3\\n`."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.data.base import Example, Task


class GridSettings(Settings):
    """Sizes of the grids, and their division into tokens."""

    min_side: int = Field(1, ge=1, le=512)
    """Least height and least width, in cells."""
    max_side: int = Field(16, ge=1, le=512)
    """Greatest height and greatest width, in cells."""
    min_cells: int = Field(1, ge=1)
    """Fewest cells of a grid."""
    max_cells: int = Field(48, ge=1)
    """Most cells of a grid; bounds the answer's length."""
    separators: Literal["own", "joined"] = "own"
    """`own`: cells and separators are one token each, so H x W cells take 2 x H x W tokens. `joined`: a cell and
    the separator behind it are one token, so N cells take N tokens; the text is the same."""
    held_out: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []
    """Sizes (height, width) that are held out, whatever the share of others."""

    @model_validator(mode="after")
    def _possible(self) -> GridSettings:
        if self.min_side > self.max_side:
            raise ValueError(f"min_side ({self.min_side}) exceeds max_side ({self.max_side})")
        if not any(True for _ in self.sizes()):
            raise ValueError("no grid has such sides and such a number of cells")
        known = set(self.sizes())
        for height, width in self.held_out:
            if (height, width) not in known:
                raise ValueError(f"held_out: {height} x {width} is outside the bounds")
        return self

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Return every (height, width) within the bounds, in ascending order."""
        sides = range(self.min_side, self.max_side + 1)
        return ((h, w) for h in sides for w in sides if self.min_cells <= h * w <= self.max_cells)


class Grid(Task):
    """Write the whole table; each cell follows from its position, so all of them could be written at once."""

    name = "grid"
    Settings = GridSettings
    settings: GridSettings

    def example(self, rng: Random) -> Example:
        return self._example(*rng.choice(list(self.settings.sizes())))

    def every(self) -> list[Example]:
        return [self._example(height, width) for height, width in self.settings.sizes()]

    def held_out(self) -> list[Example]:
        return [self._example(height, width) for height, width in self.settings.held_out]

    def _example(self, height: int, width: int) -> Example:
        rows = (",".join(str(i + j) for j in range(width)) + "\n" for i in range(height))
        return Example(f"{self.name} {height} x {width} =", "".join(rows))

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return the scores: exact; cells, rows: fraction right, of the larger grid; parses: whether it is a table of
        integers.

        parses needs rows of one width, each ended by a newline; the width may be wrong.
        """
        right, given = _table(answer), _table(output)
        return {
            "exact": float(output == answer),
            "cells": _cells_right(right, given),
            "rows": sum(a == b for a, b in zip(right, given, strict=False)) / max(len(right), len(given)),
            "parses": float(_parses(output)),
        }

    def symbols(self) -> list[str]:
        largest_cell = max(height + width - 2 for height, width in self.settings.sizes())
        largest_side = max(max(size) for size in self.settings.sizes())
        numbers = range(max(largest_cell, largest_side) + 1)
        plain = [self.name, "x", "=", *(str(number) for number in numbers)]
        if self.settings.separators == "own":
            return [*plain, ",", "\n"]
        return [*plain, *(f"{number}{mark}" for mark in ",\n" for number in range(largest_cell + 1))]

    def max_answer_tokens(self) -> int:
        per_cell = 2 if self.settings.separators == "own" else 1
        return per_cell * max(height * width for height, width in self.settings.sizes()) + 1


def _table(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.removesuffix("\n").split("\n")]


def _cells_right(right: list[list[str]], given: list[list[str]]) -> float:
    matches = total = 0
    for i in range(max(len(right), len(given))):
        a = right[i] if i < len(right) else []
        b = given[i] if i < len(given) else []
        matches += sum(x == y for x, y in zip(a, b, strict=False))
        total += max(len(a), len(b))
    return matches / total


def _parses(text: str) -> bool:
    table = _table(text)
    plain = all(cell.isascii() and cell.isdigit() for row in table for cell in row)
    return text.endswith("\n") and plain and len({len(row) for row in table}) == 1
