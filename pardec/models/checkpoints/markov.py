"""The folder of a block draft with a Markov head: a DFlash draft's, with the head's tables under DSpark's names."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pardec.common.files import read_json
from pardec.models.architectures.markov import MarkovConfig, MarkovDraft
from pardec.models.checkpoints import draft
from pardec.models.checkpoints.drawn import draw_model, is_drawn
from pardec.models.checkpoints.formats.markov import Markov
from pardec.models.checkpoints.tensors import Checkpoint, read_tensors

HEAD = {"before": "markov_w1.weight", "after": "markov_w2.weight"}


class MarkovCheckpoint(Checkpoint):
    model = MarkovDraft

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> MarkovDraft:
        config = cls.config(folder)
        if is_drawn(folder):
            return draw_model(MarkovDraft, folder, config, device, dtype)
        with torch.device("meta"):
            model = MarkovDraft(config)
        state = read_tensors(folder, *cls.wanted(folder), device)
        model.load_state_dict(fuse({name: tensor.to(dtype) for name, tensor in state.items()}), assign=True)
        model.place_tables(device, dtype)
        return model

    @classmethod
    def config(cls, folder: Path) -> MarkovConfig:
        where = folder / "config.json"
        return Markov.read(read_json(where), str(where))

    @classmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        with torch.device("meta"):
            model = MarkovDraft(cls.config(folder))
        return {name: tuple(tensor.shape) for name, tensor in cls.tensors(model).items()}, ()

    @classmethod
    def tensors(cls, model: MarkovDraft) -> dict[str, Tensor]:
        state = model.state_dict()
        head = {theirs: state.pop(ours).detach().contiguous() for ours, theirs in HEAD.items()}
        return draft.split(state) | head


def fuse(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights from those by the published names."""
    return draft.fuse(state) | {ours: state[theirs] for ours, theirs in HEAD.items()}
