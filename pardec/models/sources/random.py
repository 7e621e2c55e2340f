"""A model of a given shape with random weights: real time and memory, no quality.

Nothing is downloaded and no weights are stored: the folder says shape and seed, and loading draws the weights
on the device. Its config.json says `"weights": "random"`, so that no quality is ever asked of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pardec.common.errors import UserError
from pardec.common.files import atomic, sha256, write_json
from pardec.common.settings import Settings
from pardec.data.tokenizers import BYTES, byte_tokenizer
from pardec.models.architectures.config import BackboneConfig
from pardec.models.checkpoints.configs import config_json
from pardec.models.checkpoints.shapes import shape

NEEDED = ("family", "vocab_size", "hidden", "layers", "heads", "mlp")
"""What a model must say that takes no published shape."""
BESIDE = {"source", "shape", "layers", "max_positions", "tokenizer", "quantise"}
"""What a model may say that does."""

BESIDE_TOKENIZER = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
"""Files that say more of a tokenizer: its special tokens and its chat template."""


class RandomSettings(Settings):
    """A model of a given shape with random weights: real time and memory, no quality."""

    source: Literal["random"]
    """Where the weights come from."""
    shape: str | None = None
    """A published model whose shape it has: llada-8b, llama-3-8b, qwen3-8b, gpt2-large and others. Only layers,
    max_positions, quantise and tokenizer may be set beside it; null: the shape is what the other keys say."""
    family: Literal["autoregressive", "masked_diffusion"] | None = None
    """Which attention it has: autoregressive models are causal, masked_diffusion ones bidirectional. null: that of
    its shape."""
    vocab_size: int | None = Field(None, ge=4)
    """Tokens of the vocabulary."""
    hidden: int | None = Field(None, ge=2)
    """Width of the stream between layers."""
    layers: int | None = Field(None, ge=1)
    """Layers."""
    heads: int | None = Field(None, ge=1)
    """Attention heads."""
    kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values; null means as many as heads."""
    head_dim: int | None = Field(None, ge=2)
    """Width of a head; null means hidden / heads."""
    mlp: int | None = Field(None, ge=1)
    """Inner width of the feed-forward part."""
    max_positions: int | None = Field(None, ge=1)
    """Longest sequence; null means 4096, or that of its shape."""
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
    quantise: Literal["int8", "int4"] | None = None
    """Weight-only quantisation when the model is loaded; null keeps the weights as they are."""
    tokenizer: str | None = None
    """A tokenizer.json to copy, with the files beside it that belong to it; null: every byte is a token, where the
    vocabulary has room for them."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.shape is not None:
            return self._beside_a_shape()
        if lacking := [name for name in NEEDED if getattr(self, name) is None]:
            raise ValueError(f"needs {', '.join(lacking)}, or the shape of a published model")
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

    def _beside_a_shape(self) -> Self:
        try:
            shape(self.shape)
        except UserError as error:
            raise ValueError(f"{error.what}; {error.fix}") from None
        if extra := sorted(self.model_fields_set - BESIDE):
            raise ValueError(f"{extra[0]} is part of shape {self.shape!r}; remove one of the two")
        return self

    @property
    def width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden // self.heads

    def config_json(self) -> dict[str, Any]:
        """Return the content of config.json, weights apart."""
        if self.shape is not None:
            return shape(self.shape, self.layers, self.max_positions)
        return config_json(self.config())

    def config(self) -> BackboneConfig:
        """Return the shape that its own keys say, as a backbone's configuration."""
        names = (
            "vocab_size", "hidden", "layers", "heads", "mlp", "tied", "rope_theta",
            "norm_eps", "bos_id", "eos_id", "pad_id", "mask_id", "family",
        )  # fmt: skip
        return BackboneConfig(
            kv_heads=self.kv_heads or self.heads,
            head_dim=self.width,
            max_positions=self.max_positions or 4096,
            causal=self.family == "autoregressive",
            **{name: getattr(self, name) for name in names},
        )


def words(config: dict[str, Any]) -> int:
    """Return the rows of the embedding that config.json describes."""
    return config.get("embedding_size") or config["vocab_size"]


def tokenizer_files(file: Path) -> dict[str, Path]:
    """Return a tokenizer's file and those beside it that belong to it, by the names that a model's folder gives
    them."""
    beside = {name: file.with_name(name) for name in BESIDE_TOKENIZER}
    return {"tokenizer.json": file, **{name: path for name, path in beside.items() if path.is_file()}}


def bring_tokenizer(file: Path, out: Path) -> list[str]:
    """Copy a tokenizer's file into `out`, with the files beside it that belong to it; return their names.

    Raises:
        UserError: there is no such file.
    """
    if not file.is_file():
        raise UserError(file, "does not exist", "check the path of the tokenizer")
    brought = tokenizer_files(file)
    for name, path in brought.items():
        with atomic(out / name) as temporary:
            shutil.copyfile(path, temporary)
    return list(brought)


def fetch(settings: RandomSettings, out_dir: str | Path, seed: int) -> dict[str, Any]:
    """Write the folder of a random model; return what source.json says.

    Raises:
        UserError: the tokenizer's file does not exist, or it is none that this model can have.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    from pardec.models.checkpoints.checks import check_checkpoint
    from pardec.models.sources.folder import clear

    clear(out)
    config = settings.config_json()
    quantised = {} if settings.quantise is None else {"quantise": settings.quantise}
    write_json(out / "config.json", {**config, "weights": "random", "seed": seed, **quantised})
    names = ["config.json"]
    if settings.tokenizer is None and words(config) >= BYTES:
        byte_tokenizer().save(out / "tokenizer.json")
        names.append("tokenizer.json")
    elif settings.tokenizer is not None:
        names += bring_tokenizer(Path(settings.tokenizer), out)
    files = {
        name: {"sha256": sha256(out / name), "bytes": (out / name).stat().st_size, "linked": False}
        for name in names
    }
    if settings.tokenizer is not None:
        check_checkpoint(out, Path(settings.tokenizer).parent)
    source = {"source": "random", "seed": seed, "revision": None, "files": files}
    write_json(out / "source.json", source)
    return source
