"""A pretended GPU: tensors on the device "cuda" whose data lies on the CPU.

`with PretendedCuda() as cuda:` tags every tensor that is made with `device="cuda"` or moved there. A tagged tensor
answers `.device` and `.is_cuda` as a real one, computes with the CPU's kernels (so results are equal to the last
bit), and is refused where torch refuses it: beside a tensor of the CPU, unless that has no dimension; with a
generator of the CPU; by `numpy()`. `cuda.waits` counts what makes the host wait for the device, by name.

Tags belong to storages, so views and `parameter.data = ...` carry them.
"""

from __future__ import annotations

import sys
from collections import Counter

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
ACROSS = {
    torch.ops.aten.copy_.default,
    torch.ops.aten._foreach_copy_.default,
    torch.ops.aten.set_.source_Tensor,
}
"""Operators that take tensors of several devices."""
INDEXED = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default,
           torch.ops.aten._index_put_impl_.default}  # fmt: skip
"""Operators whose indices may lie on the CPU."""
WAITING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::unique_consecutive",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::equal",
}
"""Operators whose result, or its shape, the host has to know."""
MOVES = {Tensor.to, Tensor.cuda, Tensor.cpu, torch.as_tensor, torch.asarray}
_TAGS: dict[int, StorageWeakRef] = {}
"""Storages on the pretended device, by address; kept between contexts, as what a program keeps on its device is."""
ITEMS = {Tensor.item, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__, Tensor.tolist}
"""Reads of values; counted where they are called, since in inference mode their operator passes no mode."""
HOST_ONLY = {Tensor.numpy, Tensor.__array__}


class PretendedCuda(TorchFunctionMode):
    """Returns itself as context; `waits` is a Counter of host waits by the name of the operation."""

    def __init__(self):
        super().__init__()
        self.waits: Counter[str] = Counter()
        self._below = _Below(self)

    def __enter__(self):
        super().__enter__()
        self._below.__enter__()
        return self

    def __exit__(self, *error):
        self._below.__exit__(*error)
        return super().__exit__(*error)

    def has(self, tensor: Tensor) -> bool:
        """Whether `tensor` is on the pretended device."""
        # The weak reference keeps the address from being used again.
        return tensor.untyped_storage()._cdata in _TAGS

    def tag(self, value):
        for tensor in tensors(value):
            storage = tensor.untyped_storage()
            if storage._cdata not in _TAGS:
                _TAGS[storage._cdata] = StorageWeakRef(storage)
        return value

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs) if kwargs else {}
        name = getattr(func, "__name__", "")
        if name == "__get__" and (owner := func.__self__) in (Tensor.device, Tensor.is_cuda, Tensor.is_cpu):
            return self._asked(owner, args[0])
        if name == "_parse_to":  # reads the arguments of `Module.to` and makes no tensor
            return func(*args, **kwargs)
        if func is Tensor.get_device:
            return 0 if self.has(args[0]) else -1
        if func in HOST_ONLY and self.has(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func in ITEMS and self.has(args[0]):
            self.waits["values read"] += 1
            with _disable_current_modes():
                return func(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            args = self._plain(args)
        kwargs.pop("pin_memory", None)  # needs a driver
        if func is Tensor.pin_memory:
            return args[0]
        if func in MOVES:
            return self._moved(func, list(args), kwargs)
        if kwargs.get("device") is None:
            return func(*args, **kwargs)
        if not _is_cuda(kwargs["device"]):
            made = func(*args, **kwargs)
            return self._copied(made) if self.has(made) else made
        if kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if func is torch.tensor:
            self.waits["list copied to the device"] += 1
        return self.tag(func(*args, **kwargs | {"device": CPU}))

    def _plain(self, args):
        """A triangle as numbers, which the CPU's kernel needs; one of CUDA knows it."""
        bias = sys.modules.get("torch.nn.attention.bias")  # whose import brings the compiler
        return [self.tag(v._materialize()) if bias and isinstance(v, bias.CausalBias) else v for v in args]

    def _asked(self, owner, tensor: Tensor):
        on_cuda = self.has(tensor)
        if owner is Tensor.device:
            return CUDA if on_cuda else owner.__get__(tensor)
        return on_cuda if owner is Tensor.is_cuda else not on_cuda

    def _moved(self, func, args: list, kwargs: dict) -> Tensor:
        """`to`, `cuda`, `cpu` and the like: a copy where the device changes."""
        source, target = args[0], kwargs.get("device")
        if func in (Tensor.cuda, Tensor.cpu):
            func, args, target = Tensor.to, [source, CPU], CUDA if func is Tensor.cuda else CPU
        elif target is not None:
            kwargs["device"] = _on_host(target)
        elif func is Tensor.to:
            for place, value in enumerate(args[1:], 1):
                if isinstance(value, (torch.device, str)):
                    target, args[place] = value, _on_host(value)
                elif isinstance(value, Tensor) and value.device.type != "meta":
                    target, args[place] = (CUDA if self.has(value) else CPU), value.dtype
        made = func(*args, **kwargs)
        if target is None:
            return made
        to, was = _is_cuda(target), isinstance(source, Tensor) and self.has(source)
        if to == was:
            return made
        self.waits["copied to the device" if to else "copied to the host"] += 1
        if was or made is source:
            made = self._copied(made)
        return self.tag(made) if to else made

    def _copied(self, tensor: Tensor) -> Tensor:
        """A copy without a tag."""
        with _disable_current_modes():
            return tensor.clone()


class _Below(TorchDispatchMode):
    """Below autograd: each operator of torch, its devices checked and its result tagged."""

    def __init__(self, cuda: PretendedCuda):
        super().__init__()
        self.cuda = cuda

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; the check would take a third of each operator's time

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, cuda = kwargs or {}, self.cuda
        given = tensors(args)
        if kwargs:
            given += tensors(kwargs)
        tagged = [tensor for tensor in given if tensor.untyped_storage()._cdata in _TAGS]
        if not tagged:
            return func(*args, **kwargs)
        name = func._schema.name
        if name in WAITING:
            cuda.waits[name] += 1
        if kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if func in INDEXED:
            self._index(func, args)
        elif func in ACROSS:
            if len(tagged) < len(given):
                cuda.waits["copied between devices"] += 1
            if not cuda.has(args[0]):
                return func(*args, **kwargs)
        elif len(tagged) < len(given):
            self._check(name, given)
        return cuda.tag(func(*args, **kwargs))

    def _check(self, name, given):
        on = {self.cuda.has(tensor) for tensor in given if tensor.dim()}
        if len(on) > 1 or on == {False}:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but got cuda:0 and cpu: {name} of "
                + ", ".join(f"{list(t.shape)} {'cuda' if self.cuda.has(t) else 'cpu'}" for t in given)
            )

    def _index(self, func, args):
        indices = [index for index in args[1] if index is not None]
        if not self.cuda.has(args[0]) and any(map(self.cuda.has, indices)):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        values = list(args[2:3])
        self._check(func._schema.name, [args[0], *values])
        host = sum(not self.cuda.has(index) for index in indices)
        self.cuda.waits["indices copied to the device"] += host
        filled = bool(values) and values[0].numel() == 1
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices) and not filled:
            self.cuda.waits["indexed by a mask"] += 1
        self.cuda.waits += Counter()


def tensors(value) -> list[Tensor]:
    """The tensors of nested lists, tuples and dictionaries, which is all that operators take and give."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    flat: list[Tensor] = []
    for part in value:
        if isinstance(part, Tensor):
            flat.append(part)
        elif isinstance(part, (list, tuple, dict)):
            flat += tensors(part)
    return flat


def _is_cuda(device) -> bool:
    return torch.device(device).type == "cuda"


def _on_host(device) -> torch.device:
    """Where the data of a tensor on `device` really are."""
    return CPU if _is_cuda(device) else torch.device(device)
