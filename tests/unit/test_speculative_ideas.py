"""Each idea by itself: what it does to a draft, and that switched off it is the baseline, cycle by cycle."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pardec.decoding.speculative.base import Draft, DraftContext, Hints, Outcome
from pardec.decoding.speculative.branches import BestFirst
from pardec.decoding.speculative.registry import (
    DRAFTERS,
    PROPOSALS,
    REFINEMENTS,
    SCHEDULES,
    SEEDINGS,
    TRUNCATIONS,
)
from tests.reference.decoders import ON, SAMPLED
from tests.reference.drafts import Cycles, backbone, draft_model, draft_of, plain, speculate

PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]

TARGET = backbone(causal=True, seed=20, layers=5, max_positions=128, scale=3.0).double().requires_grad_(False)
DRAFT = draft_model(TARGET, seed=20, taps=(0, 1, 3), block=6).double()
"""A random pair whose draft is often right by luck: this target soon repeats itself."""

OFF = {
    "ewma": {"schedule": {"name": "ewma", "sizes": (8,)}},
    "break_even": {"schedule": {"name": "break_even", "sizes": (8,)}},
    "threshold": {"schedule": {"name": "threshold", "sizes": (8,)}},
    "dense": {"seeding": {"name": "dense", "budget": 0}},
    "sparse": {"seeding": {"name": "sparse", "budget": 0}},
    "gated": {"seeding": {"name": "gated", "budget": 0}},
    "refine selective": {"refinement": {"name": "selective", "threshold": 0.0}},
    "refine full": {"refinement": {"name": "full", "steps": 1}},
    "tree": {"proposal": {"name": "tree", "top_k": 1, "budget": 7}},
    "tree_lite": {"proposal": {"name": "tree_lite", "top_k": 1}},
    "tree_lite depth": {"proposal": {"name": "tree_lite", "depth": 0, "refine": True}},
    "candidates": {"proposal": {"name": "candidates", "most": 1}},
    "candidates sequential": {"proposal": {"name": "candidates", "most": 1, "packed": False}},
    "candidates margin": {"proposal": {"name": "candidates", "margin": 0.0}},
    "confidence": {"proposal": {"name": "confidence", "branches": 0}},
    "rank_suffix": {"proposal": {"name": "rank_suffix", "ranks": 1}},
    "eos": {"truncation": {"name": "eos", "on": False}},
    "adaptive": {"truncation": {"name": "adaptive", "threshold": 0.0}},
    "rounds": {**SAMPLED, "proposal": {"name": "rounds", "rounds": 1}},
}
"""Every idea with its machinery running and the idea itself off."""


def trace(prompts, settings):
    log = Cycles()
    result = speculate(TARGET, prompts, 28, DRAFT, log, **settings)
    kept = ("tau", "block", "accepted", "drafted", "verified")
    return result.tokens.tolist(), [[cycle[name] for name in kept] for cycle in log.cycles]


def baseline(settings):
    return {key: settings[key] for key in ("temperature", "acceptance") if key in settings}


@pytest.mark.parametrize("idea", list(OFF))
@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=["one", "batch"])
def test_an_idea_that_is_off_is_the_baseline(idea, prompts):
    """Tokens, tau and what was verified, cycle by cycle."""
    assert trace(prompts, OFF[idea]) == trace(prompts, baseline(OFF[idea]))


@pytest.mark.parametrize("idea", list(ON))
def test_an_idea_that_is_on_is_not(idea):
    """Otherwise the test above could not fail."""
    if idea == "refine selective":  # this draft is as right with it as without; it did draft again
        log = Cycles()
        speculate(TARGET, PROMPTS[:1], 40, DRAFT, log, **ON[idea])
        assert sum(cycle["refined"] for cycle in log.cycles) > 0
        return
    assert trace(PROMPTS[:1], ON[idea])[1] != trace(PROMPTS[:1], baseline(ON[idea]))[1]


def test_every_strategy_has_its_test():
    named = {
        (kind, value["name"])
        for settings in OFF.values()
        for kind, value in settings.items()
        if isinstance(value, dict)
    }
    kinds = {
        "schedule": (SCHEDULES, {"fixed"}),
        "seeding": (SEEDINGS, set()),
        "refinement": (REFINEMENTS, set()),
        "proposal": (PROPOSALS, {"chain"}),
        "truncation": (TRUNCATIONS, set()),
    }
    for kind, (entries, idle) in kinds.items():
        assert {name for key, name in named if key == kind} == set(entries) - idle


# Drafts by hand.


def packed(name, draft, **settings):
    kind = PROPOSALS.load(name)
    return kind(kind.Settings(**settings)).pack(draft, DraftContext(None, None, len(draft), None, None, None))


def paths(tree, row=0):
    """Every node's tokens from the root on."""
    parents = tree.shape.parents.expand(len(tree.tokens), -1)[row].tolist()
    result = {0: ()}
    for node in range(1, tree.size + 1):
        exists = tree.exists is None or bool(tree.exists[row, node - 1])
        path = (*result[parents[node]], int(tree.tokens[row, node - 1]))
        result[node] = path if exists else (*path, "unreal")
    return [path for node, path in result.items() if node and "unreal" not in path]


SURE = [{4: 0.9, 5: 0.1}, {6: 0.6, 7: 0.4}, {8: 0.8, 9: 0.2}]


def test_best_first_takes_the_likeliest_paths():
    """Scores by hand: .9, .54, .432, .36, .288, .108, .1, ..."""
    tree = packed("tree", draft_of(*SURE), budget=6, top_k=2)
    right = {(4,), (4, 6), (4, 6, 8), (4, 7), (4, 7, 8), (4, 6, 9)}
    assert set(paths(tree)) == right
    scores = torch.rand(3, 5, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    draft = Draft(scores.argmax(-1), scores.log())
    tree = packed("tree", draft, budget=20, top_k=3)
    for row in range(3):
        assert set(paths(tree, row)) == by_enumeration(draft, row, 20, 3)


def by_enumeration(draft, row, budget, top):
    """All paths of the top words, the best `budget` of them."""
    chances, ids = draft.probabilities[row].topk(top, -1)
    result, frontier = [], [((), 1.0)]
    for slot in range(len(draft)):
        frontier = [
            ((*path, int(ids[slot, k])), score * float(chances[slot, k]))
            for path, score in frontier
            for k in range(top)
        ]
        result += frontier
    return {path for path, _ in sorted(result, key=lambda pair: -pair[1])[:budget]}


def test_tree_lite_branches_early():
    tree = packed("tree_lite", draft_of(*SURE), depth=2, tail=1)
    assert set(paths(tree)) == {(4,), (4, 6), (4, 6, 8), (5,), (5, 6), (4, 7), (4, 7, 8)}


def test_tree_lite_may_draft_the_likeliest_branch_again():
    given = []

    def redraft(view, count, choose, hints):
        given.append(hints)
        return Draft(torch.tensor([[1, 2, 3]]))

    kind = PROPOSALS.load("tree_lite")
    context = DraftContext(SimpleNamespace(redraft=redraft), None, 3, None, None, None)
    tree = kind(kind.Settings(depth=2, tail=0, refine=True)).pack(draft_of(*SURE), context)
    assert given[0].tokens[0, :2].tolist() == [4, 7] and given[0].where.tolist() == [[True, True, False]]
    assert set(paths(tree)) == {(4,), (4, 6), (4, 6, 8), (5,), (4, 7), (4, 7, 3)}


def test_candidates_share_their_beginnings():
    draft = draft_of(*SURE)
    tree = packed("candidates", draft, branch_depth=2, most=3)
    assert set(paths(tree)) == {(4,), (4, 6), (4, 6, 8), (4, 7), (4, 7, 8), (5,), (5, 6), (5, 6, 8)}
    assert tree.size == 8
    alone = packed("candidates", draft, branch_depth=2, most=3, packed=False)
    assert alone.size == 9 and alone.parts == [(0, 4), (4, 7), (7, 10)]
    gated = packed("candidates", draft, branch_depth=2, most=3, margin=0.3)
    assert set(paths(gated)) == {(4,), (4, 6), (4, 6, 8), (4, 7), (4, 7, 8)}, "the first slot is sure"


def test_sequential_candidates_cost_a_pass_each():
    log = Cycles()
    result = speculate(TARGET, PROMPTS[:1], 30, DRAFT, log, proposal={"name": "candidates", "packed": False})
    together = Cycles()
    speculate(TARGET, PROMPTS[:1], 30, DRAFT, together, proposal={"name": "candidates"})
    assert log.taus == together.taus, "the same candidates are accepted, packed or not"
    assert result.nfe > len(log.cycles) + 1 and log.cycles[0]["passes"] == 4
    assert sum(cycle["verified"] for cycle in log.cycles) > sum(c["verified"] for c in together.cycles)


def test_confidence_branches_where_the_draft_doubts():
    tree = packed("confidence", draft_of(*SURE), branches=1, tail=1)
    assert set(paths(tree)) == {(4,), (4, 6), (4, 6, 8), (4, 7), (4, 7, 8)}
    last = packed("confidence", draft_of(SURE[0], SURE[2], SURE[1]), branches=1, tail=2)
    assert set(paths(last)) == {(4,), (4, 8), (4, 8, 6), (4, 8, 7)}


def test_suffixes_share_their_prefix():
    draft = draft_of(*SURE)
    tree = packed("rank_suffix", draft, prefix=1, ranks=2)
    assert set(paths(tree)) == {(4,), (4, 6), (4, 6, 8), (4, 7), (4, 7, 8)}
    assert (4, 7, 9) in paths(packed("rank_suffix", draft, prefix=1, ranks=2, follow="rank"))
    assert len(paths(packed("rank_suffix", draft, prefix=5, ranks=2))) == 3


def test_a_tree_accepts_more_than_its_chain():
    """The same cycles hold the draft and more, so tau cannot be less on any of them: shown on whole texts."""
    chain, tree = Cycles(), Cycles()
    model = backbone(causal=True, seed=8, scale=3.0, max_positions=128).double()
    near = backbone(causal=True, seed=8, scale=3.0, max_positions=128).double()
    with torch.no_grad():
        near.layers[0].down.mul_(0.3)
    small = {"drafter": {"name": "small"}}
    for log, proposal in ((chain, {"name": "chain"}), (tree, {"name": "confidence", "branches": 7})):
        for prompt in PROMPTS:
            result = speculate(model, [prompt], 40, near, log, proposal=proposal, **small)
            assert torch.equal(result.tokens, plain(model, [prompt], 40).tokens)
    assert len(tree.cycles) < len(chain.cycles)


# Recycling.


@pytest.mark.parametrize(
    ("name", "settings", "where"),
    [
        ("dense", {}, [1, 1, 1, 0, 0, 0, 0]),
        ("dense", {"budget": 2}, [1, 1, 0, 0, 0, 0, 0]),
        ("sparse", {}, [0, 1, 0, 0, 0, 0, 0]),
        ("gated", {"threshold": 0.5, "budget": 7}, [1, 0, 1, 0, 0, 0, 0]),
        ("gated", {"threshold": 0.5, "budget": 1}, [1, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_recycled_tokens_keep_their_positions(name, settings, where):
    """Drafted 4..10 behind position L; 3 accepted, the 4th refused: the anchor is now at L + 4, and what was drafted
    for L + 5 (the 5th token, 8) belongs into the first slot."""
    kind = SEEDINGS.load(name)
    seeding = kind(kind.Settings(**settings))
    distributions = [
        {word: chance} for word, chance in zip(range(4, 11), [1, 1, 1, 1, 0.9, 0.2, 0.6], strict=True)
    ]
    draft = draft_of(*distributions)
    draft.logits = draft.logits.exp().log()
    draft._probabilities = draft.logits.exp()
    seeding.learn(Outcome(draft, 8, [3], [0], None))
    hints = seeding.hints(7)
    assert hints.where[0].int().tolist() == where
    assert hints.tokens[0, :3].tolist() == [8, 9, 10]
    assert float(seeding.facts()["seeded"]) == sum(where)
    seeding.learn(Outcome(draft, 8, [7], [0], None))
    assert not seeding.hints(7).where.any(), "nothing was refused"


def test_a_hint_stands_where_it_belongs_in_the_block():
    """The drafter's block with a hint is the block with that token's embedding in that slot."""
    seen = []
    kind = DRAFTERS.load("dflash")

    class Watching(kind):
        def propose(self, view, count, choose, hints=None):
            model = self.model
            handle = model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
            where = torch.tensor([[False, True, False]])
            given = Hints(torch.tensor([[9, 10, 11]])[:, :count], where[:, :count])
            result = super().propose(view, count, choose, given)
            handle.remove()
            return result

    old = DRAFTERS.load
    try:
        DRAFTERS.load = lambda name: Watching
        speculate(TARGET, PROMPTS[:1], 5, DRAFT, block=4)
    finally:
        DRAFTERS.load = old
    mask = TARGET.embedding[DRAFT.config.mask_id]
    assert torch.equal(seen[0][0, 1:], torch.stack([mask, TARGET.embedding[10], mask]))


def test_a_recycled_token_is_proposed_again():
    """Where it is kept it stands in the draft; its distribution is then one point, the others stay."""
    draft = draft_of({4: 0.9}, {5: 0.8}, {6: 0.5})
    draft.distributions = draft.probabilities
    held = draft.with_hints(Hints(torch.tensor([[9, 10, 11, 3]]), torch.tensor([[False, True, False, True]])))
    assert held.tokens.tolist() == [[4, 10, 6]]
    assert held.distributions[0, 1].tolist() == [float(word == 10) for word in range(12)]
    assert torch.equal(held.distributions[0, ::2], draft.distributions[0, ::2])
    assert trace(PROMPTS[:1], ON["dense"])[1] != trace(PROMPTS[:1], KEPT_OUT)[1]


KEPT_OUT = {"seeding": {"name": "dense", "keep": False}}


# Refinement.


def test_selective_refinement_keeps_what_is_sure():
    draft = draft_of({4: 0.9, 5: 0.1}, {6: 0.5, 7: 0.3})
    given = []

    def redraft(view, count, choose, hints):
        given.append(hints)
        return draft_of({8: 0.9, 5: 0.1}, {7: 0.8, 6: 0.2})

    context = DraftContext(SimpleNamespace(redraft=redraft), None, 2, None, None, None)
    kind = REFINEMENTS.load("selective")
    refinement = kind(kind.Settings(threshold=0.7))
    assert refinement.refine(draft, context).tokens.tolist() == [[4, 7]]
    assert given[0].where.tolist() == [[True, False]] and float(refinement.facts()["refined"]) == 1
    kind = REFINEMENTS.load("full")
    assert kind(kind.Settings(steps=3)).refine(draft, context).tokens.tolist() == [[8, 7]]
    assert len(given) == 3 and given[1].where.all()


def test_refinement_reads_the_whole_context():
    """A second pass over masks alone is the first pass again, in every cycle: the draft's cache is on."""
    kind = REFINEMENTS.load("full")

    class Blank(kind):
        def refine(self, draft, context):
            nothing = Hints(draft.tokens, torch.zeros_like(draft.tokens, dtype=torch.bool))
            again = context.drafter.redraft(context.view, len(draft), context.choose, nothing)
            assert torch.allclose(again.logits, draft.logits, atol=1e-12)
            return again

    old = REFINEMENTS.load
    try:
        REFINEMENTS.load = lambda name: Blank
        for prompts in (PROMPTS[:1], PROMPTS):
            speculate(TARGET, prompts, 30, DRAFT, refinement={"name": "full"})
    finally:
        REFINEMENTS.load = old


def test_marginals_are_asked_for_at_most_once():
    """The best-first tree is built without waiting for the device: its size is known beforehand."""
    proposal = BestFirst(BestFirst.Settings(budget=10, top_k=3))
    assert proposal.nodes(4) == 10 and proposal.nodes(20) == 20
