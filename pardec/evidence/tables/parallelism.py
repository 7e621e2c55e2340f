"""Table `parallelism`: by tokens of a block and batch, the fastest decoder at equal quality. How much is right?"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from pardec.evidence.columns import SOURCES, count, flag, measured, text
from pardec.evidence.comparison import EVEN, FASTER, NOT_COMPARABLE, REASONS, SLOWER, WORSE, speed
from pardec.evidence.tables.answers import fastest, taken, words_of
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import interval

Row = dict[str, Any]
SHAPE = ("experiment", "task", "reference_arm", "batch", "prompt_tokens", "new_tokens")
JUDGED = (FASTER, EVEN, SLOWER)
"""Verdicts of cells at equal quality."""
FROM_CELL = (
    "cell", "arm", "label", "model", "decoder", "steps", "n_pairs", "latency_ms", "latency_low", "latency_high",
    "quality", "quality_low", "quality_high", "quality_n", "quality_pairs", "quality_difference",
    "quality_difference_low", "quality_difference_high", "lossless", "tokens_per_forward", "n",
)  # fmt: skip


def block_size(row: Row) -> int:
    """Returns the tokens that a cell may write in parallel: its block, the canvas where it has none, else one."""
    if row["family"] == "autoregressive":
        return 1
    return min(row["block"] or row["new_tokens"], row["new_tokens"])


def build(inputs: Inputs) -> list[Row]:
    """Returns one row per shape and block of experiments of kind block; of the blocks of a shape, the one whose fastest
    cell at equal quality has the highest speed ratio is `best`."""
    shapes: dict[tuple, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in inputs.rows("block"):
        if row["reference_arm"] is not None and row["reference_family"] == "autoregressive":
            shapes[tuple(row[name] for name in SHAPE)][block_size(row)].append(row)
    rows = []
    for key, sizes in shapes.items():
        made = [
            _best({**dict(zip(SHAPE, key, strict=True)), "size": size}, sizes[size]) for size in sorted(sizes)
        ]
        ratios = [row["ratio"] for row in made if row.get("ratio") is not None]
        rows += [
            {**row, "best": row["ratio"] == max(ratios) if row.get("ratio") is not None else None}
            for row in made
        ]
    return rows


def _best(what: Row, rows: list[Row]) -> Row:
    comparable = [row for row in rows if row["verdict"] in JUDGED]
    first = (comparable or rows)[0]
    row: Row = {
        **what,
        **{name: first[name] for name in ("task_label", "delta", "noise_source")},
        **{name: first[name] for name in ("quality_metric", "quality_better", "quality_margin")},
        "candidates": len(rows),
        "comparable": len(comparable),
        "shown_worse": sum(other["verdict"] == WORSE for other in rows),
    }
    if not comparable:
        # Where nothing is equal, the cell nearest to it says how far away that is.
        reasons = Counter(other["verdict_reason"] for other in rows)
        common = max(REASONS.values(), key=lambda reason: reasons[reason])
        return {
            **row,
            "verdict": NOT_COMPARABLE,
            "verdict_reason": common,
            **_nearest(rows),
            **_sources(rows),
        }
    best = max(comparable, key=lambda other: other["ratio"])
    chosen = fastest(best, len(comparable))
    return {
        **row,
        **{name: best[name] for name in FROM_CELL},
        **interval("ratio", chosen),
        "words": words_of(best["cell"]),
        "verdict": speed(chosen.low, chosen.high, best["delta"]),
        "verdict_reason": REASONS["ratio"],
        **_sources([best, *(other for other in rows if other is not best)]),
    }


def _nearest(rows: list[Row]) -> Row:
    """Returns the quality of the cell that comes nearest to its reference's, without its speed."""
    scored = [row for row in rows if row["quality_difference"] is not None]
    if not scored:
        return {}
    sign = -1 if scored[0]["quality_better"] == "lower" else 1
    best = max(scored, key=lambda row: sign * row["quality_difference"])
    names = [
        name for name in FROM_CELL if name.startswith("quality") or name in ("cell", "arm", "label", "n")
    ]
    return {name: best[name] for name in names} | {"words": words_of(best["cell"])}


def _sources(rows: list[Row]) -> Row:
    return {name: " ".join(dict.fromkeys(row[name] for row in rows)) for name in SOURCES}


COLUMNS = {
    **taken("experiment", "task", "task_label"),
    "reference_arm": text("the sequential arm that all others are compared with", nullable=False),
    **taken("batch", "prompt_tokens", "new_tokens"),
    "size": count("tokens that may be written in parallel: a block, or the whole canvas", "tokens", kind="exact",
                  label="block"),
    "candidates": count("cells with this block", "cells"),
    "comparable": count("of these, finished cells at equal quality", "cells", kind="count"),
    "shown_worse": count("of these, cells whose quality is shown worse", "cells", kind="count"),
    "verdict": text("of the fastest at equal quality, adjusted for the choice: faster, slower or no difference shown; "
                    "not comparable where there is none", nullable=False),
    "verdict_reason": text("what decided it", nullable=False),
    "best": flag("whether no other block of this task and batch is faster at equal quality"),
    "cell": text("the fastest cell at equal quality; where there is none, the one of the nearest quality"),
    **taken("arm", "label", "model", "decoder", "steps"),
    "words": text("what sets it apart from its arm"),
    **taken("n", "n_pairs", "latency_ms", "latency_low", "latency_high"),
    **measured("ratio", "×", "latency of the reference / of the fastest cell at equal quality; its interval holds for "
               "the largest of all comparable cells at once (Bonferroni)", count="n_pairs", better="higher",
               label="speed ratio"),
    **taken("quality", "quality_low", "quality_high", "quality_n", "quality_metric", "quality_better",
            "quality_margin", "quality_difference", "quality_difference_low", "quality_difference_high",
            "quality_pairs", "lossless", "tokens_per_forward", "delta", "noise_source"),
    **SOURCES,
}  # fmt: skip

TABLE = Table(
    name="parallelism",
    description="By task, batch and tokens of a block: the fastest decoder at equal quality, against autoregression.",
    needs=("block",),
    key=(*SHAPE, "size"),
    columns=COLUMNS,
    build=build,
)
