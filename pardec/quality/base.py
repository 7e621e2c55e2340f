"""What a metric is: outputs in, one value with an interval and the values per prompt out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pardec.common.errors import UserError
from pardec.data.registry import TASKS

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
        """Plain numbers: libraries hand over numpy's own, which JSON does not know."""
        body = asdict(self)
        for key in ("value", "low", "high"):
            body[key] = _plain(body[key])
        return body | {"per_prompt": [_plain(value) for value in self.per_prompt]}


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)


@dataclass
class Context:
    """What some metrics need beside the outputs.

    scorer, scorer_tokenizer: a held-out autoregressive model. encoder: folder of a bidirectional encoder.
    seed: of bootstrap resampling. device: where models run. run_code: whether programs of a model may be run.
    """

    scorer: LanguageModel | None = None
    scorer_tokenizer: TextTokenizer | None = None
    encoder: str | Path | None = None
    seed: int = 0
    device: str = "cpu"
    run_code: bool = False
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of "scorer" and "encoder", status and reason of what could not be loaded: metrics that need it have no value."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What a metric adds to the score file about how it measured, by metric."""


class Metric(ABC):
    """A measure of outputs. One file, one registry line."""

    name: ClassVar[str]
    title: ClassVar[str]
    """How tables and figures call it."""
    better: ClassVar[Literal["higher", "lower"]]
    unit: ClassVar[str]
    span: ClassVar[tuple[float, float] | None] = None
    margin: ClassVar[float] = 0.05
    """How much worse still counts as equal where a study says nothing, in `unit`: as much as a user would trade for
    speed. Five of a hundred for shares. A study that can show less with its prompts should ask for less."""
    span: ClassVar[float | None] = None
    """The farthest that two outputs' values can lie apart; None where nothing bounds them."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Which of "answer", "scorer", "encoder" it cannot do without."""

    def measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        """Score outputs, records as in outputs.jsonl: {"id", "task", "prompt", "answer", "tokens", "text"}.

        Raises:
            UserError: no output, or something that the metric needs is missing.
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
        values = iter(scored.per_prompt)
        kept = {id(row) for row in scorable}
        return replace(scored, per_prompt=[next(values) if id(row) in kept else None for row in outputs])

    @abstractmethod
    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        """Score outputs; nothing that the metric needs is missing."""


def task_score(row: dict, key: str) -> float:
    """Score `key` of an output by its task; a prompt of no task is right where its text equals the answer.

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


def share_of(right: list[float]) -> Scored:
    """Return the share of outputs that are right, one or zero each, with Wilson's interval."""
    from pardec.quality.intervals import wilson

    low, high = wilson(int(sum(right)), len(right))
    return Scored(sum(right) / len(right), low, high, len(right), right)


def mean_of(outputs: Sequence[dict], score: Callable[[dict], float | None], seed: int) -> Scored:
    """Return the mean of a score per prompt, with a bootstrap interval over prompts."""
    from pardec.quality.intervals import bootstrap_mean

    values = [score(row) for row in outputs]
    kept = [value for value in values if value is not None]
    if not kept:
        return Scored(None, None, None, 0, values)
    low, high = bootstrap_mean(kept, seed)
    return Scored(sum(kept) / len(kept), low, high, len(kept), values)
