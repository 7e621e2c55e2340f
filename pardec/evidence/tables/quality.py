"""Tables `quality`, every metric of every scored set of outputs, and `likelihood` of held-out text under the models."""

from __future__ import annotations

from pathlib import PurePath

from pardec.common.errors import UserError
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import lower_is_better, with_ends
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.inputs import Inputs, Source


def _quality(inputs: Inputs) -> list[Row]:
    return [row for score in inputs.scores.values() for row in _metrics(score)]


def _metrics(score: Source) -> list[Row]:
    place, body, rows = place_of(score.path), score.body, []
    for name, content in (body["metrics"] or {body["main"]: {"value": None}}).items():
        per = content.get("per_prompt")
        ended = content if body["metrics"] else body
        rows.append(
            {
                **place,
                "metric": name,
                **with_ends("value", content),
                "n": content.get("n") or (len(per) if per else None),
                "main": name == body.get("main"),
                "better": "lower" if lower_is_better(name, content) else "higher",
                "status": ended.get("status", "ok"),
                "reason": ended.get("reason"),
                "lost": len(body.get("lost") or ()),
                "batch_checked": body.get("batch_checked"),
                "batch_differs": body.get("batch_differs"),
                **score.origin,
            }
        )
    return rows


def place_of(path: str) -> dict[str, str]:
    """Return task, model, arm and words, from the path .../quality/<task>/<model>/<arm>/<words>/score.json."""
    parts = PurePath(path).parts
    if len(parts) < 6 or "quality" not in parts[:-5]:
        message = "is not .../quality/<task>/<model>/<arm>/<words>/score.json"
        raise UserError(path, message, "keep the run's layout")
    return dict(zip(("task", "model", "arm", "words"), parts[-5:-1], strict=True))


QUALITY = Table(
    name="quality",
    description="One row per scored set of outputs and metric; the main metric is the one that speed is compared with.",
    needs=("scores",),
    key=("task", "model", "arm", "words", "metric"),
    columns=columns("""
task           text! | what is generated
model          text! | name of the model
arm            text! | decoder and settings
words          text! | what sets these outputs apart
metric         text! | name of the metric
value          interval kind=quality better=better | the metric over the held-out prompts; nats/token for scorer_nll
n              size prompts | prompts scored
main           flag | whether it is the task's quality
better         text | higher or lower
status         text | ok, or why there is no value
reason         text | why there is no value, and for which side
lost           count prompts | prompts without an output, left out
batch_checked  count prompts | outputs that were decoded once more, alone
batch_differs  count prompts | of these, how many differ from those of the batch
""")
    | SOURCES,
    build=_quality,
)


def _likelihood(inputs: Inputs) -> list[Row]:
    return [{"model": model_of(source), **_nats(source), **source.origin} for source in inputs.likelihoods]


def _nats(source: Source) -> Row:
    body = source.body
    if body.get("status", "ok") != "ok":
        return {"status": body["status"], "reason": body.get("reason"), "lost": 0}
    kind = body.get("kind")
    if kind not in ("exact", "bound") or not isinstance(body.get("nats_per_token"), int | float):
        fix = "move it away and run `make all` again"
        raise UserError(source.path, "is not a likelihood of kind exact or bound", fix)
    ends = {f"{kind}_{end}": body.get(end) for end in ("nats_per_token", "low", "high")}
    return {"kind": kind, **ends, "n": body.get("n"), "status": "ok", "lost": len(body.get("lost") or ())}


def model_of(source: Source) -> str:
    """Return the model that a source describes."""
    return source.body.get("model") or PurePath(source.path).stem


LIKELIHOOD = Table(
    name="likelihood",
    description="Negative log-likelihood of held-out text under the models themselves.",
    needs=("likelihoods",),
    key=("model",),
    columns=columns("""
model                 text! | name of the model
kind                  text | exact or bound; empty where there is none
exact_nats_per_token  interval nats/token better=lower stem=exact | exact negative log-likelihood (autoregressive)
bound_nats_per_token  interval nats/token better=lower stem=bound | Monte-Carlo upper bound of it (diffusion)
n                     size texts | held-out texts
status                text | ok, or why there is no value
reason                text | why there is no value
lost                  count texts | records longer than the model's positions, which are left out
""")
    | SOURCES,
    build=_likelihood,
)
