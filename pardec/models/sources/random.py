"""A model of a given shape with random weights: real time and memory, no quality.

Nothing is downloaded and no weights are stored: the folder says shape and seed, and loading draws the weights
on the device. Its config.json says `"weights": "random"`, so that no quality is ever asked of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pardec.common.errors import UserError
from pardec.common.files import atomic, sha256, write_json
from pardec.common.settings import Settings
from pardec.models.config import BackboneConfig
from pardec.models.sources.folder import clear


class RandomSettings(Settings):
    source: Literal["random"]
    """Where the weights come from."""
    family: Literal["autoregressive", "masked_diffusion"]
    """Which attention it has: autoregressive models are causal, masked_diffusion ones bidirectional."""
    vocab_size: int = Field(ge=4)
    """Tokens of the vocabulary."""
    hidden: int = Field(ge=2)
    """Width of the stream between layers."""
    layers: int = Field(ge=1)
    """Layers."""
    heads: int = Field(ge=1)
    """Attention heads."""
    kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values; null means as many as heads."""
    head_dim: int | None = Field(None, ge=2)
    """Width of a head; null means hidden / heads."""
    mlp: int = Field(ge=1)
    """Inner width of the feed-forward part."""
    max_positions: int = Field(4096, ge=1)
    """Longest sequence."""
    tied: bool = False
    """The output head shares the embedding's weights."""
    rope_theta: float = Field(10_000.0, gt=0)
    """Base of the rotary positions."""
    norm_eps: float = Field(1e-5, gt=0)
    """Added to the mean square in a norm."""
    bos_id: int | None = Field(1, ge=0)
    """Id of the start token."""
    eos_id: int | None = Field(2, ge=0)
    """Id of the end token."""
    pad_id: int = Field(0, ge=0)
    """Id of the pad token."""
    mask_id: int | None = Field(None, ge=0)
    """Id of the mask token; a masked_diffusion model needs one."""
    tokenizer: str | None = None
    """A tokenizer.json to go with it; null leaves prompts to those who have token ids."""

    @model_validator(mode="after")
    def _fits(self):
        if self.head_dim is None and self.hidden % self.heads:
            raise ValueError(f"heads {self.heads} do not divide hidden {self.hidden}; set head_dim")
        if self.width % 2:
            raise ValueError(f"head_dim {self.width} is odd; rotary positions need pairs")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"kv_heads {self.kv_heads} do not divide heads {self.heads}")
        if self.family == "masked_diffusion" and self.mask_id is None:
            raise ValueError("family masked_diffusion needs a mask_id")
        for name in ("bos_id", "eos_id", "pad_id", "mask_id"):
            if (getattr(self, name) or 0) >= self.vocab_size:
                raise ValueError(
                    f"{name} {getattr(self, name)} is outside the vocabulary of {self.vocab_size}"
                )
        return self

    @property
    def width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden // self.heads

    def config(self) -> BackboneConfig:
        """The same shape as a backbone's configuration."""
        names = (
            "vocab_size", "hidden", "layers", "heads", "mlp", "max_positions", "tied", "rope_theta",
            "norm_eps", "bos_id", "eos_id", "pad_id", "mask_id", "family",
        )  # fmt: skip
        return BackboneConfig(
            kv_heads=self.kv_heads or self.heads,
            head_dim=self.width,
            causal=self.family == "autoregressive",
            **{name: getattr(self, name) for name in names},
        )


def fetch(settings: RandomSettings, out_dir: str | Path, seed: int) -> dict[str, Any]:
    """Write the folder of a random model; returns what source.json says.

    Raises:
        UserError: the tokenizer's file does not exist.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    clear(out)
    write_json(out / "config.json", {**settings.config().to_json(), "weights": "random", "seed": seed})
    names = ["config.json"]
    if settings.tokenizer is not None:
        if not Path(settings.tokenizer).is_file():
            raise UserError(settings.tokenizer, "does not exist", "check the path of the tokenizer")
        with atomic(out / "tokenizer.json") as temporary:
            shutil.copyfile(settings.tokenizer, temporary)
        names.append("tokenizer.json")
    files = {
        name: {"sha256": sha256(out / name), "bytes": (out / name).stat().st_size, "linked": False}
        for name in names
    }
    source = {"source": "random", "seed": seed, "revision": None, "files": files}
    write_json(out / "source.json", source)
    return source
