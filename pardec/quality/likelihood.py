"""Likelihood of held-out text: exact for an autoregressive model, an upper bound for a diffusion model.

The two have different types and columns, so that no table can mix them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.quality.base import refuse_infinite

if TYPE_CHECKING:
    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.base import LanguageModel

intervals = lazy("pardec.quality.intervals")


@dataclass(frozen=True)
class ExactLikelihood:
    """Negative log-likelihood in nats/token, lower is better.

    low, high: bootstrap interval over records, None for a single one. n: records. tokens: their answer tokens.
    """

    kind: ClassVar[str] = "exact"
    column: ClassVar[str] = "exact_nats_per_token"

    nats_per_token: float
    low: float | None
    high: float | None
    n: int
    tokens: int


@dataclass(frozen=True)
class BoundLikelihood:
    """Upper bound on the negative log-likelihood in nats/token, lower is better; not comparable as exact.

    low, high: bootstrap interval over records. standard_error: of the Monte-Carlo draws alone, for these records;
    None for a single draw. samples: draws per record.
    """

    kind: ClassVar[str] = "bound"
    column: ClassVar[str] = "bound_nats_per_token"

    nats_per_token: float
    low: float | None
    high: float | None
    n: int
    tokens: int
    samples: int
    standard_error: float | None


def as_json(result: ExactLikelihood | BoundLikelihood) -> dict[str, Any]:
    """Return the result with its kind and the only column in which it may appear."""
    return {"kind": result.kind, "column": result.column, **asdict(result)}


def encoded(
    records: Sequence[dict], tokenizer: TextTokenizer, ends: bool
) -> tuple[list[list[int]], list[list[int]], list[str]]:
    """Return prompts, answers and ids of the records that have an answer.

    ends: whether the end-of-sequence token belongs to an answer (not where an answer is cut out of a longer
    text).

    Raises:
        UserError: no record has an answer.
    """
    rows = [row for row in records if row["answer"]]
    if not rows:
        raise UserError("likelihood", "needs records with answers", "use another data set")
    pairs = [tokenizer.encode_pair(row["prompt"], row["answer"], end=ends) for row in rows]
    return [head for head, _ in pairs], [tail for _, tail in pairs], [row["id"] for row in rows]


def exact_likelihood(
    model: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], seed: int
) -> ExactLikelihood:
    """Return the exact nats per token of the answers under an autoregressive model."""
    from pardec.quality.autoregressive import answer_nats

    nats = [math.fsum(row) for row in answer_nats(model, prompts, answers)]
    refuse_infinite(nats, "likelihoods")
    sizes = [len(answer) for answer in answers]
    low, high = intervals.bootstrap_ratio(nats, sizes, seed)
    return ExactLikelihood(math.fsum(nats) / sum(sizes), low, high, len(nats), sum(sizes))


def bound_likelihood(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    names: Sequence[str],
    samples: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BoundLikelihood:
    """Return a Monte-Carlo estimate of the bound on the answers' nats per token under a masked-diffusion model."""
    from pardec.quality.diffusion import bound_draws

    draws = bound_draws(model, prompts, answers, names, samples, seed, progress=progress)
    nats = [statistics.fmean(row) for row in draws]
    refuse_infinite(nats, "likelihoods")
    sizes = [len(answer) for answer in answers]
    low, high = intervals.bootstrap_ratio(nats, sizes, seed)
    error = None
    if samples > 1:
        error = math.sqrt(sum(statistics.variance(row) / samples for row in draws)) / sum(sizes)
    return BoundLikelihood(
        math.fsum(nats) / sum(sizes), low, high, len(nats), sum(sizes), samples, standard_error=error
    )
