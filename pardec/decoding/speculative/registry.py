"""The strategies of the speculative loop, by name. An idea is one class and one line here."""

from __future__ import annotations

from pardec.common.registry import Registry

HERE = "pardec.decoding.speculative"

DRAFTERS = Registry(
    "drafter",
    {
        "dflash": f"{HERE}.drafters:DFlash",
        "ngram": f"{HERE}.drafters:Ngram",
        "small": f"{HERE}.drafters:Small",
        "markov": f"{HERE}.markov:Markov",
        "selector": f"{HERE}.selector:Selector",
    },
)
SCHEDULES = Registry(
    "block schedule",
    {
        "fixed": f"{HERE}.schedules:Fixed",
        "ewma": f"{HERE}.schedules:Ewma",
        "break_even": f"{HERE}.schedules:BreakEven",
        "threshold": f"{HERE}.schedules:Threshold",
    },
)
PROPOSALS = Registry(
    "proposal",
    {
        "chain": f"{HERE}.proposals:Chain",
        "tree": f"{HERE}.branches:BestFirst",
        "tree_lite": f"{HERE}.branches:TreeLite",
        "candidates": f"{HERE}.proposals:Candidates",
        "confidence": f"{HERE}.branches:Confidence",
        "rank_suffix": f"{HERE}.branches:RankSuffix",
        "rounds": f"{HERE}.proposals:Rounds",
    },
)
REFINEMENTS = Registry(
    "refinement",
    {
        "full": f"{HERE}.refinements:Full",
        "selective": f"{HERE}.refinements:Selective",
    },
)
SEEDINGS = Registry(
    "seeding",
    {
        "dense": f"{HERE}.seedings:Dense",
        "sparse": f"{HERE}.seedings:Sparse",
        "gated": f"{HERE}.seedings:Gated",
    },
)
TRUNCATIONS = Registry(
    "truncation",
    {
        "eos": f"{HERE}.truncations:EosAware",
        "adaptive": f"{HERE}.truncations:Adaptive",
    },
)
RULES = Registry(
    "acceptance rule",
    {
        "match": f"{HERE}.acceptance:Match",
        "sampled_match": f"{HERE}.acceptance:SampledMatch",
        "residual": f"{HERE}.acceptance:Residual",
    },
)
KINDS = {
    "drafter": DRAFTERS,
    "schedule": SCHEDULES,
    "seeding": SEEDINGS,
    "refinement": REFINEMENTS,
    "truncation": TRUNCATIONS,
    "proposal": PROPOSALS,
    "acceptance": RULES,
}
"""The registry of each kind, by the key of the decoder's settings that chooses from it."""
OPTIONAL = ("seeding", "refinement", "truncation")
"""Kinds that a decoder may do without: their settings are then `{name: none}`."""
