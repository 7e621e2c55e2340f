"""Attention of compiled passes on CUDA: one Triton kernel for each mask, which reads no more columns than are filled.

`torch.nn.attention.flex_attention` (Dong et al., "Flex Attention", arXiv:2412.05496) compiles the mask into the kernel.
It knows query groups, which torch's other kernels with a mask do not. Passes of few tokens run as its flex-decoding,
which shares the columns of one head among many multiprocessors and adds up their results (split-KV; Dao et al.,
"Flash-Decoding", 2023); without that, a step of one row keeps as many busy as there are key-value heads. Which columns
are filled is read from the mask on the device, so one graph serves every length of a cache.
"""

from __future__ import annotations

import logging
from functools import cache
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, FlexKernelOptions, flex_attention

from pardec.models.architectures.attention import AttentionPlan

NAME = "flex_attention"
BLOCK = 128
"""Tokens and columns of a block, the unit in which columns are left out."""
SHORT = 128
"""Tokens from which a pass is too long for flex-decoding."""
TILES = 16, 64
"""Queries times their group that one instance of flex-decoding takes: what its product needs at least, and what fits
into its registers at most."""
HEAD_DIM = 16
"""The least size of a head that the kernel can multiply."""
CLOSE = 2e-2
"""Largest error of the probe in units of its values, which are drawn from a standard normal distribution."""
Blocks = tuple[Tensor, Tensor]
"""For each row and block of tokens, how many blocks of columns it reads, [B, 1, t] int, and which, [B, 1, t, s] int."""


def visible_blocks(mask: Tensor) -> Blocks:
    """Return the blocks up to the last column that any token of a block attends to; mask: [B, 1, T, S] bool."""
    rows, _, length, width = mask.shape
    queries, count = -(-length // BLOCK), -(-width // BLOCK)
    last = (mask * torch.arange(1, width + 1, device=mask.device)).amax(-1)
    last = F.pad(last, (0, queries * BLOCK - length)).view(rows, 1, queries, BLOCK).amax(-1)
    filled = ((last + BLOCK - 1) // BLOCK).to(torch.int32)
    numbers = torch.arange(count, dtype=torch.int32, device=mask.device)
    return filled, numbers.expand(rows, 1, queries, count).contiguous()


def attend_blocks(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, blocks: Blocks) -> Tensor:
    """Return the attention output [B, heads, T, head_dim] of the columns in `blocks` that the mask [B, 1, T, S] allows.

    query: [B, heads, T, head_dim]. key, value: [B, kv_heads, S, head_dim].
    """

    def allowed(row: Tensor, head: Tensor, token: Tensor, column: Tensor) -> Tensor:
        return mask[row, 0, token, column]

    length, width = query.shape[2], key.shape[2]
    visible = BlockMask.from_kv_blocks(
        *blocks, BLOCK_SIZE=BLOCK, mask_mod=allowed, seq_lengths=(length, width), compute_q_blocks=False
    )
    groups = query.shape[1] // key.shape[1]
    return flex_attention(
        query, key, value, block_mask=visible, enable_gqa=groups > 1, kernel_options=kernel(length, groups)
    )


def kernel(length: int, groups: int) -> FlexKernelOptions:
    """Return what pins the kernel for passes of `length` tokens: flex-decoding where it can be."""
    least, most = TILES
    if length >= SHORT or groups & (groups - 1) or groups > most:
        return {"BACKEND": "TRITON"}
    packed = 1 << (length * groups - 1).bit_length()
    return {"BACKEND": "TRITON_DECODE", "BLOCK_M": max(least, min(most, packed))}


def with_blocks(plan: AttentionPlan, blocks: Blocks | None) -> AttentionPlan:
    """Return a plan whose layers attend by blocks; the same plan where there are none."""
    mask = plan.mask
    if blocks is None or mask is None:
        return plan
    plan.kernel = lambda query, key, value: attend_blocks(query, key, value, mask, blocks)
    return plan


def usable(heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether the kernel compiles on `device` and gives the sums of plain products for these shapes."""
    return head_dim >= HEAD_DIM and _probe(heads, kv_heads, head_dim, dtype, str(device))


@cache
def _probe(heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype, device: str) -> bool:
    def by_blocks(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        return attend_blocks(query, key, value, mask, visible_blocks(mask))

    run = torch.compile(by_blocks, dynamic=False, fullgraph=True)
    columns = torch.arange(2 * BLOCK, device=device)
    key, value = (_drawn((1, kv_heads, 2 * BLOCK, head_dim), dtype, device) for _ in range(2))
    for length in (1, 8):
        query = _drawn((1, heads, length, head_dim), dtype, device)
        mask = (columns <= BLOCK + torch.arange(length, device=device)[:, None])[None, None]
        # Whatever a compiler raises, torch's own kernels remain, and the record names the kernel that ran.
        try:
            result = run(query, key, value, mask).float()
        except Exception as error:
            logging.getLogger(__name__).warning("no %s on %s: %s", NAME, device, str(error).splitlines()[:1])
            return False
        keys, values = (x.float().repeat_interleave(heads // kv_heads, 1) for x in (key, value))
        scores = query.float() @ keys.transpose(2, 3) / head_dim**0.5
        right = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ values
        error_size = float((result - right).abs().max().nan_to_num(torch.inf))
        if error_size > CLOSE:
            logging.getLogger(__name__).warning("%s on %s is wrong by %.1e", NAME, device, error_size)
            return False
    return True


def _drawn(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    """Return values of a normal distribution without the generator that decoders draw from."""
    generator = torch.Generator().manual_seed(prod(shape))
    return torch.randn(shape, generator=generator).to(device, dtype)
