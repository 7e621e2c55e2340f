"""The config.json of a DFlash 2 draft (z-lab and Inco AI 2026): that of a DFlash draft, convolutions and a selector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pardec.common.errors import UserError
from pardec.models.architectures.config import DraftConfig, ModelInfo
from pardec.models.checkpoints.configs import WRITTEN
from pardec.models.checkpoints.formats.base import Format, Values, reading
from pardec.models.checkpoints.formats.dflash import DFlash

ARCHITECTURE = "DFlash2DraftModel"
KEYS = {
    "kernel": "conv_kernel_size",
    "group": "conv_group_size",
    "rank": "selector_rank",
    "top_k": "selector_top_k",
}
"""Published names of whole numbers, in `dflash_config`."""
FACTORS = {
    "input_scale": ("input_embedding_scale", 1.0),
    "output_scale": ("output_multiplier", 1.0),
    "cap": ("final_logit_softcapping", 0.0),
}
"""Published names of further numbers, and what a draft without them has."""


@dataclass(frozen=True)
class DFlash2Config(DraftConfig):
    """A block draft with convolutions along the block and a selector of its tokens.

    kernel: tokens that a convolution reads, the token itself included. group: channels that share a coefficient. rank:
    columns of the selector's tables. top_k: tokens per position among which it selects. input_scale: factor on the
    block's embeddings. output_scale, cap: factor on the logits, and the bound of their tanh; 0 is none.
    """

    kernel: int = 2
    group: int = 16
    rank: int = 32
    top_k: int = 16
    input_scale: float = 1.0
    output_scale: float = 1.0
    cap: float = 0.0

    def info(self) -> ModelInfo:
        """Return the facts of a draft of this shape; one table of the selector is looked up, the other multiplies."""
        draft, table = super().info(), self.vocab_size * self.rank
        projected = self.layers * 4 * self.kernel * (self.hidden // self.group) * self.hidden
        gate, fixed = self.rank * self.hidden, self.layers * 4 * self.kernel * self.hidden
        return replace(
            draft,
            parameters=draft.parameters + projected + gate + fixed + 2 * table,
            matmul_parameters=draft.matmul_parameters + projected + gate + table,
        )


# Here, since the file that has the others is part of the recipe of all published weights.
WRITTEN[DFlash2Config] = ARCHITECTURE


class DFlash2(Format):
    backbone = False

    @reading
    def read(cls, values: Values, where: str) -> DFlash2Config:
        """Return the shape that config.json describes.

        Raises:
            UserError: a key is missing, or the draft needs something this model does not have; names the key.
        """
        plain, section = DFlash.read(values, where), values.get("dflash_config") or {}
        more: dict[str, Any] = {name: section[key] for name, key in KEYS.items()}
        for name, key in KEYS.items():
            if type(more[name]) is not int or more[name] < 1:
                raise UserError(where, f"gives {key} as {more[name]!r}", "give a whole number from 1")
        if plain.hidden % more["group"]:
            what = f"gives {KEYS['group']} {more['group']}, which does not divide a width of {plain.hidden}"
            raise UserError(where, what, "give a divisor of the width")
        for name, (key, default) in FACTORS.items():
            value = section.get(key)
            more[name] = default if value is None else float(value)
        return DFlash2Config(**vars(plain), **more)

    @classmethod
    def write(cls, config: DFlash2Config) -> Values:
        """Return the content of config.json, in the published names."""
        values = DFlash.write(config)
        named = {key: getattr(config, name) for name, key in KEYS.items()}
        named |= {key: getattr(config, name) for name, (key, _) in FACTORS.items()}
        return values | {"architectures": [ARCHITECTURE], "dflash_config": values["dflash_config"] | named}
