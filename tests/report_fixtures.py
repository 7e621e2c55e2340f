"""Small synthetic tables, values and trails in the published shapes; made by arithmetic, never measured."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pandas as pd

from pardec.common.files import write_json, write_jsonl
from pardec.evidence import comparison
from pardec.evidence.tables.inputs import Inputs, rows_of
from pardec.evidence.tables.registry import TABLES
from pardec.report.figures.base import save
from pardec.report.figures.registry import FIGURES
from pardec.report.rows import Row, load_tables
from tests import draft_factories, flood_factories, grid_factories
from tests.report_constants import CLAIMS, JOBS, OTHERS, QUALITY, STEPS, STUDY
from tests.report_rows import crossover, floors, stability
from tests.report_values import trails, values

__all__ = [
    "CLAIMS",
    "JOBS",
    "STUDY",
    "draw_all",
    "frames_of",
    "outputs_of",
    "tables",
    "trails",
    "values",
    "values_of",
    "write_all",
    "write_outputs",
    "write_tables",
]


def row(experiment: str, task: str, decoder: str, steps: int | None, **changes: Any) -> dict:
    """One table row; latency grows with steps, batch and length, throughput follows."""
    parallel = decoder == "masked_diffusion"
    batch, tokens = changes.get("batch", 1), changes.get("new_tokens", 80 if task == "grid" else 32)
    passes = steps if parallel else tokens
    latency = round(
        passes
        * (1.1 if not parallel else 2.6 * (tokens / 64) ** 0.9)
        * (0.4 + 0.6 * batch ** (0.9 if parallel else 0.35)),
        3,
    )
    quality = QUALITY[task][1][STEPS.index(steps)] if parallel else QUALITY[task][0]
    half = 0.04 if task != "text" else 0.15
    words = f"steps~{steps}" if parallel else "temperature~0"
    cell = f"{experiment}/{task}/{'mdm' if parallel else 'ar'}-{task}/{decoder}/{words}"
    cell += f"+batch~{batch}+new_tokens~{tokens}" if experiment != "steps" else ""
    record = {
        "key": cell,
        "experiment": experiment,
        "experiment_kind": experiment,
        "task": task,
        "label": "masked diffusion" if parallel else "autoregressive",
        "reference": cell.replace(f"mdm-{task}/{decoder}/{words}", f"ar-{task}/autoregressive/temperature~0"),
        "reference_arm": "ar" if parallel else None,
        "reference_decoder": "autoregressive" if parallel else None,
        "random_prompts": False,
        "tuning": False,
        "n_pairs": 12,
        "one_prompt": False,
        "lossless": False,
        "noise_source": "A/A pairs",
        "delta": 0.03,
        "model": f"{'mdm' if parallel else 'ar'}-{task}",
        "family": decoder,
        "decoder": decoder,
        "arm": "diffusion" if parallel else "ar",
        "steps": steps,
        "block": None,
        "batch": batch,
        "prompt_tokens": 12,
        "new_tokens": tokens,
        "engine": "eager",
        "precision": "float32",
        "status": "ok",
        "reason": None,
        "n": 12,
        "latency_ms": latency,
        "latency_low": latency * 0.97,
        "latency_high": latency * 1.04,
        "ttft_ms": latency if parallel else 1.9,
        "tpot_ms": latency / tokens,
        "tokens_per_s": 1000 * batch * tokens / latency,
        "tokens_per_s_low": 950 * batch * tokens / latency,
        "tokens_per_s_high": 1030 * batch * tokens / latency,
        "nfe": passes,
        "peak_allocated_mb": (2.0 if not parallel else 3.1)
        + batch * tokens * (0.004 if not parallel else 0.02),
        "peak_reserved_mb": None,
        "intensity": 0.5 * (batch if not parallel else tokens),
        "achieved_gflop_per_s": 0.8 * (batch if not parallel else tokens) ** 0.7,
        "quality": quality,
        "quality_low": max(quality - half, 0.0),
        "quality_high": min(quality + half, 1.0) if task != "text" else quality + half,
        "quality_better": "higher" if task != "text" else "lower",
        "quality_metric": "exact" if task != "text" else "scorer_nll",
        "gate": None if not parallel else quality >= 0.9 if task != "text" else quality <= 4.0,
        "ratio": None if not parallel else round(35.2 / latency, 4),
        "ratio_low": None if not parallel else round(33.0 / latency, 4),
        "ratio_high": None if not parallel else round(37.0 / latency, 4),
        "n_all": 12,
        "weights_mb": 1.4,
        "cell": cell,
        "flags": None,
        "record": f"results/cells/{cell}/timing.json",
    }
    return judged({**record, **changes})


def judged(record: dict) -> dict:
    """The row with its verdict, by the rule that decides it in a real run."""
    verdict, reason = comparison.verdict(record)
    speed = comparison.speed(record["ratio_low"], record["ratio_high"], record["delta"])
    words = reason and comparison.REASONS[reason]
    return {**record, "speed": speed, "verdict": verdict, "verdict_reason": words}


def fail(record: dict, status: str = "oom") -> dict:
    """The same row as a failed cell: present, its measurements empty."""
    blank = [
        c
        for c, v in record.items()
        if isinstance(v, float) and not c.startswith(("quality", "batch", "new", "prompt"))
    ]
    lost = {"n": 0, "status": status, "reason": f"{status} in the reference arm"}
    return judged({**record, **dict.fromkeys(blank), **lost})


def tables(tasks: tuple[str, ...] = tuple(QUALITY)) -> dict[str, pd.DataFrame]:
    """Every table the report reads, with failed cells and nulls in each."""
    steps = [row("steps", task, "autoregressive", None) for task in tasks]
    steps += [
        {
            **r,
            "key": f"{r['key']}-{arm}",
            "cell": f"{r['cell']}-{arm}",
            "arm": arm,
            "decoder": decoder,
            "latency_ms": r["latency_ms"] * k,
        }
        for r in list(steps)
        for arm, decoder, k in (
            ("ar-transformers", "transformers_generate", 1.8),
            ("ar-stop", "autoregressive", 0.7),
        )
    ]
    steps += [row("steps", task, "masked_diffusion", s) for task in tasks for s in STEPS]
    steps[-1] = fail(steps[-1], "timeout")
    batch = [
        row("batch", task, decoder, s, batch=b)
        for task in tasks[:2]
        for b in (1, 4, 32)
        for decoder, s in (("autoregressive", None), ("masked_diffusion", 4), ("masked_diffusion", 16))
    ]
    batch[-1] = fail(batch[-1])
    length = [
        row("length", "text" if "text" in tasks else tasks[0], decoder, s, batch=b, new_tokens=n)
        for n in (32, 64, 256)
        for b in (1, 16)
        for decoder, s in (("autoregressive", None), ("masked_diffusion", 16))
    ]
    length[-1] = fail(length[-1])
    noise = [
        {
            **row("noise", task, decoder, s),
            "half_width": 0.015 + 0.002 * i,
            "ratio": 1 + 0.01 * (i - 2) / (1 + i),
            "ratio_low": 0.985,
            "ratio_high": 1.014,
        }
        for i, task in enumerate(tasks)
        for decoder, s in (("autoregressive", None), ("masked_diffusion", 8))
    ]
    warmup = [
        {
            **r,
            "key": f"{r['key']}/pass={p}",
            "cell": r["key"],
            "pass": p,
            "relative": 1 + (1.5 + i % 3) * math.exp(-2.1 * (p - 1)),
        }
        for i, r in enumerate(steps[:18])
        for p in range(1, 6)
    ]
    made = {
        "steps": steps,
        "batch": batch,
        "length": length,
        "memory": length,
        "noise": noise,
        "warmup": warmup,
        "stability": stability([*steps, *noise]),
    }
    made["block"] = [blocks_of(task, size, b) for task in tasks[:2] for size in (1, 4, 80) for b in (1, 8)]
    made["cells"] = [*steps, *batch, *length, *noise, *made["block"]]
    made["cells"] += [row("arms", "grid", "masked_diffusion", steps=8)]
    made["answers"] = built("answers", cells=made["cells"])
    made["parallelism"] = built("parallelism", block=made["block"])
    made["aup"] = built("aup", cells=made["cells"])
    made["interactivity"] = built("interactivity", cells=made["cells"])
    made["break_even"] = built("break_even", cells=made["cells"])
    made |= {"crossover": crossover(steps, tasks), "models": floors(tasks), **OTHERS}
    # A table that says nothing here is there and empty, as in a study without its experiment.
    named = {name: filled(name, made.get(name, [])) for name in TABLES}
    parts = [grid_factories.page_tables(), flood_factories.page_tables()]
    growth = pd.concat([named["growth"], *(part["growth"] for part in parts)], ignore_index=True)
    growth = growth.astype(object).where(growth.notna(), None)
    return named | draft_factories.page_tables() | parts[0] | parts[1] | {"growth": growth}


def built(name: str, **tables: list[dict]) -> list[dict]:
    """The rows of a table made from others, as a real run builds it."""
    inputs = {
        other: pd.DataFrame([row | {"record_sha256": "0"} for row in rows_of(filled(other, rows))])
        for other, rows in tables.items()
    }
    return rows_of(TABLES.load(name).make(Inputs(tables=inputs)))


def blocks_of(task: str, size: int, batch: int) -> dict:
    """A row of block diffusion: larger blocks take fewer passes, and lose more quality and speed with the batch."""
    made = row("block", task, "masked_diffusion", 8, batch=batch)
    cell = f"block/{task}/block-{task}/block/block~{size}+batch~{batch}"
    ratio = (0.8 + 0.2 * math.log2(size)) / batch**0.3
    return judged(
        made
        | {
            "key": cell,
            "cell": cell,
            "arm": "block",
            "label": "block diffusion",
            "decoder": "block_diffusion",
        }
        | {"family": "block_diffusion", "reference_family": "autoregressive", "block": size, "steps": None}
        | {"ratio": ratio, "ratio_low": ratio * 0.94, "ratio_high": ratio * 1.05, "gate": size < 80}
        | {
            "tokens_per_forward": 1 + math.log2(size),
            "settings": f"{{block: {size}}}",
            "quality_difference": -0.01,
            "quality_difference_low": -0.03,
            "quality_difference_high": 0.01,
            "quality_margin": 0.05,
        }
    )


def filled(name: str, rows: list[dict]) -> pd.DataFrame:
    """Rows with exactly the columns that the real table has, null where the fixture says nothing."""
    columns = TABLES.load(name).all_columns
    return pd.DataFrame(
        [{column: row.get(column) for column in columns} for row in rows], columns=list(columns)
    )


def typed(name: str, frame: pd.DataFrame) -> list[Row]:
    """A frame's rows as the report reads them."""
    return [Row(name, content) for content in rows_of(frame)]


def write_tables(folder: Path, frames: dict[str, pd.DataFrame]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)


def write_outputs(folder: Path) -> list[Path]:
    """Outputs of two arms, one of which wrote markup."""
    prompt = {"id": "a1", "task": "grid", "prompt": "<b>2 by 2</b> &amp;", "answer": "0,1\n1,2"}
    texts = {
        "ar-grid/ar/new~80": "0,1\n1,2",
        "mdm-grid/diffusion/steps~1+new~80": "<script>alert(1)</script>",
        "mdm-grid/diffusion/steps~8+new~80": "0,1\n1,2",
    }
    paths = []
    for place, text in texts.items():
        paths.append(folder / "quality" / "grid" / place / "outputs.jsonl")
        write_jsonl(paths[-1], [{**prompt, "tokens": [1], "text": text}])
    return paths


def write_all(folder: Path) -> dict[str, Path]:
    """Write every input of the report under `folder`; return their paths."""
    frames = tables()
    write_tables(folder / "tables", frames)
    write_json(folder / "values.json", values(frames))
    write_json(folder / "trails.json", trails(frames))
    write_json(folder / "study.json", STUDY)
    write_outputs(folder)
    return {name: folder / name for name in ("tables", "values.json", "trails.json", "study.json")}


def draw_all(folder: Path) -> None:
    """Write the tables, their values, the figures of all of them, and the outputs under `folder`."""
    frames = tables()
    (folder / "frames.pickle").write_bytes(pickle.dumps(frames))
    (folder / "values.pickle").write_bytes(pickle.dumps(values(frames)))
    write_tables(folder / "tables", frames)
    read = load_tables([folder / "tables"])
    for name in FIGURES:
        save(FIGURES.load(name), read, folder / f"{name}.svg")
    write_outputs(folder)


def frames_of(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables that `draw_all` wrote, a copy of one's own."""
    return pickle.loads((folder / "frames.pickle").read_bytes())


def values_of(folder: Path) -> dict[str, dict]:
    """Return values and answers of these tables, a copy of one's own."""
    return pickle.loads((folder / "values.pickle").read_bytes())


def outputs_of(folder: Path) -> list[Path]:
    """The outputs that `draw_all` wrote, in its order."""
    return sorted((folder / "quality").rglob("outputs.jsonl"))
