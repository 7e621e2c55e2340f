"""The `steps` experiment."""

from __future__ import annotations

from pardec.evidence.tables.experiment import experiment_table

TABLE = experiment_table(
    "steps",
    "One row a cell of the sweep over steps: time, memory and quality beside each other, both families.",
)
