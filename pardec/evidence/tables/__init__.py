"""Tidy tables: one row per cell or pair, every column with a unit, checked by a schema."""
