"""The part of `make gpu-check` for masked attention of compiled passes: its kernels against plain products."""

from __future__ import annotations

from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_run import SEED, Run
from pardec.measure.clock import clock_for
from pardec.measure.compiling import LEAST
from pardec.models.architectures.attention import attend_packed

HEADS, HEAD_DIM = 28, 128
KV_HEADS = {1: 28, 4: 7, 7: 4}
"""Key-value heads by query heads of each; seven, as in Qwen2.5, is no power of two."""
CASES = [
    ("padded prompt", 4, torch.float32),
    ("padded block", 1, torch.float32),
    ("padded block", 7, torch.float32),
    ("tree", 4, torch.float32),
    ("chain", 4, torch.float32),
    ("step", 4, torch.float32),
    ("tree", 4, torch.bfloat16),
    ("step", 4, torch.bfloat16),
]
"""Masks, query heads of a key-value head, and formats."""
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest error of a weighted sum of standard normal values: sums in another order, and a result rounded to 8 bits."""
CALLS, SERIES = 20, 5
"""Calls between two stamps, so that launches count little, and such series."""


def by_blocks(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    from pardec.models.engines.flex import attend_blocks, visible_blocks

    return attend_blocks(query, key, value, mask, visible_blocks(mask))


def drawn(device: str, dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]


def masked_attention(run: Run) -> None:
    """Check each mask against plain products in float32, and time a step of one row at 8B shape and torch's kernel."""
    if "compiled" not in run.size.engines:
        return
    from tests.reference.masks import MASKS

    with torch.inference_mode():
        errors = {}
        for name, groups, dtype in CASES:
            mask = MASKS[name]().to(run.device)
            errors[f"{name}, {groups} heads a group, {str(dtype)[6:]}"] = worst(
                run.device, mask, groups, dtype
            )
        run.record("errors of masked attention", errors)
        wrong = [
            name for (name, error), case in zip(errors.items(), CASES, strict=True) if error > CLOSE[case[2]]
        ]
        reached = f"{max(errors.values()):.1e} at most" + (f"; not {'; '.join(wrong)}" if wrong else "")
        run.check("masked attention of compiled passes is that of plain products", reached, not wrong)
        long_step(run)


def worst(device: str, mask: Tensor, groups: int, dtype: torch.dtype) -> float:
    """Return the largest error of the kernel for this mask; NaN counts as infinite."""
    rows, _, length, width = mask.shape
    kept = (rows, KV_HEADS[groups], width, HEAD_DIM)
    query, key, value = drawn(device, dtype, (rows, HEADS, length, HEAD_DIM), kept, kept)
    scores = query.float() @ key.float().repeat_interleave(groups, 1).transpose(2, 3) / HEAD_DIM**0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    right = weights @ value.float().repeat_interleave(groups, 1)
    result = torch.compile(by_blocks, dynamic=False, fullgraph=True)(query, key, value, mask)
    error = (result.float() - right).abs().max()
    return float(error.nan_to_num(torch.inf))


def long_step(run: Run) -> None:
    """Time one token of one row behind many columns: 32 heads in groups of four, as in Llama-3-8B."""
    from pardec.models.engines.compiled import compiler

    columns = run.size.columns
    dtype: torch.dtype = getattr(torch, run.size.precision)
    kept = (1, 8, columns, HEAD_DIM)
    query, key, value = drawn(run.device, dtype, (1, 32, 1, HEAD_DIM), kept, kept)
    mask = torch.ones(1, 1, 1, columns, dtype=torch.bool, device=run.device)
    mask[..., -7:] = False
    for tensor in (query, key, value, mask):
        torch._dynamo.mark_static_address(tensor)  # as caches are, which no graph copies
    clock, ms = clock_for(run.device), {}
    for name, attend in (("blocks", by_blocks), ("torch", attend_packed)):
        step = compiler(attend, run.device)
        for _ in range(LEAST):
            step(query, key, value, mask)
        series = []
        for _ in range(SERIES):
            begin = clock.stamp()
            for _ in range(CALLS):
                step(query, key, value, mask)
            series.append(clock.elapsed_ms(begin, clock.stamp()) / CALLS)
        ms[name] = median(series)
    rate = 2 * key.nbytes / ms["blocks"] / 1e6
    machine: dict[str, Any] = run.records.get("machine") or {}
    share = f", {rate / machine['copy_gb_per_s']:.0%} of the copy bandwidth" if machine else ""
    run.record("step behind many columns", {"columns": columns, "ms": ms, "gb_per_s": rate})
    reached = f"{ms['torch'] / ms['blocks']:.2f} times as fast, {ms['blocks']:.3g} ms{share}"
    run.check(
        f"a step behind {columns} columns beats torch's masked kernel", reached, ms["blocks"] < ms["torch"]
    )
