"""Table `models`: each quality floor with the value that the model reached."""

from __future__ import annotations

from typing import Any

from pardec.evidence.columns import SOURCES, count, flag, measured, number, size, text
from pardec.evidence.comparison import lower_is_better
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.likelihood import model_of

GAP = "bound_gap"
TAU = "tau"


def build(inputs: Inputs) -> list[dict[str, Any]]:
    """Returns one row per floor.

    The floors file holds {"floors": [{workload, arm, metric, value}], "likelihood_gap": number or null}.
    """
    asked = inputs.floors.body if inputs.floors else {}
    rows = [(_tau if floor["metric"] == TAU else _best)(floor, inputs) for floor in asked.get("floors") or ()]
    if asked.get("likelihood_gap") is not None:
        rows += _gaps(inputs, asked["likelihood_gap"])
    return rows


def _asked(floor: dict[str, Any], lower: bool = False) -> dict[str, Any]:
    return {
        "task": floor["workload"],
        "arm": floor["arm"],
        "metric": floor["metric"],
        "floor": floor["value"],
        "better": "lower" if lower else "higher",
    }


def _tau(floor: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Returns the row of a floor on tau, pooled over the prompts of its workload."""
    row = _asked(floor)
    for draft in inputs.rows("draft"):
        if (draft["task"], draft["arm"]) == (floor["workload"], floor["arm"]) and draft["tau"] is not None:
            row |= {name: draft[name] for name in ("model", "record", "record_sha256")}
            row |= {
                "value": draft["tau"],
                "value_low": draft["tau_low"],
                "value_high": draft["tau_high"],
            }
            row |= {"n": draft["prompts"], "met": draft["tau"] >= floor["value"]}
    return row


def _best(floor: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Returns the best value of the floor's metric over its arm's cells of kind `steps` (of other kinds if none)."""
    metric, lower = floor["metric"], lower_is_better(floor["metric"])
    row = _asked(floor, lower)
    cells = [c for c in inputs.rows("cells") if (c["task"], c["arm"]) == (floor["workload"], floor["arm"])]
    cells = [c for c in cells if c["experiment_kind"] == "steps"] or cells
    scored = [(c, inputs.scores[c["scores"]]) for c in cells if c["scores"] in inputs.scores]
    scored = [(c, s) for c, s in scored if s.body["metrics"].get(metric, {}).get("value") is not None]
    if not scored:
        return row
    cell, score = (min if lower else max)(scored, key=lambda pair: pair[1].body["metrics"][metric]["value"])
    content = score.body["metrics"][metric]
    return {
        **row,
        "model": cell["model"],
        "value": content["value"],
        "value_low": content.get("low"),
        "value_high": content.get("high"),
        "n": content.get("n"),
        "steps": cell["steps"],
        "met": content["value"] <= floor["value"] if lower else content["value"] >= floor["value"],
        "record": score.path,
        "record_sha256": score.sha256,
    }


def _gaps(inputs: Inputs, ceiling: float) -> list[dict[str, Any]]:
    """Returns the distance of each diffusion bound above the exact likelihood, with the widest interval."""
    exact = [s for s in inputs.likelihoods if s.body["kind"] == "exact"]
    rows = []
    for bound in (s for s in inputs.likelihoods if s.body["kind"] == "bound"):
        for other in exact:
            value = bound.body["nats_per_token"] - other.body["nats_per_token"]
            ends = [
                bound.body.get("low"),
                bound.body.get("high"),
                other.body.get("low"),
                other.body.get("high"),
            ]
            known = all(end is not None for end in ends)
            rows.append(
                {
                    "task": "likelihood",
                    "model": model_of(bound),
                    "against": model_of(other),
                    "metric": GAP,
                    "value": value,
                    "value_low": ends[0] - ends[3] if known else None,
                    "value_high": ends[1] - ends[2] if known else None,
                    "n": bound.body.get("n"),
                    "floor": ceiling,
                    "better": "lower",
                    "met": value <= ceiling,
                    "record": f"{bound.path} {other.path}",
                    "record_sha256": f"{bound.sha256} {other.sha256}",
                }
            )
    return rows


TABLE = Table(
    name="models",
    description="One row a floor: the quality a model must reach for the comparison to mean anything, "
    "and what it reached.",
    needs=("cells", "draft", "scores", "likelihoods", "floors"),
    key=("task", "arm", "model", "against", "metric"),
    columns={
        "task": text("what is generated", nullable=False),
        "arm": text("the study's name for decoder and settings"),
        "model": text("name of the model; empty where nothing was scored"),
        "against": text("the model whose exact likelihood the bound is held against"),
        "metric": text(
            "exact and its like; bound_gap: bound less exact likelihood in nats/token; tau: tokens a verification",
            nullable=False,
        ),
        **measured("value", "", "the best value reached", kind="quality", better="better"),
        "n": size("prompts or texts behind it"),
        "steps": count("steps at which it was reached"),
        "floor": number(
            "",
            "what must be reached (for a metric where lower is better, the ceiling)",
            kind="exact",
            better="better",
        ),
        "better": text("higher or lower"),
        "met": flag("whether it is reached; empty where nothing was scored"),
        **SOURCES,
    },
    build=build,
)
