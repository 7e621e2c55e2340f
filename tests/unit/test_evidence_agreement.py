"""When two runs agree on a number: kinds, intervals, and the noise between processes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardec.audit import agreement as rules
from pardec.audit.agreement import (
    DIFFERS,
    NOT_COMPARABLE,
    REPRODUCED,
    Pair,
    agree,
    kind,
    p_value,
    process_noise,
)
from pardec.evidence.statistics import holm
from pardec.evidence.tables.registry import TABLES

TIMED = ["results/cells/a/timing.json"]


def value(number, low=None, high=None, unit="ms", records=TIMED, n=None):
    return {"value": number, "ci_low": low, "ci_high": high, "unit": unit, "records": records, "n": n}


@pytest.mark.parametrize(
    ("ident", "number", "expected"),
    [
        ("cells/x/latency_ms", 1.5, "time"),
        ("cells/x/tokens_per_s", 1.5, "rate"),
        ("cells/x/mfu", 0.5, "rate"),
        ("cells/x/itl_p95_ms", 1.5, "tail"),
        ("cells/x/ratio", 1.5, "ratio"),
        ("growth/x/exponent", 1.01, "fit"),
        ("cells/x/nfe", 4.0, "count"),
        ("cells/x/steps", 4, "exact"),
        ("cells/x/n", 9, "size"),
        ("cells/x/n_pairs", 9, "size"),
        ("finding/run/flagged", 3, "tally"),
        ("noise/x/half_width", 0.03, "precision"),
        ("cells/x/ready_s", 2.0, "reading"),
        ("cells/x/rss_mb", 300.5, "memory"),
        ("cells/x/quality", 0.5, "quality"),
    ],
)
def test_kinds_are_what_columns_declare(ident, number, expected):
    assert kind(ident, value(number)) == expected


def test_every_kind_of_column_has_a_rule():
    """A number that differs gets a verdict of its kind, whatever the kind."""
    for name in TABLES:
        for column, declared in TABLES.load(name).columns.items():
            if declared.numeric:
                opinion = agree(Pair(f"{name}/x/{column}", value(1.0, n=20), value(2.0, n=20)))
                assert opinion.verdict in (DIFFERS, NOT_COMPARABLE) and opinion.why, (name, column)


def test_a_count_is_equal_prompt_by_prompt():
    a, b = value(4.0, unit="tokens"), value(4.2, unit="tokens")
    for same, expected in ((True, REPRODUCED), (False, DIFFERS), (None, DIFFERS)):
        assert agree(Pair("cells/x/nfe", a, b, same_outputs=same)).verdict == expected
        assert agree(Pair("cells/x/nfe", b, a, same_outputs=same)).verdict == expected
    wide = [side | {"ci_low": 3.0, "ci_high": 5.0, "n": 9} for side in (a, b)]
    assert agree(Pair("cells/x/nfe", *wide)).p > 0.5
    assert agree(Pair("cells/x/steps", value(4, unit=""), value(8, unit=""))).verdict == DIFFERS


def test_counts_of_other_prompts_and_of_a_decoder_with_a_clock_are_not_compared():
    """Equal ones neither: else the share of reproduced counts would be that of chance."""
    a, b = value(4.0, unit="tokens"), value(4.2, unit="tokens")
    for pair in (Pair("cells/x/nfe", a, b, other_prompts=True), Pair("cells/x/nfe", a, b, clocked=True)):
        assert agree(pair).verdict == NOT_COMPARABLE
    assert agree(Pair("cells/x/nfe", a, a, same_outputs=True, clocked=True)).verdict == NOT_COMPARABLE
    assert agree(Pair("cells/x/nfe", a, b, same_outputs=False, other_prompts=False)).verdict == DIFFERS


def test_the_range_of_few_values_is_no_interval():
    """The range of five covers the median with 94 %, that of two with 50 %: neither is tested as if it were 95 %."""
    for n, expected in ((2, NOT_COMPARABLE), (5, NOT_COMPARABLE), (6, DIFFERS)):
        sides = value(1.0, 0.99, 1.01, "×", n=n), value(1.5, 1.49, 1.51, "×", n=20)
        opinion = agree(Pair("cells/x/ratio", *sides))
        assert (opinion.p or 0) < 0.05 and opinion.verdict == (REPRODUCED if n > 5 else NOT_COMPARABLE)
        assert (opinion.p is None) == (expected == NOT_COMPARABLE)
        if opinion.p is None:
            assert "fewer than 6" in opinion.why
    assert agree(Pair("growth/x/exponent", *(one | {"n": 4} for one in sides))).p is not None


def test_quality_on_another_processor_is_judged_by_its_interval():
    sides = (value(0.50, 0.4, 0.6, ""), value(0.51, 0.41, 0.61, ""))
    assert agree(Pair("cells/x/quality", *sides)).verdict == DIFFERS
    other = agree(Pair("cells/x/quality", *sides, same_platform=False))
    assert other.verdict == REPRODUCED and other.p > 0.5


def test_absolute_times_count_the_noise_between_processes_and_ratios_do_not():
    near, far = value(100.0, 99.9, 100.1), value(103.0, 102.9, 103.1)
    assert agree(Pair("cells/x/latency_ms", near, far)).p < 1e-6
    assert agree(Pair("cells/x/latency_ms", near, far, noise=(0.02, 0.02))).p > 0.05
    ratios = [side | {"unit": "×"} for side in (near, far)]
    assert agree(Pair("cells/x/ratio", *ratios, noise=(0.02, 0.02))).p < 1e-6


def test_noise_hides_the_same_factor_in_both_directions_and_none_that_is_large():
    def p(factor, unit):
        sides = value(100.0, 95.0, 105.0, unit), value(100.0 * factor, 95.0 * factor, 105.0 * factor, unit)
        return agree(Pair("cells/x/tokens_per_s", *sides, noise=(0.2, 0.2))).p

    for unit in ("ms", "tokens/s"):
        assert p(1.5, unit) == pytest.approx(p(1 / 1.5, unit), rel=1e-6) and p(1.5, unit) > 0.05
        assert p(20, unit) < 1e-20 and p(1 / 20, unit) < 1e-20
    missing = agree(Pair("cells/x/tokens_per_s", value(9.0, 0.0, 10.0), value(1.0, 0.9, 1.1))).p
    assert 0 < missing < 1  # an interval that reaches 0 has no logarithm


def test_a_time_without_an_interval_borrows_the_one_of_its_row():
    a, b = value(50.0), value(52.0)
    latency = (value(100.0, 90.0, 110.0), value(100.0, 90.0, 110.0))
    assert agree(Pair("cells/x/host_ms", a, b)).verdict == NOT_COMPARABLE
    borrowed = agree(Pair("cells/x/host_ms", a, b, latency))
    logs = np.log([50, 52, 45, 55, 46.8, 57.2])
    assert borrowed.verdict == REPRODUCED and borrowed.p == pytest.approx(p_value(*logs))
    assert (
        agree(Pair("cells/x/host_ms", a, b, noise=(0.03, 0.03))).why == "within the noise between processes"
    )


def rows(medians, reference="ar"):
    shape = {name: None for name in rules.SAME_PROCESS_ARM} | {"reference": reference}
    return [shape | {"reference_latency_ms": median} for median in medians]


def test_process_noise_is_the_spread_of_an_arm_timed_in_many_processes():
    rng = np.random.default_rng(1)
    cells = []
    for arm in range(40):
        cells += rows(100 * (arm + 1) * np.exp(rng.normal(0, 0.02, 12)), f"arm{arm}")
    assert process_noise(cells) == pytest.approx(0.02, rel=0.1)
    assert process_noise(rows([5.0])) is None and process_noise([]) is None
    assert process_noise([*rows([5.0, 5.0]), *rows([None, None])]) == 0
    assert process_noise([*rows([5.0, 5.0]), *({**row, "tuning": True} for row in rows([9.0, 9.0]))]) == 0


def test_runs_that_differ_by_their_noise_alone_miss_one_interval_in_twenty():
    """The whole rule on drawn runs: samples scatter by one percent, processes by two more."""
    rng = np.random.default_rng(2)
    samples, processes, cells = 0.01, 0.02, 4000
    noise = process_noise(rows(np.exp(rng.normal(0, math.hypot(samples, processes), 200))))
    drawn = np.exp(rng.normal(0, math.hypot(samples, processes), (cells, 2)))
    sides = [[value(x, x * (1 - 1.96 * samples), x * (1 + 1.96 * samples)) for x in pair] for pair in drawn]
    p = [agree(Pair("cells/x/latency_ms", *pair, noise=(noise, noise))).p for pair in sides]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.06
    ignored = [agree(Pair("cells/x/latency_ms", *pair)).p for pair in sides]
    assert np.mean(np.array(ignored) < 0.05) > 0.3, "intervals alone are far too narrow between runs"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), *[st.floats(0, 1e3)] * 5)
def test_p_is_symmetric_and_a_probability(x, y, a, b, c, d, spread):
    forth = p_value(x, y, x - a, x + b, y - c, y + d, spread)
    back = p_value(y, x, y - c, y + d, x - a, x + b, spread)
    assert 0 <= forth <= 1 and math.isclose(forth, back, abs_tol=1e-12)
    assert p_value(x, x, x - a, x + b, x - c, x + d) == 1


def test_p_is_what_normal_theory_says():
    # Two means with standard error 1 each, 1.96 * sqrt(2) apart: exactly on the edge of 95 %.
    assert p_value(0, 1.96 * 2**0.5, -1.96, 1.96, 1.96 * (2**0.5 - 1), 9) == pytest.approx(0.05, abs=1e-4)


def test_many_equal_runs_give_few_false_alarms():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (2, 10_000))
    raw = [p_value(x, y, x - 1.96, x + 1.96, y - 1.96, y + 1.96) for x, y in zip(a, b, strict=True)]
    assert 400 < sum(p < 0.05 for p in raw) < 600
    assert (holm(raw) < 0.05).sum() <= 1
