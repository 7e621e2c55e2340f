"""Verdicts on ideas: effects from paired prompts, and rules that turn effects into a status.

An effect is the geometric mean over prompts of a ratio of two arms of one process. Prompts are resampled within their
workload, which counts as much as any other workload (rescaling bootstrap: Rao and Wu 1988). p tests a ratio of one, by
Student's t on the logarithms, in the run with the weaker evidence; it is adjusted over all ideas by Holm's method.

What counts as no difference is `comparison.delta`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pardec.common.errors import UserError
from pardec.evidence.ideas import BEST_FIXED, Idea, Ideas, load_ideas
from pardec.evidence.sentences import Piece, Values, cell, ids, name, text_of
from pardec.evidence.statistics import RESAMPLES, SEED, Estimate

PROPOSED, IMPLEMENTED = "proposed", "implemented"
VALIDATED, REJECTED, EQUIVALENT, INCONCLUSIVE = "validated", "rejected", "equivalent", "inconclusive"
STATUSES = (PROPOSED, IMPLEMENTED, VALIDATED, REJECTED, EQUIVALENT, INCONCLUSIVE)
ALPHA = 0.05
LEAST_PROMPTS, LEAST_WORKLOADS, LEAST_RUNS = 24, 3, 2
NOT_RUN = "no cell of this study ran it"
NO_EXPERIMENT = "this study has no experiment on drafting"
MOST_UNDRAFTED = 0.5
"""An arm that drafts in fewer of its cycles than this has fallen back to sequential decoding."""

PLAIN = {
    VALIDATED: "Faster", REJECTED: "Not faster", EQUIVALENT: "No difference", INCONCLUSIVE: "Not settled",
    IMPLEMENTED: "Not judged yet", PROPOSED: "Not run",
}  # fmt: skip
TAU = {
    VALIDATED: "which is a gain", REJECTED: "which is a loss", EQUIVALENT: "which is no difference",
    INCONCLUSIVE: "which settles nothing",
}  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Ratio:
    """One prompt in one run: idea over its reference."""

    workload: str
    prompt: str
    run: int
    value: float


@dataclass(frozen=True)
class Effect:
    """An effect. pooled: over all runs, n counts prompts. runs, workloads: separate effects. p: of no effect, the
    largest of all runs; None if the spread is unknown."""

    pooled: Estimate
    runs: dict[int, Estimate]
    workloads: dict[str, Estimate]
    p: float | None

    def reach(self) -> float:
        """Return the largest distance of a run's interval from one: the half-width of an arm against itself."""
        ends = [
            end for run in self.runs.values() for end in (run.low, run.value, run.high) if end is not None
        ]
        return max(abs(end - 1) for end in ends)


@dataclass(frozen=True)
class Facts:
    """Further facts of a verdict.

    lossless: whether all tokens are those of the target's greedy decoding; None if unknown. by_law: whether outputs are
    drawn, so that tokens prove nothing. control: whether the machinery without the idea gave the reference's tokens and
    taus; None if it was not run. fell_back, peeked: faults of the measured arm.
    """

    lossless: bool | None
    control: bool | None
    by_law: bool = False
    fell_back: bool = False
    peeked: bool = False


@dataclass(frozen=True)
class Decision:
    """A decision. reason: half a sentence. prompts, runs: the numbers that would decide, if more of them can."""

    status: str
    reason: str
    prompts: int | None = None
    runs: int | None = None


def effect(ratios: Iterable[Ratio]) -> Effect | None:
    """Return the effect of positive, finite ratios; None without any."""
    good = [ratio for ratio in ratios if ratio.value > 0 and math.isfinite(ratio.value)]
    if not good:
        return None
    by_run: dict[int, list[Ratio]] = defaultdict(list)
    by_workload: dict[str, list[Ratio]] = defaultdict(list)
    for ratio in good:
        by_run[ratio.run].append(ratio)
        by_workload[ratio.workload].append(ratio)
    runs = {run: _estimate(_strata(group)) for run, group in sorted(by_run.items())}
    chances = [_no_effect(_strata(group)) for group in by_run.values()]
    return Effect(
        _estimate(_strata(good)),
        runs,
        {name: _estimate(_strata(group)) for name, group in sorted(by_workload.items())},
        None if None in chances else max(chances),
    )


def _strata(ratios: Sequence[Ratio]) -> list[NDArray[np.float64]]:
    """Return logarithms by workload, one per prompt: runs of a prompt are averaged, since prompts are the samples."""
    logs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for ratio in ratios:
        logs[ratio.workload][ratio.prompt].append(math.log(ratio.value))
    return [np.array([np.mean(values) for values in prompts.values()]) for _, prompts in sorted(logs.items())]


def _estimate(strata: list[NDArray]) -> Estimate:
    count = sum(map(len, strata))
    middle = float(np.mean([stratum.mean() for stratum in strata]))
    if min(map(len, strata)) < 2:
        return Estimate(math.exp(middle), None, None, count)
    rng = np.random.default_rng(SEED)
    means = np.zeros(RESAMPLES)
    for stratum in strata:
        size = len(stratum)
        drawn = stratum[rng.integers(0, size, (RESAMPLES, size))].mean(axis=1) - stratum.mean()
        means += drawn * math.sqrt(size / (size - 1)) / len(strata)
    low, high = np.percentile(middle + means, [2.5, 97.5])
    return Estimate(math.exp(middle), math.exp(min(low, middle)), math.exp(max(high, middle)), count)


def _no_effect(strata: list[NDArray]) -> float | None:
    """Return two-sided p of a mean logarithm of zero; 0 or 1 if nothing varies."""
    if min(map(len, strata)) < 2:
        return None
    middle = float(np.mean([stratum.mean() for stratum in strata]))
    error = math.sqrt(sum(stratum.var(ddof=1) / len(stratum) for stratum in strata)) / len(strata)
    if error < 1e-15:
        return 1.0 if abs(middle) < 1e-15 else 0.0
    freedom = sum(map(len, strata)) - len(strata)
    return float(2 * stats.t.sf(abs(middle) / error, freedom))


FAULTS: tuple[tuple[str, str, Callable[[Effect, Facts], bool]], ...] = (
    (REJECTED, "its outputs are not those of the target", lambda effect, facts: facts.lossless is False),
    (REJECTED, "it committed more than it proposed, so it knew the target's", lambda effect, facts: facts.peeked),
    (INCONCLUSIVE, "its machinery differs from its reference even with the idea switched off",
     lambda effect, facts: facts.control is False),
    (INCONCLUSIVE, "in most of its cycles it proposed nothing", lambda effect, facts: facts.fell_back),
)  # fmt: skip
"""What decides before anything else does: status, reason, and when; the first that applies."""
TOO_LITTLE: tuple[tuple[str, Callable[[Effect], bool]], ...] = (
    ("a single run", lambda effect: len(effect.runs) < LEAST_RUNS),
    ("too few prompts", lambda effect: effect.pooled.n < LEAST_PROMPTS),
    ("too few workloads", lambda effect: len(effect.workloads) < LEAST_WORKLOADS),
    ("a single prompt of some workload",
     lambda effect: None in (effect.pooled.low, *(run.low for run in effect.runs.values()))),
)  # fmt: skip
"""What more measuring mends: no interval decides before it does."""
LACKING: tuple[tuple[str, Callable[[Facts], bool]], ...] = (
    (
        "its outputs were not compared with greedy ones",
        lambda facts: facts.lossless is None and not facts.by_law,
    ),
    ("its mechanism control was not run on every workload", lambda facts: facts.control is None),
)
"""Evidence of another kind, which more of the same does not replace."""


def decide(effect: Effect | None, facts: Facts, margin: float, p: float | None, tests: int = 1) -> Decision:
    """Return the status of an idea by its paired ratios. margin: `comparison.delta`. p: adjusted over all `tests`."""
    if effect is None:
        return Decision(PROPOSED, NOT_RUN)
    if faults := [(status, why) for status, why, applies in FAULTS if applies(effect, facts)]:
        return Decision(*faults[0])
    little = [what for what, applies in TOO_LITTLE if applies(effect)]
    lacking = [what for what, applies in LACKING if applies(facts)]
    if little:
        reason = "; ".join([f"too little was measured ({', '.join(little)})", *lacking])
        known = prompts_needed(effect, margin, tests)
        enough = None if known is None else max(LEAST_PROMPTS, known)
        return Decision(INCONCLUSIVE, reason, enough, max(LEAST_RUNS, len(effect.runs)))
    if lacking:
        return Decision(IMPLEMENTED, f"its evidence is incomplete: {lacking[0]}")
    return _by_interval(effect, margin, p, tests)


def _by_interval(effect: Effect, margin: float, p: float | None, tests: int) -> Decision:
    pooled, runs = effect.pooled, effect.runs.values()
    sure = p is not None and p < ALPHA
    if 1 - margin < pooled.low and pooled.high < 1 + margin:
        return Decision(EQUIVALENT, "its interval lies within what counts as no difference")
    hurt = _hurt(effect)
    if sure and all(run.low > 1 + margin for run in runs):
        if not hurt:
            return Decision(VALIDATED, "its interval lies above one by more than noise in every run")
        return Decision(INCONCLUSIVE, f"it gains on the whole and loses on {', '.join(hurt)}")
    if sure and all(run.high < 1 for run in runs):
        return Decision(REJECTED, "its interval lies below one in every run")
    return Decision(INCONCLUSIVE, _left_open(effect, sure), prompts_needed(effect, margin, tests))


def _hurt(effect: Effect) -> list[str]:
    """Return the workloads on which the idea is shown to lose."""
    return [name for name, ratio in effect.workloads.items() if ratio.high is not None and ratio.high < 1]


def _left_open(effect: Effect, sure: bool) -> str:
    """Return why neither a gain nor a loss nor equality is shown."""
    if effect.pooled.low < 1 < effect.pooled.high:
        return "its interval allows a gain and a loss"
    if any(run.low <= 1 <= run.high for run in effect.runs.values()):
        return "one run's own interval includes one"
    if not sure:
        return "among so many ideas such a difference may be chance"
    return "its gain is not surely more than an arm shows against itself"


def prompts_needed(effect: Effect, margin: float, tests: int = 1) -> int | None:
    """Return the number of prompts that would decide if estimates stay the same; None if no number would.

    Equality requires the pooled interval within `margin`. A gain or loss requires every run's interval beyond its
    border, and a p significant among `tests` ideas (Bonferroni, the first and strictest step of Holm's method). An
    interval's half-width falls with the root of the number of prompts, and a test's statistic grows with it. More
    prompts may also reveal a workload on which the idea loses; this is considered only if it shows already.
    """
    above, below = math.log1p(margin), math.log1p(-margin)
    if effect.pooled.low is None or any(run.low is None for run in effect.runs.values()):
        return None
    middle = math.log(effect.pooled.value)
    same = _prompts(effect.pooled, min(above - middle, middle - below))
    gain = max(_prompts(run, math.log(run.value) - above) for run in effect.runs.values())
    loss = max(_prompts(run, -math.log(run.value)) for run in effect.runs.values())
    by_test = _prompts_of_test(effect, tests)
    fewest = min(same, math.inf if _hurt(effect) else max(gain, by_test), max(loss, by_test))
    return None if math.isinf(fewest) else max(effect.pooled.n + 1, math.ceil(fewest))


def _prompts(estimate: Estimate, room: float) -> float:
    """Return the number of prompts at which an interval's half-width, in logarithms, is `room`; infinite if none."""
    half = (math.log(estimate.high) - math.log(estimate.low)) / 2
    return estimate.n * (half / room) ** 2 if room > 1e-6 else math.inf


def _prompts_of_test(effect: Effect, tests: int) -> float:
    """Return the number of prompts at which p is small enough among `tests` ideas, by the normal distribution."""
    if effect.p is None or effect.p >= 1:
        return math.inf
    needed, shown = stats.norm.isf(ALPHA / 2 / tests), stats.norm.isf(effect.p / 2)
    return effect.pooled.n * (needed / shown) ** 2


def judge_ideas(rows: list[Row], values: Values, path: str | Path | None = None) -> dict[str, Any]:
    """Return every idea with its verdict, in the order of its file.

    rows: table `ideas`, empty where the experiment was not run. values: published values. path: the file of ideas, the
    shipped one where None.

    The form is {"ideas": [idea]}, an idea being {id, number, title, seed: whether its document lists it, what, hope,
    why, status, sentence, pieces, settings: [setting], evidence: [value id]}; a setting is {arm, words, deciding,
    against, status, tau_status, ratio, runs: [interval], tau, tau_ratio, lossless, control, prompts, prompts_needed,
    sentence, pieces}, an interval [value, low, high].

    Raises:
        UserError: the file is wrong, or a sentence names a value that is not published.
    """
    ideas = load_ideas(path)
    judged = [
        _judged(ideas, idea, [row for row in rows if row["idea"] == idea.id], values) for idea in ideas.ideas
    ]
    lost = [ident for idea in judged for ident in idea["evidence"] if ident not in values]
    if lost:
        raise UserError(f"idea {lost[0]}", "rests on what is no value", "collect the values again")
    return {"ideas": judged}


def _judged(ideas: Ideas, idea: Idea, rows: list[Row], values: Values) -> dict[str, Any]:
    settings = [_setting(row, values) for row in rows]
    unrun = {
        "status": PROPOSED,
        "sentence": f"Not run: {NO_EXPERIMENT}.",
        "pieces": [f"Not run: {NO_EXPERIMENT}."],
    }
    first = next((one for one in settings if one["deciding"]), unrun)
    number = ideas.number(idea)
    return {
        "id": idea.id,
        "number": number,
        "title": idea.title,
        "seed": number <= ideas.seeded,
        "what": idea.what,
        "hope": idea.hope,
        "why": idea.why,
        **{key: first[key] for key in unrun},
        "settings": settings,
        "evidence": sorted({ident for one in settings for ident in ids(one["pieces"])}),
    }


def _setting(row: Row, values: Values) -> dict[str, Any]:
    pieces = sentence(row)
    same = ("arm", "words", "deciding", "against", "status", "tau_status", "margin", "lossless", "control")
    return {
        **{column: row[column] for column in (*same, "prompts", "workloads")},
        "ratio": _interval(row, "ratio"),
        "runs": [_interval(row, f"ratio_run{run}") for run in (1, 2) if row[f"ratio_run{run}"] is not None],
        "tau": [row["tau"], row["reference_tau"]],
        "tau_ratio": _interval(row, "tau_ratio"),
        "p": row["speed_p"],
        "prompts_needed": row["speed_prompts_needed"],
        "sentence": text_of(pieces, values),
        "pieces": pieces,
    }


def _interval(row: Row, column: str) -> list[float | None] | None:
    if row[column] is None:
        return None
    return [row[column], row[f"{column}_low"], row[f"{column}_high"]]


def sentence(row: Row) -> list[Piece]:
    """Return the sentence on one setting, in pieces that name their values."""
    if row["status"] == PROPOSED:
        return [f"{PLAIN[PROPOSED]}: {row['speed_reason']}."]
    if row["speed_status"] == row["status"] and row["ratio"] is None:
        return _instrument(row)
    pieces: list[Piece] = [f"{_plain(row)}: throughput is "]
    pieces += [cell("ideas", row, "ratio"), " that of ", *_against(row), f"; {row['speed_reason']}"]
    if row["status"] == INCONCLUSIVE and row["speed_prompts_needed"] is not None:
        pieces += ["; about ", cell("ideas", row, "speed_prompts_needed")]
        many = row["speed_runs_needed"] is not None
        pieces += [" in ", cell("ideas", row, "speed_runs_needed")] if many else []
        pieces += [" would settle its speed"]
    if row["tau_ratio"] is not None:
        pieces += ["; tau goes from ", cell("ideas", row, "reference_tau"), " to ", cell("ideas", row, "tau")]
        spoiled = row["lossless"] is False or row["control"] is False or row["fell_back"] or row["peeked"]
        pieces += [] if spoiled or row["tau_status"] not in TAU else [f", {TAU[row['tau_status']]}"]
    return [*pieces, "."]


def _plain(row: Row) -> str:
    if row["status"] == REJECTED and row["lossless"] is False:
        return "Not lossless"
    if row["status"] == REJECTED and row["ratio_high"] is not None and row["ratio_high"] < 1:
        return "Slower"
    return PLAIN[row["status"]]


def _against(row: Row) -> list[Piece]:
    return ["the best fixed block"] if row["against"] == BEST_FIXED else ["arm ", name(row["against"])]


def _instrument(row: Row) -> list[Piece]:
    pieces: list[Piece] = [f"{row['status'].capitalize()}: {row['speed_reason']}"]
    if row["accounted_share"] is not None:
        pieces += [
            "; the least share of cycle time in named phases is ",
            cell("ideas", row, "accounted_share"),
        ]
    return [*pieces, "."]
