"""The interface of a metric: from outputs to one value with an interval, and one value per prompt."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pardec.common.errors import UserError
from pardec.data.registry import TASKS
from pardec.measure.finite import NotFinite

if TYPE_CHECKING:
    from pathlib import Path

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.base import LanguageModel


@dataclass(frozen=True)
class Scored:
    """A metric's result.

    value: over all prompts; None where no output could be scored. low, high: the ends of its 95 % interval,
    None where there are too few prompts for one. n: prompts that count. per_prompt: one value per prompt, in
    the order of the outputs; None where an output cannot be scored (an empty text has no likelihood per token, a prompt
    no answer).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    per_prompt: list[float | None]

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain numbers: libraries give numpy's types, which JSON lacks."""
        body = asdict(self)
        for key in ("value", "low", "high"):
            body[key] = _plain(body[key])
        return body | {"per_prompt": [_plain(value) for value in self.per_prompt]}


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)


@dataclass
class Context:
    """The input of some metrics beside the outputs.

    scorer, scorer_tokenizer: a held-out autoregressive model. encoder: folder of a bidirectional encoder. seed: of
    bootstrap resampling. device: on which models run. run_code: whether programs of a model may be run.
    """

    scorer: LanguageModel | None = None
    scorer_tokenizer: TextTokenizer | None = None
    encoder: str | Path | None = None
    seed: int = 0
    device: str = "cpu"
    run_code: bool = False
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Status and reason of a "scorer" or "encoder" that could not be loaded: metrics that need it have no value."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts for the score file about the measurement, by metric."""


def refuse_infinite(values: Iterable[float | None], what: str) -> None:
    """Raise NotFinite if one of the values is NaN or infinite: no file can contain it, nor any mean use it."""
    listed = list(values)
    bad = sum(value is not None and not math.isfinite(value) for value in listed)
    if bad:
        raise NotFinite(f"{bad} of {len(listed)} {what} are not finite")


def required(part: Any) -> Any:
    """Return a part of the context that the metric needs.

    Raises:
        RuntimeError: it is missing, though `Metric.measure` refuses such a context: `needs` does not name it.
    """
    if part is None:
        raise RuntimeError("a metric reads a part of its context that its `needs` do not name")
    return part


class Metric(ABC):
    """A measure of outputs. One file, one registry line."""

    name: ClassVar[str]
    title: ClassVar[str]
    """Its name in tables and figures."""
    better: ClassVar[Literal["higher", "lower"]]
    unit: ClassVar[str]
    margin: ClassVar[float] = 0.05
    """Default margin of non-inferiority, in `unit`: a loss that a user would trade for speed; 0.05 for shares. A study
    with enough prompts to show a smaller margin should set one."""
    span: ClassVar[float | None] = None
    """The largest possible difference of two outputs' values; None if it is unbounded."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """The ones of "answer", "scorer", "encoder" that it requires."""

    def measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        """Return the score of outputs, records as in outputs.jsonl: {"id", "task", "prompt", "answer", "tokens",
        "text"}.

        Raises:
            UserError: no output, or something that the metric needs is missing.
            NotFinite: a value is not finite, as those of a scorer whose logits are NaN.
        """
        if not outputs:
            raise UserError(f"metric {self.name!r}", "has no output to score", "generate outputs first")
        scorable = [row for row in outputs if row["answer"] is not None or "answer" not in self.needs]
        if not scorable:
            raise UserError(
                f"metric {self.name!r}", "needs answers, and no prompt has one", "drop this metric"
            )
        if "scorer" in self.needs and (context.scorer is None or context.scorer_tokenizer is None):
            raise UserError(
                f"metric {self.name!r}", "needs a scorer", "name an autoregressive model as scorer"
            )
        if "encoder" in self.needs and context.encoder is None:
            raise UserError(f"metric {self.name!r}", "needs an encoder", "give the folder of a local encoder")
        scored = self._measure(scorable, context)
        refuse_infinite(scored.per_prompt or [scored.value], "values")
        values = iter(scored.per_prompt)
        kept = {id(row) for row in scorable}
        return replace(scored, per_prompt=[next(values) if id(row) in kept else None for row in outputs])

    @abstractmethod
    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        """Return the score of outputs; all inputs of the metric are present."""


def task_score(row: dict, key: str) -> float:
    """Return the score `key` of an output by its task; without a task an output is right if it equals the answer.

    Raises:
        UserError: the task has no such score.
    """
    if row["task"] not in TASKS:
        scores = {"exact": float(row["text"] == row["answer"])}
    else:
        scores = TASKS.load(row["task"])().score(row["prompt"], row["answer"], row["text"])
    if key not in scores:
        fix = f"it has: {', '.join(scores)}"
        raise UserError(f"metric {key!r}", f"is not a score of task {row['task']!r}", fix)
    return scores[key]


def share_of(right: Sequence[float | None]) -> Scored:
    """Return the share of right outputs (1 or 0 each, None for one without a score), with Wilson's interval."""
    from pardec.quality.intervals import wilson

    kept = [value for value in right if value is not None]
    low, high = wilson(int(sum(kept)), len(kept))
    return Scored(sum(kept) / len(kept), low, high, len(kept), [*right])


def mean_of(outputs: Sequence[dict], score: Callable[[dict], float | None], seed: int) -> Scored:
    """Return the mean of a score per prompt, with a bootstrap interval over prompts."""
    from pardec.quality.intervals import bootstrap_mean

    values = [score(row) for row in outputs]
    kept = [value for value in values if value is not None]
    if not kept:
        return Scored(None, None, None, 0, values)
    low, high = bootstrap_mean(kept, seed)
    return Scored(sum(kept) / len(kept), low, high, len(kept), values)
