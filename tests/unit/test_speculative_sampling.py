"""Above temperature 0: outputs follow the target's distribution exactly, shown on one small enough to enumerate."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from pardec.decoding.speculative.acceptance import Residual
from pardec.decoding.speculative.base import AcceptContext
from pardec.decoding.speculative.decoder import Speculative
from pardec.decoding.speculative.registry import RULES
from pardec.decoding.speculative.sampling import Sampling, invert
from pardec.decoding.speculative.tree import Tree, chain_shape, shape_of
from pardec.evidence.statistics import holm
from tests.reference.drafts import Cycles, backbone, draft_model, plain, speculate

WORDS, LENGTH, DRAWS = 7, 3, 4000
PROMPT = [1, 4, 5]
WARM = {"temperature": 1.3}
RESIDUAL = {"acceptance": {"name": "residual"}, **WARM}
CASES = {
    "match": WARM,
    "match, truncated distribution": {"temperature": 1.5, "top_k": 5, "top_p": 0.9},
    "match, tree": {**WARM, "proposal": {"name": "tree", "budget": 6}},
    "sampled match": {**WARM, "acceptance": {"name": "sampled_match"}},
    "residual": RESIDUAL,
    "residual, truncated distribution": {**RESIDUAL, "top_k": 5, "top_p": 0.9},
    "residual, small model": {**RESIDUAL, "drafter": {"name": "small"}},
    "residual, prompt lookup": {**RESIDUAL, "drafter": {"name": "ngram"}},
    "residual, tree": {**RESIDUAL, "proposal": {"name": "tree", "budget": 8}},
    "residual, candidates": {**RESIDUAL, "proposal": {"name": "candidates"}},
    "residual, full refinement": {**RESIDUAL, "refinement": {"name": "full"}},
    "residual, cut at the end": {**RESIDUAL, "truncation": {"name": "eos"}},
    "residual, cut by confidence": {**RESIDUAL, "truncation": {"name": "adaptive", "threshold": 0.35}},
    **{
        f"rounds, {source}": {
            **RESIDUAL,
            "proposal": {"name": "rounds", "rounds": 3, "source": source, **more},
        }
        for source, more in {
            "same": {},
            "branch": {},
            "temperature": {"heat": 3.0},
            "top_k": {"keep": 2},
            "dropout": {"dropout": 0.4},
        }.items()
    },
    "rounds, small model": {
        **RESIDUAL,
        "drafter": {"name": "small"},
        "proposal": {"name": "rounds", "rounds": 2},
    },
}


class Biased(Residual):
    """The negative control: a refused candidate is not taken out of the distribution."""

    def _round(self, tree, left, child, there, noise):
        yes, _ = super()._round(tree, left, child, there, noise)
        return yes, left


@pytest.fixture(scope="module")
def pair():
    return made(WORDS)


def made(words):
    """A target, a block draft and a small model, all random."""
    target, small = (
        backbone(causal=True, seed=seed, scale=6.0, vocab_size=words, layers=1).double().requires_grad_(False)
        for seed in (1, 2)
    )
    return target, draft_model(target, 5, scale=6.0).double(), small


def enumerated(target, settings, length=LENGTH) -> np.ndarray:
    """The probability of each sequence, 343 of three tokens, from one plain pass over all of them."""
    words = range(target.info.vocab_size)
    rows = torch.tensor([PROMPT + list(rest) for rest in product(words, repeat=length)])
    sampling = Sampling(Speculative.Settings(**settings), torch.zeros(1, dtype=torch.long), length, ())
    distributions = sampling.distribution(target(rows)[:, len(PROMPT) - 1 : -1])
    chances = distributions.gather(-1, rows[:, len(PROMPT) :, None])[..., 0].prod(1)
    assert abs(float(chances.sum()) - 1) < 1e-9
    return chances.numpy()


def chance_of(pair, settings, length=LENGTH, draws=DRAWS) -> tuple[float, Cycles]:
    """The p-value of a chi-square test on draws, cells of fewer than 5 expected draws together."""
    target, draft, small = pair
    kind = settings.get("drafter", {}).get("name", "dflash")
    log = Cycles()
    companion = {"dflash": draft, "small": small, "ngram": None}[kind]
    words = target.info.vocab_size
    result = speculate(target, [PROMPT] * draws, length, companion, log, seed=11, block=length, **settings)
    weights = torch.tensor([words ** (length - 1 - place) for place in range(length)])
    counts = torch.bincount((result.tokens * weights).sum(1), minlength=words**length).numpy()
    expected = enumerated(target, settings, length) * draws
    rare = expected < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    if wanted[-1] < 1e-9:
        assert observed[-1] == 0, "an impossible sequence was drawn"
        observed, wanted = observed[:-1], wanted[:-1]
    assert len(wanted) > 30, "the distribution of this test is too narrow to show anything"
    return float(chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue), log


def test_outputs_follow_the_law(pair):
    """All rules and proposals together, adjusted after Holm."""
    result = {name: chance_of(pair, settings) for name, settings in CASES.items()}
    adjusted = dict(zip(result, holm([chance for chance, _ in result.values()]), strict=True))
    assert min(adjusted.values()) > 0.01, adjusted
    drafted = [max(cycle["accepted"] for cycle in log.cycles) for _, log in result.values()]
    assert min(drafted) > 0, "a case in which nothing is ever accepted shows nothing"


def test_recycled_tokens_keep_the_law():
    """Longer texts of fewer words: a cycle must follow one in which something was refused."""
    short = made(6)
    cases = [
        {**RESIDUAL, "seeding": {"name": "gated", "threshold": 0.0, "budget": 9, "keep": keep}, **more}
        for keep in (True, False)
        for more in ({}, {"proposal": {"name": "rounds"}})
    ]
    result = [chance_of(short, settings, 4, 6000) for settings in cases]
    assert min(holm([chance for chance, _ in result])) > 0.01
    assert all(sum(cycle["seeded"] for cycle in log.cycles) > 600 for _, log in result)


def test_without_the_residual_the_test_fails(pair, monkeypatch):
    monkeypatch.setitem(RULES.entries, "residual", f"{__name__}:Biased")
    for case in ("residual", "rounds, same", "residual, tree"):
        assert chance_of(pair, CASES[case])[0] < 1e-6, case


def test_plain_decoding_follows_the_same_law(pair):
    """The test itself, on the decoder that nobody doubts."""
    result = plain(pair[0], [PROMPT] * DRAWS, LENGTH, seed=11, **WARM)
    weights = torch.tensor([WORDS**2, WORDS, 1])
    counts = torch.bincount((result.tokens * weights).sum(1), minlength=WORDS**LENGTH).numpy()
    expected = enumerated(pair[0], WARM) * DRAWS
    kept = expected >= 5
    assert chisquare(counts[kept], expected[kept] * counts[kept].sum() / expected[kept].sum()).pvalue > 0.01


@pytest.mark.parametrize("proposal", ["chain", "tree", "candidates", "confidence"])
@pytest.mark.parametrize("acceptance", ["match", "sampled_match"])
def test_matching_writes_what_plain_decoding_draws(proposal, acceptance):
    """Not only in distribution: the same numbers are drawn at the same positions, so the outputs are the same."""
    target = backbone(causal=True, seed=4, scale=2.0).double()
    prompts = [[1, 5, 9], [1, 7], [1, 4, 4, 8, 20]]
    for settings in ({"temperature": 0.7}, {"temperature": 2.0, "top_k": 6, "top_p": 0.8}):
        result = speculate(
            target,
            prompts,
            30,
            draft_model(target).double(),
            proposal={"name": proposal},
            acceptance={"name": acceptance},
            **settings,
        )
        assert torch.equal(result.tokens, plain(target, prompts, 30, **settings).tokens)


def acceptance_of(rule, tree, logits, draws=4000, seed=0):
    """Share of draws in which the first node is accepted."""
    generator = torch.Generator().manual_seed(seed)
    rows = [part.expand(draws, *part.shape[1:]) for part in (tree.tokens, logits)]
    distributions = (
        None
        if tree.distributions is None
        else tree.distributions.expand(draws, *tree.distributions.shape[1:])
    )
    settings = Speculative.Settings(temperature=1.0)
    sampling = Sampling(settings, torch.arange(draws), 4, ())
    context = AcceptContext(
        sampling.distribution,
        lambda use, shape: torch.rand(draws, *shape, generator=generator, dtype=torch.float64),
        torch.zeros(draws, dtype=torch.long),
        sampling.pick,
    )
    accepted = rule.decide(Tree(tree.shape, rows[0], distributions), rows[1], context)
    return float((accepted.counts > 0).double().mean())


def test_shares_of_acceptance_are_those_of_theory():
    """Matching accepts p(argmax q), or sum(p * q) of drawn drafts; the residual accepts sum(min(p, q))."""
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)
    logits = p.log().expand(1, 2, 3)
    match, residual = (RULES.load(name) for name in ("match", "residual"))
    shape = chain_shape(1, "cpu")
    first = Tree(shape, torch.tensor([[1]]))
    assert acceptance_of(match(match.Settings()), first, logits) == pytest.approx(0.3, abs=0.03)
    drawn = matched = 0.0
    for token in range(3):
        tree = Tree(shape, torch.tensor([[token]]), q.expand(1, 1, 3))
        drawn += float(q[token]) * acceptance_of(residual(residual.Settings()), tree, logits, seed=token)
        matched += float(q[token]) * acceptance_of(match(match.Settings()), tree, logits)
    assert drawn == pytest.approx(float(torch.minimum(p, q).sum()), abs=0.03)
    assert matched == pytest.approx(float((p * q).sum()), abs=0.03)


def test_a_second_round_hears_what_the_first_left():
    """Two fixed candidates are accepted with the sum of their probabilities, whatever their order."""
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    rule = Residual(Residual.Settings())
    tree = Tree(shape_of((0, 0), "cpu"), torch.tensor([[1, 2]]))
    assert acceptance_of(rule, tree, p.log().expand(1, 3, 3)) == pytest.approx(0.5, abs=0.03)
    # The same candidate twice is not heard twice.
    tree = Tree(shape_of((0, 0), "cpu"), torch.tensor([[1, 1]]))
    assert acceptance_of(rule, tree, p.log().expand(1, 3, 3)) == pytest.approx(0.3, abs=0.03)


def test_inversion_takes_no_impossible_outcome():
    distribution = torch.tensor([[0.0, 0.4, 0.0, 0.6, 0.0]], dtype=torch.float64).expand(1001, -1)
    drawn = invert(distribution, torch.linspace(1e-12, 1 - 1e-12, 1001, dtype=torch.float64))
    assert set(drawn.tolist()) == {1, 3} and (drawn == 1).sum() == pytest.approx(400, abs=2)
