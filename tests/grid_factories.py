"""A synthetic `grid` experiment: sizes, decoders, passes and scores by simple laws, in the shapes a run writes."""

from __future__ import annotations

from functools import cache
from typing import Any

from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.registry import TABLES
from tests import factories

SIDES = (8, 16, 32, 64)
PROMPTS = 8
ARMS: dict[str, dict[str, Any]] = {
    "ar": {"decoder": "autoregressive", "model": "ar-mega", "settings": {"temperature": 0.0}},
    "diffusion-1": {
        "decoder": "masked_diffusion",
        "arm": "diffusion",
        "model": "mdm-mega",
        "settings": {"steps": 1},
    },
    "diffusion-10": {
        "decoder": "masked_diffusion",
        "arm": "diffusion",
        "model": "mdm-mega",
        "settings": {"steps": 10},
    },
    "jacobi": {"decoder": "jacobi", "model": "ar-mega", "settings": {"passes": None}},
    "jacobi-plain": {"decoder": "jacobi", "model": "ar-plain", "settings": {"passes": None}},
    "full-passes": {"decoder": "full_passes", "model": "ar-plain", "settings": {"passes": 10}},
}
PASSES = {"diffusion-1": 1, "diffusion-10": 10, "jacobi": 3, "full-passes": 10}
"""Of arms whose passes are no more than this at any size; the others need one a token."""


def right(arm: str, side: int) -> float:
    """Share of cells right."""
    if arm == "full-passes":
        return 0.1
    if arm == "jacobi-plain":
        return 0.95
    return 0.7 if arm == "diffusion-1" and side == 64 else 1.0


def time_ms(arm: str, tokens: int) -> float:
    """One pass over the table costs its tokens / 16, a cached token 1 ms."""
    passes = PASSES.get(arm, tokens)
    return passes * (1.0 if arm == "ar" else tokens / 16)


def cell(arm: str, side: int) -> dict[str, Any]:
    made, new = ARMS[arm], side * side
    steps = made["settings"].get("steps")
    words = "+".join([*([f"steps~{steps}"] if steps else []), f"new~{new}"])
    name = made.get("arm", arm)
    place = f"grid-{side}/{made['model']}/{name}/{words}"
    return {
        **factories.cell("grid", f"grid-{side}", None, new=new),
        "id": f"grid/{place}+batch~1",
        "model": made["model"],
        "family": "jacobi" if made["decoder"] == "jacobi" else made["decoder"],
        "arm": name,
        "decoder": made["decoder"],
        "settings": made["settings"],
        "quality": f"results/quality/{place}/score.json",
    }


def record(arm: str, side: int, times=time_ms) -> dict[str, Any]:
    """A cell's record, paired with the sequential arm's."""
    reference = None if arm == "ar" else cell("ar", side)
    body = factories.record(cell(arm, side), reference, n=8)
    for samples, who in ((body["samples"], arm), ((body["reference"] or {}).get("samples", []), "ar")):
        for sample in samples:
            _rewrite(sample, who, side * side, times)
    return body


def _rewrite(sample: dict[str, Any], arm: str, tokens: int, times) -> None:
    """Set the sample's times by `times`, with a noise that depends on its block."""
    passes = PASSES.get(arm, tokens)
    noise = 1 + 0.002 * (sample["block"] % 3)
    e2e = times(arm, tokens) * noise
    stamps = [e2e * (k + 1) / passes for k in range(passes)]
    committed = [tokens / passes] * passes
    if arm == "full-passes":
        committed = [0.0] * (passes - 1) + [float(tokens)]
    sample |= {"e2e_ms": e2e, "host_ms": e2e, "cpu_ms": e2e, "commit_ms": stamps, "committed": committed}
    sample |= {"nfe": passes, "useful": tokens, "canvas": tokens, "first_ms": stamps[0], "block_ms": [e2e]}
    sample["prompts"] = [f"p{sample['block'] % PROMPTS}"]


def score(arm: str, side: int, share=right) -> dict[str, Any]:
    value = share(arm, side)
    metrics = {}
    for name, mean in (("cells", value), ("rows", value), ("exact", float(value == 1)), ("parses", 1.0)):
        per = [mean] * PROMPTS
        metrics[name] = {
            "value": mean,
            "low": mean,
            "high": mean,
            "n": PROMPTS,
            "per_prompt": per,
            "better": "higher",
        }
    return {"metrics": metrics, "main": "cells", "prompts": [f"p{k}" for k in range(PROMPTS)]}


def study(sides=SIDES, arms=tuple(ARMS), times=time_ms, share=right) -> tuple[list, dict[str, dict]]:
    """Return (records, scores by path)."""
    records, scores = [], {}
    for side in sides:
        for arm in arms:
            body = record(arm, side, times)
            records.append(body)
            scores[body["cell"]["quality"]] = score(arm, side, share)
    return records, scores


def frames(**changes) -> dict[str, Any]:
    """Tables of the experiment, built by the project's own code."""
    records, scores = study(**changes)
    noise = cell("ar", 8) | {"experiment": "noise", "id": "noise/grid-8/ar-mega/ar/new~64+batch~1"}
    records.append(factories.record(noise, noise))
    sources = tuple(
        Source(f"results/cells/{r['cell']['id']}/timing.json", f"{k:064x}", r) for k, r in enumerate(records)
    )
    scored = {path: Source(path, "5" * 64, body) for path, body in scores.items()}
    made: dict[str, Any] = {}
    for name in ("cells", "noise", "batch", "length", "grid", "flood", "growth", "commits"):
        inputs = Inputs(records=sources, scores=scored, tables=made)
        made[name] = TABLES.load(name).make(inputs)
    return made


def rows(made: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {name: f.astype(object).where(f.notna(), None).to_dict("records") for name, f in made.items()}


@cache
def page_tables() -> dict[str, Any]:
    """What the report's fixtures add: the experiment's own tables, at two sizes."""
    made = frames(sides=(8, 16))
    return {
        name: made[name].astype(object).where(made[name].notna(), None)
        for name in ("grid", "growth", "commits")
    }
