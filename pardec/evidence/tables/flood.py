"""Table `flood`: rendering by size of the plan and candidates, with shares of time and quality."""

from __future__ import annotations

import json
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import Column, count, measured, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import clean, interval
from pardec.evidence.tables.views import of_kind

statistics = lazy("pardec.evidence.statistics")

EXPERIMENT = "flood"
LOOKUP, END_TO_END = "lookup", "end to end"
PHASES = ("manager", "level0", "level1", "transfer")
SCORES = ("level0", "level1", "rank0", "rank1", "separation0", "separation1", "invalid")
RIGHT = {
    "level0": "fraction of roots whose chunks are all right",
    "level1": "fraction of chunks whose characters are all right",
    "rank0": "fraction of pairs of chunks, right and wrong, in which the right one has the lower energy",
    "rank1": "the same of characters",
    "separation0": "energy of wrong chunks less that of right ones",
    "separation1": "the same of characters",
    "invalid": "tokens of a plan that are no roots, a prompt",
}

FLOOD: dict[str, Column] = {
    "roots": count("roots of the plan", "roots"),
    "candidates": count("candidates a condition, K", "candidates"),
    "series": text("order and candidates, lookup, or end to end: cells of one series differ in roots alone"),
    "order": text("parallel, by_root or by_candidate; empty for decoders that render nothing"),
    "plan": text("given, or written by the manager"),
    "reference_order": text("the order of the cell that it is paired with"),
    "manager": text("how the manager decodes: autoregressive or jacobi; empty where the plan is given"),
    "manager_passes": number("passes", "forward passes of the manager, mean", "n"),
    "chunk_batch": count("most expansions in a pass; empty: all of a level", "expansions"),
    **{
        f"{phase}_share": number("", f"share of the latency spent in {phase}, mean", "n", kind="share")
        for phase in PHASES
    },
    "other_share": number("", "the rest of the latency; all shares sum to one", "n", kind="share"),
    "render_share": number(
        "", "share of the latency spent in rendering: level0 and level1", "n", kind="share"
    ),
    "overhead_share": number(
        "", "share of the latency that neither plans nor renders: transfer and the rest", "n", kind="share"
    ),
    **measured("characters_per_s", "characters/s", "characters written / E2E, median"),
    **measured("chunks_per_s", "tokens/s", "rendered tokens, which are chunks, / E2E, median"),
    "chunks": number("tokens", "chunks rendered, mean", "n"),
    "characters": number("characters", "characters rendered before the canvas cuts any, mean", "n"),
    "cut": number("characters", "characters that the canvas did not hold, mean", "n"),
    "invalid_roots": number("roots", "tokens of the plan that are no roots and wrote nothing, mean", "n"),
    **{
        name: column
        for metric, words in RIGHT.items()
        for name, column in measured(
            metric,
            "",
            words,
            count="quality_n",
            kind="quality",
            better="lower" if metric == "invalid" else "higher",
        ).items()
    },
}


def build(inputs: Inputs) -> list[dict[str, Any]]:
    records = {record.path: record for record in inputs.records}
    rows = of_kind(inputs, EXPERIMENT)
    for row in rows:
        settings = json.loads(row["settings"] or "{}")
        row |= {name: settings.get(name) for name in ("candidates", "order", "plan", "chunk_batch")}
        planned = settings.get("plan") == "manager"
        row["roots"] = settings["roots"] if planned else row["prompt_tokens"]
        row["manager"] = settings.get("manager") if planned else None
        row["series"] = series_of(row)
        body = records[row["record"]].body
        against = (body.get("reference") or {}).get("cell") or {}
        row["reference_order"] = (against.get("settings") or {}).get("order")
        samples = clean(body["samples"])
        if row["status"] == "ok" and samples:
            row |= rates(samples)
        score = inputs.scores.get(row["scores"])
        for metric in SCORES:
            scored = score.body["metrics"].get(metric) if score else None
            if scored and scored["value"] is not None:
                row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = (
                    scored[key] for key in ("value", "low", "high")
                )
    return rows


def series_of(row: dict[str, Any]) -> str | None:
    """Returns the key of a cell's series, whose cells differ only in roots.

    It is None for cells without a series: unfinished ones, those with limited passes, and text that was not rendered.
    """
    if row["status"] != "ok" or row["batch"] != 1 or row.get("chunk_batch") is not None or not row["roots"]:
        return None
    if row["decoder"] == "table_lookup":
        return LOOKUP
    if row.get("order") is None:
        return None
    order = "" if row["order"] == "parallel" else f", {row['order']}"
    if row["plan"] == "manager":
        jacobi = ", jacobi" if row["manager"] == "jacobi" else ""
        return f"{END_TO_END}{order}{jacobi} K={row['candidates']}"
    return f"{row['order']} K={row['candidates']}"


def rates(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns rates, counts and shares of one cell's samples; rendering columns only if something was rendered."""
    seconds = [sample["e2e_ms"] / 1000 for sample in samples]
    written = [sample["useful"] / s for sample, s in zip(samples, seconds, strict=True)]
    row = dict(interval("characters_per_s", statistics.median(written)))
    facts = [sample["cycles"][0] for sample in samples if sample.get("cycles")]
    if len(facts) != len(samples):
        return row
    each = [fact["chunks"] / s for fact, s in zip(facts, seconds, strict=True)]
    row |= interval("chunks_per_s", statistics.median(each))
    for column, fact in (("chunks", "chunks"), ("characters", "characters"), ("cut", "cut")):
        row[column] = sum(f[fact] for f in facts) / len(facts)
    row["invalid_roots"] = sum(f["invalid"] for f in facts) / len(facts)
    row["manager_passes"] = sum(f.get("manager_passes", 0) for f in facts) / len(facts)
    return row | shares(samples)


def shares(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean shares of each phase and of the remainder, which sum to one; and sums of some of them."""
    parts = {
        f"{phase}_share": sum(s.get("phases_ms", {}).get(phase, 0.0) / s["e2e_ms"] for s in samples)
        / len(samples)
        for phase in PHASES
    }
    parts["other_share"] = 1 - sum(parts.values())
    return parts | {
        "render_share": parts["level0_share"] + parts["level1_share"],
        "overhead_share": parts["transfer_share"] + parts["other_share"],
    }


TABLE = Table(
    name="flood",
    description="One row a cell of Flash Flood: where its time goes, its rates, and how much of it is right.",
    needs=("cells", "records", "scores"),
    key=("cell",),
    columns={**CELL, **FLOOD},
    build=build,
    view_of="cells",
)
