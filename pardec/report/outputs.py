"""Example outputs for the page: the same prompts, answered by each arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pardec.common.files import read_jsonl
from pardec.data.registry import TASKS
from pardec.study import paths


@dataclass(frozen=True)
class Written:
    """One arm's outputs of one task. steps: those of a diffusion arm, else None. texts: by prompt id."""

    path: str
    task: str
    model: str
    decoder: str
    settings: str
    steps: int | None
    rows: dict[str, dict]


def read_outputs(files: Sequence[str | Path]) -> list[Written]:
    """Return output files, described by their path: `<task>/<model>/<decoder>/<settings>/outputs.jsonl`.

    Raises:
        UserError: a file is missing or damaged.
    """
    written = []
    for path in sorted({str(file) for file in files}):
        parts = Path(path).parts
        task, model, decoder, settings = (
            parts[-5:-1] if len(parts) >= 5 else ("", "", "", parts[-2] if parts[1:] else "")
        )
        steps = paths.value_of(settings, "steps")
        rows = {row["id"]: row for row in read_jsonl(path) if row["text"] is not None}
        written.append(
            Written(
                path, task, model, decoder, settings, int(steps) if steps and steps.isdigit() else None, rows
            )
        )
    return written


def gallery(written: list[Written], prompts: int = 2) -> list[dict]:
    """Return for each task the first prompts that all shown arms answered, with each arm's answer. `exact`: whether an
    answer is right only if it equals the reference, as in the tasks made here; the tests of a program are none.

    Shown are the sequential arm with the shortest name, and diffusion at the fewest, a middle and the most steps.
    """
    tasks = []
    for task in dict.fromkeys(w.task for w in written):
        here = [w for w in written if w.task == task and paths.word("prompts", "random") not in w.settings]
        plain = sorted((w for w in here if w.steps is None), key=lambda w: (len(w.decoder), w.path))
        arms = plain[:1] + _spread(sorted((w for w in here if w.steps is not None), key=_steps))
        if not arms:
            continue
        shared = [ident for ident in arms[0].rows if all(ident in arm.rows for arm in arms)][:prompts]
        examples = [
            {"prompt": arms[0].rows[ident]["prompt"], "answer": arms[0].rows[ident].get("answer"),
             "exact": arms[0].rows[ident].get("task") in TASKS,
             "outputs": [(arm, arm.rows[ident]["text"]) for arm in arms]}
            for ident in shared
        ]  # fmt: skip
        tasks.append({"task": task, "examples": examples, "path": arms[0].path})
    return tasks


def _steps(written: Written) -> int:
    return written.steps or 0


def _spread(arms: list[Written]) -> list[Written]:
    """Return first, middle and last."""
    return [arms[i] for i in sorted({0, len(arms) // 2, len(arms) - 1})] if arms else []
