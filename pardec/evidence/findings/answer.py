"""The question in one sentence: on how many tasks is parallel decoding faster at equal quality?"""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Pick, Row, Rows, Word, computed, ident
from pardec.evidence.findings.crossover import by_task

OUTCOMES = {
    "faster": "tasks on which some cell at equal quality is faster",
    "even": "tasks on which the fastest cell at equal quality shows no difference",
    "slower": "tasks on which every cell at equal quality is slower",
    "unmatched": "tasks on which no number of steps tried reaches the reference's quality",
    "unjudged": "tasks whose quality could not be compared",
}


def outcome(row: Row) -> str:
    """Which of `OUTCOMES` a task's best series is."""
    if not row["observed"]:
        return "unjudged" if row["observed"] is None else "unmatched"
    verdict = row["fastest_verdict"]
    return {"faster": "faster", "slower": "slower", "no difference shown": "even"}.get(verdict, "unjudged")


def find(tables: Rows) -> list[Found]:
    best = list(by_task(tables["crossover"]).values())
    if not best:
        return []
    found: list[Found] = [
        computed(ident("answer", "tasks"), "crossover", best, len(best), "tasks compared", n=len(best))
    ]
    counts = {}
    for name, description in OUTCOMES.items():
        counts[name] = sum(outcome(row) == name for row in best)
        found.append(
            computed(ident("answer", name), "crossover", best, counts[name], description, n=len(best))
        )
    timed = [row for row in best if row["observed"] and row["fastest_ratio"] is not None]
    for name, choose in (("largest_ratio", max), ("smallest_ratio", min)):
        if timed:
            row = choose(timed, key=lambda row: row["fastest_ratio"])
            found.append(Pick(ident("answer", name), "crossover", (row["key"],), "fastest_ratio"))
    evidence = tuple(item.id for item in found)
    return [*found, Word(ident("answer", "verdict"), _verdict(counts, len(best)), evidence)]


def _verdict(counts: dict[str, int], tasks: int) -> str:
    if counts["unjudged"] == tasks:
        return "not judged"
    if counts["faster"] == tasks:
        return "faster on every task"
    if counts["faster"]:
        return "faster on some tasks"
    return "slower where it matches" if counts["slower"] else "no advantage shown"


FINDING = Finding("answer", ("crossover",), find)
