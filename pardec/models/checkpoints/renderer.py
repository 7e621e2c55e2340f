"""A renderer's folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pardec.common.files import read_json
from pardec.models.architectures.renderer import Renderer
from pardec.models.checkpoints.formats.renderer import RendererFormat
from pardec.models.checkpoints.tensors import Checkpoint, read_tensors


class RendererCheckpoint(Checkpoint):
    """Folders of renderers."""

    model = Renderer

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> Renderer:
        where = folder / "config.json"
        model = Renderer(RendererFormat.read(read_json(where), str(where)))
        model.load_state_dict(read_tensors(folder, *cls.wanted(folder), "cpu"))
        return model.to(device=device, dtype=dtype).eval()

    @classmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        where = folder / "config.json"
        with torch.device("meta"):
            model = Renderer(RendererFormat.read(read_json(where), str(where)))
        return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, ()

    @classmethod
    def tensors(cls, model: Renderer) -> dict[str, Tensor]:
        return model.state_dict()
