"""Table `likelihood`: likelihood of held-out text, exact (autoregressive) or an upper bound (diffusion)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.columns import SOURCES, count, measured, size, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs, Source

STEM = {"exact": "exact", "bound": "bound"}


def build(inputs: Inputs) -> list[dict[str, Any]]:
    return [_row(source) for source in inputs.likelihoods]


def _row(source: Source) -> dict[str, Any]:
    body = source.body
    if body.get("status", "ok") != "ok":
        ended = {name: body.get(name) for name in ("status", "reason")}
        trail = {"record": source.path, "record_sha256": source.sha256}
        return {"model": model_of(source), **ended, "lost": 0, **trail}
    stem = STEM.get(body.get("kind"))
    if stem is None or not isinstance(body.get("nats_per_token"), int | float):
        fix = "move it away and run `make all` again"
        raise UserError(source.path, "is not a likelihood of kind exact or bound", fix)
    return {
        "model": model_of(source),
        "kind": stem,
        f"{stem}_nats_per_token": body["nats_per_token"],
        f"{stem}_low": body.get("low"),
        f"{stem}_high": body.get("high"),
        "n": body.get("n"),
        "status": "ok",
        "lost": len(body.get("lost") or ()),
        "record": source.path,
        "record_sha256": source.sha256,
    }


def model_of(source: Source) -> str:
    return source.body.get("model") or PurePath(source.path).stem


TABLE = Table(
    name="likelihood",
    description="Negative log-likelihood of held-out text under the models themselves.",
    needs=("likelihoods",),
    key=("model",),
    columns={
        "model": text("name of the model", nullable=False),
        "kind": text("exact or bound; empty where there is none"),
        **measured(
            "exact_nats_per_token",
            "nats/token",
            "exact negative log-likelihood (autoregressive)",
            stem="exact",
            better="lower",
        ),
        **measured(
            "bound_nats_per_token",
            "nats/token",
            "Monte-Carlo upper bound of it (diffusion)",
            stem="bound",
            better="lower",
        ),
        "n": size("held-out texts", "texts"),
        "status": text("how it ended: ok, or why there is no value"),
        "reason": text("why there is no value"),
        "lost": count("records longer than the model's positions, which are left out", "texts"),
        **SOURCES,
    },
    build=build,
)
