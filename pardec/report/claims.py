"""Which claims a page shows where. Selection only: statements are quoted, numbers are values."""

from __future__ import annotations

from typing import Any

Claim = dict[str, Any]

NOT_RUN = "not run yet"
VERDICTS = ("reproduced", "contradicted", "not testable here")
"""In the order in which a reader wants them; claims that were not run follow in the table."""


def by_verdict(claims: list[Claim]) -> list[tuple[str, list[Claim]]]:
    """(verdict, its claims) of each verdict that some claim has, those not run aside."""
    groups = [(word, [claim for claim in claims if claim["verdict"] == word]) for word in VERDICTS]
    return [(word, those) for word, those in groups if those]


def by_seed(judged: dict[str, Any]) -> list[tuple[str, str, list[Claim], list[Claim]]]:
    """(group, its title, claims looked at, claims not run yet) by group, those with a claim looked at first."""
    entries = []
    for seed in dict.fromkeys(claim["seed"] for claim in judged["claims"]):
        here = [claim for claim in judged["claims"] if claim["seed"] == seed]
        looked = [claim for claim in here if claim["verdict"] != NOT_RUN]
        waiting = [claim for claim in here if claim["verdict"] == NOT_RUN]
        entries.append((seed, judged["seeds"].get(seed, ""), looked, waiting))
    return sorted(entries, key=lambda entry: not entry[2])
