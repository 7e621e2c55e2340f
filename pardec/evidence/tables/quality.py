"""Table `quality`: every metric of every scored set of outputs."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.columns import SOURCES, count, flag, measured, size, text
from pardec.evidence.comparison import lower_is_better
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = []
    for score in inputs.scores.values():
        place, body = place_of(score.path), score.body
        for name, content in (body["metrics"] or {body["main"]: {"value": None}}).items():
            per = content.get("per_prompt")
            rows.append(
                {
                    **place,
                    "metric": name,
                    "value": content["value"],
                    "value_low": content.get("low"),
                    "value_high": content.get("high"),
                    "n": content.get("n") or (len(per) if per else None),
                    "main": name == score.body.get("main"),
                    "better": "lower" if lower_is_better(name, content) else "higher",
                    "status": content.get("status", "ok") if body["metrics"] else body["status"],
                    "reason": content.get("reason") if body["metrics"] else body["reason"],
                    "lost": len(body.get("lost") or ()),
                    "batch_checked": body.get("batch_checked"),
                    "batch_differs": body.get("batch_differs"),
                    "record": score.path,
                    "record_sha256": score.sha256,
                }
            )
    return rows


def place_of(path: str) -> dict[str, str]:
    """Returns task, model, arm and words, from the path .../quality/<task>/<model>/<arm>/<words>/score.json."""
    parts = PurePath(path).parts
    if len(parts) < 6 or "quality" not in parts[:-5]:
        raise UserError(
            path, "is not .../quality/<task>/<model>/<arm>/<words>/score.json", "keep the run's layout"
        )
    return dict(zip(("task", "model", "arm", "words"), parts[-5:-1], strict=True))


TABLE = Table(
    name="quality",
    description="One row a scored set of outputs and metric; the main metric is the one that speed is "
    "held against.",
    needs=("scores",),
    key=("task", "model", "arm", "words", "metric"),
    columns={
        "task": text("what is generated", nullable=False),
        "model": text("name of the model", nullable=False),
        "arm": text("decoder and settings", nullable=False),
        "words": text("what sets these outputs apart", nullable=False),
        "metric": text("name of the metric", nullable=False),
        **measured(
            "value",
            "",
            "the metric over the held-out prompts; nats/token for scorer_nll",
            kind="quality",
            better="better",
        ),
        "n": size("prompts scored", "prompts"),
        "main": flag("whether it is the task's quality"),
        "better": text("higher or lower"),
        "status": text("how it ended: ok, or why there is no value"),
        "reason": text("why there is no value, and of which side"),
        "lost": count("prompts without an output, which are left out", "prompts"),
        "batch_checked": count("outputs that were decoded once more, alone", "prompts"),
        "batch_differs": count("of these, how many came out otherwise than in a batch", "prompts"),
        **SOURCES,
    },
    build=build,
)
