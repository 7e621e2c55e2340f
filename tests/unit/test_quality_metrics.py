"""Metrics of outputs against hand-made cases, known intervals, and sacrebleu itself."""

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.quality.base import Context, Metric
from pardec.quality.distinct import distinct_share
from pardec.quality.intervals import bootstrap_mean, bootstrap_ratio, wilson
from pardec.quality.registry import METRICS
from pardec.quality.score import score_outputs


def output(text, answer, task="copy", number=0):
    return {"id": f"p{number}", "task": task, "prompt": "", "answer": answer, "tokens": [], "text": text}


def measure(name, outputs, **context):
    return METRICS.load(name)().measure(outputs, Context(**context))


COPIES = [output("a b", "a b", number=0), output("a c", "a b", number=1), output("", "a b", number=2)]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = METRICS.load(name)
    assert issubclass(metric, Metric) and metric.name == name
    assert metric.better in ("higher", "lower") and metric.unit and metric.title
    assert metric.needs <= {"answer", "scorer", "encoder"}


# Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29; method 3.
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_published_values(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400), st.data())
@effort(deadline=None)
def test_wilson_stays_within_bounds_and_mirrors(n, data):
    right = data.draw(st.integers(0, n))
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert wilson(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_bootstrap_of_a_mean_covers_as_often_as_it_says():
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        low, high = bootstrap_mean(rng.normal(1.0, 1.0, 40), trial)
        covered += low <= 1.0 <= high
    # 95 % nominal, standard deviation 1.5 % over 200 trials; the percentile method is a little short.
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_repeats_itself_and_a_single_value_has_no_interval():
    assert bootstrap_mean([1.0, 2.0, 5.0], 3) == bootstrap_mean([1.0, 2.0, 5.0], 3)
    assert bootstrap_mean([1.0, 2.0, 5.0], 3) != bootstrap_mean([1.0, 2.0, 5.5], 3)
    assert bootstrap_mean([4.0], 1) == (None, None)
    assert bootstrap_mean([4.0, 4.0], 1) == (4.0, 4.0)


def test_a_ratio_is_resampled_in_pairs():
    assert bootstrap_ratio([2.0, 20.0, 200.0], [1, 10, 100], 1) == pytest.approx((2.0, 2.0))


def test_exact_counts_right_outputs():
    result = measure("exact", COPIES)
    assert result.per_prompt == [1.0, 0.0, 0.0] and result.n == 3
    assert result.value == pytest.approx(1 / 3)
    assert (result.low, result.high) == wilson(1, 3)


def test_exact_accepts_any_right_answer_of_a_task():
    assert measure("exact", [output("b a", "a b", task="shuffle")]).value == 1.0


def test_exact_without_a_task_compares_texts():
    assert measure("exact", [output("x", "x", "text"), output("x ", "x", "text")]).per_prompt == [1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "task", "text", "answer", "value"),
    [
        ("cells", "grid", "0,1\n9,2\n", "0,1\n1,2\n", 0.75),
        ("rows", "grid", "0,1\n9,2\n", "0,1\n1,2\n", 0.5),
        ("parses", "grid", "0,1\n9\n", "0,1\n1,2\n", 0.0),
        ("tokens", "copy", "a b x", "a b c", 2 / 3),
        ("items", "shuffle", "c c a", "a b c", 2 / 3),
    ],
)
def test_task_scores(name, task, text, answer, value):
    assert measure(name, [output(text, answer, task)]).value == pytest.approx(value)


def test_a_score_that_a_task_lacks_is_refused():
    with pytest.raises(UserError, match=r"not a score of task 'copy'.*\n.*tokens"):
        measure("cells", COPIES)


def test_chrf_and_bleu_are_those_of_sacrebleu():
    texts = ["the cat sat on the mat today", "there is a dog in the house"]
    answers = ["the cat sits on the mat today", "there is a dog in the garden"]
    outputs = [output(a, b, "text", i) for i, (a, b) in enumerate(zip(texts, answers, strict=True))]
    chrf, bleu = measure("chrf", outputs), measure("bleu", outputs)
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(texts, [answers]).score)
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(texts, [answers]).score)
    assert chrf.per_prompt[0] == pytest.approx(sacrebleu.sentence_chrf(texts[0], [answers[0]]).score)
    for result in (chrf, bleu):
        assert 0 <= result.low <= result.high <= 100 and result.n == 2
    assert measure("chrf", [output("same", "same", "text")]).value == pytest.approx(100)


def test_reference_metrics_leave_their_signature_in_the_score():
    score = score_outputs([output("a b", "a b", "text", i) for i in range(3)], ["chrf", "bleu"], Context())
    assert "version:" in score["metrics"]["chrf"]["signature"]
    assert "tok:13a" in score["metrics"]["bleu"]["signature"]


def test_distinct_counts_by_hand():
    assert distinct_share(list("aaaa"), 1) == 0.25
    assert distinct_share(list("ababa"), 2) == 0.5
    assert distinct_share(list("abc"), 2) == 1.0
    assert distinct_share(["a"], 2) is None


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=30), st.integers(1, 3))
def test_distinct_falls_when_a_text_repeats_itself(words, n):
    once, twice = distinct_share(words, n), distinct_share(words * 2, n)
    assert once is None or twice < once or math.isclose(twice, once)


def test_distinct_does_not_count_outputs_that_have_no_ngram():
    result = measure("distinct_2", [output("a a a", None, "text"), output("a", None, "text")])
    assert (result.value, result.n, result.per_prompt) == (0.5, 1, [0.5, None])
    nothing = measure("distinct_2", [output("", None, "text")])
    assert (nothing.value, nothing.low, nothing.n) == (None, None, 0)


@pytest.mark.parametrize("name", ["exact", "number", "chrf"])
def test_a_prompt_without_an_answer_has_no_score_and_the_others_have_theirs(name):
    row = output("copy 1 2", "copy 1 2", "text")
    alone = measure(name, [row, row])
    beside = measure(name, [row, row | {"answer": None}, row])
    assert beside.per_prompt == [alone.per_prompt[0], None, alone.per_prompt[1]]
    assert (beside.value, beside.n) == (alone.value, 2)


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("exact", [], "no output"),
        ("chrf", [output("a", None, "text")], "needs answers"),
        ("scorer_nll", COPIES, "needs a scorer"),
        ("encoder_similarity", COPIES, "needs an encoder"),
        ("exactt", COPIES, "did you mean 'exact'"),
    ],
)
def test_what_is_missing_is_told(name, outputs, message):
    with pytest.raises(UserError, match=message):
        measure(name, outputs)


def test_score_file_has_what_tables_read():
    score = score_outputs(COPIES, ["exact", "tokens"], Context())
    assert score["main"] == "exact" and score["prompts"] == ["p0", "p1", "p2"]
    exact = score["metrics"]["exact"]
    assert {"value", "low", "high", "n", "per_prompt", "unit", "better"} <= set(exact)
    assert len(exact["per_prompt"]) == len(score["prompts"])
    with pytest.raises(UserError, match="names none"):
        score_outputs(COPIES, [], Context())


@pytest.mark.parametrize("name", ["chrf", "bleu"])
def test_outputs_without_any_match_have_a_score_and_an_interval(name):
    """Some resamples then hold nothing that matches; sacrebleu's chrF failed on them."""
    rows = [output(text, "the cat sat on the mat", "text") for text in ("the cat sat on the mat", "", "1234")]
    scored = measure(name, rows)
    assert 0 < scored.value < 100 and scored.low < scored.high
    assert [value > 0 for value in scored.per_prompt] == [True, False, False]
    nothing = measure(name, rows[1:])
    assert (nothing.value, nothing.per_prompt) == (0.0, [0.0, 0.0])
