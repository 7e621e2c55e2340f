"""Score a file of outputs by several metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl
from pardec.quality.base import Context
from pardec.quality.registry import METRICS

KEYS = ("id", "task", "prompt", "answer", "text")


def read_outputs(path: str | Path, task: str | None = None) -> list[dict]:
    """Outputs of outputs.jsonl.

    Raises:
        UserError: missing or damaged, no output at all, or an output of another task than `task`.
    """
    outputs = read_jsonl(path)
    for number, row in enumerate(outputs, 1):
        missing = [key for key in KEYS if not isinstance(row, dict) or key not in row]
        if missing:
            raise UserError(
                f"{path}, record {number}", f"lacks {', '.join(missing)}", "generate the outputs again"
            )
        if task is not None and row["task"] != task:
            raise UserError(
                f"{path}, record {number}", f"is of task {row['task']!r}, not {task!r}", "name its task"
            )
    if not outputs:
        raise UserError(path, "holds no output", "generate the outputs again")
    return outputs


def score_outputs(outputs: Sequence[dict], metrics: Sequence[str], context: Context) -> dict[str, Any]:
    """What score.json holds, its inputs and provenance left to the caller; the first metric is the main one.

    Raises:
        UserError: an unknown metric, or one that lacks what it needs.
    """
    if not metrics:
        raise UserError("metrics", "names none", f"known: {', '.join(METRICS)}")
    scored: dict[str, Any] = {}
    for name in metrics:
        metric = METRICS.load(name)()
        result = metric.measure(outputs, context).as_json()
        about = {"unit": metric.unit, "better": metric.better, "title": metric.title}
        scored[name] = {**result, **about, **context.facts.get(name, {})}
    return {"metrics": scored, "main": metrics[0], "prompts": [row["id"] for row in outputs]}
