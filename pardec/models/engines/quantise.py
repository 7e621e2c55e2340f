"""Weight-only quantisation of a backbone's layers: int8 by output channel, int4 by groups of inputs.

Round to nearest, no calibration data: symmetric int8 (LLM.int8() without its outliers, Dettmers et al. 2022,
arXiv:2208.07339) and asymmetric int4 in groups (the baseline of Frantar et al., "GPTQ", arXiv:2210.17323). Activations
stay in the model's precision, as do embedding and output head. int4 reads the packed weights alone, as torchao's
weight-only configurations do, by torch's own kernels: on CUDA in bfloat16 only. int8 reads the packed weights from
memory and converts them inside the cache; on CUDA the compiled engine converts inside the product of up to `FUSED`
rows. The loss of quality is measured like any arm's quality.
"""

from __future__ import annotations

from collections.abc import Callable
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


AT_ONCE = 16
"""Inputs that torch's kernel for int8 on CPUs reads at once: it is wrong, or ends the process, where they do not divide
all."""
FEW = 4
"""Rows up to which torch's kernel for int8 on CPUs is faster than a conversion inside the cache, in bfloat16; in
float32 it is slower at any number."""
FUSED = 16
"""Rows up to which a compiled product with int8 on CUDA is a sum that converts as it reads: verifications and small
batches. It leaves the tensor cores idle, which costs more with each row; from which number on was not measured."""
GROUPS = (GROUP, 64, 32)
"""Inputs that may share a scale in int4: the largest that divides them."""
TILES = 2
"""Tiles of 16 inputs that CUDA's kernel for int4 reads at once; inputs must be a multiple of both."""
OUTPUTS = 16
"""A multiple of this many outputs is what the kernels for int4 read."""


class Int8(nn.Module):
    """A matrix [out, in] as int8 with one scale per row."""

    def __init__(self, weight: Tensor):
        super().__init__()
        scale = (weight.float().abs().amax(1) / 127).clamp(min=1e-12)
        self.register_buffer(
            "values", (weight.float() / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        )
        self.register_buffer("scale", scale.to(weight.dtype))
        self.product: Callable[[Tensor], Tensor] | None = None
        """The engine `packed` gives its product, for up to `most` rows [N, inputs]."""
        self.most = 0

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return x [..., inputs] times the dequantised matrix, [..., outputs], plus the bias [outputs] if given."""
        rows = x.reshape(-1, x.shape[-1])
        fits = rows.dtype == torch.bfloat16 and len(rows) <= FEW and rows.shape[1] % AT_ONCE == 0
        packs = rows.dtype == self.scale.dtype and rows.shape[1] == self.values.shape[1]
        if self.product is not None and packs and 0 < len(rows) <= self.most:
            output = self.product(rows)
        elif rows.is_cpu and fits:
            output = torch._weight_int8pack_mm(rows, self.values, self.scale)
        else:
            output = self.converted(rows)
        output = output.view(*x.shape[:-1], -1)
        return output if bias is None else output + bias

    def converted(self, rows: Tensor) -> Tensor:
        """Return the product [N, out] of rows [N, in] with the weights in the rows' format, scaled in float32.

        Torch's kernel for int8 on CUDA gives each output to one thread, which reads a row of weights alone, and it
        returned float32 in some versions (pytorch/pytorch#190529). The compiled engine fuses this conversion into the
        product of one row, and into `fused`; with a scale in 16 bits it would take that kernel for the product of
        several.
        """
        if rows.is_cuda and torch.compiler.is_compiling() and 1 < len(rows) <= FUSED:
            return (self.fused(rows) * self.scale.float()).to(rows.dtype)
        return (F.linear(rows, self.values.to(rows.dtype)) * self.scale.float()).to(rows.dtype)

    def fused(self, rows: Tensor) -> Tensor:
        """Return the unscaled product [N, out] in float32 as one sum. A compiler makes one kernel of it, which reads
        each weight in 8 bits; before a product of matrices it would write all of them in 16 bits and read them again.
        """
        return (self.values.float()[:, None] * rows.float()).sum(2).T

    def dense(self) -> Tensor:
        """Return the dequantised matrix [outputs, inputs], float32."""
        return self.values.float() * self.scale.float()[:, None]


class Int4(nn.Module):
    """A matrix [out, in] of 4-bit numbers in the order that its device's kernel reads, with a scale and a zero for
    each group of inputs."""

    def __init__(self, weight: Tensor):
        super().__init__()
        rows, inputs = weight.shape
        self.on_cpu = weight.is_cpu
        self.inputs, self.group = inputs, next(size for size in GROUPS if inputs % size == 0)
        parts = weight.float().view(rows, -1, self.group)
        least = parts.amin(2)
        scale = ((parts.amax(2) - least) / 15).clamp(min=1e-12)
        # The kernels compute (value - 8) * scale + zero, in the format of the activations.
        numbers = torch.stack([scale, least + 8 * scale], 2).to(weight.dtype)
        scale, zero = numbers.float().unbind(2)
        values = ((parts - zero[..., None]) / scale[..., None] + 8).round().clamp(0, 15).view(rows, inputs)
        self.register_buffer("values", self._pack(values.to(torch.uint8)))
        self.register_buffer("scale", numbers.transpose(0, 1).contiguous())

    def _pack(self, values: Tensor) -> Tensor:
        """Return [out, in] numbers below 16 in the order that the kernel reads."""
        if self.on_cpu:
            return torch._convert_weight_to_int4pack_for_cpu(values.int(), 1)
        return torch._convert_weight_to_int4pack(values[:, ::2] << 4 | values[:, 1::2], TILES)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return x [..., inputs] times the dequantised matrix, [..., outputs], plus the bias [outputs] if given."""
        rows = x.reshape(-1, self.inputs)
        product = torch._weight_int4pack_mm
        if self.on_cpu:
            product = int4_on_cpu if torch.compiler.is_compiling() else torch._weight_int4pack_mm_for_cpu
        output = product(rows, self.values, self.group, self.scale).view(*x.shape[:-1], -1)
        return output if bias is None else output + bias

    def dense(self) -> Tensor:
        """Return the dequantised matrix [outputs, inputs], float32."""
        unit = torch.eye(self.inputs, dtype=self.scale.dtype, device=self.scale.device)
        return self(unit).T.float()


@torch.library.custom_op("pardec::int4_on_cpu", mutates_args=())
def int4_on_cpu(rows: Tensor, values: Tensor, group: int, scale: Tensor) -> Tensor:
    """Return the CPU's product with a packed matrix as an operator of our own: inductor's form of it keeps the group's
    size among the constants of the whole graph and misses it in a region compiled once. rows: [n, inputs]; result:
    [n, outputs]."""
    return torch._weight_int4pack_mm_for_cpu(rows, values, group, scale)


@int4_on_cpu.register_fake
def _(rows: Tensor, values: Tensor, group: int, scale: Tensor) -> Tensor:
    return rows.new_empty(len(rows), scale.shape[1])


KINDS = {"int8": Int8, "int4": Int4}


def refuse_int4(name: str, weight: Tensor) -> None:
    """Raise UserError where the kernel for int4 cannot read the matrix `name` [outputs, inputs] on its device in its
    format."""
    rows, inputs = weight.shape
    if rows % OUTPUTS or inputs % GROUPS[-1]:
        raise UserError(
            "quantise: int4",
            f"{name} has {rows} outputs and {inputs} inputs, not multiples of {OUTPUTS} and {GROUPS[-1]}",
            "use int8",
        )
    if not weight.is_cpu and weight.dtype != torch.bfloat16:
        raise UserError(
            "quantise: int4",
            f"is computed in bfloat16 alone on {weight.device.type}, not in {str(weight.dtype)[6:]}",
            "set precision: bfloat16, or use int8",
        )


def quantise(model: LanguageModel, kind: Literal["int8", "int4"]) -> LanguageModel:
    """Return `model` with the matrices of its layers quantised, one by one, so that no second copy of all exists.

    Raises:
        UserError: an unknown kind, a model that is no backbone, or a matrix that the kernel for int4 cannot read.
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
            if kind == "int4":
                refuse_int4(name, weight)
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
