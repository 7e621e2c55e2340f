"""Compare two runs value by value: does the second reproduce the first?

The kind of a value's column decides its rule (`pardec.audit.agreement`). Values with an interval, or with one in their
row, are tested: the 95 % interval of the difference against 0. p is adjusted by Holm's method over all distinct numbers
tested, since one in twenty correct 95 % intervals misses; values with p < 0.05 differ. `Comparison.missed` counts the
misses before the adjustment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pardec.audit.agreement import DIFFERS, NOT_COMPARABLE, REPRODUCED, Pair, agree, kind, process_noise
from pardec.audit.run import Run
from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.prepared import validated
from pardec.decoding.registry import DECODERS
from pardec.evidence.claims import NOT_RUN
from pardec.evidence.tables.machine import flatten
from pardec.evidence.verdicts import PROPOSED

statistics = lazy("pardec.evidence.statistics")
parquet = lazy("pyarrow.parquet")

ALPHA = 0.05
VERDICTS = (DIFFERS, NOT_COMPARABLE, REPRODUCED)
NOTHING = "no value in either"
SHAPE = (
    "task", "data", "model", "family", "arm", "decoder", "settings", "engine", "precision", "device", "threads",
    "batch", "prompt_tokens", "new_tokens", "companions",
)  # fmt: skip
"""Fields that identify a cell's configuration."""
PLATFORM = ("cpu", "gpu", "torch", "device", "python")
"""Facts of the machine that affect the last digits of a model's results."""
SAMPLE_COUNTS = ("useful", "nfe", "token_forwards")
"""Fields of a sample that depend on its prompts, not on a clock."""
ANSWERS = "results/tables/answers.parquet"
SECTIONS = ("measure", "models", "data", "arms", "workloads", "likelihood")
UNASKED = (NOT_RUN, PROPOSED)
"""Words for a claim or an idea that a study does not run."""
RULE = (
    "Reproduced: the 95 % interval of the difference covers 0. Its standard error comes from both intervals (normal "
    "theory, MOVER), for absolute timings also from the noise between processes, which each run measures on its "
    "reference arms; a timing without an interval uses the relative interval of its row's latency. p is adjusted by "
    "Holm over all distinct numbers tested. Counts and qualities of the same prompts must be equal, "
    "memory within one percent; counts of a decoder that chooses by the clock are not compared."
)


@dataclass(frozen=True)
class Judged:
    """The verdict on one value. a, b: entries of values.json, None if missing. p: adjusted, if tested."""

    id: str
    verdict: str
    why: str
    a: dict[str, Any] | None
    b: dict[str, Any] | None
    p: float | None = None

    @property
    def change(self) -> float | None:
        """Return b / a - 1; None if either is missing or a is 0."""
        first, second = ((side or {}).get("value") for side in (self.a, self.b))
        return None if first in (None, 0) or second is None else second / first - 1


@dataclass
class Comparison:
    """Comparison of two runs.

    judged: every value of either run, in order. machine, study, verdicts: {name: (a, b)} that differ; verdicts are
    those of claims, ideas and answers. noise: larger noise floor of both runs, if measured. processes: per run, the
    relative standard deviation between processes of one configuration. raw: p of every distinct number tested, not
    adjusted.
    """

    labels: tuple[str, str]
    judged: list[Judged]
    machine: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    study: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    verdicts: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    noise: float | None = None
    processes: tuple[float | None, float | None] = (None, None)
    raw: tuple[float, ...] = ()

    @property
    def facts(self) -> dict[str, dict[str, tuple[Any, Any]]]:
        """Return the differences apart from values, by title, without empty parts."""
        titles = {
            "The machines differ in": self.machine,
            "The studies differ in": self.study,
            "Verdicts that changed": self.verdicts,
        }
        return {title: facts for title, facts in titles.items() if facts}

    def of(self, verdict: str) -> list[Judged]:
        """Return the values of one verdict, largest differences first."""
        chosen = [one for one in self.judged if one.verdict == verdict]
        return sorted(chosen, key=lambda one: (one.p or 0.0, -abs(one.change or 0.0), one.id))

    def count(self, verdict: str) -> int:
        """Return how many of the judged values have this verdict."""
        return sum(one.verdict == verdict for one in self.judged)

    def reasons(self) -> Counter:
        """Return how many values have each pair of verdict and reason."""
        return Counter((one.verdict, one.why) for one in self.judged)

    def distinct(self, kinds: Iterable[str]) -> list[Judged]:
        """Return the values of `kinds` that have a number in the first run; of repeats of a number, the first."""
        chosen = {
            _number(one): one
            for one in reversed(self.judged)
            if one.a is not None and one.a["value"] is not None and kind(one.id, one.a) in kinds
        }
        return list(reversed(chosen.values()))

    @property
    def missed(self) -> int:
        """Return the number of tested numbers whose interval of the difference excludes 0, before the adjustment."""
        return sum(p < ALPHA for p in self.raw)

    @property
    def share(self) -> float | None:
        """Return the share of reproduced values among the comparable ones, without those missing in both runs."""
        right = sum(one.verdict == REPRODUCED and one.why != NOTHING for one in self.judged)
        wrong = self.count(DIFFERS)
        return right / (right + wrong) if right + wrong else None

    def sentences(self) -> Iterator[str]:
        """Yield a summary of the comparison in a few sentences."""
        share = "" if self.share is None else f" ({self.share:.2%} of those that can be judged)"
        yield (
            f"{self.count(REPRODUCED)} reproduced{share}, {self.count(DIFFERS)} differ, "
            f"{self.count(NOT_COMPARABLE)} not comparable."
        )
        if self.raw:
            yield (
                f"{len(self.raw)} distinct numbers were tested, and {self.missed / len(self.raw):.1%} of their "
                f"intervals exclude 0: by chance alone {ALPHA:.1%} would."
            )
        if None not in self.processes:
            first, second = self.processes
            yield (
                f"Processes of one configuration scatter by {first:.1%} in the first run and {second:.1%} in the "
                "second."
            )
        if self.count(DIFFERS) and self.noise is not None:
            within = sum(abs(one.change or 1.0) <= self.noise for one in self.of(DIFFERS))
            yield (
                f"{within} of those that differ do so by less than the runs' own noise floor ({self.noise:.1%})."
            )


def compare(a: Run, b: Run, times: bool = True) -> Comparison:
    """Return the comparison of every value of `a` and `b`. times: whether absolute times and memory are compared.

    Raises:
        UserError: a run has no values, or an archive is damaged.
    """
    for run in (a, b):
        run.refuse_damage()
    first, second = a.values()["values"], b.values()["values"]
    both = _Both(a, b, times)
    ids = [*first, *(ident for ident in second if ident not in first)]
    judged = [judge(ident, first.get(ident), second.get(ident), both) for ident in ids]
    judged, raw = _adjusted(judged)
    studies = [_facts({k: (run.json("results/study.json") or {}).get(k) for k in SECTIONS}) for run in (a, b)]
    return Comparison(
        (a.label, b.label),
        judged,
        _unlike(*both.machines),
        _unlike(*studies),
        _turned(_words(a), _words(b)),
        _noise(first, second),
        both.processes,
        raw,
    )


def _adjusted(judged: list[Judged]) -> tuple[list[Judged], tuple[float, ...]]:
    """Return verdicts with p adjusted over all numbers tested, and raw p; repeats of a number count once."""
    keys = [None if one.p is None else _number(one) for one in judged]
    pairs = zip(keys, judged, strict=True)
    raw = {key: one.p for key, one in pairs if key is not None and one.p is not None}
    adjusted = dict(zip(raw, statistics.holm(list(raw.values())).tolist(), strict=True))
    final = []
    for key, one in zip(keys, judged, strict=True):
        if key is not None:
            p = adjusted[key]
            verdict = DIFFERS if p < ALPHA else REPRODUCED
            why = "the interval of the difference excludes 0" if p < ALPHA else one.why
            one = Judged(one.id, verdict, why, one.a, one.b, p)
        final.append(one)
    return final, tuple(raw.values())


def _number(one: Judged) -> tuple:
    ends = ("value", "ci_low", "ci_high")
    a, b = one.a or {}, one.b or {}
    records = tuple(a.get("records") or [one.id])
    return (*records, a.get("unit"), *(side.get(end) for side in (a, b) for end in ends))


def judge(ident: str, a: dict[str, Any] | None, b: dict[str, Any] | None, both: _Both) -> Judged:
    """Return the verdict on one value before the adjustment; `p` is raw."""

    def judged(verdict: str, why: str, p: float | None = None) -> Judged:
        return Judged(ident, verdict, why, a, b, p)

    if a is None or b is None:
        return judged(NOT_COMPARABLE, "only in the second run" if a is None else "only in the first run")
    if (a.get("unit") or "") != (b.get("unit") or ""):
        return judged(NOT_COMPARABLE, "another unit")
    if both.shapes_differ(a, b):
        return judged(NOT_COMPARABLE, "other settings of its cell")
    if both.cells_differ and set(a.get("records") or ()) != set(b.get("records") or ()):
        return judged(NOT_COMPARABLE, "rests on other cells")
    x, y = a["value"], b["value"]
    if x is None and y is None:
        return judged(REPRODUCED, NOTHING)
    if x is None or y is None:
        return judged(NOT_COMPARABLE, f"no value in the {'first' if x is None else 'second'} run")
    opinion = agree(both.pair(ident, a, b))
    return judged(opinion.verdict, opinion.why, opinion.p)


class _Both:
    """Facts of both runs other than their values; each pair of records is read once."""

    def __init__(self, a: Run, b: Run, times: bool = True):
        self.a, self.b, self.times = a, b, times
        self.machines = [_facts(run.json("results/machine.json")) for run in (a, b)]
        first, second = self.machines
        kinds = [_processor(run) for run in (a, b)]
        self.same_platform = kinds[0] == kinds[1] and all(
            first.get(name) == second.get(name) for name in PLATFORM
        )
        self.processes = (_processes(a), _processes(b))
        self.noise = (self.processes[0] or 0.0, self.processes[1] or 0.0)
        self.shapes: dict[tuple[str, ...], bool] = {}
        self.counts: dict[tuple[str, ...], tuple[bool | None, bool]] = {}
        self.clocks: dict[tuple[str, ...], bool] = {}

    def pair(self, ident: str, a: dict[str, Any], b: dict[str, Any]) -> Pair:
        row = ident.rpartition("/")[0]
        beside = [run.values()["values"].get(f"{row}/latency_ms") for run in (self.a, self.b)]
        timed = all(value is not None and value["value"] is not None for value in beside)
        latency = tuple(beside) if timed else None
        same, other_prompts = self.same_counts(a, b)
        clocked = self.clocked(_shared(a, b))
        sides = (a, b, latency, self.noise, self.same_platform)
        return Pair(ident, *sides, same, other_prompts, clocked, self.times)

    @cached_property
    def cells_differ(self) -> bool:
        """Return whether the runs have other cells: a number drawn from many of them is then another number."""
        # Where a run is made again, its folder of cells is a link, which `files` does not follow.
        folders = [run.folder / "cells" for run in (self.a, self.b)]
        first, second = ({path.relative_to(at) for path in at.rglob("timing.json")} for at in folders)
        return first != second

    def shapes_differ(self, a: dict[str, Any], b: dict[str, Any]) -> bool:
        """Return whether a record behind both values has another configuration in the second run."""
        key = _shared(a, b)
        if key not in self.shapes:
            # A finding may use another cell in the second run, so only records of both values are compared.
            self.shapes[key] = any(self._shape(self.a, path) != self._shape(self.b, path) for path in key)
        return self.shapes[key]

    @staticmethod
    def _shape(run: Run, path: str) -> Any:
        cell = (run.json(path) or {}).get("cell")
        return {key: cell.get(key) for key in SHAPE} if isinstance(cell, dict) else None

    def same_counts(self, a: dict[str, Any], b: dict[str, Any]) -> tuple[bool | None, bool]:
        """Return whether prompts timed in both runs gave the same counts, None if no prompt was timed in both; and
        whether this is because both timed other prompts."""
        key = _shared(a, b)
        if key not in self.counts:
            same, apart = [], []
            for path in key:
                first, second = (_counts(run.json(path)) for run in (self.a, self.b))
                same += [first[prompts] == second[prompts] for prompts in first.keys() & second.keys()]
                apart.append(bool(first and second))
            self.counts[key] = (all(same) if same else None, any(apart) and not same)
        return self.counts[key]

    def clocked(self, key: tuple[str, ...]) -> bool:
        """Return whether a decoder behind these records chooses by the duration of its cycles."""
        if key not in self.clocks:
            self.clocks[key] = any(_clocked((self.a.json(path) or {}).get("cell")) for path in key)
        return self.clocks[key]


def _clocked(cell: Any) -> bool:
    if not isinstance(cell, dict) or cell.get("decoder") not in DECODERS:
        return False
    decoder = cell["decoder"]
    try:
        return DECODERS.load(decoder).clocked(validated(decoder, cell.get("settings") or {}))
    except UserError:
        return False  # settings of another version


def _processor(run: Run) -> Any:
    """Return the processor's family, model and stepping; processors of several generations may have one name."""
    signed = (run.json("results/machine.json") or {}).get("provenance") or {}
    return (signed.get("machine") or {}).get("cpu_kind")


def _shared(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(set(a.get("records") or []) & set(b.get("records") or [])))


def _counts(record: Any) -> dict[tuple, set[tuple]]:
    """Return the counts of each batch of prompts: one tuple, or several if decoding is random."""
    samples = record.get("samples") if isinstance(record, dict) else None
    by_prompts: dict[tuple, set[tuple]] = {}
    for sample in samples if isinstance(samples, list) else []:
        if isinstance(sample, dict) and "prompts" in sample:
            counts = tuple(sample.get(name) for name in SAMPLE_COUNTS)
            by_prompts.setdefault(tuple(sample["prompts"]), set()).add(counts)
    return by_prompts


def _processes(run: Run) -> float | None:
    try:
        return process_noise(parquet.read_table(run.path("results/tables/cells.parquet")).to_pylist())
    except (OSError, ValueError, KeyError):
        return None  # without the table the noise between processes is unknown


def _words(run: Run) -> dict[str, Any]:
    """Return verdicts by id: of claims, of ideas, and of each experiment's answer."""
    claims = (run.json("results/claims.json") or {}).get("claims") or []
    ideas = (run.json("results/verdicts.json") or {}).get("ideas") or []
    words = {f"claim {claim['id']}": claim.get("verdict") for claim in claims}
    words |= {f"idea {idea['id']}": idea.get("status") for idea in ideas if "id" in idea}
    try:
        answers = parquet.read_table(run.path(ANSWERS), columns=["key", "verdict"]).to_pylist()
    except (OSError, ValueError, KeyError):
        return words  # without the table no answer can have turned
    return words | {f"answer {row['key']}": row["verdict"] for row in answers}


def _turned(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return verdicts that differ; what either run did not ask about has none that could turn."""
    return {name: pair for name, pair in _unlike(a, b).items() if not {None, *UNASKED} & {*pair}}


def _facts(body: Any) -> dict[str, Any]:
    """Return leaves by dotted name, without provenance."""
    return dict(flatten(body, mark=".")) if isinstance(body, dict) else {}


def _unlike(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = [*a, *(name for name in b if name not in a)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


def _noise(*runs: dict[str, dict[str, Any]]) -> float | None:
    """Return the widest A/A half-width of both runs; None if neither measured it."""
    widths = [
        value["value"]
        for values in runs
        for ident, value in values.items()
        if ident.startswith("noise/") and ident.endswith("/half_width") and value["value"] is not None
    ]
    return max(widths, default=None)
