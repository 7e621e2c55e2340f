"""The `length` experiment."""

from __future__ import annotations

from pardec.evidence.tables.experiment import experiment_table

TABLE = experiment_table("length", "One row a cell of the grid of lengths and batch sizes.")
