"""A layer of the backbone that runs as one function where a pass has few tokens: part of the engine `packed`."""

from __future__ import annotations

import ctypes
from typing import Any, cast

import torch
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Pair
from pardec.models.architectures.backbone import Layer
from pardec.models.engines.layer_kernel import LayerFacts, PassFacts, layers

FEW = 32
"""Tokens of a pass up to which a layer is one function: then its small operations count, and its attention, which goes
token by token, does not."""
MATRICES = ("qkv", "out", "gate_up", "down")
VECTORS = ("input_norm", "post_norm", "qkv_bias", "query_norm", "key_norm")


class PackedLayer(Layer):
    """A `Layer` with packed matrices, of which it is made by a change of class."""

    facts: LayerFacts | None
    """Its places for C++; None until a pass needs them."""
    most: int
    """Tokens of a pass up to which it is one function."""

    @classmethod
    def take(cls, layer: Layer, most: int) -> None:
        """Make `layer`, whose matrices are packed, one of this class. most: rows that its products take."""
        layer.__class__ = cls
        made = cast(PackedLayer, layer)
        made.facts, made.most = None, min(FEW, most)

    def forward(
        self, x: Tensor, cos: Tensor | None, sin: Tensor | None, plan: AttentionPlan, pair: Pair | None
    ) -> Tensor:
        rows = x.shape[0] * x.shape[1]
        places = written(plan)
        special = plan.kernel is not None or places is None or x.dtype != self.input_norm.dtype
        if pair is None or special or not 0 < rows <= self.most or not pair[0].is_contiguous():
            return super().forward(x, cos, sin, plan, pair)
        if self.facts is None or self.held[0].dtype != x.dtype:
            self.prepare()
        keys, values = pair
        x, mask = x.contiguous(), plan.mask
        if mask is not None:
            mask = mask.expand(len(x), 1, x.shape[1], plan.filled)
            mask = mask if mask.stride(3) == 1 else mask.contiguous()
        if cos is not None and sin is not None:
            cos, sin = cos.float().contiguous(), sin.float().contiguous()
        columns = None
        if places:
            columns = places[0].expand(x.shape[:2]).contiguous()
        facts = PassFacts(
            rows,
            x.shape[1],
            plan.past,
            plan.filled,
            keys.shape[2],
            0 if mask is None else mask.stride(0),
            0 if mask is None else mask.stride(2),
            1 if cos is None else cos.numel() // self.head_dim,
            plan.is_causal,
            torch.get_num_threads(),
        )
        output = torch.empty_like(x)
        done = self.run(
            ctypes.addressof(self.facts),
            ctypes.addressof(facts),
            x.data_ptr(),
            output.data_ptr(),
            place(cos),
            place(sin),
            keys.data_ptr(),
            values.data_ptr(),
            place(columns),
            place(mask),
        )
        if not done:
            raise IndexError(f"a column outside of a cache of {keys.shape[2]}")
        return output

    def prepare(self) -> None:
        """Collect the places of norms, biases and packed matrices; pack what is not yet."""
        facts = LayerFacts(eps=self.eps, mlp=self.mlp, hidden=len(self.input_norm))
        for name in ("heads", "kv_heads", "head_dim"):
            setattr(facts, name, getattr(self, name))
        vectors = {name: getattr(self, name) for name in VECTORS if getattr(self, name) is not None}
        self.held = [vector.detach() for vector in vectors.values()]  # so that no place is freed
        for name, vector in vectors.items():
            setattr(facts, name, place(vector))
        for name in MATRICES:
            product = packed(getattr(self, name))
            setattr(facts, name, product.places[0])
            setattr(facts, f"{name}_scale", product.places[1])
        self.run = getattr(layers(), f"layer_{product.run.__name__}")
        self.facts = facts


def written(plan: AttentionPlan) -> list[Tensor] | None:
    """Return the columns that a pass writes, [B, T] or [T] long, as a list, empty where they follow those before it;
    None where the tokens are written in parts."""
    if plan.writes is None:
        return []
    whole = len(plan.writes) == 1 and plan.writes[0][0] == slice(None)
    return [plan.writes[0][1]] if whole else None


def packed(matrix: Any) -> Any:
    """Return the product of a packed matrix or of one in int8."""
    return matrix.product if isinstance(matrix, nn.Module) else matrix.pack()


def place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
