"""Table `aup`: quality against tokens per forward pass in one number, which no hardware decides.

Accuracy under parallelism (Qian et al. 2026, d3LLM, arXiv:2601.07568): the area under a decoder's curve of accuracy
over tokens per forward pass, where accuracy below the best of the task weighs exponentially less.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import GUARDS, on_test_prompts
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.cell_columns import taken
from pardec.evidence.tables.inputs import Inputs, joined
from pardec.quality.registry import METRICS
from pardec.study.kinds import COMPARISON

KINDS = (COMPARISON, "steps", "block")
"""Kinds of experiments that ask for quality over settings of one decoder; others would repeat their cells."""
ALPHA = 3.0
"""How fast accuracy below the best loses its weight (the paper's)."""
DROP = 5.0
"""Points of accuracy below the slowest setting's beyond which a setting is left out (the paper's)."""
TASK = ("experiment", "task", "prompt_tokens", "new_tokens")
CURVE = (*TASK, "model", "arm", "engine")
SHARED = "experiment task task_label model arm label decoder engine prompt_tokens new_tokens quality_metric"
Point = tuple[float, float]
"""Tokens per forward pass, accuracy in percent."""


def build(inputs: Inputs) -> list[Row]:
    """Return one row per arm that was scored by an accuracy at batch 1, its settings being the points of a curve."""
    curves: dict[tuple, list[Row]] = defaultdict(list)
    for row in inputs.rows("cells"):
        asked = row["experiment_kind"] in KINDS and row["batch"] == 1 and row["run"] is None
        if asked and on_test_prompts(row) and is_accuracy(row):
            curves[tuple(row[name] for name in CURVE)].append(row)
            if row["reference_family"] == "autoregressive" and row["reference_quality"] is not None:
                _add_reference(curves, row)
    best: dict[tuple, float] = defaultdict(float)
    for key, rows in curves.items():
        task = key[: len(TASK)]
        best[task] = max(best[task], *(accuracy for _, accuracy in points(rows)))
    return [_row(rows, best[key[: len(TASK)]]) for key, rows in curves.items()]


def is_accuracy(row: Row) -> bool:
    """Return whether a cell has a quality between 0 and 1, higher being better, and tokens per forward pass."""
    name = row["quality_metric"]
    if name is None or name in GUARDS or row["quality"] is None or not row["tokens_per_forward"]:
        return False
    return row["quality_better"] == "higher" and METRICS.load(name).span == 1


def _add_reference(curves: dict[tuple, list[Row]], row: Row) -> None:
    """Add the arm that a cell is paired with, which writes one token per pass, unless it is there."""
    known = {
        "arm": row["reference_arm"],
        "model": row["reference_model"],
        "decoder": row["reference_decoder"],
    }
    made = row | known | {"label": None, "tokens_per_forward": 1.0, "quality": row["reference_quality"]}
    curves.setdefault(tuple(made[name] for name in CURVE), [made])


def points(rows: Sequence[Row]) -> list[Point]:
    """Return the curve of these settings, fewest tokens per forward pass first, of equals the most accurate first."""
    return sorted(
        ((row["tokens_per_forward"], 100 * row["quality"]) for row in rows), key=lambda p: (p[0], -p[1])
    )


def kept(curve: Sequence[Point]) -> list[Point]:
    """Return the points whose accuracy is not further below the first one's than the measure allows."""
    return [point for point in curve if point[1] >= curve[0][1] - DROP]


def area(curve: Sequence[Point], best: float) -> float:
    """Return accuracy under parallelism of the points that are kept: the first one's rectangle, then trapezoids of
    weighted accuracy. best: accuracy of the task's best setting of any arm, in percent."""

    def weighted(accuracy: float) -> float:
        return accuracy * min(math.exp(-ALPHA * (1 - accuracy / best)), 1.0) if best else 0.0

    left = kept(curve)
    first = left[0][0] * left[0][1]
    return first + sum((x2 - x) * (weighted(y) + weighted(y2)) / 2 for (x, y), (x2, y2) in pairwise(left))


def _row(rows: list[Row], best: float) -> Row:
    curve = points(rows)
    left = kept(curve)
    return {
        **{name: rows[0][name] for name in SHARED.split()},
        "points": len(curve),
        "kept": len(left),
        "tpf_least": left[0][0],
        "tpf_most": left[-1][0],
        "accuracy_least": left[0][1],
        "accuracy_most": left[-1][1],
        "accuracy_best": best,
        "anchored": left[0][1] >= best - DROP,
        "aup": area(curve, best),
        **joined(rows),
    }


AUP = Table(
    name="aup",
    description="By arm and task: accuracy under parallelism (d3LLM), the area under accuracy over tokens per forward "
    f"pass at batch 1. Accuracy below the task's best weighs exp(-{ALPHA:g} (1 - accuracy / best)); settings more than "
    f"{DROP:g} points below the slowest one's are left out. It uses no time measurement; its definition "
    "has no interval.",
    needs=("cells",),
    key=CURVE,
    columns=taken(SHARED)
    | columns("""
points          count settings | settings of the arm that were scored
kept            count settings | those with an accuracy within the measure's limit of the slowest one's
tpf_least       number tokens label="least TPF" | tokens per forward pass of the slowest setting
tpf_most        number tokens label="most TPF" | those of the fastest that is kept
accuracy_least  number % kind=quality better=higher label="accuracy at least TPF" | accuracy of the slowest setting
accuracy_most   number % kind=quality better=higher label="accuracy at most TPF" | accuracy of the fastest that is kept
accuracy_best   number % kind=quality better=higher label="best accuracy" | that of the task's best setting of any arm
anchored        flag label="begins at full accuracy" | whether the slowest setting is as near to the best accuracy as
    the measure asks of the others; if not, the area before it is counted at full weight
aup             number kind=quality better=higher label=AUP | accuracy under parallelism
""")
    | SOURCES,
    build=build,
)
