"""How the page speaks of statuses of ideas."""

from __future__ import annotations

STATUSES = (
    ("validated", "holds up", "hold up"),
    ("equivalent", "makes no difference", "make no difference"),
    ("rejected", "is no gain", "are no gain"),
    ("inconclusive", "is not settled", "are not settled"),
    ("implemented", "lacks evidence", "lack evidence"),
    ("proposed", "was not run", "were not run"),
)
"""In the order in which a reader wants them, with the words behind their number: of one, and of several."""
