"""Table `models`: each quality floor with the value that the model reached."""

from __future__ import annotations

from typing import Any

from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import lower_is_better, with_ends
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.quality import model_of

GAP = "bound_gap"
TAU = "tau"


def build(inputs: Inputs) -> list[Row]:
    """Return one row per floor.

    The floors file holds {"floors": [{workload, arm, metric, value}], "likelihood_gap": number or null}.
    """
    rows = []
    study: dict[str, Any] = inputs.floors.body if inputs.floors else {}
    for floor in study.get("floors") or ():
        metric, lower = floor["metric"], floor["metric"] != TAU and lower_is_better(floor["metric"])
        asked = {"task": floor["workload"], "arm": floor["arm"], "metric": metric, "floor": floor["value"]}
        reached = _tau(floor, inputs) if metric == TAU else _best(floor, inputs, lower)
        if reached:
            met = reached["value"] <= floor["value"] if lower else reached["value"] >= floor["value"]
            reached["met"] = met
        rows.append({**asked, "better": "lower" if lower else "higher", **reached})
    ceiling = study.get("likelihood_gap")
    return rows if ceiling is None else [*rows, *_gaps(inputs, ceiling)]


def _tau(floor: dict[str, Any], inputs: Inputs) -> Row:
    """Return the tau of a floor's arm, pooled over the prompts of its workload; {} if it was not measured."""
    for draft in inputs.rows("draft"):
        if (draft["task"], draft["arm"]) == (floor["workload"], floor["arm"]) and draft["tau"] is not None:
            ends = {f"value{end}": draft[f"tau{end}"] for end in ("", "_low", "_high")}
            return {**{name: draft[name] for name in ("model", *SOURCES)}, **ends, "n": draft["prompts"]}
    return {}


def _best(floor: dict[str, Any], inputs: Inputs, lower: bool) -> Row:
    """Return the best value of the floor's metric over its arm's cells of kind `steps` (of other kinds if none)."""
    cells = [c for c in inputs.rows("cells") if (c["task"], c["arm"]) == (floor["workload"], floor["arm"])]
    cells = [c for c in cells if c["experiment_kind"] == "steps"] or cells
    scored = [
        (content, cell, score)
        for cell in cells
        if (score := inputs.scores.get(cell["scores"])) is not None
        and (content := score.body["metrics"].get(floor["metric"], {})).get("value") is not None
    ]
    if not scored:
        return {}
    content, cell, score = (min if lower else max)(scored, key=lambda one: one[0]["value"])
    return {
        "model": cell["model"],
        **with_ends("value", content),
        "n": content.get("n"),
        "steps": cell["steps"],
        **score.origin,
    }


def _gaps(inputs: Inputs, ceiling: float) -> list[Row]:
    """Return the distance of each diffusion bound above the exact likelihood, with the widest interval."""
    rows = []
    bounds, exacts = (
        [s for s in inputs.likelihoods if s.body["kind"] == kind] for kind in ("bound", "exact")
    )
    for bound, exact in ((bound, exact) for bound in bounds for exact in exacts):
        value = bound.body["nats_per_token"] - exact.body["nats_per_token"]
        low, high, least, most = (side.body.get(end) for side in (bound, exact) for end in ("low", "high"))
        known = None not in (low, high, least, most)
        rows.append(
            {
                "task": "likelihood",
                "model": model_of(bound),
                "against": model_of(exact),
                "metric": GAP,
                "value": value,
                "value_low": low - most if known else None,
                "value_high": high - least if known else None,
                "n": bound.body.get("n"),
                "floor": ceiling,
                "better": "lower",
                "met": value <= ceiling,
                "record": f"{bound.path} {exact.path}",
                "record_sha256": f"{bound.sha256} {exact.sha256}",
            }
        )
    return rows


MODELS = Table(
    name="models",
    description="One row per floor: the quality a model must reach for the comparison to mean anything, and what it "
    "reached.",
    needs=("cells", "draft", "scores", "likelihoods", "floors"),
    key=("task", "arm", "model", "against", "metric"),
    columns=columns("""
task     text! | what is generated
arm      text | the study's name for decoder and settings
model    text | name of the model; empty where nothing was scored
against  text | the model whose exact likelihood the bound is compared with
metric   text! | exact, or another task metric; bound_gap: bound less exact likelihood in nats/token; tau:
    tokens per verification
value    interval kind=quality better=better | the best value reached
n        size | prompts or texts behind it
steps    count | steps at which it was reached
floor    number kind=exact better=better | what must be reached (for a metric where lower is better, the ceiling)
better   text | higher or lower
met      flag | whether it is reached; empty where nothing was scored
""")
    | SOURCES,
    build=build,
)
