"""The jobs of a run and the stages they belong to: its graph as it was, from what each job wrote of itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pardec.evidence.crate import Block, read_blocks


def read_jobs(papers: Iterable[str | Path]) -> dict[str, Any]:
    """See `describe_jobs`; papers: files that hold the provenance of each job.

    Raises:
        UserError: a file is missing or damaged.
    """
    return describe_jobs(read_blocks(papers))


def describe_jobs(blocks: Sequence[Block]) -> dict[str, Any]:
    """Jobs in order of their ends, and stages in order of the flow of data.

    Returns:
        {"jobs": [{rule, paper, outputs: paths, start, end}],
        "stages": [{rule, script, after: names of the stages whose outputs it read}]}. A stage comes after all
        stages it reads from.
    """
    makers = {entry["path"]: block["rule"] for block in blocks for entry in block["outputs"]}
    after: dict[str, set[str]] = {block["rule"]: set() for block in blocks}
    scripts = {block["rule"]: _script(block["command"]) for block in blocks}
    for block in blocks:
        read = {makers[entry["path"]] for entry in block["inputs"] if entry["path"] in makers}
        after[block["rule"]] |= read - {block["rule"]}
    return {
        "jobs": [_job(block) for block in blocks],
        "stages": [
            {"rule": rule, "script": scripts[rule], "after": sorted(after[rule])} for rule in in_order(after)
        ],
    }


def in_order(after: dict[str, set[str]]) -> list[str]:
    """Names so that each follows those it is `after`; ties, and circles of rules that feed each other, by first
    appearance."""
    left, order = list(after), []
    while left:
        ready = [name for name in left if not (after[name] & set(left))] or left[:1]
        order.append(ready[0])
        left.remove(ready[0])
    return order


def _script(command: str) -> str | None:
    return next((word for word in command.split() if word.endswith(".py")), None)


def _job(block: Block) -> dict[str, Any]:
    outputs = [entry["path"] for entry in block["outputs"]]
    return {
        "rule": block["rule"],
        "paper": outputs[-1],
        "outputs": outputs,
        "start": block["start"],
        "end": block["end"],
    }
