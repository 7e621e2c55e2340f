"""Every cell, everything known of it; the tables of single experiments are cut from this one."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.cell_row import paired, resources, task_of, times, trail, what
from pardec.evidence.tables.compare import quality
from pardec.evidence.tables.inputs import Inputs, Source


def build(inputs: Inputs) -> list[dict[str, Any]]:
    agree = outputs_agree(inputs.records)
    arms = Arms(inputs.records)
    return [row_of(record, inputs, arms, agree.get(record.path)) for record in inputs.records]


def row_of(record: Source, inputs: Inputs, arms: Arms, agree: bool | None) -> dict[str, Any]:
    """One cell's row. A cell that failed keeps its row; what was not measured is empty."""
    reference = (record.body.get("reference") or {}).get("cell")
    try:
        measured = {**times(record), **paired(record, arms.cell_id(reference))}
    except (TypeError, ValueError) as error:
        raise UserError(
            record.path, f"has damaged samples ({error})", "move it away and run `make all` again"
        ) from None
    if record.body["status"] != "ok":
        kept = ("n_all", "flags", *(f"reference{end}" for end in ("", "_model", "_decoder", "_family")))
        measured = {"n": 0, **{name: measured.get(name) for name in kept}}
    return {
        **what(record),
        **measured,
        **resources(record, inputs.machine, measured.get("latency_ms")),
        **quality(record.body["cell"].get("quality"), arms.scores(reference), inputs.scores),
        "outputs_agree": agree,
        **trail(record),
    }


class Arms:
    """Finds the cell that a reference arm is, among the records, by what it ran."""

    def __init__(self, records: tuple[Source, ...]):
        self.ids: dict[tuple, str] = {}
        self.paths: dict[tuple, str] = {}
        for cell in (record.body["cell"] for record in records):
            self.ids.setdefault((cell["experiment"], cell["batch"], *writes(cell)), cell["id"])
            if cell.get("quality"):
                self.paths.setdefault(writes(cell), cell["quality"])

    def cell_id(self, reference: dict[str, Any] | None) -> str | None:
        """The id of the cell that is `reference`; None where no record is of it."""
        if reference is None:
            return None
        return self.ids.get((reference["experiment"], reference["batch"], *writes(reference)))

    def scores(self, reference: dict[str, Any] | None) -> str | None:
        """Where the outputs of `reference` were scored: outputs do not depend on batch or experiment."""
        if reference is None:
            return None
        return reference.get("quality") or self.paths.get(writes(reference))


def writes(cell: dict[str, Any]) -> tuple:
    """What decides a cell's outputs; cells that share it must write the same tokens for the same prompt."""
    settings = json.dumps(cell["settings"], sort_keys=True)
    shape = (cell.get("precision"), cell.get("prompt_tokens"), cell["new_tokens"])
    shape += (bool(cell.get("random_prompts")),)
    companions = json.dumps(cell.get("companions") or {}, sort_keys=True)
    return (task_of(cell), cell["model"], companions, cell["decoder"], settings, *shape)


def outputs_agree(records: tuple[Source, ...]) -> dict[str, bool]:
    """By record: whether its timed outputs equal those of every other cell that ought to write the same.

    The same prompt must give the same tokens at any batch size, in any experiment. A record without a prompt
    in common with another is absent.
    """
    seen: dict[tuple, dict[tuple, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        same = writes(record.body["cell"])
        for output in record.body.get("outputs") or ():
            seen[(*same, str(output["prompt"]))][tuple(output["tokens"])].append(record.path)
    verdicts: dict[str, bool] = {}
    for variants in seen.values():
        paths = [path for group in variants.values() for path in group]
        if len(paths) > 1:
            for path in paths:
                verdicts[path] = verdicts.get(path, True) and len(variants) == 1
    return verdicts


TABLE = Table(
    name="cells",
    description="One row a cell, failed ones included, with every measurement and where it comes from.",
    needs=("records", "scores", "machine"),
    key=("cell",),
    columns=CELL,
    build=build,
)
