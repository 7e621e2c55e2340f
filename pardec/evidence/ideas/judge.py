"""All drafting ideas judged: the content of verdicts.json, from table `ideas`."""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.claims.base import Piece, Values, cell, name
from pardec.evidence.claims.judge import text_of
from pardec.evidence.findings.base import Row
from pardec.evidence.ideas.registry import IDEAS
from pardec.evidence.verdicts import (
    EQUIVALENT,
    IMPLEMENTED,
    INCONCLUSIVE,
    PROPOSED,
    REJECTED,
    VALIDATED,
)

NOT_RUN = "this study has no experiment on drafting"
PLAIN = {
    VALIDATED: "Faster",
    REJECTED: "Not faster",
    EQUIVALENT: "No difference",
    INCONCLUSIVE: "Not settled",
    IMPLEMENTED: "Not judged yet",
    PROPOSED: "Not run",
}


def judge_ideas(rows: list[Row], values: Values) -> dict[str, Any]:
    """Every idea in the order of the registry with its verdict.

    rows: table `ideas`, empty where the experiment was not run. values: published values.

    Returns {"ideas": [idea]}, an idea being {id, number, title, seed: whether one of the seed's own, what, hope, why,
    status, sentence, said, settings: [setting], evidence: [value id]}; a setting is {arm, words, deciding, against,
    status, tau_status, ratio, runs: [interval], tau, tau_ratio, lossless, control, prompts, prompts_needed, sentence,
    said}, an interval [value, low, high].

    Raises:
        UserError: a sentence names a value that is not published.
    """
    by_idea: dict[str, list[Row]] = {}
    for row in rows:
        by_idea.setdefault(row["idea"], []).append(row)
    judged = []
    for idea in IDEAS:
        own = by_idea.get(idea.id, [])
        settings = [_setting(row, values) for row in own]
        first = next((one for one in settings if one["deciding"]), None)
        judged.append(
            {
                "id": idea.id,
                "number": idea.number,
                "title": idea.title,
                "seed": idea.seeded,
                "what": idea.what,
                "hope": idea.hope,
                "why": idea.why,
                "status": first["status"] if first else PROPOSED,
                "sentence": first["sentence"] if first else f"Not run: {NOT_RUN}.",
                "said": first["said"] if first else [f"Not run: {NOT_RUN}."],
                "settings": settings,
                "evidence": sorted({piece["value"] for one in settings for piece in _values_in(one["said"])}),
            }
        )
    lost = [ident for idea in judged for ident in idea["evidence"] if ident not in values]
    if lost:
        raise UserError(f"idea {lost[0]}", "rests on what is no value", "collect the values again")
    return {"ideas": judged}


def _values_in(said: list[Piece]) -> list[dict[str, Any]]:
    return [piece for piece in said if isinstance(piece, dict) and "value" in piece]


def _setting(row: Row, values: Values) -> dict[str, Any]:
    said = sentence(row)
    return {
        "arm": row["arm"],
        "words": row["words"],
        "deciding": row["deciding"],
        "against": row["against"],
        "status": row["status"],
        "tau_status": row["tau_status"],
        "ratio": _interval(row, "ratio"),
        "runs": [_interval(row, f"ratio_run{run}") for run in (1, 2) if row[f"ratio_run{run}"] is not None],
        "tau": [row["tau"], row["reference_tau"]],
        "tau_ratio": _interval(row, "tau_ratio"),
        "margin": row["margin"],
        "p": row["speed_p"],
        "lossless": row["lossless"],
        "control": row["control"],
        "prompts": row["prompts"],
        "workloads": row["workloads"],
        "prompts_needed": row["speed_prompts_needed"],
        "sentence": text_of(tuple(said), values),
        "said": said,
    }


def _interval(row: Row, column: str) -> list[float | None] | None:
    if row[column] is None:
        return None
    return [row[column], row[f"{column}_low"], row[f"{column}_high"]]


def sentence(row: Row) -> list[Piece]:
    """What became of one setting, in pieces that name their values: the plain answer first."""
    if row["status"] == PROPOSED:
        return [f"{PLAIN[PROPOSED]}: {row['speed_reason']}."]
    if row["speed_status"] == row["status"] and row["ratio"] is None:
        return [*_instrument(row)]
    said: list[Piece] = [f"{_plain(row)}: throughput is "]
    said += [cell("ideas", row, "ratio"), " of ", *_against(row), f"; {row['speed_reason']}"]
    if row["status"] == INCONCLUSIVE and row["speed_prompts_needed"] is not None:
        said += [" (about ", cell("ideas", row, "speed_prompts_needed"), " would settle it)"]
    if row["tau_ratio"] is not None:
        said += ["; tau goes from ", cell("ideas", row, "reference_tau"), " to ", cell("ideas", row, "tau")]
        spoiled = row["lossless"] is False or row["control"] is False or row["fell_back"] or row["peeked"]
        said += [] if spoiled or row["tau_status"] not in TAU else [f", {TAU[row['tau_status']]}"]
    return [*said, "."]


TAU = {
    VALIDATED: "which is a gain",
    REJECTED: "which is a loss",
    EQUIVALENT: "which is no difference",
    INCONCLUSIVE: "which settles nothing",
}


def _plain(row: Row) -> str:
    if row["status"] == REJECTED and row["lossless"] is False:
        return "Not lossless"
    if row["status"] == REJECTED and row["ratio_high"] is not None and row["ratio_high"] < 1:
        return "Slower"
    return PLAIN[row["status"]]


def _against(row: Row) -> list[Piece]:
    if row["against"] == "best fixed block":
        return ["the best fixed block"]
    return ["arm ", name(row["against"])]


def _instrument(row: Row) -> list[Piece]:
    said: list[Piece] = [f"{row['status'].capitalize()}: {row['speed_reason']}"]
    if row["accounted_share"] is not None:
        said += ["; the least share of cycle time in named phases is ", cell("ideas", row, "accounted_share")]
    return [*said, "."]
