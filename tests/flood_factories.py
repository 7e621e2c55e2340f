"""A synthetic `flood` experiment: orders, candidates and sizes by simple laws, in the shapes a run writes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pardec.evidence.tables.inputs import Inputs, Source, write_table
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.values import collect
from tests import factories
from tests.grid_factories import rows

__all__ = ["frames", "page_tables", "rows", "values"]

PROMPTS = 8
RENDERED = (0.3, 0.6, 0.05)
"""Shares of the time without the manager: roots to chunks, chunks to characters, transfer."""
CHUNKS, LETTERS = 3, 3
"""Chunks of a root and characters of a chunk, all alike."""
ROOTS = (20, 50, 200, 1000)


def settings(
    order: str = "parallel", candidates: int = 1, plan: str = "given", **more: Any
) -> dict[str, Any]:
    return {
        "order": order,
        "candidates": candidates,
        "plan": plan,
        "manager": "autoregressive",
        "chunk_batch": None,
        **more,
    }


LOOKUP: dict[str, Any] = {}
CHARACTERS = {"temperature": 0.0, "stop": "length"}
"""Settings of the decoders that render nothing."""


def decoder_of(made: dict[str, Any]) -> str:
    return "flash_flood" if "order" in made else "autoregressive" if made else "table_lookup"


Times = Callable[[dict[str, Any], int], float]


def time_ms(made: dict[str, Any], roots: int) -> float:
    """A pass of the parallel order costs one millisecond and a little more an expansion; each pass alone costs one."""
    if "order" not in made:
        return 1.0 * roots * CHUNKS * LETTERS if made else 0.05 + 0.001 * roots
    k, expansions = made["candidates"], roots * (1 + CHUNKS)
    if made["plan"] == "manager":
        return manager_ms(made, roots) + time_ms(made | {"plan": "given"}, roots)
    if made["order"] == "parallel":
        return 2 + 0.01 * k * expansions + {16: 1.0, 64: -0.5}.get(made["chunk_batch"], 0.0)
    each = expansions if made["order"] == "by_root" else expansions * k
    return 1.0 * each


def manager_ms(made: dict[str, Any], roots: int) -> float:
    return roots * (1.0 if made["manager"] == "jacobi" else 0.5)


def cell(made: dict[str, Any], roots: int) -> dict[str, Any]:
    decoder, planned = decoder_of(made), made.get("plan") == "manager"
    prompt = 20 if planned else roots
    words = f"prompt~{prompt}+new~{roots * 8}"
    name = "-".join(
        [
            decoder,
            *(str(made[n]) for n in ("order", "candidates", "plan", "manager", "chunk_batch") if made.get(n)),
        ]
    )
    place = f"render/renderer/{name}/{words}"
    return {
        **factories.cell("flood", "render", None, new=roots * 8),
        "id": f"flood/{place}+batch~1",
        "model": "renderer",
        "family": "renderer",
        "arm": name,
        "decoder": decoder,
        "settings": made,
        "prompt_tokens": prompt,
        "quality": f"results/quality/{place}/score.json",
    }


def record(
    made: dict[str, Any],
    against: dict[str, Any],
    roots: int,
    times: Times = time_ms,
    manager: Times = manager_ms,
    device: str = "cpu",
) -> dict[str, Any]:
    body = factories.record(cell(made, roots) | {"device": device}, cell(against, roots), n=8)
    for samples, who in ((body["samples"], made), (body["reference"]["samples"], against)):
        for sample in samples:
            _rewrite(sample, who, roots, times, manager)
    return body


def _rewrite(sample: dict[str, Any], made: dict[str, Any], roots: int, times: Times, manager: Times) -> None:
    noise = 1 + 0.002 * (sample["block"] % 3)
    e2e = times(made, roots) * noise
    size = roots * CHUNKS * LETTERS
    sample |= {"e2e_ms": e2e, "host_ms": e2e, "cpu_ms": e2e, "commit_ms": [e2e], "committed": [size]}
    sample |= {
        "nfe": passes(made, roots),
        "useful": size,
        "canvas": roots * 8,
        "first_ms": e2e,
        "block_ms": [e2e],
    }
    sample["prompts"] = [f"p{sample['block'] % PROMPTS}"]
    if decoder_of(made) != "flash_flood":
        return
    planning = manager(made, roots) * noise if made["plan"] == "manager" else 0.0
    shares = zip(("level0", "level1", "transfer"), RENDERED, strict=True)
    sample["phases_ms"] = {
        "manager": planning,
        **{phase: (e2e - planning) * share for phase, share in shares},
    }
    chunks = roots * CHUNKS
    fact = {"chunks": chunks, "characters": size, "cut": 0, "invalid": 0}
    sample["cycles"] = [fact | {"manager_passes": (roots - 20) if made["plan"] == "manager" else 0}]


def passes(made: dict[str, Any], roots: int) -> int:
    if decoder_of(made) != "flash_flood":
        return roots * CHUNKS * LETTERS if made else 0
    return 2 if made["order"] == "parallel" else roots * (1 + CHUNKS)


Right = Callable[[int], tuple[float, float]]


def right(candidates: int) -> tuple[float, float]:
    """Share of chunks right with so many candidates, and the half-width of its interval."""
    return 1.0, 0.0


def score(candidates: int, share: Right = right) -> dict[str, Any]:
    names = ("level0", "level1", "rank0", "rank1", "separation0", "separation1", "invalid")
    metrics = {}
    for name in names:
        value, reach = share(candidates) if name == "level1" else (float(name != "invalid"), 0.0)
        metrics[name] = {
            "value": value,
            "low": value - reach,
            "high": value + reach,
            "n": PROMPTS,
            "per_prompt": [value] * PROMPTS,
            "better": "higher",
        }
    return {"metrics": metrics, "main": "level1", "prompts": [f"p{k}" for k in range(PROMPTS)]}


def pairs(roots: int, smallest: bool) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (settings of a cell, of its reference) at one size."""
    result = [(settings(candidates=k), settings("by_root")) for k in (1, 4, 16)]
    result += [(settings(candidates=k, chunk_batch=size), LOOKUP) for size in (16, 64, 256) for k in (1, 4)]
    result += [(settings("by_root"), LOOKUP), (LOOKUP, settings("by_root"))]
    if smallest:
        result += [(settings("by_root", 16), settings(candidates=16)), (CHARACTERS, settings())]
        result += [(settings("by_candidate", 16), settings(candidates=16))]
        return result
    manager = {"plan": "manager", "roots": roots}
    result += [(settings(**manager), settings("by_root", **manager))]
    return [*result, (settings(**manager | {"manager": "jacobi"}), settings(**manager))]


def study(
    sizes: tuple[int, ...] = ROOTS,
    times: Times = time_ms,
    manager: Times = manager_ms,
    share: Right = right,
    device: str = "cpu",
    only: dict[str, Any] | None = None,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return (records, scores by path), of the cells with the settings `only` where they are given."""
    records, scores = [], {}
    for roots in sizes:
        for made, against in pairs(roots, roots == sizes[0]):
            if only not in (None, made):
                continue
            body = record(made, against, roots, times, manager, device)
            records.append(body)
            scores[body["cell"]["quality"]] = score(made.get("candidates", 1), share)
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
    machine = Source("results/machine.json", "6" * 64, {"copy_gb_per_s": 10.0, "matmul_gflop_per_s": 50.0})
    made: dict[str, Any] = {}
    for name in ("cells", "noise", "batch", "length", "grid", "flood", "growth", "machine"):
        inputs = Inputs(records=sources, scores=scored, machine=machine, tables=made)
        made[name] = TABLES.load(name).make(inputs)
    return made


def values(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What these tables publish, findings included."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("flood", "growth", "machine"):
            write_table(made[name], Path(folder) / f"{name}.csv", Path(folder) / f"{name}.parquet")
        return collect([folder])["values"]


@cache
def page_tables() -> dict[str, Any]:
    """What the report's fixtures add: the experiment's own tables, at three sizes."""
    made = frames(sizes=(20, 50, 200))
    return {name: made[name].astype(object).where(made[name].notna(), None) for name in ("flood", "growth")}
