"""Weights in a model's folder: one safetensors file or several shards, read and checked by name and shape."""

from __future__ import annotations

import difflib
import json
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json
from pardec.models.checkpoints.configs import config_json
from pardec.models.checkpoints.shards import read_header, shard_names

WEIGHTS = "model.safetensors"
DTYPES = ("F64", "F32", "F16", "BF16", "I64")
"""Formats of stored weights that are plain numbers, as safetensors names them."""
QUANTISED = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|SCB|weight_scale(_inv)?|input_scale|weight_packed|weight\.(absmax|quant_map))$"
)
"""Ends of names that AWQ, GPTQ, bitsandbytes, FP8 and compressed-tensors give to what they store."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Checkpoint(ABC):
    """Reads one architecture from a folder and writes it. One file, one registry line."""

    model: type[nn.Module]

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> nn.Module:
        """Return the model in `folder`, or one drawn at random where the folder says so.

        Raises:
            UserError: the folder has no complete model; names the file and the fault.
        """

    @classmethod
    @abstractmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        """Return the name and shape of every weight that `folder` must have, and suffixes of further allowed names.

        Raises:
            UserError: config.json is missing, damaged, or of another kind of model.
        """

    @classmethod
    @abstractmethod
    def tensors(cls, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights under their published names."""

    @classmethod
    def save(cls, model: nn.Module, folder: str | Path) -> None:
        """Write config.json and model.safetensors, each atomically."""
        folder = Path(folder)
        tensors = {name: tensor.detach().contiguous() for name, tensor in cls.tensors(model).items()}
        with atomic(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        values = config_json(model.config)
        if "dtype" in values:
            values["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
        write_json(folder / "config.json", values)


def read_tensors(
    folder: str | Path, wanted: dict[str, tuple[int, ...]], spare: tuple[str, ...], device: str
) -> dict[str, Tensor]:
    """Return the weights of `wanted` (name to shape), and nothing else, from one file or several shards in `folder`.

    spare: suffixes of further names, which are left out.

    Raises:
        UserError: a missing, damaged or pickled file, or a weight that is missing, unknown or of the wrong
        shape.
    """
    weights: dict[str, Tensor] = {}
    files = weight_files(Path(folder))
    for file in files:
        with readable(file), safe_open(file, framework="pt", device=device) as handle:
            kept = [name for name in handle.keys() if not name.endswith(spare)]  # noqa: SIM118
            weights |= {name: handle.get_tensor(name) for name in kept}
    check_shapes({name: tuple(tensor.shape) for name, tensor in weights.items()}, wanted, files[0])
    return weights


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Raise UserError where the library cannot read `file`."""
    try:
        yield
    except (SafetensorError, OSError, json.JSONDecodeError, struct.error, ValueError) as error:
        raise UserError(
            file, f"is not a whole safetensors file ({error})", "produce, copy or fetch it again"
        ) from None


def check_tie(folder: Path, embedding: str, head: str) -> None:
    """Refuse a head that differs from the embedding to which config.json ties it: reading the file would lose it."""
    stored: dict[str, Tensor] = {}
    files = weight_files(folder)
    for file in files:
        with readable(file), safe_open(file, framework="pt") as handle:
            names = set(handle.keys()) & {embedding, head}
            stored |= {name: handle.get_tensor(name) for name in names}
    if len(stored) == 2 and not torch.equal(stored[embedding], stored[head]):
        raise UserError(
            folder / "config.json",
            f"sets tie_word_embeddings, and {head!r} in {files[0].name} differs from {embedding!r}",
            "set tie_word_embeddings to false, or give weights without the head",
        )


def check_weights(folder: Path, wanted: dict[str, tuple[int, ...]], spare: tuple[str, ...]) -> None:
    """Compare the headers of the weight files in `folder` with `wanted`, without reading a weight.

    Raises:
        UserError: see `read_tensors`; or a weight in a format other than plain numbers.
    """
    files, shapes = weight_files(folder), {}
    for file in files:
        with readable(file), safe_open(file, framework="pt"):
            pass  # The library compares formats, shapes and places in the file.
        for name, (kind, shape) in read_header(file).items():
            if name.endswith(spare):
                continue
            if kind not in DTYPES:
                raise UserError(
                    file,
                    f"stores weight {name!r} as {kind}, a quantised or unknown format",
                    f"give weights in one of {', '.join(DTYPES)}",
                )
            shapes[name] = shape
    check_shapes(shapes, wanted, files[0])


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model.

    Raises:
        UserError: there are none, or only pickles, which may run code when they are read.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / f"{WEIGHTS}.index.json"
    if index.is_file():
        shards = [folder / name for name in shard_names(index)]
        for shard in shards:
            if not shard.is_file():
                raise UserError(
                    shard, f"does not exist, though {index.name} names it", "fetch the model again"
                )
        return shards
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    if weights:
        raise UserError(
            index,
            f"does not exist, and the weights lie in other files ({', '.join(weights[:3])})",
            f"fetch this index too, or rename a single file to {WEIGHTS}",
        )
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise UserError(
            folder / pickles[0],
            "is a pickle, which can run code when it is read, and is not loaded",
            f"convert it to {WEIGHTS}",
        )
    raise UserError(folder / WEIGHTS, "does not exist", "produce it with `make all`, or give another folder")


def check_shapes(shapes: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], file: Path) -> None:
    """Raise UserError unless the names and `shapes` of the weights in `file` are those of `wanted`."""
    missing = [name for name in wanted if name not in shapes]
    unknown = [name for name in shapes if name not in wanted]
    packed = next(filter(QUANTISED.search, unknown), None)
    if packed is not None:
        raise UserError(
            file,
            f"contains weights that are quantised already ({packed!r})",
            "give the unquantised checkpoint; for 8 or 4 bits set `quantise: int8` or `int4` of the model",
        )
    if missing:
        near = difflib.get_close_matches(missing[0], unknown, 1, cutoff=0.0)
        hint = f"; the nearest of the unknown ones is {near[0]!r}" if near else ""
        raise UserError(
            file,
            f"lacks {len(missing)} weight(s), first {missing[0]!r}{hint}",
            "rename it, or give the config.json that belongs to these weights",
        )
    if unknown:
        near = difflib.get_close_matches(unknown[0], wanted, 1, cutoff=0.0)
        raise UserError(
            file,
            f"contains {len(unknown)} unknown weight(s), first {unknown[0]!r}, nearest known {near[0]!r}",
            "give the config.json that belongs to these weights, or weights without it",
        )
    for name, shape in wanted.items():
        if shapes[name] != shape:
            raise UserError(
                file,
                f"weight {name!r} has shape {list(shapes[name])}, config.json asks for {list(shape)}",
                "give the config.json that belongs to these weights",
            )


def read_training(folder: str | Path) -> dict[str, Any]:
    """Return the content of training.json: recipe, seed, loss curve, time; {} if the model was not trained here."""
    path = Path(folder) / "training.json"
    return read_json(path) if path.is_file() else {}
