"""The time of a target pass by its number of tokens: the cost of a wider proposal."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.measure.clock import HostClock

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

NODES = (1, 8, 16, 32, 48, 64)
"""Tokens per pass: one is a sequential step, the others are those of seed document 003."""
CONTEXT = 64
"""Tokens in the cache before the pass."""
ROUNDS = 30
"""In each of several processes."""
WARMUP = 5


def measure_verify_cost(
    model: LanguageModel, clock: HostClock, seed: int, nodes: Sequence[int] = NODES, rounds: int = ROUNDS
) -> dict[int, list[float]]:
    """Return the milliseconds of one cached pass for each number of tokens, [rounds] each.

    Every round runs every width once, in random order, so that drift affects all alike; the first `WARMUP` rounds are
    dropped. The tokens form a chain: a packed tree moves and multiplies the same amounts, and adds a mask.

    Raises:
        ValueError: the model's longest sequence is shorter than context and widest pass.
    """
    if model.info.max_positions < CONTEXT + max(nodes):
        raise ValueError(f"{CONTEXT} + {max(nodes)} tokens exceed {model.info.max_positions} positions")
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, model.info.vocab_size, (1, CONTEXT + max(nodes)), generator=generator).to(
        device
    )
    cache = model.new_cache(1, CONTEXT + max(nodes))
    draw = random.Random(seed)
    taken: dict[int, list[float]] = {width: [] for width in nodes}
    with torch.inference_mode():
        model(tokens[:, :CONTEXT], cache=cache, canvas_start=CONTEXT)
        for turn in range(WARMUP + rounds):
            for width in draw.sample(list(nodes), len(nodes)):
                elapsed = _pass(model, cache, tokens[:, CONTEXT : CONTEXT + width], clock)
                if turn >= WARMUP:
                    taken[width].append(elapsed)
    return taken


def _pass(model: LanguageModel, cache: Any, tokens: Any, clock: HostClock) -> float:
    cache.crop(CONTEXT)
    clock.synchronize()
    begin = clock.stamp()
    model(tokens, cache=cache, canvas_start=CONTEXT).argmax(-1)
    end = clock.stamp()
    clock.synchronize()
    return clock.elapsed_ms(begin, end)
