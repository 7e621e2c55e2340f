"""Which claims a page shows where. Selection only: statements are quoted, numbers are values."""

from __future__ import annotations

from typing import Any

Claim = dict[str, Any]

ANSWERED = ("reproduced", "contradicted")
NOT_TESTABLE = "not testable here"
NOT_RUN = "not run yet"


def answered(claims: list[Claim]) -> list[Claim]:
    """Claims that this study's measurements decide."""
    return [claim for claim in claims if claim["verdict"] in ANSWERED]


def untestable(claims: list[Claim]) -> list[Claim]:
    return [claim for claim in claims if claim["verdict"] == NOT_TESTABLE]


def by_seed(judged: dict[str, Any]) -> list[tuple[str, str, list[Claim], list[Claim]]]:
    """(seed, its title, claims looked at, claims not run yet) by seed, those with a claim looked at first."""
    found = []
    for seed, title in judged.get("seeds", {}).items():
        here = [claim for claim in judged["claims"] if claim["seed"] == seed]
        found.append((
            seed, title,
            [claim for claim in here if claim["verdict"] != NOT_RUN],
            [claim for claim in here if claim["verdict"] == NOT_RUN],
        ))  # fmt: skip
    return sorted(found, key=lambda entry: not entry[2])
