"""Table `verify_cost`: time of a target's pass by its number of tokens, and the tau at which it pays."""

from __future__ import annotations

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.inputs import AGAIN, Inputs, Source
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")

CHAIN = 8
"""Tokens in a pass of the baseline's block, the reference of wider passes."""


def build(inputs: Inputs) -> list[Row]:
    """Return one row per target and number of verified tokens."""
    drafts = _draft_ms(inputs.rows("draft"), inputs.ideas.baseline)
    return [row for source in inputs.verify_costs for row in _rows(source, drafts)]


def _draft_ms(rows: list[Row], baseline: str) -> dict[str, float]:
    """Return the time of the baseline's draft in a cycle, mean over the workloads of a target."""
    by_model: dict[str, list[float]] = {}
    for row in rows:
        if row["arm"] == baseline and row["model"] and row["draft_ms"] is not None:
            by_model.setdefault(row["model"], []).append(row["draft_ms"])
    return {model: sum(times) / len(times) for model, times in by_model.items()}


def _rows(source: Source, drafts: dict[str, float]) -> list[Row]:
    try:
        model, status = source.body["model"], source.body.get("status", "ok")
        if status != "ok":
            return [{"model": model, "status": status, "reason": source.body["reason"], **source.origin}]
        taken = _medians(source.body["widths"])
        total = {entry["nodes"]: len(entry["samples_ms"]) for entry in source.body["widths"]}
        single = taken[1]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(source.path, f"is damaged ({error!r})", AGAIN) from None
    draft, chain = drafts.get(model), taken.get(CHAIN)
    rows = []
    for nodes, costs in sorted(taken.items()):
        row = {
            "model": model,
            "nodes": nodes,
            "status": status,
            "n": total[nodes],
            "processes": len(costs),
            "engine": source.body.get("engine"),
            **interval("verify_ms", statistics.between(costs), "verify"),
            **interval("cost", statistics.between(_over(costs, single))),
            "draft_ms": draft,
            **source.origin,
        }
        if draft is not None:
            whole = [draft + cost for cost in costs]
            row |= interval("break_even_tau", statistics.between(_over(whole, single)))
            if chain:
                base = [draft + cost for cost in chain]
                row |= interval("gain_needed", statistics.between(_over(whole, base)))
        rows.append(row)
    return rows


def _medians(widths: list[Row]) -> dict[int, list[float]]:
    """Return by number of tokens the median of each process, in the order of processes."""
    medians = {}
    for entry in widths:
        of = entry.get("process") or [0] * len(entry["samples_ms"])
        by_process: dict[int, list[float]] = {}
        for process, sample in zip(of, entry["samples_ms"], strict=True):
            by_process.setdefault(process, []).append(sample)
        medians[entry["nodes"]] = [statistics.percentile(by_process[p], 50) for p in sorted(by_process)]
    return medians


def _over(these: list[float], those: list[float]) -> list[float]:
    """Return ratios within each process, in which its speed cancels."""
    return [a / b for a, b in zip(these, those, strict=True)]


VERIFY_COST = Table(
    name="verify_cost",
    description="One row per target and tokens of its pass: the pass's cost, and the tau at which it pays off.",
    needs=("ideas_file", "verify_costs", "draft"),
    key=("model", "nodes"),
    columns=columns("""
model           text! | the target
nodes           count tokens | tokens in the pass
n               size passes | passes timed
processes       size | separate processes behind them; intervals include their differences; none below three processes
engine          text | what ran the passes, as in the cells that draft for the target
verify_ms       interval ms stem=verify | time of one cached pass: geometric mean of the processes' medians
cost            interval × better=lower | over the pass of a single token, within each process
draft_ms        number ms | the baseline's draft in a cycle
break_even_tau  interval tokens kind=ratio better=lower | tau at which such a cycle is as fast as sequential decoding
gain_needed     interval × better=lower | factor by which tau must exceed that of a chain of the baseline's
    block to pay for it
status          text | how it ended; a target whose passes could not be timed has one row, with the reason
reason          text | why there are no times
""")
    | SOURCES,
    build=build,
)
