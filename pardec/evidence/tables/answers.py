"""Table `answers`: the fastest arm at equal quality and its speed ratio, per comparison with a reference."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, Column, count, measured, number, text
from pardec.evidence.comparison import EVEN, FASTER, NOT_COMPARABLE, REASONS, SLOWER, WORSE, speed
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")

Row = dict[str, Any]
GROUP = ("experiment", "task", "reference_arm", "batch", "prompt_tokens", "new_tokens")
JUDGED = (FASTER, EVEN, SLOWER)
"""Verdicts of cells at equal quality."""
FROM_CELL = (
    "cell", "arm", "label", "model", "decoder", "steps", "block", "n_pairs", "n_prompts", "one_prompt", "latency_ms",
    "latency_low", "latency_high", "quality", "quality_low", "quality_high", "quality_n", "quality_pairs",
    "quality_difference", "quality_difference_low", "quality_difference_high", "lossless", "lossless_prompts",
    "tokens_per_forward", "n",
)  # fmt: skip
SHARED = ("experiment_kind", "task_label", "reference", "delta", "noise_source")
NOT_ASKED = ("noise",)
"""Kinds of experiments without comparisons."""


def build(inputs: Inputs) -> list[Row]:
    rows = inputs.rows("cells")
    by_id = {row["cell"]: row for row in rows}
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        asked = row["experiment_kind"] not in NOT_ASKED and not row["random_prompts"] and not row["tuning"]
        if asked and row["reference_arm"] is not None:
            groups[tuple(row[name] for name in GROUP)].append(row)
    return [_answer(dict(zip(GROUP, key, strict=True)), group, by_id) for key, group in groups.items()]


def _answer(what: Row, rows: list[Row], by_id: dict[str, Row]) -> Row:
    comparable = [row for row in rows if row["verdict"] in JUDGED]
    reference = by_id.get(next((row["reference"] for row in rows if row["reference"]), None) or "", {})
    first = (comparable or rows)[0]
    answer: Row = {
        **what,
        **{name: first[name] for name in SHARED},
        **{name: first[name] for name in ("quality_metric", "quality_better", "quality_margin")},
        "reference_label": reference.get("label") or what["reference_arm"],
        "candidates": len(rows),
        "comparable": len(comparable),
        "shown_worse": sum(row["verdict"] == WORSE for row in rows),
        "faster": sum(row["verdict"] == FASTER for row in rows),
    }
    if not comparable:
        reasons = Counter(row["verdict_reason"] for row in rows)
        common = max(REASONS.values(), key=lambda reason: reasons[reason])
        return {**answer, "verdict": NOT_COMPARABLE, "verdict_reason": common, **_sources(rows)}
    best = max(comparable, key=lambda row: row["ratio"])
    chosen = fastest(best, len(comparable))
    memory = (best["peak_allocated_mb"], reference.get("peak_allocated_mb"))
    return {
        **answer,
        **{name: best[name] for name in FROM_CELL},
        **interval("ratio", chosen),
        "words": words_of(best["cell"]),
        "verdict": speed(chosen.low, chosen.high, best["delta"]),
        "verdict_reason": REASONS["ratio"],
        "memory_ratio": memory[0] / memory[1] if all(memory) else None,
        **_sources([best, *(row for row in rows if row is not best)]),
    }


def fastest(row: Row, candidates: int) -> Any:
    """Returns the speed ratio of the fastest of `candidates` cells, with its interval adjusted for the choice."""
    single = statistics.Estimate(row["ratio"], row["ratio_low"], row["ratio_high"], row["n_pairs"])
    return statistics.among(single, candidates)


def words_of(cell: str) -> str | None:
    """Returns the settings that distinguish a cell from its arm: the words of its id except those of its shape."""
    shape = ("new", "batch", "prompt", "prompts", "run", "against")
    words = [re.split("[=~]", word, maxsplit=1) for word in re.split("[,+]", cell.rpartition("/")[2])]
    return ", ".join(" ".join(word) for word in words if word[0] not in shape) or None


def _sources(rows: list[Row]) -> Row:
    return {name: " ".join(dict.fromkeys(row[name] for row in rows)) for name in SOURCES}


def taken(*names: str) -> dict[str, Column]:
    """Returns columns of `cells`, made nullable: they are empty if no cell is chosen."""
    return {name: replace(CELL[name], nullable=True) for name in names}


COLUMNS: dict[str, Column] = {
    **taken("experiment", "experiment_kind", "task", "task_label"),
    "reference_arm": text("the arm that all are held against", nullable=False),
    "reference_label": text("how the page calls it"),
    **taken("reference", "batch", "prompt_tokens", "new_tokens"),
    "candidates": count("cells paired with this reference", "cells"),
    "comparable": count("of these, finished cells at equal quality", "cells", kind="count"),
    "shown_worse": count("of these, cells whose quality is shown worse", "cells", kind="count"),
    "faster": count("of these, cells that are faster at equal quality, each judged alone", "cells", kind="count"),
    "verdict": text("of the fastest at equal quality, adjusted for the choice: faster, slower or no difference shown; "
                    "not comparable where there is none", nullable=False),
    "verdict_reason": text("what decided it", nullable=False),
    **taken("label", "arm", "model", "decoder", "steps", "block"),
    "cell": text("the fastest cell at equal quality; empty where there is none"),
    "words": text("what sets it apart from its arm"),
    **taken("n"),
    **taken("n_pairs", "n_prompts", "one_prompt", "latency_ms", "latency_low",
       "latency_high"),
    **measured("ratio", "×", "latency of the reference / of the fastest cell; its interval holds for the largest of "
               "all comparable cells at once (Bonferroni)", count="n_pairs", better="higher", label="speed ratio"),
    **taken("quality", "quality_low", "quality_high", "quality_n", "quality_metric",
       "quality_better", "quality_margin", "quality_difference", "quality_difference_low", "quality_difference_high",
       "quality_pairs", "lossless", "lossless_prompts", "tokens_per_forward"),
    "memory_ratio": number("×", "peak allocated memory of the cell / of the reference's cell", kind="memory"),
    **taken("delta", "noise_source"),
    **SOURCES,
}  # fmt: skip

ANSWERS = Table(
    name="answers",
    description="By experiment, task, reference and shape: the fastest arm at equal quality, among how many, and its "
    "speed with an interval adjusted for the choice.",
    needs=("cells",),
    key=GROUP,
    columns=COLUMNS,
    build=build,
)
