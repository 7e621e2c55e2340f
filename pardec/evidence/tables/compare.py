"""Is one arm's quality worse than another's? The gate that every speed stands beside."""

from __future__ import annotations

import math
from typing import Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence.tables.inputs import Source
from pardec.quality.registry import METRICS

statistics = lazy("pardec.evidence.statistics")

GUARDS = ("distinct_2",)
"""Metrics beside the main one that may not be worse either: text that repeats itself is likely, not good."""


OTHER_FLOORS = {"tau": "higher", "bound_gap": "lower"}
"""What a model may be held to beside the metrics of outputs, and which direction is better."""


def lower_is_better(metric: str, content: dict[str, Any] | None = None) -> bool:
    """Whether a lower value is the better one: as the scored metric says of itself (`better`), else as its entry of
    `METRICS` declares.

    Raises:
        UserError: the score does not say, and there is no such metric.
    """
    said = (content or {}).get("better") or OTHER_FLOORS.get(metric)
    return (said or METRICS.load(metric).better) == "lower"


def main_metric(score: Source) -> tuple[str, dict[str, Any]]:
    """Name and content of the metric that is the task's quality."""
    name = score.body["main"]
    if name not in score.body["metrics"]:
        raise UserError(
            score.path, f"has no metric {name!r}, which it calls its main one", "score this cell again"
        )
    return name, score.body["metrics"][name]


def difference(score: Source, reference: Source, metric: str) -> Any:
    """Estimate of score - reference, paired by prompt; None where either lacks the metric's values per
    prompt.

    Raises:
        UserError: the two were scored on different prompts.
    """
    own, other = (per_prompt(source, metric) for source in (score, reference))
    if own is None or other is None:
        return None
    if own.keys() != other.keys():
        raise UserError(score.path, f"was scored on other prompts than {reference.path}", "score both again")
    names = sorted(own, key=str)
    return statistics.paired_difference([own[k] for k in names], [other[k] for k in names])


def per_prompt(score: Source, metric: str) -> dict[Any, float] | None:
    """Values by prompt id (by place where the score names no prompts); None where the metric has none."""
    content = score.body["metrics"].get(metric) or {}
    values = content.get("per_prompt")
    if not values:
        return None
    names = content.get("prompts") or score.body.get("prompts") or range(len(values))
    if len(names) != len(values):
        raise UserError(
            score.path, f"metric {metric!r} has {len(values)} values for {len(names)} prompts", "score again"
        )
    return {
        name: math.nan if value is None else float(value) for name, value in zip(names, values, strict=True)
    }


def not_worse(score: Source, reference: Source, metric: str) -> bool | None:
    """Whether `score` is not shown worse than `reference`; None where that cannot be told.

    Two things must hold. The interval of `score` reaches the interval of `reference` (for a metric where
    higher is better: its high end is at least the other's low end). The bootstrap interval of the paired
    difference does not lie wholly on the worse side of 0.
    """
    own, other = (source.body["metrics"].get(metric) or {} for source in (score, reference))
    ends = [own.get("low"), own.get("high"), other.get("low"), other.get("high")]
    if own.get("value") is None or other.get("value") is None:
        return None
    own_low, own_high, other_low, other_high = (
        value if end is None else end
        for end, value in zip(ends, [own["value"]] * 2 + [other["value"]] * 2, strict=True)
    )
    lower = lower_is_better(metric, own)
    reaches = own_low <= other_high if lower else own_high >= other_low
    gap = difference(score, reference, metric)
    if gap is None or gap.low is None:
        return reaches
    return reaches and (gap.low <= 0 if lower else gap.high >= 0)


def gate(score: Source, reference: Source) -> bool | None:
    """Whether the main metric (for a likelihood every guard too) is not shown worse than the reference's."""
    main, content = main_metric(score)
    if main not in reference.body["metrics"]:
        raise UserError(reference.path, f"lacks metric {main!r} of {score.path}", "score both again")
    verdict = not_worse(score, reference, main)
    if not lower_is_better(main, content) or verdict is None:
        return verdict
    return verdict and all(not_worse(score, reference, name) is not False for name in GUARDS)


def quality(path: str | None, reference_path: str | None, scores: dict[str, Source]) -> dict[str, Any]:
    """The quality columns of a cell whose outputs are scored at `path`, against those at `reference_path`."""
    if path is None or path not in scores:
        return {}
    score = scores[path]
    name, content = main_metric(score)
    per = content.get("per_prompt")
    row = {
        "quality": content["value"],
        "quality_low": content.get("low"),
        "quality_high": content.get("high"),
        "quality_n": content.get("n") or (len(per) if per else None),
        "quality_metric": name,
        "quality_better": "lower" if lower_is_better(name, content) else "higher",
    }
    distinct = score.body["metrics"].get("distinct_2")
    if distinct:
        row |= {
            "distinct_2": distinct["value"],
            "distinct_2_low": distinct.get("low"),
            "distinct_2_high": distinct.get("high"),
        }
    if reference_path is None or reference_path not in scores:
        return row
    other = scores[reference_path].body["metrics"].get(name) or {}
    row |= {
        f"reference_quality{end}": other.get(key)
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    gap = difference(score, scores[reference_path], name)
    if gap is not None:
        row |= {
            "quality_difference": gap.value,
            "quality_difference_low": gap.low,
            "quality_difference_high": gap.high,
            "quality_pairs": gap.n,
        }
    return {**row, "gate": gate(score, scores[reference_path])}
