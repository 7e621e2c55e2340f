"""The loop at temperature 0: the target's own greedy tokens, whatever drafts, and forged drafts are what they are."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.data.registry import TASKS
from pardec.decoding.prepared import companion_trouble
from pardec.decoding.speculative.base import Draft
from pardec.decoding.speculative.decoder import Speculative
from pardec.decoding.speculative.drafters import Ngram, Small
from pardec.decoding.speculative.registry import DRAFTERS
from pardec.models.architectures.config import PositionConfig
from tests.reference.drafts import EOS, WORDS, Cycles, backbone, draft_model, plain, speculate
from tests.reference.models import on_task

PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]
DFLASH = {"name": "dflash"}
SMALL = {"name": "small"}
NGRAM = {"name": "ngram"}
PROPOSALS = [
    {"name": "chain"},
    {"name": "tree", "budget": 12},
    {"name": "tree", "budget": 5, "top_k": 2},
    {"name": "tree_lite"},
    {"name": "tree_lite", "refine": True, "tail": 0},
    {"name": "candidates"},
    {"name": "candidates", "packed": False, "top_k": 3},
    {"name": "confidence"},
    {"name": "rank_suffix", "prefix": 1, "ranks": 3},
    {"name": "rank_suffix", "prefix": 2, "follow": "rank"},
]
MIXTURES = [
    {},
    {"seeding": {"name": "dense"}},
    {"seeding": {"name": "sparse"}, "truncation": {"name": "adaptive"}},
    {"seeding": {"name": "gated", "threshold": 0.1}, "refinement": {"name": "selective", "threshold": 0.5}},
    {"refinement": {"name": "full", "steps": 3}, "truncation": {"name": "eos"}},
    {"schedule": {"name": "ewma", "sizes": (2, 5, 9), "probe_every": 3, "cooldown": 0}},
    {"schedule": {"name": "break_even", "sizes": (3, 6)}},
    {"schedule": {"name": "threshold", "sizes": (2, 4, 8)}},
    {"drafter": {"name": "dflash", "context": "last"}},
]

batches = st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=4)


@effort(max_examples=30, deadline=None)
@example([[5]], 26, 2, 2, {"name": "chain"}, {}, "eos", "free")  # ends with its first token
@given(
    prompts=batches,
    seed=st.integers(0, 40),
    new_tokens=st.integers(1, 30),
    block=st.integers(2, 12),
    proposal=st.sampled_from(PROPOSALS),
    mixture=st.sampled_from(MIXTURES),
    stop=st.sampled_from(["length", "eos"]),
    eos=st.sampled_from(["free", "ban"]),
)
def test_block_drafts_change_no_token(prompts, seed, new_tokens, block, proposal, mixture, stop, eos):
    """In float64, so that no tie is broken by rounding."""
    model = backbone(causal=True, seed=seed, scale=3.0).double()
    draft = draft_model(model, seed).double()
    log = Cycles()
    result = speculate(
        model, prompts, new_tokens, draft, log, block=block, proposal=proposal, stop=stop, eos=eos, **mixture
    )
    right = plain(model, prompts, new_tokens, stop=stop, eos=eos)
    assert result.tokens.tolist() == right.tokens.tolist()
    assert result.useful.tolist() == right.useful.tolist()
    assert result.nfe == 1 + sum(cycle["passes"] for cycle in log.cycles)
    assert all(1 / len(prompts) <= cycle["tau"] <= cycle["drafted"] + 1 for cycle in log.cycles)
    assert log.final == sorted(log.final) and log.final[-1] == new_tokens


@effort(max_examples=15, deadline=None)
@given(
    prompts=batches,
    seed=st.integers(0, 40),
    new_tokens=st.integers(1, 30),
    block=st.integers(2, 12),
    proposal=st.sampled_from([each for each in PROPOSALS if not each.get("refine")]),
    stop=st.sampled_from(["length", "eos"]),
)
def test_a_small_model_changes_no_token(prompts, seed, new_tokens, block, proposal, stop):
    model = backbone(causal=True, seed=seed, scale=3.0).double()
    near = backbone(causal=True, seed=seed, scale=3.0).double()
    with torch.no_grad():
        near.layers[1].down.mul_(0.5)
    right = plain(model, prompts, new_tokens, stop=stop)
    result = speculate(
        model, prompts, new_tokens, near, drafter=SMALL, block=block, proposal=proposal, stop=stop
    )
    assert result.tokens.tolist() == right.tokens.tolist() and result.useful.tolist() == right.useful.tolist()


@effort(max_examples=15, deadline=None)
@given(prompts=batches, seed=st.integers(0, 20), new_tokens=st.integers(1, 40), block=st.integers(2, 12))
def test_prompt_lookup_changes_no_token(prompts, seed, new_tokens, block):
    model = backbone(causal=True, seed=seed, scale=3.0).double()
    result = speculate(model, prompts, new_tokens, drafter=NGRAM, block=block)
    assert result.tokens.tolist() == plain(model, prompts, new_tokens).tokens.tolist()


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_is_written_alike(name):
    model, prompts, new_tokens = on_task(name)
    for stop in ("length", "eos"):
        right = plain(model, prompts, new_tokens, stop=stop)
        for drafter, draft in ((DFLASH, draft_model(model).double()), (NGRAM, None)):
            result = speculate(model, prompts, new_tokens, draft, drafter=drafter, stop=stop)
            assert torch.equal(result.tokens, right.tokens) and torch.equal(result.useful, right.useful)


def test_rows_end_apart():
    """One row ends at once, another late; the first gets nothing more and the other nothing less."""
    model = backbone(causal=True, seed=67, scale=3.0).double()
    prompts = [[1, 4 + row, 5 + row] for row in range(12)]
    right = plain(model, prompts, 40, stop="eos")
    assert len(set(right.useful.tolist())) > 2, "the prompts of this test end together"
    log = Cycles()
    result = speculate(model, prompts, 40, draft_model(model).double(), log, stop="eos")
    assert torch.equal(result.tokens, right.tokens)
    assert log.cycles[0]["rows"] > log.cycles[-1]["rows"]


# Forged drafts.


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS])
@pytest.mark.parametrize("block", [2, 5, 8])
def test_a_draft_that_is_the_target_commits_whole_blocks(prompts, block):
    """All that is drafted, and the target's own token: `block` tokens a cycle, of which block - 1 are drafted."""
    model = backbone(causal=True).double()
    log = Cycles()
    speculate(model, prompts, 1 + 6 * block, copy.deepcopy(model), log, drafter=SMALL, block=block)
    assert log.taus == [block] * 6
    assert all(cycle["accepted"] == cycle["drafted"] == block - 1 for cycle in log.cycles)


class AlwaysWrong(Small):
    """Runs the very target, and then writes anything but what it says."""

    def propose(self, view, count, choose, hints=None):
        draft = super().propose(view, count, choose, hints)
        return Draft((draft.tokens - 3) % (WORDS - 4) + 4, draft.logits)


def test_a_draft_that_is_always_wrong_gains_nothing_and_loses_nothing(monkeypatch):
    monkeypatch.setitem(DRAFTERS.entries, "small", f"{__name__}:AlwaysWrong")
    model = backbone(causal=True).double()
    log = Cycles()
    result = speculate(model, PROMPTS, 20, copy.deepcopy(model), log, drafter=SMALL, eos="ban")
    assert set(log.taus) == {1.0}
    assert torch.equal(result.tokens, plain(model, PROMPTS, 20, eos="ban").tokens)


class Peeking(Small):
    """Got hold of the target itself."""

    target_itself = None

    def propose(self, view, count, choose, hints=None):
        self.target_itself(view.anchor)
        return super().propose(view, count, choose, hints)


def test_a_strategy_that_peeks_at_the_target_is_caught(monkeypatch):
    model = backbone(causal=True).double()
    monkeypatch.setitem(DRAFTERS.entries, "small", f"{__name__}:Peeking")
    monkeypatch.setattr(Peeking, "target_itself", model)
    with pytest.raises(RuntimeError, match="peeked"):
        speculate(model, PROMPTS[:1], 20, copy.deepcopy(model), drafter=SMALL)
    # The same module in both places is such a peek, too.
    monkeypatch.setitem(DRAFTERS.entries, "small", "pardec.decoding.speculative.drafters:Small")
    with pytest.raises(RuntimeError, match="peeked"):
        speculate(model, PROMPTS[:1], 20, model, drafter=SMALL)
    assert not model._forward_pre_hooks


def test_a_drafter_sees_committed_tokens_only(monkeypatch):
    """Nothing in its view reaches past the anchor, and the hidden states are those of columns before it."""
    seen = []

    class Watching(DRAFTERS.load("dflash")):
        def propose(self, view, count, choose, hints=None):
            seen.append((copy.deepcopy(view.rows), view.fresh.clone(), list(view.counts), list(view.lengths)))
            return super().propose(view, count, choose, hints)

    monkeypatch.setattr(DRAFTERS, "load", lambda name: {"dflash": Watching}[name])
    model = backbone(causal=True).double()
    result = speculate(model, PROMPTS[:1], 20, draft_model(model).double())
    text = PROMPTS[0] + result.tokens[0].tolist()
    _, features = model(torch.tensor([text]), taps=(0, 1))
    for rows, fresh, (count,), (length,) in seen:
        assert rows[0] == text[: len(rows[0])] and len(rows[0]) == length + 1
        assert fresh.shape[1] == count
        assert torch.allclose(fresh[0], features[0, length - count : length])


def test_cycles_without_a_draft_say_so():
    """A fall back to sequential steps cannot hide: what a cycle drafted is counted from its tree."""
    log = Cycles()
    model = backbone(causal=True, scale=1.0).double()
    result = speculate(model, [[1, 5]], 12, drafter={**NGRAM, "shortest": 3, "longest": 3}, observer=log)
    assert torch.equal(result.tokens, plain(model, [[1, 5]], 12).tokens)
    assert log.cycles[0]["drafted"] == 0 and log.cycles[0]["verified"] == 1 and log.cycles[0]["tau"] == 1


# Prompt lookup.


def test_prompt_lookup_copies_what_followed():
    drafter = Ngram(Ngram.Settings())
    drafter.begin(None, None, 1, 100)
    assert drafter._follow(0, [1, 5, 6, 7, 8, 5, 6], 3) == [7, 8, 5]
    assert drafter._follow(0, [1, 5, 6, 7, 8, 5, 6, 9], 3) == []
    assert drafter._follow(0, [1, 5, 6, 7, 8, 5, 6, 9, 6], 2) == [9, 6], "the last occurrence counts"
    short = Ngram(Ngram.Settings(shortest=3, longest=3))
    short.begin(None, None, 1, 100)
    assert short._follow(0, [1, 5, 6, 7, 8, 5, 6], 3) == []


# What a study may say.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"acceptance": {"name": "residual"}}, "temperature above 0"),
        ({"proposal": {"name": "rounds"}}, "use acceptance residual"),
        ({"drafter": NGRAM, "proposal": {"name": "tree"}}, "tree asks for probabilities"),
        ({"drafter": NGRAM, "truncation": {"name": "adaptive"}}, "adaptive asks for probabilities"),
        ({"drafter": SMALL, "seeding": {"name": "dense"}}, "cannot"),
        ({"drafter": SMALL, "proposal": {"name": "tree_lite", "refine": True}}, "again"),
        (
            {"temperature": 1.0, "acceptance": {"name": "residual"}, "refinement": {"name": "selective"}},
            "is not known",
        ),
        ({"schedule": {"name": "ewma", "sizes": (4, 2)}}, "ascend"),
        ({"drafter": {"name": "ngram", "shortest": 4, "longest": 2}}, "exceeds"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Speculative.Settings(**settings)


def test_companions_by_drafter():
    block, lookup = Speculative.Settings(), Speculative.Settings(drafter=NGRAM)
    assert "needs a companion 'draft'" in companion_trouble("speculative", block, {})[0]
    assert companion_trouble("speculative", lookup, {}) is None
    assert Speculative.check(Speculative.Settings(top_k=3), 8)


def test_a_draft_of_another_target_is_refused():
    model, other = backbone(causal=True), backbone(causal=True, hidden=32, head_dim=8)
    with pytest.raises(UserError, match="width is 32, not 16"):
        speculate(model, PROMPTS[:1], 8, draft_model(other))
    with pytest.raises(UserError, match="is bidirectional"):
        speculate(model, PROMPTS[:1], 8, backbone(causal=False), drafter=SMALL)


def test_a_target_with_learned_positions_takes_chains_alone():
    model = backbone(causal=True, positions=PositionConfig(8, 40)).double()
    draft = draft_model(model).double()
    right = plain(model, PROMPTS[:1], 20).tokens
    assert torch.equal(speculate(model, PROMPTS[:1], 20, draft).tokens, right)
    with pytest.raises(UserError, match="learned positions"):
        speculate(model, PROMPTS[:1], 20, draft, proposal={"name": "tree"})


def test_phases_and_passes_of_a_cycle():
    log = Cycles()
    model = backbone(causal=True).double()
    draft = draft_model(model).double()
    speculate(model, PROMPTS[:1], 20, draft, log, refinement={"name": "full"})
    assert log.phases[0] == "prefill"
    drafted = sum(cycle["drafted"] > 0 for cycle in log.cycles)
    assert log.phases.count("draft") == log.phases.count("refine") == drafted
    assert log.phases.count("verify") == len(log.cycles)
    assert {"tau", "block", "accepted", "drafted", "verified", "rows"} <= log.cycles[0].keys()
    assert EOS not in speculate(model, PROMPTS, 20, draft, eos="ban").tokens
