"""Score a file of outputs by several metrics."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl
from pardec.measure.finite import NotFinite
from pardec.quality.base import Context, Metric, Scored
from pardec.quality.generate import ending
from pardec.quality.registry import METRICS

KEYS = ("id", "task", "prompt", "answer", "text")


def read_outputs(path: str | Path, task: str | None = None) -> list[dict]:
    """Return outputs of outputs.jsonl.

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
        raise UserError(path, "contains no output", "generate the outputs again")
    return outputs


def score_outputs(outputs: Sequence[dict], metrics: Sequence[str], context: Context) -> dict[str, Any]:
    """Return the content of score.json without inputs and provenance, which the caller adds; the first metric is the
    main one.

    Prompts without an output are counted, named, and left out. If no prompt has one, or the main metric cannot be
    computed, `status` and `reason` explain it and there is no value: a missing score does not end a run.

    Raises:
        UserError: an unknown metric, or none.
    """
    if not metrics:
        raise UserError("metrics", "names none", f"known: {', '.join(METRICS)}")
    kinds = {name: METRICS.load(name) for name in metrics}
    kept = [row for row in outputs if row.get("status", "ok") == "ok"]
    score: dict[str, Any] = {"status": "ok", "reason": None, "metrics": {}, "main": metrics[0]}
    score |= {"prompts": [row["id"] for row in kept], **_lost(outputs), **_alone(kept)}
    if not kept:
        return score | {"status": score["lost"][0]["status"], "reason": score["lost"][0]["reason"]}
    for name, kind in kinds.items():
        score["metrics"][name] = _measured(kind(), kept, context) | {
            "unit": kind.unit,
            "better": kind.better,
            "title": kind.title,
            **context.facts.get(name, {}),
        }
    main = score["metrics"][metrics[0]]
    without = "ok" if main["value"] is not None or not main.get("reason") else "unsupported"
    return score | {"status": main.get("status", without), "reason": main.get("reason")}


def without_score(
    outputs: Sequence[dict], metrics: Sequence[str], status: str, reason: str
) -> dict[str, Any]:
    """Return the content of score.json of outputs that could not be scored."""
    kept = [row["id"] for row in outputs if row.get("status", "ok") == "ok"]
    score = {"status": status, "reason": reason, "metrics": {}, "main": metrics[0], "prompts": kept}
    return score | _lost(outputs) | _alone(outputs)


def _measured(metric: Metric, outputs: Sequence[dict], context: Context) -> dict[str, Any]:
    """Return the metric's result, or one without a value, with its status and reason."""
    unheard = next((context.missing[need] for need in sorted(metric.needs) if need in context.missing), None)
    try:
        if unheard is None:
            return metric.measure(outputs, context).as_json()
        status, reason = unheard
    except Exception as error:
        status, reason = ending(error)
        if status == "failed" and not isinstance(error, NotFinite | UserError):
            traceback.print_exc()
    nothing = Scored(None, None, None, 0, [None] * len(outputs)).as_json()
    return nothing | {"status": status, "reason": f"metric {metric.name}: {reason}"}


def _lost(outputs: Sequence[dict]) -> dict[str, Any]:
    """Return the prompts without an output, each with its status and reason."""
    lost = [row for row in outputs if row.get("status", "ok") != "ok"]
    return {"lost": [{key: row[key] for key in ("id", "status", "reason")} for row in lost]}


def _alone(outputs: Sequence[dict]) -> dict[str, int]:
    """Return the number of outputs decoded once more alone, and the number of those that differ."""
    checked = [row["same_alone"] for row in outputs if "same_alone" in row]
    return {"batch_checked": len(checked), "batch_differs": checked.count(False)}
