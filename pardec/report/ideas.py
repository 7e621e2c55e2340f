"""Words for the statuses of ideas on the page."""

from __future__ import annotations

STATUSES = (
    ("validated", "holds up", "hold up"),
    ("equivalent", "makes no difference", "make no difference"),
    ("rejected", "is no gain", "are no gain"),
    ("inconclusive", "is not settled", "are not settled"),
    ("implemented", "lacks evidence", "lack evidence"),
    ("proposed", "was not run", "were not run"),
)
"""Statuses in the page's order, with the words after their number: singular and plural."""
