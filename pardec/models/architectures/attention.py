"""Attention, shared by every architecture: the cache, the plan of a pass, rotary positions, and `attend`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.utils._python_dispatch import _disable_current_modes

from pardec.models.architectures.config import ModelInfo, Stretch

FEW = 64
"""Tokens per pass up to which the mask behind a cache is stored and sliced instead of computed."""
Pair = tuple[Tensor, Tensor]
"""Keys and values of one layer, [B, kv_heads, S, head_dim] each."""


class Cache:
    """Preallocated keys and values, written by position.

    layers: one pair of tensors [B, kv_heads, S, head_dim] per layer, each in separate memory, so a compiled graph that
    writes one of them copies no other. length: positions filled so far, the same for every row (left padding aligns
    rows). `crop` drops the tail without touching memory.
    """

    def __init__(self, info: ModelInfo, batch: int, size: int, device: Any, dtype: torch.dtype):
        shape = (batch, info.kv_heads, size, info.head_dim)
        self.layers: list[Pair] = [
            (torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype))
            for _ in range(info.layers)
        ]
        self.forget()

    @classmethod
    def over(cls, layers: list[Pair]) -> Cache:
        """Return an empty cache over existing tensors, whose contents are stale."""
        cache = cls.__new__(cls)
        cache.layers = layers
        cache.forget()
        return cache

    def forget(self) -> None:
        """Empty the cache."""
        self.length = 0
        self.table: tuple[Tensor, Tensor] | None = None
        """[B, 1] long each: canvas positions per table row, and the number of table rows, for models with row and
        column positions; read from the prompt, which later passes do not see."""
        self.placed: Tensor | None = None
        """[B, S, hidden]: position vectors of the canvas for those models, from its start on."""

    @property
    def size(self) -> int:
        return self.layers[0][0].shape[2]

    @property
    def device(self) -> torch.device:
        return self.layers[0][0].device

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def crop(self, length: int) -> None:
        """Drop all positions from `length` on; ValueError if the cache has fewer."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a cache of {self.length} positions to {length}")
        self.length = length

    def move(self, start: Tensor | int, source: Tensor) -> None:
        """Copy the columns `source` of each row to `start`, `start` + 1, and so on: the accepted path of a verified
        tree. The columns behind the path keep stale contents; the caller crops.

        start: [B] long, or one number for all rows. source: [B, n] long, columns of the cache, each at or after its
        destination; rows with shorter paths may name any later columns.
        """
        if isinstance(start, int) and len(source) == 1:
            stop = start + source.shape[1]
            for pair in self.layers:
                for tensor in pair:
                    tensor[:, :, start:stop] = tensor.index_select(2, source[0])
            return
        rows = torch.arange(len(source), device=source.device)[:, None]
        columns = torch.as_tensor(start, device=source.device).view(-1, 1)
        columns = columns + torch.arange(source.shape[1], device=source.device)
        for pair in self.layers:
            for tensor in pair:
                tensor[rows, :, columns] = tensor[rows, :, source]


@dataclass
class Layout:
    """Positions, attention mask and columns of a pass whose tokens are not a plain sequence.

    positions: [B or 1, T] long, for rotary positions. mask: [B or 1, 1, T, filled] bool, the columns of the cache that
    each token attends to, its own included; None: all. filled: columns of the cache that take part. columns: [B, T]
    long, the columns in which each row writes keys and values; None: from the cache's `length` on.
    """

    positions: Tensor
    mask: Tensor | None
    filled: int
    columns: Tensor | None = None


@dataclass
class AttentionPlan:
    """The columns that a pass attends to, and those in which it writes keys and values.

    mask: [B or 1, 1, T, filled] bool; None: all columns, or with `is_causal` those up to each token's own, the pass
    being the last columns. past, filled: columns before and after the pass. writes: parts of the pass with the columns
    of each, [B, n] long or [n] where rows share them, written in this order (a later part may overwrite an earlier
    one); None: from `past` on. kernel: what an engine attends with in place of torch's choice, of query, key and value.
    """

    mask: Tensor | None = None
    is_causal: bool = False
    past: int = 0
    filled: int = 0
    writes: list[tuple[slice, Tensor]] | None = None
    kernel: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None


def plan_pass(
    causal: bool, pad: Tensor | None, past: int, length: int, device: torch.device, layout: Layout | None
) -> AttentionPlan:
    """Return the plan of a pass of `length` tokens behind `past` columns: plain, causal, padded, or by `layout`."""
    if layout is not None:
        writes = None if layout.columns is None else [(slice(None), layout.columns)]
        return AttentionPlan(layout.mask, False, past, layout.filled, writes)
    mask = attention_mask(causal, pad, past, length, device)
    return AttentionPlan(mask, causal and mask is None and length > 1, past, past + length)


def attend(query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, pair: Pair | None) -> Tensor:
    """Return the attention output [B, heads, T, head_dim]; write keys and values into the layer's cache first.

    query: [B, heads, T, head_dim]. key, value: [B, kv_heads, N, head_dim], N the tokens that the pass writes.
    pair: the layer's cache; None: attend to `key` and `value` alone.
    """
    if pair is not None:
        keys, values = pair
        if plan.writes is None:
            stop = plan.past + key.shape[2]
            keys[:, :, plan.past : stop] = key
            values[:, :, plan.past : stop] = value
        else:
            store(key, value, plan.writes, pair)
        key, value = keys[:, :, : plan.filled], values[:, :, : plan.filled]
    if plan.kernel is not None:
        return plan.kernel(query, key, value)
    grouped = query.shape[1] != key.shape[1]
    mask, is_causal = plan.mask, plan.is_causal
    if query.is_cpu:
        return F.scaled_dot_product_attention(
            query, key, value, mask, is_causal=is_causal, enable_gqa=grouped
        )
    length, width = query.shape[2], key.shape[2]
    if is_causal and query.dtype == torch.float32 and (grouped or length < width):
        # In float32 only one kernel is left besides plain products, and it knows neither groups nor this triangle.
        mask, is_causal = stair(length, width, query.device), False
    elif is_causal and length < width:
        return F.scaled_dot_product_attention(query, key, value, triangle(length, width), enable_gqa=grouped)
    if grouped and not is_causal:
        return attend_packed(query, key, value, mask)
    return F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal, enable_gqa=grouped)


def store(key: Tensor, value: Tensor, writes: list[tuple[slice, Tensor]], pair: Pair) -> None:
    """Write the keys and values of a pass, [B, kv_heads, N, head_dim] each, into the columns of a layer's cache."""
    for kept, new in zip(pair, (key, value), strict=True):
        for part, columns in writes:
            if columns.dim() == 1:
                kept.index_copy_(2, columns, new[:, :, part])
            else:
                rows = torch.arange(len(new), device=new.device)[:, None]
                kept[rows, :, columns] = new[:, :, part].transpose(1, 2)


def attend_packed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return attention [B, heads, T, head_dim] of query groups, the heads of a group packed as further tokens of their
    one key-value head.

    With a mask, torch's kernels for a GPU know no groups: it would repeat keys and values, or multiply plainly in
    float32. mask: [B or 1, 1, T or 1, S] bool, or None.
    """
    batch, heads, length, _ = query.shape
    groups = heads // key.shape[1]
    packed = query.reshape(batch, -1, groups * length, query.shape[3])
    if mask is not None and length > 1:
        mask = mask.expand(-1, groups, length, -1).reshape(len(mask), 1, groups * length, -1)
    return F.scaled_dot_product_attention(packed, key, value, mask).reshape(query.shape)


def pin_backends() -> None:
    """Fix the order in which torch chooses a kernel for attention on CUDA. cuDNN's is left out: it plans anew for each
    length, inside samples."""
    torch.backends.cuda.enable_cudnn_sdp(False)
    order = [
        _number(one) for one in (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
    ]
    left = [one for one in map(_number, torch._C._get_sdp_priority_order()) if one not in order]
    torch._C._set_sdp_priority_order(order + left)


def backends() -> list[str]:
    """Return the names of the kernels for attention that torch may choose on CUDA, in their order."""
    usable = {
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled(),
        SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled(),
        SDPBackend.CUDNN_ATTENTION: torch.backends.cuda.cudnn_sdp_enabled(),
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled(),
    }
    order = [_number(one) for one in torch._C._get_sdp_priority_order()]
    ordered = sorted(usable, key=lambda one: order.index(_number(one)))
    return [one.name.lower() for one in ordered if usable[one]]


def _number(backend: Any) -> int:
    return int(backend)


def attention_mask(
    causal: bool, pad: Tensor | None, past: int, length: int, device: torch.device
) -> Tensor | None:
    """Return the attention mask [B or 1, 1, length, past + length] bool; None where `is_causal` alone suffices. On a
    CPU torch's triangle begins at the first column, so a pass behind others needs a mask.

    A pad token always attends to itself: a row of the mask without any column would give NaN.
    """
    if pad is None and (not causal or past == 0 or length == 1 or device.type != "cpu"):
        return None
    if pad is None:
        return stair(length, past + length, device)
    keys = torch.arange(past + length, device=device)
    queries = keys[past:, None]
    allowed = None
    if causal and length > 1:
        allowed = (keys <= queries)[None]
    if pad is not None:
        real = keys >= pad[:, None, None]
        allowed = real if allowed is None else allowed & real
        if length > 1:
            allowed = allowed | (keys == queries)
    return allowed[:, None]


def stair(length: int, width: int, device: torch.device) -> Tensor:
    """Return the causal mask [1, 1, length, width] bool of the last `length` of `width` tokens."""
    if length > FEW:
        keys = torch.arange(width, device=device)
        return (keys <= keys[width - length :, None])[None, None]
    # Every verification of a chain comes here, and computing its mask would take measurable time.
    wide = 1 << width.bit_length()
    return _stair(length, wide, str(device))[..., wide - width :]


def triangle(length: int, width: int) -> Tensor:
    """Return the mask of `stair` as a fact instead of numbers, for kernels that know it."""
    # Torch's compiler comes with this module: more than a second in every process on a CPU, which never needs it.
    from torch.nn.attention.bias import causal_lower_right

    # Torch cannot make a tensor of its own kind while something, such as a count of operations, watches its operators.
    with _disable_current_modes():
        return causal_lower_right(length, width)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _stair(length: int, width: int, device: str) -> Tensor:
    """Return the causal mask of `stair`; its last columns are the mask of a smaller width."""
    return torch.ones(1, 1, length, width, dtype=torch.bool, device=device).tril(width - length)


def rope_tables(
    positions: int, head_dim: int, theta: float, device: Any = None, stretch: Stretch | None = None
) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines [positions, head_dim] for `rotate` (Su et al. 2021, arXiv:2104.09864)."""
    half = head_dim // 2
    rates = 1.0 / theta ** (torch.arange(half, dtype=torch.float32, device=device) * 2 / head_dim)
    if stretch is not None:
        rates = stretch.apply(rates)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32, device=device), rates)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x [B, T, heads, head_dim] rotated by its positions, computed in the precision of the tables.

    cos, sin: [B or 1, T, 1, head_dim].
    """
    wide = x if x.dtype == cos.dtype else x.to(cos.dtype)
    return torch.addcmul(wide * cos, wide.roll(x.shape[-1] // 2, -1), sin).to(x.dtype)
