"""One comparison engine for any study: equal quality by margin or by tokens, verdicts, and the answer."""

import itertools
import json

import numpy as np
import pytest

from pardec.common.errors import UserError
from pardec.evidence import comparison, statistics
from pardec.evidence.comparison import REASONS, VERDICTS, faithful, quality, same_tokens, speed, verdict
from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.registry import TABLES, value_id

ARMS = {"ar": 1.0, "generate": 1.05, "lookup-8": 1.4, "lookup-16": 1.6, "jacobi": 0.9}
"""Speed of each arm over the sequential one."""
PROMPTS = [f"p{k}" for k in range(6)]


def sample(block, prompt, ms):
    return {
        "block": block, "order": 0, "prompts": [prompt], "e2e_ms": ms, "first_ms": ms / 8, "first_tokens": 1.0,
        "useful": 30, "canvas": 32, "nfe": 16, "commit_ms": [ms / 2, ms], "committed": [16.0, 16.0], "flags": [],
    }  # fmt: skip


def record(arm, *, wrong=(), prompts=PROMPTS, status="ok", experiment="arms", blocks=2, scores=None):
    """A cell of one arm beside the sequential one; prompts in `wrong` get other tokens."""
    rng = np.random.default_rng([*arm.encode()])
    about = {
        "experiment": experiment, "task": "code", "model": "smol", "data": "code", "family": "autoregressive",
        "settings": {}, "engine": "eager", "precision": "float32", "batch": 1, "prompt_tokens": None, "new_tokens": 32,
    }  # fmt: skip
    places = list(enumerate(prompt for _ in range(blocks) for prompt in prompts))
    base = {place: 100 * float(rng.lognormal(sigma=0.01)) for place, _ in places}
    side = [sample(k, p, base[k] / ARMS[arm] * float(rng.lognormal(sigma=0.01))) for k, p in places]
    other = [sample(k, p, base[k]) for k, p in places]
    text = {prompt: [*range(4, 34), 2, 0] for prompt in prompts}
    # What stands behind the end token is nobody's.
    mine = {p: [9] * 32 if p in wrong else [*tokens[:31], 7] for p, tokens in text.items()}
    reference = {
        "cell": {**about, "arm": "ar", "decoder": "autoregressive"},
        "samples": other,
        "outputs": [{"prompt": p, "tokens": tokens} for p, tokens in text.items()],
    }
    ok = status == "ok"
    return {
        "schema": 1,
        "cell": {**about, "id": f"{experiment}/code/smol/{arm}/new~32+batch~1", "arm": arm,
                 "decoder": "autoregressive" if arm == "ar" else arm,
                 "quality": scores},
        "status": status,
        "reason": None if ok else "does not run here",
        "samples": side if ok else [],
        "reference": None if arm == "ar" else reference if ok else {**reference, "samples": [], "outputs": []},
        "outputs": [{"prompt": p, "tokens": tokens} for p, tokens in mine.items()] if ok else [],
        "memory": {"peak_allocated_mb": 100.0 + len(arm)} if ok else None,
    }  # fmt: skip


def built(records, scores=(), study=None):
    """Tables cells and answers."""
    sources = tuple(Source(f"{k}.json", f"{k}", body) for k, body in enumerate(records))
    floors = Source("floors.json", "f", study or {})
    inputs = Inputs(records=sources, scores={s.path: s for s in scores}, floors=floors)
    cells = TABLES.load("cells").make(inputs)
    return cells, TABLES.load("answers").make(Inputs(tables={"cells": cells}))


def row(frame, **same):
    for column, wanted in same.items():
        frame = frame[frame[column] == wanted]
    assert len(frame) == 1
    return frame.iloc[0]


def test_any_study_has_an_answer():
    """No diffusion, no noise experiment, no metric scored, and an experiment of no known name."""
    labels = {"arms": {"lookup-16": "prompt lookup, 16 tokens"}}
    cells, answers = built([record(arm) for arm in ARMS], study=labels)
    answer = row(answers, experiment="arms")
    assert answer["experiment_kind"] == "comparison" and answer["reference_arm"] == "ar"
    assert answer["arm"] == "lookup-16" and answer["label"] == "prompt lookup, 16 tokens"
    assert answer["verdict"] == "faster" and answer["lossless"] and answer["lossless_prompts"] == 6
    assert (
        answer["ratio"] == pytest.approx(1.6, rel=0.02) and answer["ratio_low"] < 1.6 < answer["ratio_high"]
    )
    assert (answer["candidates"], answer["comparable"], answer["faster"]) == (4, 4, 3)
    assert answer["noise_source"] == "fallback" and answer["delta"] == 0.03
    assert answer["tokens_per_forward"] == 2 and answer["memory_ratio"] == pytest.approx(109 / 102)
    single = row(cells, arm="lookup-16")
    assert answer["ratio_low"] < single["ratio_low"] and answer["ratio_high"] > single["ratio_high"], (
        "chosen of four"
    )
    assert row(cells, arm="jacobi")["verdict"] == "slower" and row(cells, arm="ar")["verdict"] is pd_na()
    assert set(cells["verdict"].dropna()) <= set(VERDICTS)
    assert set(cells["verdict_reason"].dropna()) <= set(REASONS.values())


def pd_na():
    import pandas

    return pandas.NA


def test_controls_and_cells_against_themselves_answer_nothing():
    """The fastest of noise is no answer; random prompts answer only against the arm's own real prompts."""
    cells, _ = built([record(arm) for arm in ARMS])
    chosen = cells["arm"] == "lookup-16"

    def candidates(**changed):
        edited = cells.copy()
        for column, value in changed.items():
            edited.loc[chosen, column] = value
        answers = TABLES.load("answers").make(Inputs(tables={"cells": edited}))
        return row(answers, reference_arm="ar")["candidates"]

    own = row(cells, arm="lookup-16")["cell"]
    assert candidates() == 4
    assert candidates(experiment_kind="draft", arm="tree-off") == 3
    assert candidates(experiment_kind="draft", arm="tree") == 4
    assert candidates(reference=own) == candidates(reference=f"{own}+against~ar+run~1") == 3
    assert candidates(random_prompts=True) == 3
    assert candidates(random_prompts=True, arm="ar") == 4


def test_random_prompts_need_no_equal_quality():
    timed = {"reference_decoder": "ar", "status": "ok", "n_pairs": 9, "ratio_low": 0.99, "ratio_high": 1.01}
    timed |= {"delta": 0.03, "gate": False, "quality": 1.0, "reference_quality": 2.0, "shown_worse": True}
    assert verdict(timed) == ("worse", "worse")
    assert verdict(timed | {"random_prompts": True}) == ("no difference shown", "other prompts")


def test_other_tokens_need_a_metric():
    cells, answers = built([record("ar"), record("lookup-16", wrong=["p3"])])
    cell = row(cells, arm="lookup-16")
    assert not cell["lossless"] and cell["speed"] == "faster", "speed alone is still told"
    assert (cell["verdict"], cell["verdict_reason"]) == ("not comparable", REASONS["not scored"])
    answer = row(answers, experiment="arms")
    assert answer["verdict"] == "not comparable" and answer["verdict_reason"] == REASONS["not scored"]
    assert answer["comparable"] == 0 and answer["cell"] is pd_na() and answer["ratio"] is pd_na()


def test_with_a_metric_the_margin_decides():
    per = [1.0] * 38 + [0.0] * 2
    base = [1.0] * 40
    scores = [score(per, name="own.json"), score(base, name="ar.json")]
    records = [record("ar", scores="ar.json"), record("lookup-16", wrong=["p1"], scores="own.json")]
    strict, _ = built(records, scores, {"margins": {"exact": 0.1}})
    loose, answers = built(records, scores, {"margins": {"exact": 0.2}})
    assert row(strict, arm="lookup-16")["verdict_reason"] == REASONS["few prompts"]
    assert (
        row(loose, arm="lookup-16")["verdict"] == "faster"
        and row(loose, arm="lookup-16")["quality_margin"] == 0.2
    )
    assert row(answers, experiment="arms")["quality_difference"] == pytest.approx(-0.05)


def test_an_arm_that_did_not_run_has_its_reason():
    cells, answers = built([record("ar"), record("jacobi", status="unsupported")])
    cell = row(cells, arm="jacobi")
    assert (cell["verdict"], cell["verdict_reason"]) == ("not comparable", REASONS["unfinished"])
    assert row(answers, experiment="arms")["verdict_reason"] == REASONS["unfinished"]


def test_few_pairs_give_no_interval_and_no_verdict():
    cells, _ = built([record("ar"), record("lookup-16", prompts=PROMPTS[:5], blocks=1)])
    cell = row(cells, arm="lookup-16")
    assert cell["n_pairs"] == 5 and cell["ratio"] is pd_na() and cell["ratio_low"] is pd_na()
    assert cell["verdict_reason"] == REASONS["few pairs"]


def test_an_interval_over_one_prompt_says_so():
    cells, _ = built([record("ar"), record("lookup-16", prompts=PROMPTS[:1], blocks=8), record("jacobi")])
    assert row(cells, arm="lookup-16")["one_prompt"] and not row(cells, arm="jacobi")["one_prompt"]


def test_experiments_of_one_kind_stand_side_by_side():
    records = [record(arm, experiment=name) for name in ("long", "short") for arm in ("ar", "lookup-8")]
    cells, answers = built(records, study={"kinds": {"long": "batch", "short": "batch"}})
    batch = TABLES.load("batch").make(Inputs(tables={"cells": cells}))
    assert sorted(batch["experiment"].unique()) == ["long", "short"] and len(batch) == 4
    assert set(batch["key"]) == set(cells["key"]) and len(answers) == 2
    key = batch["key"].iloc[0]
    assert (
        value_id("batch", {"key": key}, "ratio")
        == value_id("cells", {"key": key}, "ratio")
        == f"cells/{key}/ratio"
    )
    assert value_id("grid", {"key": key}, "cells_right") == f"grid/{key}/cells_right"


@pytest.mark.parametrize(
    ("low", "high", "within", "wanted"),
    [
        (1.06, 1.2, 0.05, "faster"),
        (1.04, 1.2, 0.05, "no difference shown"),
        (0.8, 0.94, 0.05, "slower"),
        (None, None, 0.05, None),
    ],
)
def test_speed(low, high, within, wanted):
    assert speed(low, high, within) == wanted


def test_a_quiet_machine_does_not_narrow_delta():
    assert comparison.delta(None) == comparison.delta(0.001) == 0.03 and comparison.delta(0.2) == 0.2


def test_worse_is_shown_or_left_open():
    about = {
        "reference_decoder": "ar",
        "status": "ok",
        "n_pairs": 9,
        "ratio_low": 1.5,
        "ratio_high": 2.0,
        "delta": 0.03,
    }
    judged = about | {"gate": False, "quality": 0.5, "reference_quality": 0.9}
    assert verdict(judged | {"shown_worse": True}) == ("worse", "worse")
    assert verdict(judged | {"gate": None, "shown_worse": False}) == ("not comparable", "no interval")
    assert verdict(about | {"gate": True}) == ("faster", "ratio")
    # Where the main metric alone would do, what guards it has decided, and is what the reason names.
    for better, low, high, reason in (
        ("lower", -0.3, 0.09, "guard"),
        ("lower", -0.3, 0.11, "few prompts"),
        ("higher", -0.09, 0.3, "guard"),
        ("higher", -0.11, 0.3, "few prompts"),
    ):
        ends = {"quality_difference_low": low, "quality_difference_high": high, "quality_margin": 0.1}
        left = judged | ends | {"shown_worse": False, "quality_better": better}
        assert verdict(left) == ("not comparable", reason)
    assert verdict(about | {"gate": None, "quality": 0.5}) == ("not comparable", "no reference score")
    assert verdict({"status": "ok"}) == (None, None)


def score(per, name="s.json", metric="exact", prompts=None, **more):
    value = {"value": float(np.mean(per)), "low": None, "high": None, "n": len(per), "per_prompt": list(per)}
    metrics = {metric: value | {"better": "lower" if metric == "scorer_nll" else "higher"}}
    metrics |= {key: {**value, "per_prompt": list(v), "better": "higher"} for key, v in more.items()}
    return Source(name, "", {"metrics": metrics, "main": metric, "prompts": prompts or list(range(len(per)))})


def gate(ours, other, margins=None):
    ours, other = ours, Source("other.json", "", other.body)
    return quality(ours.path, "other.json", {ours.path: ours, "other.json": other}, margins or {})["gate"]


def test_fewer_prompts_make_equality_harder():
    """All prompts right on both sides: three prompts show little, a hundred show much."""
    shown = [n for n in (3, 6, 12, 24, 48, 96) if gate(score([1.0] * n), score([1.0] * n))]
    assert shown and shown == [n for n in (3, 6, 12, 24, 48, 96) if n >= shown[0]] and shown[0] > 6
    wide = [statistics.paired_difference([1.0] * n, [1.0] * n, 1.0) for n in (6, 24, 96)]
    assert all(a.high > b.high > 0 for a, b in itertools.pairwise(wide))


def test_losses_on_the_same_prompts_are_seen():
    low, high = score([1.0] * 30 + [0.0] * 10), score([1.0] * 38 + [0.0] * 2)
    assert not gate(low, high) and gate(high, low)


def test_where_lower_is_better_the_sides_swap():
    low, high = score([2.0, 2.1] * 20, metric="scorer_nll"), score([3.0, 3.1] * 20, metric="scorer_nll")
    assert gate(low, high) and not gate(high, low)
    same = score([2.0, 2.1] * 20, metric="scorer_nll", distinct_2=[0.8] * 40)
    flat = score([2.0, 2.1] * 20, metric="scorer_nll", distinct_2=[0.3] * 40)
    assert gate(same, same) and gate(flat, same) is False, "text that repeats itself is likely, not good"
    unknown = score([2.0, 2.1] * 20, metric="scorer_nll", distinct_2=[0.8] * 40)
    del unknown.body["metrics"]["distinct_2"]["per_prompt"]
    assert gate(unknown, unknown) is None, "a guard without an interval shows nothing"


def test_other_prompts_are_refused():
    with pytest.raises(UserError, match="other prompts"):
        gate(score([1.0] * 40), score([1.0] * 40, prompts=[f"x{k}" for k in range(40)]))


def test_scores_that_differ_deny_losslessness():
    """Six timed prompts are the same, one of forty scored ones is not."""
    scores = {s.path: s for s in (score([1.0] * 39 + [0.0], "a"), score([1.0] * 40, "b"))}
    assert quality("a", "b", scores, {"exact": 0.2}, True)["lossless"] is False
    scores["a"] = score([1.0] * 40, "a")
    assert quality("a", "b", scores, {"exact": 1e-9}, True)["gate"] is True, "needs no metric"


def test_an_unscored_set_of_outputs_is_no_error():
    body = {"metrics": {}, "status": "unsupported", "reason": "no such engine"}
    result = quality("a", "b", {"a": Source("a", "", body), "b": score([1.0] * 9, "b")}, {})
    assert result["gate"] is None and "quality" not in result


def test_tokens_up_to_rounding():
    assert faithful([1, 2], [1, 2], "float32", None, 0) and not faithful([1, 3], [1, 2], "float32", 0.0, 9)
    assert faithful([1, 3], [1, 2], "bfloat16", 1.5, 0) and not faithful([1, 3], [1, 2], "bfloat16", 9.0, 3.0)
    assert not faithful([1, 3], [1, 2], "bfloat16", None, 9)
    assert same_tokens([], None, {}, None) == {"lossless": None, "lossless_prompts": None}


def test_the_largest_of_many_equal_ratios_is_not_shown_larger():
    """A best of twenty whose true ratios are all one: alone its interval often lies above one, adjusted hardly ever."""
    rng = np.random.default_rng(5)
    alone = adjusted = 0
    for _ in range(200):
        draws = np.exp(rng.normal(0, 0.02, 20))
        best = statistics.Estimate(
            draws.max(), draws.max() * np.exp(-0.0392), draws.max() * np.exp(0.0392), 9
        )
        alone += best.low > 1
        adjusted += statistics.among(best, 20).low > 1
    assert alone > 60 and adjusted < 15
    assert statistics.among(best, 1) == best


def test_answers_are_equal_whatever_the_order_of_records():
    records = [record(arm) for arm in ARMS]
    _, one = built(records)
    _, other = built(records[::-1])
    keep = ["arm", "ratio", "ratio_low", "verdict", "candidates"]
    assert json.dumps(one[keep].to_dict()) == json.dumps(other[keep].to_dict())


def test_the_cost_of_verification_holds_what_processes_differ_by():
    """Samples of one process scatter by two percent; processes differ by ten, and break-even tau with them."""
    from tests.draft_factories import verify_cost as made

    table = TABLES.load("verify_cost")

    def widest(**how):
        rows = [
            {"arm": "draft-8", "task": "grid", "model": "m", "decoder": "d", "status": "ok", "draft_ms": 0.1}
        ]
        source = Source("v.json", "v", made("m", **how))
        ideas = type("Ideas", (), {"baseline": "draft-8"})()
        built = table.build(
            type("In", (), {"verify_costs": (source,), "ideas": ideas, "rows": lambda s, n: rows})()
        )
        return next(row for row in built if row["nodes"] == 64)

    near, far = widest(apart=0.005), widest(apart=0.1)
    for name in ("cost", "break_even_tau", "verify"):
        spread = [row[f"{name}_high"] / row[f"{name}_low"] for row in (near, far)]
        assert 1 < spread[0] < 1.05 and spread[1] > 1.1, name
    assert far["processes"] == 5 and far["n"] == 200
    assert widest(processes=1)["cost_low"] is None, "one process says nothing of others"
