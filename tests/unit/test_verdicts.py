"""Verdicts on ideas: every status is reached where its truth was put in, and none without its evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.evidence import verdicts
from pardec.evidence.comparison import DELTA, delta
from pardec.evidence.statistics import Estimate, holm
from pardec.evidence.verdicts import (
    EQUIVALENT,
    IMPLEMENTED,
    INCONCLUSIVE,
    PROPOSED,
    REJECTED,
    STATUSES,
    VALIDATED,
    Effect,
    Facts,
    Ratio,
    decide,
    effect,
    prompts_needed,
)

GOOD = Facts(lossless=True, control=True)


def ratios(mean=1.0, spread=0.02, prompts=10, workloads=4, runs=(1, 2), noise=0.005, seed=0, worst=None):
    """Paired ratios of a known geometric mean; a prompt's own deviation stays from run to run."""
    rng = np.random.default_rng(seed)
    result = []
    for place in range(workloads):
        mine = np.log(worst if worst is not None and place == 0 else mean) + rng.normal(0, spread, prompts)
        for run in runs:
            taken = np.exp(mine + rng.normal(0, noise, prompts))
            result += [Ratio(f"w{place}", f"p{k}", run, float(value)) for k, value in enumerate(taken)]
    return result


def status(values, facts=GOOD, margin=DELTA):
    result = effect(values)
    return decide(result, facts, margin, result.p if result else None).status


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        (VALIDATED, ratios(1.2)),
        (REJECTED, ratios(0.8)),
        (EQUIVALENT, ratios(1.0)),
        (INCONCLUSIVE, ratios(1.02, spread=0.3)),
        (INCONCLUSIVE, ratios(1.031, spread=0.02)),
        (INCONCLUSIVE, ratios(1.2, runs=(1,))),
        (INCONCLUSIVE, ratios(1.2, prompts=5)),
        (INCONCLUSIVE, ratios(1.2, prompts=20, workloads=2)),
        (PROPOSED, []),
    ],
)
def test_each_status_is_reached(expected, values):
    assert status(values) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(lossless=False, control=True), REJECTED),
        (Facts(lossless=True, control=True, peeked=True), REJECTED),
        (Facts(lossless=True, control=None), IMPLEMENTED),
        (Facts(lossless=None, control=True), IMPLEMENTED),
        (Facts(lossless=None, control=True, by_law=True), VALIDATED),
        (Facts(lossless=True, control=False), INCONCLUSIVE),
        (Facts(lossless=True, control=True, fell_back=True), INCONCLUSIVE),
    ],
)
def test_a_fast_idea_is_not_validated_without_its_evidence(facts, expected):
    assert status(ratios(1.3), facts) == expected


@pytest.mark.parametrize(
    ("values", "facts", "words", "prompts"),
    [
        (ratios(1.2, runs=(1,)), GOOD, "(a single run)", None),
        (ratios(1.2, prompts=2, workloads=3, runs=(1,)), GOOD, "(a single run, too few prompts)", 24),
        (ratios(1.2, prompts=20, workloads=2), GOOD, "(too few workloads)", None),
        (
            ratios(1.2, runs=(1,)),
            Facts(True, None),
            "(a single run); its mechanism control was not run",
            None,
        ),
    ],
)
def test_too_little_data_is_inconclusive_and_says_how_much_would_decide(values, facts, words, prompts):
    found = effect(values)
    decision = decide(found, facts, DELTA, found.p)
    assert decision.status == INCONCLUSIVE and words in decision.reason
    assert decision.prompts == (prompts or found.pooled.n + 1) and decision.runs == 2


def test_a_known_fault_comes_before_too_little_data():
    few = effect(ratios(1.2, runs=(1,)))
    assert "switched off" in decide(few, Facts(True, False), DELTA, few.p).reason


def test_the_spread_of_few_prompts_asks_for_more_than_the_least():
    found = effect(ratios(1.06, spread=0.4, prompts=4, runs=(1,)))
    assert decide(found, GOOD, DELTA, found.p).prompts > 10 * verdicts.LEAST_PROMPTS


def test_a_single_prompt_of_a_workload_has_no_spread_to_say_how_many_decide():
    decision = decide(effect(ratios(1.2, prompts=1)), GOOD, DELTA, None)
    assert decision.status == INCONCLUSIVE and decision.prompts is None and decision.runs == 2


def test_a_slow_idea_whose_control_fails_is_not_rejected():
    """What made the seed's refinement slow was another fault of its machinery."""
    assert status(ratios(0.5), Facts(lossless=True, control=False)) == INCONCLUSIVE


def test_a_gain_must_show_in_both_runs():
    values = [*ratios(1.2, runs=(1,)), *ratios(1.0, runs=(2,))]
    assert status(values) == INCONCLUSIVE


def test_a_gain_that_loses_somewhere_is_not_validated_and_says_where():
    result = effect(ratios(1.4, worst=0.8))
    decision = decide(result, GOOD, DELTA, result.p)
    assert decision.status == INCONCLUSIVE and "w0" in decision.reason


def test_a_noisy_machine_asks_for_more():
    values = ratios(1.06, spread=0.005)
    assert status(values) == VALIDATED
    assert status(values, margin=0.1) == EQUIVALENT


def test_delta_is_the_noise_where_that_is_larger():
    assert delta(None) == delta(0.01) == DELTA
    assert delta(0.2) == 0.2
    assert effect(ratios(1.0, noise=0.1)).reach() > effect(ratios(1.0, noise=0.001)).reach()


def test_an_adjusted_p_that_is_not_small_stops_both_verdicts():
    for mean in (1.2, 0.8):
        assert decide(effect(ratios(mean)), GOOD, DELTA, 0.2).status == INCONCLUSIVE


def test_many_null_ideas_are_seldom_gains():
    """Holm over twenty ideas without effect and one with: only that one stands."""
    result = [effect(ratios(1.0, spread=0.1, seed=seed)) for seed in range(20)] + [
        effect(ratios(1.3, spread=0.1))
    ]
    adjusted = holm([one.p for one in result])
    assert (adjusted[:-1] > 0.05).all() and adjusted[-1] < 0.001


def test_inconclusive_says_how_many_prompts_would_decide():
    result = effect(ratios(1.1, spread=0.35))
    decision = decide(result, GOOD, DELTA, result.p)
    assert decision.status == INCONCLUSIVE and decision.prompts > result.pooled.n


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("mean", "spread"), [(1.12, 0.3), (0.93, 0.12), (1.0, 0.25), (1.06, 0.1)])
def test_the_number_of_prompts_named_does_decide(mean, spread, seed):
    """The same prompts over again are more of them with every estimate as it was."""
    tests, noise = 14, 0.05
    small = ratios(mean, spread=spread, prompts=8, seed=seed, noise=noise)
    result = effect(small)
    adjusted = lambda one: min(1.0, tests * one.p)  # noqa: E731 (the first step of Holm's method)
    decision = decide(result, GOOD, DELTA, adjusted(result), tests)
    if decision.prompts is None:
        return
    assert decision.status == INCONCLUSIVE
    times = math.ceil(decision.prompts / result.pooled.n) + 1
    more = effect(Ratio(r.workload, f"{r.prompt}-{k}", r.run, r.value) for r in small for k in range(times))
    after = decide(more, GOOD, DELTA, adjusted(more), tests)
    assert after.status != INCONCLUSIVE or "it gains on the whole and loses on" in after.reason


def fixed(runs, p=0.2, n=32):
    """An effect of given intervals: the pooled one first, then one a run; no workload stands out."""
    pooled, *mine = (Estimate(value, low, high, n) for value, low, high in runs)
    return Effect(pooled, dict(enumerate(mine, 1)), {name: pooled for name in "abcd"}, p)


def test_what_stands_against_a_decision_is_said_and_counted():
    """Where the pooled interval leaves one out already, something else asks for more prompts."""
    run = fixed([(0.955, 0.916, 0.996), (0.933, 0.883, 0.982), (0.978, 0.932, 1.029)], p=0.38)
    many = fixed([(0.93, 0.88, 0.98), (0.92, 0.87, 0.975), (0.934, 0.875, 0.998)], p=0.026)
    noise = fixed([(1.05, 1.04, 1.06), (1.05, 1.04, 1.06), (1.05, 1.04, 1.06)], p=1e-6)
    for result, margin, p, words in (
        (run, 0.03, 1.0, "one run"),
        (many, 0.03, 0.34, "among so many ideas"),
        (noise, 0.055, 1e-5, "against itself"),
    ):
        decision = decide(result, GOOD, margin, p, 13)
        assert decision.status == INCONCLUSIVE and words in decision.reason
        assert decision.prompts > 1.5 * result.pooled.n or decision.prompts is None


def test_no_number_of_prompts_settles_what_lies_on_a_border():
    border = (1 + DELTA, 1.0, 1.06)
    assert prompts_needed(fixed([border, border, border]), DELTA) is None
    untold = (1.0, None, None)
    assert prompts_needed(fixed([untold, untold]), DELTA) is None


def test_the_estimate_is_a_geometric_mean_in_which_workloads_weigh_alike():
    values = [Ratio("a", f"p{k}", 1, 2.0) for k in range(30)] + [
        Ratio("b", f"p{k}", 1, 0.5) for k in range(2)
    ]
    assert effect(values).pooled.value == pytest.approx(1.0)
    assert effect(values).pooled.n == 32


def test_prompts_are_resampled_not_runs():
    """The same prompts measured ten times as often are not ten times as many prompts."""
    once, often = ratios(1.1, spread=0.2, runs=(1,)), ratios(1.1, spread=0.2, runs=tuple(range(1, 11)))
    widths = [math.log(e.pooled.high / e.pooled.low) for e in map(effect, (once, often))]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_intervals_hold_what_they_promise():
    """Of 100 samples of a known mean, about 95 % of the intervals cover it."""
    covered = 0
    for seed in range(100):
        result = effect(ratios(1.1, spread=0.2, prompts=8, runs=(1,), seed=seed)).pooled
        covered += result.low <= 1.1 <= result.high
    assert 88 <= covered <= 100


def test_equal_ratios_have_no_spread_and_decide():
    same = [Ratio(f"w{w}", f"p{k}", run, 1.0) for w in range(4) for k in range(8) for run in (1, 2)]
    result = effect(same)
    assert (result.pooled.low, result.pooled.high, result.p) == (1.0, 1.0, 1.0)
    assert status(same) == EQUIVALENT
    assert status([Ratio(r.workload, r.prompt, r.run, 1.5) for r in same]) == VALIDATED


def test_unusable_ratios_are_left_out():
    bad = [Ratio("w0", "x", 1, value) for value in (0.0, -1.0, math.nan, math.inf)]
    assert effect(bad) is None
    assert effect([*bad, *ratios(1.2)]) == effect(ratios(1.2))


MEANS = st.floats(0.3, 3.0)


@settings(max_examples=20, deadline=None)
@given(mean=MEANS, spread=st.floats(0.0, 0.4), seed=st.integers(0, 999), margin=st.floats(0.03, 0.2))
def test_a_decision_agrees_with_its_interval(mean, spread, seed, margin):
    result = effect(ratios(mean, spread, seed=seed))
    decision = decide(result, GOOD, margin, result.p)
    pooled = result.pooled
    assert decision.status in STATUSES and decision.reason
    assert pooled.low <= pooled.value <= pooled.high
    if decision.status == VALIDATED:
        assert pooled.value > 1 + margin and all(run.low > 1 + margin for run in result.runs.values())
    if decision.status == REJECTED:
        assert pooled.value < 1
    if decision.status == EQUIVALENT:
        assert 1 - margin < pooled.low <= pooled.high < 1 + margin


@settings(max_examples=15, deadline=None)
@given(mean=MEANS, spread=st.floats(0.01, 0.3), seed=st.integers(0, 99))
def test_turning_every_ratio_round_turns_the_effect_round(mean, spread, seed):
    values = ratios(mean, spread, seed=seed)
    turned = [Ratio(r.workload, r.prompt, r.run, 1 / r.value) for r in values]
    one, other = effect(values), effect(turned)
    assert other.pooled.value == pytest.approx(1 / one.pooled.value)
    assert other.pooled.low == pytest.approx(1 / one.pooled.high, rel=0.05)
    assert other.p == pytest.approx(one.p)


@settings(max_examples=15, deadline=None)
@given(mean=MEANS, spread=st.floats(0.01, 0.3), seed=st.integers(0, 99))
def test_the_order_of_prompts_does_not_matter_much(mean, spread, seed):
    values = ratios(mean, spread, seed=seed)
    one, other = effect(values), effect(values[::-1])
    assert other.pooled.value == pytest.approx(one.pooled.value)
    assert other.pooled.high == pytest.approx(one.pooled.high, rel=0.05)


def test_statuses_are_those_of_the_design():
    assert {PROPOSED, IMPLEMENTED, VALIDATED, REJECTED, EQUIVALENT, INCONCLUSIVE} == set(STATUSES)
    assert isinstance(effect(ratios(1.0)), Effect) and verdicts.LEAST_RUNS == 2
