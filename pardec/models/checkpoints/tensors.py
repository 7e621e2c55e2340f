"""Weights in a model's folder: one safetensors file or several shards, read and checked by name and shape."""

from __future__ import annotations

import difflib
import json
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json
from pardec.models.checkpoints.configs import config_json
from pardec.models.checkpoints.shards import shard_names

WEIGHTS = "model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Checkpoint(ABC):
    """How one architecture is read from a folder and written to it. One file, one registry line."""

    model: type[nn.Module]

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> nn.Module:
        """Returns the model in `folder`, or one drawn at random where the folder says so.

        Raises:
            UserError: the folder holds no whole model; names the file and what is wrong.
        """

    @classmethod
    @abstractmethod
    def tensors(cls, model: nn.Module) -> dict[str, Tensor]:
        """Returns the weights under their published names."""

    @classmethod
    def save(cls, model: nn.Module, folder: str | Path) -> None:
        """Write config.json and model.safetensors, both whole or not at all."""
        folder = Path(folder)
        tensors = {name: tensor.detach().contiguous() for name, tensor in cls.tensors(model).items()}
        with atomic(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        write_json(folder / "config.json", config_json(model.config))


def read_tensors(
    folder: str | Path, wanted: dict[str, tuple[int, ...]], device: str, spare: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The weights of `wanted` (name to shape), and nothing else, from one file or several shards in `folder`.

    spare: ends of names that may stand there and are left out.

    Raises:
        UserError: a missing, damaged or pickled file, or a weight that is missing, unknown or of the wrong
        shape.
    """
    found: dict[str, Tensor] = {}
    files = weight_files(Path(folder))
    for file in files:
        try:
            with safe_open(file, framework="pt", device=device) as handle:
                kept = [name for name in handle.keys() if not name.endswith(spare)]  # noqa: SIM118
                found |= {name: handle.get_tensor(name) for name in kept}
        except (SafetensorError, OSError, json.JSONDecodeError, struct.error, ValueError) as error:
            raise UserError(
                file, f"is not a whole safetensors file ({error})", "delete it and produce or fetch it again"
            ) from None
    _check(found, wanted, files[0])
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model.

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
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise UserError(
            folder / pickles[0],
            "is a pickle, which can run code when it is read, and is not loaded",
            f"convert it to {WEIGHTS}",
        )
    raise UserError(folder / WEIGHTS, "does not exist", "produce it with `make all`, or give another folder")


def _check(found: dict[str, Tensor], wanted: dict[str, tuple[int, ...]], file: Path) -> None:
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
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
            f"holds {len(unknown)} unknown weight(s), first {unknown[0]!r}, nearest known {near[0]!r}",
            "remove it, or give the config.json that belongs to these weights",
        )
    for name, shape in wanted.items():
        if tuple(found[name].shape) != shape:
            raise UserError(
                file,
                f"weight {name!r} has shape {list(found[name].shape)}, config.json asks for {list(shape)}",
                "give the config.json that belongs to these weights",
            )


def read_training(folder: str | Path) -> dict[str, Any]:
    """training.json: recipe, seed, loss curve, time; {} where the model was not trained here."""
    path = Path(folder) / "training.json"
    return read_json(path) if path.is_file() else {}
