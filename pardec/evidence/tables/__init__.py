"""Tidy tables: one row a cell or a pair, every column with a unit, checked by a schema."""
