"""A synthetic `flood` experiment: orders, candidates and sizes by simple laws, in the shapes a run writes."""

from __future__ import annotations

from functools import cache
from typing import Any

from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.registry import TABLES
from tests import factories
from tests.grid_factories import rows

__all__ = ["frames", "page_tables", "rows"]

PROMPTS = 8
CHUNKS, CHARACTERS = 3, 3
"""Chunks of a root and characters of a chunk, all alike."""
ROOTS = (20, 50, 200, 1000)


def settings(
    order: str = "parallel", candidates: int = 1, plan: str = "given", **more: Any
) -> dict[str, Any]:
    return {"order": order, "candidates": candidates, "plan": plan, "chunk_batch": None, **more}


def time_ms(made: dict[str, Any], roots: int) -> float:
    """A pass of the parallel order costs one millisecond and a little more an expansion; each pass alone costs one."""
    k, expansions = made["candidates"], roots * (1 + CHUNKS)
    if made["plan"] == "manager":
        return roots * 0.5 + time_ms(made | {"plan": "given"}, roots)
    if made["order"] == "parallel":
        return 2 + 0.01 * k * expansions + (1.0 if made["chunk_batch"] == 16 else 0.0)
    each = expansions if made["order"] == "by_root" else expansions * k
    return 1.0 * each


def cell(decoder: str, made: dict[str, Any], roots: int) -> dict[str, Any]:
    words = f"prompt={roots},new={roots * 8}"
    name = f"{decoder}-{made['order']}-{made['candidates']}-{made['plan']}-{made['chunk_batch']}"
    place = f"render/renderer/{name}/{words}"
    return {
        **factories.cell("flood", "render", None, new=roots * 8),
        "id": f"flood/{place},batch=1",
        "model": "renderer",
        "family": "renderer",
        "arm": name,
        "decoder": decoder,
        "settings": made,
        "prompt_tokens": roots,
        "quality": f"results/quality/{place}/score.json",
    }


def record(decoder: str, made: dict[str, Any], against: dict[str, Any], roots: int) -> dict[str, Any]:
    body = factories.record(cell(decoder, made, roots), cell("flash_flood", against, roots), n=8)
    for samples, who in ((body["samples"], made), (body["reference"]["samples"], against)):
        for sample in samples:
            _rewrite(sample, who, roots)
    return body


def _rewrite(sample: dict[str, Any], made: dict[str, Any], roots: int) -> None:
    noise = 1 + 0.002 * (sample["block"] % 3)
    e2e = time_ms(made, roots) * noise
    manager = roots * 0.5 * noise if made["plan"] == "manager" else 0.0
    rest = e2e - manager
    sample |= {"e2e_ms": e2e, "host_ms": e2e, "cpu_ms": e2e, "commit_ms": [e2e], "committed": [roots * 9]}
    sample |= {"nfe": 2 if made["order"] == "parallel" else roots * (1 + CHUNKS), "useful": roots * 9}
    sample |= {"canvas": roots * 8, "first_ms": e2e, "block_ms": [e2e]}
    shares = {"manager": manager, "level0": rest * 0.3, "level1": rest * 0.6, "transfer": rest * 0.05}
    sample["phases_ms"] = shares
    chunks = roots * CHUNKS
    sample["cycles"] = [{"chunks": chunks, "characters": chunks * CHARACTERS, "cut": 0, "invalid": 0}]
    sample["prompts"] = [f"p{sample['block'] % PROMPTS}"]


def score(candidates: int) -> dict[str, Any]:
    names = ("level0", "level1", "rank0", "rank1", "separation0", "separation1", "invalid")
    metrics = {
        name: {
            "value": 1.0 if name != "invalid" else 0.0,
            "low": 1.0 if name != "invalid" else 0.0,
            "high": 1.0 if name != "invalid" else 0.0,
            "n": PROMPTS,
            "per_prompt": [1.0] * PROMPTS,
            "better": "higher",
        }
        for name in names
    }
    return {"metrics": metrics, "main": "level1", "prompts": [f"p{k}" for k in range(PROMPTS)]}


def study(sizes: tuple[int, ...] = ROOTS) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """(records, scores by path)."""
    records, scores = [], {}
    for roots in sizes:
        cells = [(settings(candidates=k), settings("by_root", k)) for k in (1, 4, 16)]
        cells += [(settings(chunk_batch=size), settings("by_root")) for size in (16, 256)]
        cells += [(settings("by_candidate", 4), settings("by_root", 4))]
        if roots == sizes[0]:
            manager = {"plan": "manager", "roots": roots}
            cells += [(settings(**manager), settings("by_root", **manager))]
        for made, against in cells:
            made = {**made, "chunk_batch": made.get("chunk_batch")}
            body = record("flash_flood", made, against, roots)
            records.append(body)
            scores[body["cell"]["quality"]] = score(made["candidates"])
    return records, scores


def frames(**changes: Any) -> dict[str, Any]:
    """Tables of the experiment, built by the project's own code."""
    records, scores = study(**changes)
    noise = factories.cell("noise", "render", None)
    records.append(factories.record(noise, noise))
    sources = tuple(
        Source(f"results/cells/{r['cell']['id']}/timing.json", f"{k:064x}", r) for k, r in enumerate(records)
    )
    scored = {path: Source(path, "5" * 64, body) for path, body in scores.items()}
    made: dict[str, Any] = {}
    for name in ("cells", "noise", "flood"):
        made[name] = TABLES.load(name).make(Inputs(records=sources, scores=scored, tables=made))
    return made


@cache
def page_tables() -> dict[str, Any]:
    """What the report's fixtures add."""
    made = frames(sizes=(20, 200))
    return {"flood": made["flood"].astype(object).where(made["flood"].notna(), None)}
