"""Compare a cell with its reference: speed, quality, and the verdict that follows. No other module decides this.

Equal quality means non-inferiority: the 95 % interval of the paired difference lies above minus the metric's margin.
Fewer prompts therefore make equality harder to show, never easier. A cell that wrote its reference's tokens on every
prompt is lossless and needs no metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence.columns import columns
from pardec.quality.registry import METRICS

if TYPE_CHECKING:
    from pardec.evidence.statistics import Estimate
    from pardec.evidence.tables.inputs import Source

statistics = lazy("pardec.evidence.statistics")

Row = dict[str, Any]
FASTER, SLOWER, EVEN = "faster", "slower", "no difference shown"
WORSE, NOT_COMPARABLE = "worse", "not comparable"
VERDICTS = (FASTER, EVEN, SLOWER, WORSE, NOT_COMPARABLE)
REASONS = {
    "ratio": "the speed ratio's interval against 1 ± δ",
    "other prompts": "the speed ratio's interval against 1 ± δ: random prompts have no quality to compare",
    "unfinished": "the cell did not finish",
    "few pairs": "too few clean pairs for an interval",
    "worse": "quality is shown worse than the reference's",
    "few prompts": "equal quality is not shown: the difference's interval reaches beyond the margin",
    "no interval": "equal quality is not shown: too few prompts for an interval of a difference",
    "guard": "equal quality is not shown: the likelihood is within its margin, but distinct-2 reaches beyond its own",
    "not scored": "quality was not scored, and the tokens differ from the reference's",
    "no reference score": "the reference's quality was not scored, and its tokens are not the cell's",
    "no candidate": "no arm was paired with this reference",
}
"""Reasons for a verdict, or for its absence."""
MIN_PAIRS = 6
"""Fewest clean pairs for a verdict: below six, no order-statistic interval of a median reaches 95 %."""
DELTA = 0.03
"""Smallest δ: a ratio this close to 1 has no practical meaning, even if noise is smaller or was not measured."""
MOST_EQUAL = 0.1
"""Largest margin within which times can be shown equal: on a machine so noisy that δ is wider, nothing is."""
PAIRED_NOISE, FALLBACK = "A/A pairs", "fallback"
OTHER_FLOORS = {"tau": "higher", "bound_gap": "lower"}
"""Quantities that a floor may name beside the metrics of outputs, and their better direction."""
ROUNDING_ULP = 2.0
"""Units in the last place by which the final rounding alone can swap two logits: each logit is off by at most half a
unit in each of two passes."""
LIKELIHOODS, GUARDS = ("scorer_nll",), ("distinct_2",)
"""Likelihoods, and the metrics checked in addition to them, because repetitive text is likely but not good."""


def on_test_prompts(row: Row) -> bool:
    """Return whether a cell ran its task's prompts, and not random tokens or the prompts reserved for tuning."""
    return not row["random_prompts"] and not row["tuning"]


def delta(noise: float | None) -> float:
    """Return δ: two times that differ by less count as equal. It is the larger of `DELTA` and the noise floor."""
    return DELTA if noise is None else max(DELTA, noise)


def equal_within(noise: float | None) -> float:
    """Return the margin within which two times are shown equal: δ, but at most `MOST_EQUAL`."""
    return min(delta(noise), MOST_EQUAL)


def speed(low: float | None, high: float | None, within: float) -> str | None:
    """Return FASTER, SLOWER or EVEN: a ratio's interval against 1 ± `within`; None without an interval."""
    if low is None or high is None:
        return None
    if low > 1 + within:
        return FASTER
    return SLOWER if high < 1 - within else EVEN


def verdict(row: Row) -> tuple[str | None, str | None]:
    """Return (verdict, key of `REASONS`) of a cell's row; (None, None) for a cell without a reference.

    Reads status, reference_decoder, random_prompts, n_pairs, ratio_low, ratio_high, delta, lossless, gate, quality,
    reference_quality, quality_difference_low, quality_difference_high, quality_margin and quality_better.
    """
    if row.get("reference_decoder") is None:
        return None, None
    if row["status"] != "ok":
        return NOT_COMPARABLE, "unfinished"
    shown = speed(row.get("ratio_low"), row.get("ratio_high"), row["delta"])
    if shown is None or (row.get("n_pairs") or 0) < MIN_PAIRS:
        return NOT_COMPARABLE, "few pairs"
    if row.get("random_prompts"):
        return shown, "other prompts"
    if row.get("gate"):
        return shown, "ratio"
    if row.get("quality") is None:
        return NOT_COMPARABLE, "not scored"
    if row.get("reference_quality") is None:
        return NOT_COMPARABLE, "no reference score"
    if row.get("shown_worse"):
        return WORSE, "worse"
    if row.get("gate") is None:
        return NOT_COMPARABLE, "no interval"
    # Where the main metric alone would do, its guard has decided.
    ends = row["quality_difference_low"], row["quality_difference_high"]
    alone = not_worse(ends, row["quality_better"] == "lower", row["quality_margin"])
    return NOT_COMPARABLE, "guard" if alone else "few prompts"


def lower_is_better(metric: str, content: Row | None = None) -> bool:
    """Return whether a lower value is better: by the score's own `better`, else by the metric's entry in `METRICS`.

    Raises:
        UserError: the score has no `better`, and no such metric exists.
    """
    declared = (content or {}).get("better") or OTHER_FLOORS.get(metric)
    return (declared or METRICS.load(metric).better) == "lower"


def margin(metric: str, margins: dict[str, float]) -> float:
    """Return the study's margin of a metric, else the margin that the metric declares."""
    return margins[metric] if metric in margins else METRICS.load(metric).margin


def main_metric(score: Source) -> tuple[str, Row]:
    """Return name and content of the workload's main metric, which counts as its quality."""
    name = score.body["main"]
    if name not in score.body["metrics"]:
        fix = "score this cell again"
        raise UserError(score.path, f"has no metric {name!r}, which it calls its main one", fix)
    return name, score.body["metrics"][name]


def per_prompt(score: Source, metric: str) -> dict[Any, float] | None:
    """Return values by prompt id (by position if the score names no prompts); None if the metric has no values."""
    content = score.body["metrics"].get(metric) or {}
    values = content.get("per_prompt")
    if not values:
        return None
    names = content.get("prompts") or score.body.get("prompts") or range(len(values))
    if len(names) != len(values):
        message = f"metric {metric!r} has {len(values)} values for {len(names)} prompts"
        raise UserError(score.path, message, "score again")
    return {name: math.nan if v is None else float(v) for name, v in zip(names, values, strict=True)}


def difference(score: Source, reference: Source, metric: str) -> Estimate | None:
    """Return the estimate of score - reference, paired by prompt; None if either lacks values per prompt.

    Raises:
        UserError: the outputs were scored on different prompts.
    """
    a, b = (per_prompt(source, metric) for source in (score, reference))
    if a is None or b is None:
        return None
    # A prompt too long for one side is listed as lost; the other prompts still form pairs.
    lost = score.body.get("lost") or reference.body.get("lost")
    if a.keys() != b.keys() and not lost:
        raise UserError(score.path, f"was scored on other prompts than {reference.path}", "score both again")
    names = sorted(a.keys() & b.keys(), key=str)
    span = METRICS.load(metric).span if metric in METRICS else None
    return statistics.paired_difference([a[k] for k in names], [b[k] for k in names], span)


def not_worse(ends: tuple[float | None, float | None], lower: bool, within: float) -> bool | None:
    """Return whether a difference with an interval of these ends is shown to be at most the margin `within` worse; None
    without an interval. lower: whether a lower value is better."""
    low, high = ends
    if low is None or high is None:
        return None
    return bool(high < within if lower else low > -within)


def guarded(score: Source, reference: Source, margins: dict[str, float]) -> bool | None:
    """Return whether each guard that both were scored by is shown to be at most its margin worse; None where one has no
    interval and none fails."""
    shown = []
    for name in GUARDS:
        if name in score.body["metrics"] and name in reference.body["metrics"]:
            gap = difference(score, reference, name)
            ends = (None, None) if gap is None else (gap.low, gap.high)
            shown.append(not_worse(ends, lower_is_better(name), margin(name, margins)))
    return False if False in shown else None if None in shown else True


def with_ends(column: str, content: Row) -> Row:
    """Return a score's value and its interval, as three columns."""
    ends = {column: "value", f"{column}_low": "low", f"{column}_high": "high"}
    return {name: content.get(key) for name, key in ends.items()}


def quality(
    path: str | None,
    reference_path: str | None,
    scores: dict[str, Source],
    margins: dict[str, float],
    lossless: bool | None = None,
) -> Row:
    """Return the quality columns of a cell scored at `path`, against the reference scored at `reference_path`.

    lossless: whether the cell's timed tokens equal its reference's; overruled by scores that differ on a prompt.
    """
    score, reference = scores.get(path or ""), scores.get(reference_path or "")
    row: Row = {"lossless": lossless, "gate": True if lossless else None, "shown_worse": None}
    if score is None or score.body.get("status", "ok") != "ok":
        return row
    name, content = main_metric(score)
    lower, per = lower_is_better(name, content), content.get("per_prompt")
    row |= {
        **with_ends("quality", content),
        "quality_n": content.get("n") or (len(per) if per else None),
        "quality_metric": name,
        "quality_better": "lower" if lower else "higher",
    }
    spread = score.body["metrics"].get("distinct_2")
    if spread:
        row |= with_ends("distinct_2", spread)
    if reference is None or reference.body.get("status", "ok") != "ok":
        return row
    if name not in reference.body["metrics"]:
        raise UserError(reference.path, f"lacks metric {name!r} of {score.path}", "score both again")
    row |= with_ends("reference_quality", reference.body["metrics"][name])
    gap, within = difference(score, reference, name), margin(name, margins)
    row["quality_margin"] = within
    if gap is None:
        return row
    row |= {
        "quality_difference": gap.value,
        "quality_difference_low": gap.low,
        "quality_difference_high": gap.high,
        "quality_pairs": gap.n,
    }
    a, b = per_prompt(score, name), per_prompt(reference, name)
    if lossless and any(abs(a[k] - b[k]) > 1e-6 * max(1.0, abs(a[k])) for k in a.keys() & b.keys()):
        row["lossless"] = lossless = False
    if gap.low is not None:
        row["shown_worse"] = bool(gap.low > 0 if lower else gap.high < 0)
    equal = not_worse((gap.low, gap.high), lower, within)
    if equal and name in LIKELIHOODS:
        equal = guarded(score, reference, margins)
    row["gate"] = True if lossless else equal
    return row


def same_tokens(
    outputs: Sequence[Row] | None,
    reference: Sequence[Row] | None,
    trim: dict[str, int],
    precision: str | None,
) -> Row:
    """Return {lossless, lossless_prompts}: whether tokens equal the reference's on all shared prompts, and how many
    prompts are shared.

    trim: by prompt, the number of tokens before the end token (later tokens are ignored); prompts that it lacks are
    compared whole.
    """
    a, b = ({str(one["prompt"]): one for one in side or ()} for side in (outputs, reference))
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return {"lossless": None, "lossless_prompts": None}
    reach = max((one.get("behind_ulp") or 0.0 for one in b.values()), default=0.0)
    same = all(
        faithful(
            a[p]["tokens"][: trim.get(p)],
            b[p]["tokens"][: trim.get(p)],
            precision,
            a[p].get("behind_ulp"),
            reach,
        )
        for p in shared
    )
    return {"lossless": same, "lossless_prompts": len(shared)}


def faithful(
    tokens: Sequence[int], right: Sequence[int], precision: str | None, behind: float | None, reach: float
) -> bool:
    """Return whether an output has the tokens of the same model's sequential decoding, up to rounding.

    In float32 every token must match. In shorter formats, passes of another shape round differently, and tokens may
    differ where two logits nearly tie (Yuan et al. 2025, arXiv 2506.09501). Such an output is faithful if every token,
    given the tokens before it, is the model's best up to rounding: at most `ROUNDING_ULP` units in the last place
    `behind` the best, or at most `reach`, the worst of the sequential outputs.
    """
    if tuple(tokens) == tuple(right):
        return True
    exact = precision in (None, "float32")
    return not exact and behind is not None and behind <= max(ROUNDING_ULP, reach)


def useful_tokens(samples: Iterable[Row], reference: Iterable[Row]) -> dict[str, int]:
    """Return by prompt the number of tokens before the end token, the larger of both sides.

    Only samples of a single prompt count.
    """
    kept: dict[str, int] = {}
    for sample in (*samples, *reference):
        if len(sample["prompts"]) == 1:
            prompt = str(sample["prompts"][0])
            kept[prompt] = max(kept.get(prompt, 0), sample["useful"])
    return kept


COLUMNS = columns("""
quality             interval of=quality_n kind=quality better=quality_better | the task's main metric on held-out
    prompts
quality_n           size prompts | prompts scored
quality_metric      text | which metric: exact (higher is better), scorer_nll in nats/token (lower is better), ...
quality_better      text | higher or lower
reference_quality   interval of=quality_n kind=quality better=quality_better | the reference's, on the same prompts
quality_difference  interval of=quality_pairs kind=quality better=quality_better | cell - reference, mean over the
    same prompts
quality_pairs       size prompts | prompts scored for both
quality_margin      number kind=exact | how much worse still counts as equal
distinct_2          interval of=quality_n kind=quality better=higher label=distinct-2 | distinct share of the
    generated text's bigrams
gate                flag label="equal quality" | whether quality is shown equal: lossless, or the paired difference's
    interval lies above minus the margin (for a likelihood that of distinct-2 too)
shown_worse         flag | whether the paired difference's interval lies wholly on the worse side of 0
lossless            flag | whether its tokens are the reference's on every prompt that both were timed on, and no
    score differs; empty where none was recorded
lossless_prompts    size prompts | prompts whose tokens were compared
noise_floor         number kind=precision | half-width of the A/A ratios; empty where the study measured none
delta               number kind=precision label=δ | δ, what counts as no difference: 3 %, or the noise floor where
    that is wider
noise_source        text | where δ comes from: A/A pairs, or fallback where there are none
speed               text | faster, slower or no difference shown: the ratio's interval against 1 ± δ, whatever the
    quality
verdict             text | faster, no difference shown, slower, worse, not comparable: speed at equal quality; empty
    for a cell that is paired with nothing
verdict_reason      text | what decided it
""")
