"""The engine `packed`: on a CPU, products of few rows read the weights once, at the rate of memory.

The products of the model's matrices run in `pardec.models.engines.kernel` for up to `MOST` rows: a step of one token, a
verification of a draft, a batch. A backbone's layer over few tokens behind a cache is one function,
`pardec.models.engines.packed_layer`. All else are the eager modules. Another library's model on the same weights
multiplies by the same kernel, so that both sides of a comparison read the weights alike; its modules are its own. The
packed weights are a second copy, in pages of 2 MiB where the system grants them: with pages of 4 KiB reading is slower
by a sixth.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.backbone import Layer
from pardec.models.engines.kernel import kernels
from pardec.models.engines.layer_kernel import layers
from pardec.models.engines.packed_layer import MATRICES, PackedLayer

MOST = {torch.float32: 256, torch.bfloat16: 8}
"""Rows up to which the kernel is used, by the format of activations. With more, torch's own product is as fast in
float32, and faster in bfloat16 where the processor multiplies that format."""
CHUNK = 64 << 20
"""Bytes of memory asked for at once for packed weights."""
PAGE = 2 << 20
FORMATS = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.int8: "int8"}


class Arena:
    """Memory for packed weights, in large pages."""

    def __init__(self) -> None:
        self.free: Tensor = torch.empty(0, dtype=torch.uint8)

    def take(self, like: Tensor) -> Tensor:
        """Return memory for a tensor of this shape and format, at a multiple of 64 bytes."""
        size = -(-like.nbytes // 64) * 64
        if len(self.free) < size:
            self.free = chunk(max(size, CHUNK))
        taken, self.free = self.free[: like.nbytes], self.free[size:]
        return taken.view(like.dtype).view(like.shape)


def chunk(size: int) -> Tensor:
    """Return `size` bytes of new memory from a multiple of a large page on, which the system may back with such."""
    whole = torch.empty(size + PAGE, dtype=torch.uint8)
    start = -whole.data_ptr() % PAGE
    part = whole[start : start + size]
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # Only an advice: a system without large pages refuses it.
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(part.data_ptr()), ctypes.c_size_t(size // PAGE * PAGE), mmap.MADV_HUGEPAGE
        )
    return part


def in_blocks(matrix: Tensor, arena: Arena) -> Tensor:
    """Return a matrix [outputs, inputs] in the kernel's order, [blocks, inputs, outputs of a block], ended by zeros."""
    block = kernels().block_size()
    padded = F.pad(matrix, (0, 0, 0, -len(matrix) % block))
    blocks = padded.view(-1, block, matrix.shape[1]).transpose(1, 2)
    return arena.take(blocks).copy_(blocks)


class Product:
    """The product with a packed matrix, scaled by output if `scale` [outputs] is given."""

    def __init__(self, matrix: Tensor, activations: torch.dtype, arena: Arena, scale: Tensor | None = None):
        self.outputs, self.inputs = matrix.shape
        self.format = activations
        self.values, self.scale = in_blocks(matrix, arena), scale
        self.run = getattr(kernels(), f"{FORMATS[activations]}_{FORMATS[matrix.dtype]}")
        self.places = self.values.data_ptr(), None if scale is None else scale.data_ptr()

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the product [N, outputs] of rows [N, inputs], in their format."""
        rows = rows.contiguous()
        output = rows.new_empty(len(rows), self.outputs)
        self.run(
            rows.data_ptr(),
            *self.places,
            output.data_ptr(),
            len(rows),
            self.inputs,
            self.outputs,
            torch.get_num_threads(),
        )
        return output


class PackedMatrix(nn.Parameter):
    """A matrix of a model that `F.linear` multiplies from a packed copy, made when it is first needed."""

    product: Product | None
    arena: Arena

    @classmethod
    def of(cls, matrix: Tensor, arena: Arena) -> PackedMatrix:
        packed = torch.Tensor._make_subclass(cls, matrix.detach(), False)
        packed.product, packed.arena = None, arena
        return packed

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if function is F.linear and not kwargs and type(args[1]) is cls:
                return args[1].times(*args)
            return function(*args, **(kwargs or {}))

    def __deepcopy__(self, _: Any) -> PackedMatrix:
        return PackedMatrix.of(self.detach().clone(), self.arena)

    def times(self, x: Tensor, _: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return x [..., inputs] times this matrix, plus the bias [outputs] if given."""
        fits = x.dtype == self.dtype and x.shape[-1] == self.shape[1]
        if not fits or not 0 < x.numel() // self.shape[1] <= MOST[x.dtype]:
            return F.linear(x, self, bias)
        output = self.pack()(x.reshape(-1, self.shape[1])).view(*x.shape[:-1], -1)
        return output if bias is None else output + bias

    def pack(self) -> Product:
        """Return the product, of the packed copy made at the first call, and anew after a change of format."""
        if self.product is None or self.product.format != self.dtype:
            self.product = Product(self, self.dtype, self.arena)
        return self.product


def pack_model(model: Any, device: str) -> Any:
    """Return `model`, its own or another library's, with packed matrices. Its weights must not change any more.

    Raises:
        NotImplementedError: no CPU, no C++ compiler, or weights of a format that has no kernel.
    """
    if device != "cpu":
        raise NotImplementedError(f"engine packed: there is none for device {device}; it is for CPUs")
    kernels(), layers()
    arena = Arena()
    for module in model.modules():
        if hasattr(module, "product"):  # int8
            scale = module.scale.float()
            module.product = Product(module.values, module.scale.dtype, arena, scale)
            module.most = MOST[module.scale.dtype]
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.dim() != 2 or isinstance(weight, PackedMatrix):
                continue
            if weight.dtype not in FORMATS:
                raise NotImplementedError(f"engine packed: no kernel for weights in {str(weight.dtype)[6:]}")
            setattr(module, name, PackedMatrix.of(weight, arena))
    for layer in model.modules():
        if type(layer) is Layer and packs_whole(layer):
            PackedLayer.take(layer, MOST[layer.input_norm.dtype])
    return model


def packs_whole(layer: Layer) -> bool:
    """Return whether all matrices of a layer are packed, in one format."""
    kinds = {type(getattr(layer, name)) for name in MATRICES}
    return len(kinds) == 1 and all(hasattr(getattr(layer, name), "product") for name in MATRICES)
