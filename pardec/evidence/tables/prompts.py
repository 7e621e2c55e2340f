"""The `prompts` experiment."""

from __future__ import annotations

from pardec.evidence.tables.experiment import experiment_table

TABLE = experiment_table(
    "prompts",
    "One row a cell on real prompts, and on random tokens paired with the same arm on real prompts.",
)
