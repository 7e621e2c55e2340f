"""Warm up, sample two arms alternately, stop: one cell's measurement.

The two arms of a comparison share one process. Each block takes one batch of prompts and runs both arms on it, in a
random order, so that drift of the machine affects both alike and a ratio can be taken pair by pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pardec.measure.clock import HostClock, Stopwatch, timed
from pardec.measure.stopping import Criterion, Maximum

CLOCKS_APART, CLOCKS_SLACK_MS = 0.01, 0.1
"""A sample is flagged where the device's clock and the host's differ by more than this share of its time, and by more
milliseconds than the host takes to learn that the device is done."""

Run = Callable[[Sequence[int], Stopwatch], Any]
"""Generates for the prompts of the given indices and reports to the stopwatch; returns a Decoded."""


@dataclass
class Series:
    """One arm: the function that runs it, and its results."""

    run: Run
    samples: list[dict] = field(default_factory=list)
    warmup_ms: list[float] = field(default_factory=list)
    outputs: dict[int, Any] = field(default_factory=dict)
    """prompt index -> its output tokens [N], from the last timed generation of that prompt."""


def batches(count: int, size: int, seed: int) -> Callable[[int], list[int]]:
    """Return a function from a block's number to the indices of `size` prompts, which walks through all `count`
    prompts in a seeded order."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return lambda block: [order[(block * size + row) % count] for row in range(size)]


def warm_up(
    arm: Series,
    clock: HostClock,
    prompts: Callable[[int], list[int]],
    passes: int,
    enough_s: float | None = None,
    watched: Callable[[], AbstractContextManager] = nullcontext,
) -> None:
    """Generate up to `passes` times, at least once if the arm never ran; append latencies to `arm.warmup_ms`.

    enough_s: limit in seconds on the arm's warm-up, after which no generation starts. watched: a context manager
    around the arm's first generation.
    """
    for number in range(passes):
        if arm.warmup_ms and enough_s is not None and sum(arm.warmup_ms) >= 1e3 * enough_s:
            return
        with nullcontext() if arm.warmup_ms else watched():
            facts, _ = timed(clock, partial(arm.run, prompts(number)))
        arm.warmup_ms.append(facts["e2e_ms"])


def measure(
    cell: Series,
    reference: Series | None,
    clock: HostClock,
    prompts: Callable[[int], list[int]],
    criteria: Sequence[Criterion],
    warmup_passes: int,
    seed: int,
    probe: Callable[[bool], list[str] | None] = lambda last: [],
    inspect: Callable[[], dict | None] = lambda: None,
    enough_s: float | None = None,
) -> Criterion:
    """Sample until a criterion is met; return the criterion.

    cell, reference: filled in place. prompts: block number -> prompt indices. criteria: receive the end-to-end
    milliseconds of each of the cell's samples, and whether it is clean. warmup_passes, enough_s: for each arm beside
    the other, see `warm_up`. probe: called after each block with whether it is the last; returns the flags of
    everything that disturbed the machine since its last answer, or None if it is too soon; all samples since then, of
    both arms alike, get these flags, beside a sample's own "clocks_apart". inspect: returns the GPU's state right after
    a sample, stored as `gpu`, or None.
    """
    arms = [cell] if reference is None else [cell, reference]
    for arm in arms:
        warm_up(arm, clock, prompts, warmup_passes, enough_s)

    draw = random.Random(seed)
    order = list(range(len(arms)))
    waiting: list[dict] = []
    block = 0
    while True:
        # Every other block reverses the order of the one before, so both arms come first equally often.
        order.reverse() if block % 2 else draw.shuffle(order)
        indices = prompts(block)
        for place, number in enumerate(order):
            arm = arms[number]
            facts, decoded = timed(clock, partial(arm.run, indices))
            arm.samples.append(_sample(block, place, indices, facts, decoded))
            if clock.on_device and clocks_apart(facts):
                arm.samples[-1]["flags"] = ["clocks_apart"]
            waiting.append(arm.samples[-1])
            if (seen := inspect()) is not None:
                arm.samples[-1]["gpu"] = seen
            arm.outputs.update(zip(indices, decoded.tokens, strict=True))
        full = next(
            (rule for rule in criteria if isinstance(rule, Maximum) and rule.reached(block + 1)), None
        )
        flags = probe(full is not None)
        if flags is not None:
            fed = cell.samples[-(len(waiting) // len(arms)) :]
            for sample in waiting:
                sample["flags"] = sample["flags"] + flags
            waiting.clear()
            for criterion in criteria:
                for sample in fed:
                    criterion.add(sample["e2e_ms"], not sample["flags"])
        ended = full or next((criterion for criterion in criteria if criterion.finished()), None)
        if ended is not None and not waiting:
            return ended
        block += 1


def clocks_apart(facts: dict) -> bool:
    """Return whether the two clocks of one generation contradict each other."""
    apart = abs(facts["host_ms"] - facts["e2e_ms"])
    return apart > CLOCKS_SLACK_MS and apart > CLOCKS_APART * facts["e2e_ms"]


def _sample(block: int, place: int, indices: Sequence[int], facts: dict, decoded: Any) -> dict:
    rows, length = decoded.tokens.shape
    # A decoder that stops early writes less than its canvas; unwritten positions must not count as throughput.
    written = round(sum(facts["committed"]) * rows) if facts["committed"] else rows * length
    return {
        "block": block,
        "order": place,
        "prompts": list(indices),
        **facts,
        "useful": int(decoded.useful.sum()),
        "canvas": written,
        "nfe": decoded.nfe,
        "token_forwards": decoded.token_forwards,
        "flags": [],
    }
