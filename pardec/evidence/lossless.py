"""Whether a drafting arm wrote the target's own greedy tokens, and where not, how close a call it was.

In float32 tokens are the same or wrong. In a shorter format passes of another shape round differently, and a token may
part from the sequential arm's where two logits all but tie. There an output is lossless whose every token is, given
those before it, the target's best up to rounding: no farther behind the best than `ROUNDING_ULP`, or than the target's
own sequential outputs of the same cells show, whichever is more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pardec.decoding.divergence import parting
from pardec.evidence import drafting
from pardec.evidence.drafting import Side, Trial

ROUNDING_ULP = 2.0
"""By so many units in the last place two logits change places by the last rounding alone: each of both is off by at
most half of one, in either of two passes."""


@dataclass
class Greedy:
    """What sequential decoding of one target wrote on one canvas, by prompt. reach: by how many units in the last place
    its own worst token lies behind the best of a plain pass."""

    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reach: float = 0.0


def greedy_outputs(found: Iterable[Trial]) -> dict[tuple, Greedy]:
    """The target's own greedy outputs by (task, model, canvas, precision), from every sequential arm in `found`."""
    known: dict[tuple, Greedy] = {}
    for trial in found:
        for side in filter(None, (trial.own, trial.other)):
            if side.cell["decoder"] == drafting.SEQUENTIAL and not side.sampled:
                told = known.setdefault(_shape(trial, side), Greedy())
                told.tokens = {**side.outputs, **told.tokens}
                told.reach = max(told.reach, *side.behind.values(), 0.0)
    return known


def held(trial: Trial, prompt: str, greedy: dict[tuple, Greedy]) -> dict[str, Any]:
    """Columns of one prompt: lossless; parts_at, margin: where its tokens part from the target's, and by how many nats
    the best logit exceeds the second there; behind: how far its worst token lies behind the best. Empty where outputs
    are drawn, or no sequential arm wrote any."""
    target = greedy.get(_shape(trial, trial.own))
    own = trial.own.outputs.get(prompt)
    right = target.tokens.get(prompt) if target else None
    if trial.own.sampled or own is None or right is None:
        return {}
    behind = trial.own.behind.get(prompt)
    at = parting(own, right)
    if at is None:
        return {"lossless": True, "behind": behind}
    margins = trial.own.margins.get(prompt) or []
    exact = trial.own.cell.get("precision") in (None, "float32")
    return {
        "lossless": not exact and behind is not None and behind <= max(ROUNDING_ULP, target.reach),
        "parts_at": at,
        "margin": margins[at] if at < len(margins) else None,
        "behind": behind,
    }


def _shape(trial: Trial, side: Side) -> tuple:
    return trial.task, side.cell["model"], side.cell["new_tokens"], side.cell.get("precision")
