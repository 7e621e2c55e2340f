"""Select the claims for each part of the page. Statements are quoted, numbers are values."""

from __future__ import annotations

from typing import Any

Claim = dict[str, Any]

NOT_RUN = "not run yet"
VERDICTS = ("reproduced", "contradicted", "not testable here")
"""Verdicts in the page's order; claims that were not run follow in the table."""


def by_verdict(claims: list[Claim]) -> list[tuple[str, list[Claim]]]:
    """Return (verdict, its claims) for each verdict that occurs, except for claims not run."""
    groups = [(word, [claim for claim in claims if claim["verdict"] == word]) for word in VERDICTS]
    return [(word, those) for word, those in groups if those]


def by_seed(judged: dict[str, Any]) -> list[tuple[str, str, list[Claim], list[Claim]]]:
    """Return (group, its title, judged claims, claims not run yet) by group; groups with judged claims come first."""
    entries = []
    for seed in dict.fromkeys(claim["seed"] for claim in judged["claims"]):
        here = [claim for claim in judged["claims"] if claim["seed"] == seed]
        looked = [claim for claim in here if claim["verdict"] != NOT_RUN]
        waiting = [claim for claim in here if claim["verdict"] == NOT_RUN]
        entries.append((seed, judged["seeds"].get(seed, ""), looked, waiting))
    return sorted(entries, key=lambda entry: not entry[2])
