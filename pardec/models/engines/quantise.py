"""Weight-only quantisation of a backbone's layers: int8 by output channel, int4 by groups of inputs.

Round to nearest, no calibration data: symmetric int8 (LLM.int8() without its outliers, Dettmers et al. 2022,
arXiv:2208.07339) and asymmetric int4 in groups (the baseline of Frantar et al., "GPTQ", arXiv:2210.17323). Activations
stay in the model's precision, as do embedding and output head. Weights are dequantised on use; compiled, this happens
inside the loop of the product, as in gpt-fast. The loss of quality is measured like any arm's quality.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.common.errors import UserError
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import LanguageModel
from pardec.models.checkpoints.sizes import GROUP

MATRICES = ("qkv", "out", "gate_up", "down")
"""Matrices of a layer: all matrices of a pass except the output head."""


class Int8(nn.Module):
    """A matrix [out, in] as int8 with one scale per row."""

    def __init__(self, weight: Tensor):
        super().__init__()
        scale = (weight.float().abs().amax(1) / 127).clamp(min=1e-12)
        self.register_buffer(
            "values", (weight.float() / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        )
        self.register_buffer("scale", scale.to(weight.dtype))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        output = F.linear(x, self.values.to(x.dtype)) * self.scale
        return output if bias is None else output + bias

    def dense(self) -> Tensor:
        """Return the dequantised matrix, float32."""
        return self.values.float() * self.scale.float()[:, None]


class Int4(nn.Module):
    """A matrix [out, in] as two 4-bit numbers per byte, with a scale and a minimum for each group of inputs."""

    def __init__(self, weight: Tensor):
        super().__init__()
        rows, inputs = weight.shape
        # The largest group size up to GROUP that divides a row.
        group = next(size for size in range(min(GROUP, inputs), 0, -1) if inputs % size == 0)
        parts = weight.float().view(rows, -1, group)
        least = parts.amin(2, keepdim=True)
        scale = ((parts.amax(2, keepdim=True) - least) / 15).clamp(min=1e-12)
        values = ((parts - least) / scale).round().clamp(0, 15).to(torch.uint8).view(rows, inputs)
        self.register_buffer("values", values[:, 0::2] | (values[:, 1::2] << 4))
        self.register_buffer("scale", scale.to(weight.dtype))
        self.register_buffer("least", least.to(weight.dtype))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(x, self._weight(x.dtype), bias)

    def dense(self) -> Tensor:
        """Return the dequantised matrix, float32."""
        return self._weight(torch.float32)

    def _weight(self, dtype: torch.dtype) -> Tensor:
        rows, groups = self.scale.shape[:2]
        values = torch.stack([self.values & 15, self.values >> 4], 2).view(rows, groups, -1)
        return (values.to(dtype) * self.scale.to(dtype) + self.least.to(dtype)).view(rows, -1)


KINDS = {"int8": Int8, "int4": Int4}


def quantise(model: LanguageModel, kind: Literal["int8", "int4"]) -> LanguageModel:
    """Return `model` with the matrices of its layers quantised, one by one, so that no second copy of all exists.

    Raises:
        UserError: an unknown kind, a model that is no backbone, or one with an odd number of inputs in int4.
    """
    if kind not in KINDS:
        raise UserError(f"quantise: {kind}", "is not known", f"known: {', '.join(KINDS)}")
    if type(model) is not Backbone:
        raise UserError(
            f"quantise: {kind}",
            f"{type(model).__name__} has no quantised form",
            "leave quantise out for this model",
        )
    for layer in model.layers:
        for name in MATRICES:
            weight = getattr(layer, name).detach()
            if kind == "int4" and weight.shape[1] % 2:
                raise UserError(
                    "quantise: int4", f"{name} has {weight.shape[1]} inputs, an odd number", "use int8"
                )
            delattr(layer, name)
            setattr(layer, name, KINDS[kind](weight))
    stored = [
        buffer
        for module in model.modules()
        if isinstance(module, (Int8, Int4))
        for buffer in module.buffers()
    ]
    head = model.embedding if model.head is None else model.head
    info = vars(model.info) | {"matmul_bytes": head.nbytes + sum(buffer.nbytes for buffer in stored)}
    model.info = type(model.info)(**info)
    return model
