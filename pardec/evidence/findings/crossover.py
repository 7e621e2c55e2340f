"""By task: the crossover in steps, what it does to latency, and the fastest cell at equal quality."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Pick, Row, Rows, Word, ident

ALWAYS = ("steps_least", "steps_most", "reference_quality", "best_quality", "best_steps", "steps_faster")
AT_CROSSOVER = (
    "steps",
    "steps_matched",
    "quality",
    "quality_difference",
    "ratio",
    "throughput_ratio",
    "latency_ms",
    "reference_latency_ms",
)
AT_BEST = ("fastest_steps", "fastest_ratio", "fastest_quality", "fastest_latency_ms")
NONE = "none observed"
UNJUDGED = "not judged"


def by_task(rows: list[Row]) -> dict[str, Row]:
    """Each task's best series: one that reaches the reference first, then the larger speedup."""
    best: dict[str, Row] = {}
    for row in rows:
        if row["task"] not in best or merit(row) > merit(best[row["task"]]):
            best[row["task"]] = row
    return best


def merit(row: Row) -> tuple[int, float]:
    return (2 if row["observed"] else 1 if row["observed"] is not None else 0), row["fastest_ratio"] or 0.0


def find(tables: Rows) -> list[Found]:
    found: list[Found] = []
    for task, row in by_task(tables["crossover"]).items():
        columns = [*ALWAYS, *(AT_CROSSOVER if row["observed"] else ()), *(AT_BEST if row["observed"] else ())]
        found += [
            Pick(ident("crossover", task, c), "crossover", (row["key"],), c)
            for c in columns
            if row[c] is not None
        ]
        found += _words(task, row)
    return found


def _words(task: str, row: Row) -> list[Found]:
    if not row["observed"]:
        told = UNJUDGED if row["observed"] is None else NONE
        evidence = (ident("crossover", task, "steps_most"),) if row["steps_most"] is not None else ()
        return [Word(ident("crossover", task, "verdict"), told, evidence)]
    words: list[Found] = []
    if row["verdict"] is not None:
        evidence = (ident("crossover", task, "ratio"), ident("crossover", task, "steps"))
        words.append(Word(ident("crossover", task, "verdict"), row["verdict"], evidence))
    if row["fastest_verdict"] is not None:
        evidence = (ident("crossover", task, "fastest_ratio"),)
        words.append(Word(ident("crossover", task, "fastest_verdict"), row["fastest_verdict"], evidence))
    return words


FINDING = Finding("crossover", ("crossover",), find)
