"""The strategies of the speculative loop, by name. An idea is one file and one line here."""

from __future__ import annotations

from pardec.common.registry import Registry

HERE = "pardec.decoding.speculative"

DRAFTERS = Registry(
    "drafter",
    {
        "dflash": f"{HERE}.drafters.dflash:DFlash",
        "ngram": f"{HERE}.drafters.ngram:Ngram",
        "small": f"{HERE}.drafters.small:Small",
    },
)
SCHEDULES = Registry(
    "block schedule",
    {
        "fixed": f"{HERE}.schedules.fixed:Fixed",
        "ewma": f"{HERE}.schedules.ewma:Ewma",
        "break_even": f"{HERE}.schedules.break_even:BreakEven",
        "threshold": f"{HERE}.schedules.threshold:Threshold",
    },
)
PROPOSALS = Registry(
    "proposal",
    {
        "chain": f"{HERE}.proposals.chain:Chain",
        "tree": f"{HERE}.proposals.best_first:BestFirst",
        "tree_lite": f"{HERE}.proposals.tree_lite:TreeLite",
        "candidates": f"{HERE}.proposals.candidates:Candidates",
        "confidence": f"{HERE}.proposals.confidence:Confidence",
        "rank_suffix": f"{HERE}.proposals.rank_suffix:RankSuffix",
        "rounds": f"{HERE}.proposals.rounds:Rounds",
    },
)
REFINEMENTS = Registry(
    "refinement",
    {
        "none": f"{HERE}.refinements.none:NoRefinement",
        "full": f"{HERE}.refinements.full:Full",
        "selective": f"{HERE}.refinements.selective:Selective",
    },
)
SEEDINGS = Registry(
    "seeding",
    {
        "none": f"{HERE}.seedings.none:NoSeeding",
        "dense": f"{HERE}.seedings.dense:Dense",
        "sparse": f"{HERE}.seedings.sparse:Sparse",
        "gated": f"{HERE}.seedings.gated:Gated",
    },
)
TRUNCATIONS = Registry(
    "truncation",
    {
        "none": f"{HERE}.truncations.none:NoTruncation",
        "eos": f"{HERE}.truncations.eos:EosAware",
        "adaptive": f"{HERE}.truncations.adaptive:Adaptive",
    },
)
RULES = Registry(
    "acceptance rule",
    {
        "match": f"{HERE}.rules.match:Match",
        "sampled_match": f"{HERE}.rules.sampled_match:SampledMatch",
        "residual": f"{HERE}.rules.residual:Residual",
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
