"""Group rows into series, and select those that compare diffusion with autoregression."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

from pardec.study import paths

Row = dict[str, Any]

SEQUENTIAL, DIFFUSION = "autoregressive", "masked_diffusion"
"""The two families of decoders (column `family`) that seed document 004 compares; others have separate tables."""
FIXED = ("experiment", "batch", "prompt_tokens", "new_tokens", "engine", "precision", "random_prompts")
"""Columns that cells of one series share beside task, model, arm and settings."""
SHORT = {"prompt_tokens": "prompt", "new_tokens": "new", "random_prompts": "random"}


def compares_kinds(row: Row) -> bool:
    """Returns whether a row's ratio is of a diffusion arm against an autoregressive one."""
    return row["family"] == DIFFUSION and row["reference_family"] == SEQUENTIAL


def settings_but(row: Row, *varying: str) -> dict[str, Any]:
    """Returns the decoder's settings without those in `varying`."""
    settings = json.loads(row["settings"] or "{}")
    return {key: value for key, value in settings.items() if key not in varying}


def over_steps(rows: Iterable[Row]) -> dict[tuple[Hashable, ...], list[Row]]:
    """Returns rows that differ only in steps, by (task, model, arm, shared columns)."""
    groups: dict[tuple[Hashable, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[_same(row, "steps")].append(row)
    return dict(groups)


def names(groups: dict[tuple[Hashable, ...], list[Row]]) -> dict[tuple[Hashable, ...], str]:
    """Returns a readable name for each group of `over_steps`, unique within the task.

    It is the arm; if several series have this arm, followed by the words that differ: "diffusion+batch~1".
    """
    facts = {key: _facts(rows[0]) for key, rows in groups.items()}
    named = {}
    for key, traits in facts.items():
        twins = [
            other
            for other in facts.values()
            if other["task"] == traits["task"] and other["arm"] == traits["arm"]
        ]
        varying = [word for word in traits if any(other.get(word) != traits[word] for other in twins)]
        words = [
            paths.word(SHORT.get(word, word), traits[word]) for word in varying if traits[word] is not None
        ]
        named[key] = paths.join([str(traits["arm"]), *words])
    return named


def _same(row: Row, *varying: str) -> tuple[Hashable, ...]:
    settings = json.dumps(settings_but(row, *varying), sort_keys=True)
    return (row["task"], row["model"], row["arm"] or row["decoder"], settings, *(row[name] for name in FIXED))


def _facts(row: Row) -> dict[str, Any]:
    return {
        "task": row["task"],
        "arm": row["arm"] or row["decoder"],
        "model": row["model"],
        **{name: row[name] for name in FIXED},
        **settings_but(row, "steps"),
    }
