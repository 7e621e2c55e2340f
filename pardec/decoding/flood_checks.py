"""What a renderer wrote against what its hierarchy says: exactness by level, and whether energies rank it
first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.decoding.base import PromptBatch
    from pardec.models.architectures.renderer import Renderer

torch = lazy("torch")
PAD = 0


def check(
    expand: Callable[[Tensor, int, Tensor], Tensor], model: Renderer, prompts: PromptBatch
) -> list[dict]:
    """Return the facts of each prompt. Level 0: each root's chunks from the root. Level 1: each chunk's characters from
    the right chunk.

    expand: (conditions [N] long, level, seeds [N] long) -> what the decoder writes, [N, slots] long.

    Shares are null where there is nothing to write. `rank`: of pairs (right expansion, wrong one of the same
    condition), the share in which the right one has the lower energy; wrong ones lack their last token or
    have one replaced. `separation`: mean energy of the wrong less that of the right.
    """
    from pardec.models.training.objectives.renderer import substituted, truncated

    facts_of = []
    with torch.inference_mode():
        for row, seed in zip(prompts.tokens, prompts.seeds, strict=True):
            start, stop = model.config.conditions(0)
            roots = row[(row >= start) & (row < stop)]
            invalid = int((row != PAD).sum()) - len(roots)
            facts: dict[str, float | None] = {"roots": len(roots), "invalid": invalid}
            conditions = roots
            for level in (0, 1):
                right = model.expansion(level)[conditions - model.config.conditions(level)[0]]
                seeds = seed + torch.arange(len(conditions), device=conditions.device)
                out = expand(conditions, level, seeds)
                facts[f"level{level}"] = _share((out == right).all(-1))
                generator = torch.Generator().manual_seed(int(seed) % 2**31)
                # The generator is the host's, so that the same wrong expansions are drawn on any device.
                near = substituted(model, right.cpu(), level, generator).to(right.device)
                wrong = [truncated(right), near]
                gaps = [_gap(model, conditions, right, other, level) for other in wrong]
                facts[f"rank{level}"] = _share(torch.cat([gap > 0 for gap in gaps]))
                facts[f"separation{level}"] = _share(torch.cat(gaps))
                conditions = right.flatten()[right.flatten() != PAD]
            facts_of.append(facts)
    return facts_of


def _gap(model: Renderer, conditions: Tensor, right: Tensor, wrong: Tensor, level: int) -> Tensor:
    """Return the energy of the wrong less that of the right, where they differ."""
    differ = (wrong != right).any(-1)
    energies = [model(x[differ], conditions[differ], level, energy=True) for x in (wrong, right)]
    return energies[0] - energies[1]


def _share(values: Tensor) -> float | None:
    return float(values.double().mean()) if values.numel() else None
