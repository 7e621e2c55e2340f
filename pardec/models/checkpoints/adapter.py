"""Low-rank adapters of a backbone (Hu et al. 2021, "LoRA", arXiv:2106.09685) and the embedding of a mask token: what
adapts a causal model to block diffusion, small enough to be published apart from the weights that it adapts.

A matrix W [out, in] becomes W + up · down, with up [out, rank] and down [rank, in]. Both are stored in bfloat16, so
that their product is exact in float64 in any order, and adding it gives the same float32 weights on every machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.models.architectures.config import BLOCKWISE, BackboneConfig

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.backbone import Backbone

torch = lazy("torch")

ADAPTER = "adapter.safetensors"
MASK = "mask"
"""Name of the embedding of the mask token, [hidden]."""
MATRICES = ("qkv", "out", "gate_up", "down")
"""The matrices of a layer that are adapted: all of them."""


def names(layers: int) -> list[str]:
    """Return the names of all adapted matrices."""
    return [f"layers.{layer}.{name}" for layer in range(layers) for name in MATRICES]


def adapted_config(config: BackboneConfig, mask_id: int, shift: bool) -> BackboneConfig:
    """Return the configuration of the block-diffusion model made from one of configuration `config`."""
    return replace(config, family=BLOCKWISE, shift=shift, mask_id=mask_id)


def save_adapter(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write an adapter's tensors in bfloat16, atomically."""
    from safetensors.torch import save_file

    from pardec.common.files import atomic

    rounded = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(rounded, temporary, metadata={"format": "pt"})


def load_adapter(path: Path) -> dict[str, Tensor]:
    """Return an adapter's tensors.

    Raises:
        UserError: the file is missing or damaged.
    """
    from safetensors.torch import load_file

    from pardec.models.checkpoints.tensors import readable

    if not path.is_file():
        raise UserError(path, "does not exist", "train the adapter again")
    with readable(path):
        return load_file(path)


def merge(model: Backbone, tensors: dict[str, Tensor], mask_id: int, shift: bool) -> None:
    """Add an adapter to the float32 weights of its base, in place, and make the model one of block diffusion.

    Raises:
        UserError: the adapter is of a model of another shape.
    """
    wanted = {f"{name}.{side}" for name in names(model.config.layers) for side in ("up", "down")} | {MASK}
    if wanted != tensors.keys():
        raise UserError(ADAPTER, "is of a model of another shape", "give the base that it was trained on")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names(model.config.layers):
            up, down = (tensors[f"{name}.{side}"].double() for side in ("up", "down"))
            weight = parameters[name]
            if weight.shape != (len(up), down.shape[1]):
                raise UserError(
                    ADAPTER, f"has {name} of another shape", "give the base that it was trained on"
                )
            weight.copy_(weight.double() + up @ down)
        model.embedding[mask_id] = tensors[MASK].float()
    model.config = adapted_config(model.config, mask_id, shift)
    model.info = model.config.info()
