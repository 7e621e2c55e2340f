"""The `batch` experiment."""

from __future__ import annotations

from pardec.evidence.tables.experiment import experiment_table

TABLE = experiment_table("batch", "One row a cell of the sweep over batch sizes.")
