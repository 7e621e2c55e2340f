"""The judges of seed 004: every verdict can come out."""

from __future__ import annotations

import pytest

from pardec.common.errors import UserError
from pardec.evidence.claims import CONTRADICTED, NOT_RUN, NOT_TESTABLE, REPRODUCED, judge
from pardec.evidence.comparison import delta
from pardec.evidence.findings import sequence, warmup
from tests.claim_rows import row, verdict

KINDS = {
    "model": "mdm",
    "family": "masked_diffusion",
    "reference_model": "ar",
    "reference_family": "autoregressive",
}

# 004.1


def ends(few=("faster", False, -0.5), many=("slower", True, 0.0), task="sort", better="higher"):
    """A series of two cells: (verdict, gate, difference in quality) at few and at many steps."""
    shared = {
        "arm": "mdm",
        **KINDS,
        "batch": 1,
        "new_tokens": 16,
        "ratio": 1.5,
    }
    return [
        row("steps", task=task, steps=steps, verdict=word, gate=gate is True, quality_difference=gap,
            shown_worse=None if gate is None else gate is False, quality_better=better, quality_metric="exact",
            **shared)
        for steps, (word, gate, gap) in ((1, few), (16, many))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("few", "many", "expected"),
    [
        (("faster", False, -0.5), ("slower", True, 0.0), REPRODUCED),
        (("slower", False, -0.5), ("slower", True, 0.0), CONTRADICTED),
        (("faster", True, 0.0), ("slower", True, 0.0), CONTRADICTED),
        (("faster", False, -0.5), ("faster", True, 0.0), CONTRADICTED),
        (("faster", False, -0.5), ("slower", False, -0.5), CONTRADICTED),
        (("faster", True, -0.1), ("slower", True, 0.0), NOT_TESTABLE),
        (("faster", False, -0.5), ("no difference shown", True, 0.0), NOT_TESTABLE),
        (("faster", None, None), ("slower", None, None), NOT_TESTABLE),
        (("faster", "open", -0.1), ("slower", True, 0.0), NOT_TESTABLE),
        (("faster", False, -0.5), ("slower", "open", -0.1), NOT_TESTABLE),
    ],
)
def test_tradeoff(few, many, expected):
    assert verdict("004.1", {"steps": ends(few, many)}).verdict == expected


@pytest.mark.parametrize("change", [{"family": "jacobi"}, {"reference_family": "speculative"}])
def test_other_kinds_of_decoding_are_no_part_of_it(change):
    lines = [line | change for line in ends()]
    assert verdict("004.1", {"steps": lines}).verdict == NOT_RUN
    assert (
        verdict("004.3", {"batch": [line | change for line in batches((1.0, 1.1), (2.0, 2.2))]}).verdict
        == NOT_RUN
    )


def test_series_of_other_settings_are_not_mixed():
    """Two remaskings: the longer series speaks for the task, whatever the other one's ends say."""
    good = [line | {"settings": f'{{"remasking": "a", "steps": {line["steps"]}}}'} for line in ends()]
    middle = dict(good[0], steps=4, key="middle")
    bad = [line | {"settings": '{"remasking": "b"}'} for line in ends(few=("slower", False, -0.5))]
    result = verdict("004.1", {"steps": [*good, middle, *bad]})
    assert result.verdict == REPRODUCED and len(result.parts) == 1


def test_one_task_contradicts_a_claim_about_all():
    good, bad = ends(), ends(few=("faster", True, 0.0), task="copy")
    result = verdict("004.1", {"steps": [*good, *bad]})
    assert result.verdict == CONTRADICTED
    assert {part.name: part.verdict for part in result.parts} == {"sort": REPRODUCED, "copy": CONTRADICTED}


def test_lower_can_be_better():
    assert (
        verdict("004.1", {"steps": ends(few=("faster", True, -0.1), better="lower")}).verdict == CONTRADICTED
    )


# 004.2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"observed": True, "steps": 4, "ratio": 2.0, "verdict": "faster"}, REPRODUCED),
        ({"observed": True, "steps": 4, "ratio": 0.5, "verdict": "slower"}, REPRODUCED),
        ({"observed": False, "steps_most": 16}, CONTRADICTED),
        ({"observed": False, "steps_most": 16, "worse": None}, NOT_TESTABLE),
        ({"observed": False, "steps_most": 16, "worse": False}, NOT_TESTABLE),
        ({"observed": False, "steps_most": 8}, NOT_TESTABLE),
        ({"observed": True, "steps": 4, "ratio": None, "verdict": None}, NOT_TESTABLE),
        ({"observed": None, "steps_most": None}, NOT_TESTABLE),
    ],
)
def test_crossover(content, expected):
    content = dict(content)
    worse = content.pop("worse", True)
    line = row("crossover", task="sort", series="mdm", model="mdm", new_tokens=16, **content)
    cells = [
        row("steps", task="sort", steps=steps, new_tokens=16, shown_worse=steps < 16 or worse, **KINDS)
        for steps in (1, 16)
    ]
    result = verdict("004.2", {"crossover": [line], "steps": cells})
    assert result.verdict == expected
    if content["observed"] and content["verdict"]:
        words = "lower latency" if content["verdict"] == "faster" else "higher latency"
        assert words in "".join(piece for piece in result.parts[0].pieces if isinstance(piece, str))


# 004.3


def batches(first, last, floor=0.03):
    """A series at two batch sizes, each with the interval of its throughput ratio."""
    lines = []
    for batch, (low, high), word in ((1, first, "faster"), (16, last, "slower")):
        cell = f"batch/sort/mdm/mdm/steps~4+new~16+batch~{batch}"
        ends = {
            "throughput_ratio": (low + high) / 2,
            "throughput_ratio_low": low,
            "throughput_ratio_high": high,
        }
        lines.append(
            row("batch", cell=cell, task="sort", steps=4, batch=batch, verdict=word, delta=delta(floor), **KINDS,
                **ends)
        )  # fmt: skip
    return lines


@pytest.mark.parametrize(
    ("first", "last", "floor", "expected"),
    [
        ((1.0, 1.1), (2.0, 2.2), 0.03, REPRODUCED),
        ((2.0, 2.2), (1.0, 1.1), 0.03, CONTRADICTED),
        ((1.0, 1.1), (1.05, 1.2), 0.03, NOT_TESTABLE),
        ((1.0, 1.1), (1.12, 1.2), 0.03, NOT_TESTABLE),
        ((1.0, 1.1), (2.0, 2.2), None, REPRODUCED),
    ],
)
def test_batch(first, last, floor, expected):
    result = verdict("004.3", {"batch": batches(first, last, floor)})
    assert result.verdict == expected
    assert "falls behind" in "".join(piece for piece in result.parts[0].pieces if isinstance(piece, str))


# 004.4


def exponent(middle, low, high):
    texts = {"text": "1", "text_low": "1", "text_high": "1"}
    return {"value": middle, "unit": "", "ci_low": low, "ci_high": high, **texts}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.98, 1.02, REPRODUCED),
        (1.8, 2.1, CONTRADICTED),
        (0.1, 0.5, CONTRADICTED),
        (0.8, 1.3, NOT_TESTABLE),
        (None, None, NOT_TESTABLE),
    ],
)
def test_memory(low, high, expected):
    ident = "finding/sequence/cache_mb/text/ar"
    tables = {"length": [row("length", task="text")]}
    assert verdict("004.4", tables, {ident: exponent(1.0, low, high)}).verdict == expected


@pytest.mark.parametrize(("power", "expected"), [(1, REPRODUCED), (2, CONTRADICTED)])
def test_memory_from_rows(power, expected):
    lines = [
        row("length", task="text", arm="ar", status="ok", batch=1, prompt_tokens=32, new_tokens=new,
            cache_mb=float((32 + new) ** power))
        for new in (32, 64, 128, 256)
    ]  # fmt: skip
    [pick] = sequence({"length": lines})
    assert pick.value == pytest.approx(power)
    assert (
        verdict("004.4", {"length": lines}, {pick.id: exponent(pick.value, pick.low, pick.high)}).verdict
        == expected
    )


# 004.5


def pair(low, high, peak=10.0, floor=0.02, arm="ar"):
    shared = {"task": "text", "arm": arm, "batch": 1, "new_tokens": 64}
    real = row("prompts", **shared, random_prompts=False, peak_allocated_mb=10.0, delta=delta(floor))
    drawn = row(
        "prompts", **shared, random_prompts=True, peak_allocated_mb=peak, delta=delta(floor), ratio=(low + high) / 2,
        ratio_low=low, ratio_high=high,
    ) | {"key": f"{arm}/random"}  # fmt: skip
    return [real, drawn]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (pair(0.98, 1.02), CONTRADICTED),
        (pair(0.80, 0.90), REPRODUCED),
        (pair(1.10, 1.20), REPRODUCED),
        (pair(0.98, 1.02, peak=12.0), REPRODUCED),
        (pair(0.90, 1.10), NOT_TESTABLE),
        (pair(0.98, 1.02, floor=None), CONTRADICTED),
        (pair(0.94, 1.05, floor=0.07), CONTRADICTED),
        (pair(0.8, 1.2, floor=10.0), NOT_TESTABLE),
        ([*pair(0.98, 1.02), *pair(0.90, 1.10, arm="mdm")], NOT_TESTABLE),
        ([*pair(0.98, 1.02), *pair(0.80, 0.90, arm="mdm")], REPRODUCED),
    ],
)
def test_prompts(lines, expected):
    assert verdict("004.5", {"prompts": lines}).verdict == expected


def test_an_experiment_without_an_interval_was_run():
    """A busy machine can leave too few samples of a pair for an interval: that is a lack of precision, and the
    experiment is not said to be absent."""
    real, drawn = pair(0.98, 1.02)
    judged = verdict("004.5", {"prompts": [real, drawn | {"ratio_low": None, "ratio_high": None}]})
    assert judged.verdict == NOT_TESTABLE and judged.reason.startswith("precision: ")
    assert verdict("004.5", {"prompts": [real]}).verdict == NOT_RUN


# 004.6 to 004.9


@pytest.mark.parametrize(("device", "expected"), [("cpu", NOT_TESTABLE), ("cuda:0", NOT_RUN)])
def test_clocks(device, expected):
    assert verdict("004.6", {"cells": [row("cells", cell="c", device=device)]}).verdict == expected


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ((2.0, 1.0, 1.0, 1.0), REPRODUCED),
        ((2.0, 1.5, 1.4, 1.2, 1.0, 1.0, 1.0), REPRODUCED),
        ((2.0, 1.9, 1.8, 1.7, 1.6, 1.5), CONTRADICTED),
        ((2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.0), CONTRADICTED),
        ((2.0, 1.5, 1.2), NOT_TESTABLE),
        ((1.0, 1.0, 1.3), NOT_TESTABLE),
    ],
)
def test_warm_up(relative, expected):
    lines = [
        row("warmup", cell=f"c{cell}", **{"pass": number}, relative=value * (1 + 0.001 * cell))
        for cell in range(8)
        for number, value in enumerate(relative, 1)
    ]
    picks = list(warmup({"warmup": lines, "noise": [row("noise", cell="n", half_width=0.03)]}))
    values = {
        pick.id: {"id": pick.id, "value": pick.value, "ci_low": None, "ci_high": None} for pick in picks
    }
    assert verdict("004.7", {"warmup": lines}, values).verdict == expected


def test_a_quiet_machine_does_not_make_the_claim_harder_to_meet():
    """Two percent above is equal for all practical purposes, however narrow the noise floor; twenty are not, however
    wide it is."""
    lines = [
        row("warmup", cell=f"c{cell}", **{"pass": number}, relative=value)
        for cell in range(8)
        for number, value in enumerate((1.2, 1.08, 1.02), 1)
    ]
    for floor, expected in ((0.005, [2]), (0.09, [1]), (0.25, [1])):
        result = warmup({"warmup": lines, "noise": [row("noise", cell="n", half_width=floor)]})
        assert [pick.value for pick in result if pick.id == "finding/warmup/settled"] == expected


@pytest.mark.parametrize(("relative", "settled"), [(1.02, [0]), (1.05, [])])
def test_without_a_noise_floor_three_percent_settle(relative, settled):
    lines = [row("warmup", cell=f"c{cell}", **{"pass": 1}, relative=relative) for cell in range(8)]
    result = warmup({"warmup": lines, "noise": []})
    assert [pick.value for pick in result if pick.id == "finding/warmup/settled"] == settled


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("eager", 1.0, 1.1), NOT_TESTABLE),
        (("compiled", 2.0, 2.1), REPRODUCED),
        (("compiled", 1.00, 1.01), CONTRADICTED),
        (("compiled", 0.9, 1.2), NOT_TESTABLE),
    ],
)
def test_tiers(other, expected):
    lines = [
        row("steps", task="sort", arm="mdm", steps=4, engine=engine, ratio=low, ratio_low=low, ratio_high=high,
            delta=0.03)
        for engine, low, high in (("eager", 1.0, 1.01), other)
    ]  # fmt: skip
    assert verdict("004.8", {"steps": lines}).verdict == expected


@pytest.mark.parametrize(("weights", "expected"), [(3.0, NOT_TESTABLE), (16000.0, NOT_RUN)])
def test_examples(weights, expected):
    assert verdict("004.9", {"cells": [row("cells", cell="c", weights_mb=weights)]}).verdict == expected


def test_evidence_must_be_published():
    with pytest.raises(UserError, match=r"claim 004\.1.*no value"):
        judge({"steps": ends()}, {})
