"""What a pass of the target costs by the number of tokens in it, and the tau at which that pays."""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, count, measured, number, size, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")

CHAIN = 8
"""Tokens in a pass of the baseline's block, against which wider ones are held."""


def build(inputs: Inputs) -> list[dict[str, Any]]:
    drafts = _draft_ms(inputs.rows("draft"), inputs.ideas.baseline)
    return [row for source in inputs.verify_costs for row in _rows(source, drafts)]


def _draft_ms(rows: list[dict[str, Any]], baseline: str) -> dict[str, float]:
    """Time of the baseline's draft in a cycle, mean over the workloads of a target."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["arm"] == baseline and row["model"] and row["draft_ms"] is not None:
            found.setdefault(row["model"], []).append(row["draft_ms"])
    return {model: sum(own) / len(own) for model, own in found.items()}


def _rows(source: Source, drafts: dict[str, float]) -> list[dict[str, Any]]:
    try:
        model = source.body["model"]
        taken = {entry["nodes"]: entry["samples_ms"] for entry in source.body["widths"]}
    except (KeyError, TypeError) as error:
        raise UserError(
            source.path, f"is damaged ({error!r})", "move it away and run `make all` again"
        ) from None
    draft, single = drafts.get(model), statistics.median(taken[1])
    chain = statistics.median(taken[CHAIN]) if CHAIN in taken else None
    rows = []
    for nodes, samples in sorted(taken.items()):
        cost = statistics.median(samples)
        rounds = range(len(samples))
        row = {
            "model": model,
            "nodes": nodes,
            "n": cost.n,
            **interval("verify_ms", cost, "verify"),
            **interval("cost", statistics.ratio_of_medians(samples, taken[1], rounds, rounds)),
            "draft_ms": draft,
            "record": source.path,
            "record_sha256": source.sha256,
        }
        if draft is not None:
            row["break_even_tau"] = (draft + cost.value) / single.value
            row["gain_needed"] = (draft + cost.value) / (draft + chain.value) if chain else None
        rows.append(row)
    return rows


TABLE = Table(
    name="verify_cost",
    description="One row a target and number of tokens in its pass: what the pass costs, and the tau at which it pays.",
    needs=("ideas_file", "verify_costs", "draft"),
    key=("model", "nodes"),
    columns={
        "model": text("the target", nullable=False),
        "nodes": count("tokens in the pass", "tokens"),
        "n": size("passes timed", "passes"),
        **measured("verify_ms", "ms", "one cached pass, median", stem="verify"),
        **measured("cost", "×", "over the pass of a single token, medians of rounds", better="lower"),
        "draft_ms": number("ms", "the baseline's draft in a cycle"),
        "break_even_tau": number(
            "tokens",
            "tau at which such a cycle is as fast as sequential decoding",
            "n",
            kind="ratio",
            better="lower",
        ),
        "gain_needed": number(
            "×", "factor on tau that pays for it over a chain of the baseline's block", "n", better="lower"
        ),
        **SOURCES,
    },
    build=build,
)
