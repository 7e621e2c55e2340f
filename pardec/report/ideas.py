"""How the page speaks of statuses of ideas."""

from __future__ import annotations

STATUSES = (
    ("validated", "hold up"),
    ("equivalent", "make no difference"),
    ("rejected", "are no gain"),
    ("inconclusive", "are not settled"),
    ("implemented", "lack evidence"),
    ("proposed", "were not run"),
)
"""In the order in which a reader wants them, with the words behind their number."""
