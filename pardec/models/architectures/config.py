"""Configurations of the architectures, and the facts of their models: sizes, token ids, parameter counts.

Imports no torch: planning reads these before any weights exist.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import pi
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


BLOCKWISE = "block_diffusion"
"""The family whose models attend block by block."""


@dataclass(frozen=True)
class ModelInfo:
    """Facts of a model for decoders, planning and operation counts; ids are None where the model lacks the token."""

    attention: str
    """"causal", "bidirectional", or "block_causal": a causal prompt, then blocks that see all of themselves. Such a
    model is causal wherever a pass has no other layout."""
    vocab_size: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    max_positions: int
    bos_id: int | None
    eos_id: int | None
    pad_id: int
    mask_id: int | None
    parameters: int
    matmul_parameters: int
    """Parameters in matrix products of every token: without the embedding lookup, with the output head."""
    shift: bool
    """Logits at i - 1 predict position i of the canvas (a masked model that started from autoregressive
    weights)."""
    stop_ids: tuple[int, ...] = ()
    """Further tokens that end a text, beside `eos_id`, such as the end of a turn."""
    matmul_bytes: int | None = None
    """Stored bytes of these parameters where they are quantised; None: as wide as the activations."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Return every token that ends a text, `eos_id` first."""
        return self.stop_ids if self.eos_id is None else (self.eos_id, *self.stop_ids)

    def weight_bytes(self, size: int) -> float:
        """Return the bytes of all weights, unquantised ones at `size` bytes each."""
        if self.matmul_bytes is None:
            return float(size * self.parameters)
        return float(self.matmul_bytes + size * (self.parameters - self.matmul_parameters))


@dataclass(frozen=True)
class Stretch:
    """Llama 3.1's scaling of rotary positions (Dubey et al. 2024, arXiv:2407.21783): waves longer than the original
    training context are slowed by `factor`, short ones are kept, those between are blended."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def apply(self, rates: Tensor) -> Tensor:
        """Return the scaled angles per position, [head_dim / 2] float32."""
        turns = self.original_max_position_embeddings * rates / (2 * pi)
        blend = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        share = blend.clamp(0, 1)
        return rates * share + rates / self.factor * (1 - share)

    def to_json(self) -> dict[str, Any]:
        """Return the `rope_scaling` of a config.json."""
        return {"rope_type": "llama3", **asdict(self)}


@dataclass(frozen=True)
class GridConfig:
    """Row and column positions of a canvas that is a table.

    Token p is in row p // stride and column p % stride; the stride is `cell` tokens times the number at position
    `width_at` of the prompt; the token of number n is `zero_id` + n. ends: sizes of two further tables, for columns
    counted from the end of a row and rows counted from the last row, whose number is at position `height_at` of the
    prompt (0: no such tables). waves: the tables of rows and columns begin as sinusoids.
    """

    rows: int
    columns: int
    ends: int = 0
    waves: bool = False
    cell: int = 2
    width_at: int = 0
    height_at: int = 0
    zero_id: int = 4


@dataclass(frozen=True)
class PositionConfig:
    """Sizes of the two tables of learned positions. The first counts from a row's first real token, the second from
    the first token of the canvas; a position past a table's end uses its last row."""

    prompt: int
    canvas: int
    grid: GridConfig | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> PositionConfig:
        """Return the configuration from the output of `asdict`."""
        grid = values.get("grid")
        return cls(**{**values, "grid": None if grid is None else GridConfig(**grid)})

    @property
    def rows(self) -> int:
        """Return the number of rows of all tables together."""
        grid = self.grid
        return self.prompt + self.canvas + (0 if grid is None else grid.rows + grid.columns + 2 * grid.ends)


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes and flags of one decoder-only transformer.

    positions: learned positions, if any. rotary: queries and keys are rotated by their position. shift: logits at
    i - 1 predict position i of the canvas. family: the training objective. qkv_bias: biases on queries, keys and
    values. qk_norm: a norm on each head's queries and keys. rope_float32: rotation in float32, whatever the weights'
    precision (LLaDA's `rope_full_precision`). stop_ids: tokens that end a text beside `eos_id`.
    """

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    max_positions: int
    causal: bool
    tied: bool = True
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    bos_id: int | None = 1
    eos_id: int | None = 2
    pad_id: int = 0
    mask_id: int | None = None
    positions: PositionConfig | None = None
    rotary: bool = True
    shift: bool = False
    family: str | None = None
    qkv_bias: bool = False
    qk_norm: bool = False
    rope_stretch: Stretch | None = None
    rope_float32: bool = False
    stop_ids: tuple[int, ...] = ()

    @property
    def attention(self) -> str:
        """Return its kind of attention, as in `ModelInfo`."""
        if not self.causal:
            return "bidirectional"
        return "block_causal" if self.family == BLOCKWISE else "causal"

    def info(self) -> ModelInfo:
        """Return the facts of a model of this shape."""
        vectors = 2 * self.hidden
        vectors += self.head_dim * (self.heads + 2 * self.kv_heads) if self.qkv_bias else 0
        vectors += 2 * self.head_dim if self.qk_norm else 0
        table = self.vocab_size * self.hidden
        learned = 0 if self.positions is None else self.positions.rows
        body = self.layers * _matrices(self)
        outer = table * (1 if self.tied else 2) + self.hidden * (1 + learned)
        return ModelInfo(
            attention=self.attention,
            **_shared(self),
            parameters=body + self.layers * vectors + outer,
            matmul_parameters=body + table,
            shift=self.shift,
            stop_ids=self.stop_ids,
        )


@dataclass(frozen=True)
class DraftConfig:
    """A block draft of `layers` layers for a target of `target_layers` layers (DFlash, arXiv:2602.06036).

    hidden: equal to the target's width, since the draft uses the target's embedding and head. taps: layers of the
    target, from 0, whose hidden states are its context. block: tokens per block, the anchor included. qk_norm:
    whether queries and keys are normed by head, as in Qwen3 (not so in model type "llama").
    """

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    max_positions: int
    block: int
    mask_id: int
    taps: tuple[int, ...]
    target_layers: int
    rope_theta: float = 10_000.0
    rope_stretch: Stretch | None = None
    norm_eps: float = 1e-6
    qk_norm: bool = True
    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int = 0

    def info(self) -> ModelInfo:
        """Return the facts of a draft of this shape, which has neither an embedding nor an output head."""
        vectors = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        body = self.layers * _matrices(self) + len(self.taps) * self.hidden * self.hidden
        return ModelInfo(
            attention="bidirectional",
            **_shared(self),
            parameters=body + self.layers * vectors + 2 * self.hidden,
            matmul_parameters=body,
            shift=False,
        )


@dataclass(frozen=True)
class MarkovConfig(DraftConfig):
    """A block draft with a Markov head, whose tables have `rank` columns."""

    rank: int = 32

    def info(self) -> ModelInfo:
        """Return the facts of a draft of this shape; one table of the head is looked up, the other multiplies."""
        draft, table = super().info(), self.vocab_size * self.rank
        sizes = {"parameters": draft.parameters + 2 * table}
        return replace(draft, **sizes, matmul_parameters=draft.matmul_parameters + table)


@dataclass(frozen=True)
class GPT2Config:
    """Sizes of a GPT-2."""

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    mlp: int
    max_positions: int
    tied: bool = True
    norm_eps: float = 1e-5
    bos_id: int | None = None
    eos_id: int | None = None
    stop_ids: tuple[int, ...] = ()
    pad_id: int = 0
    mask_id: None = None

    @property
    def kv_heads(self) -> int:
        """Return the key-value heads: as many as heads."""
        return self.heads

    @property
    def head_dim(self) -> int:
        """Return the width of a head."""
        return self.hidden // self.heads

    def info(self) -> ModelInfo:
        """Return the facts of a GPT-2 of this shape."""
        hidden, table = self.hidden, self.vocab_size * self.hidden
        body = self.layers * (4 * hidden * hidden + 2 * hidden * self.mlp)
        vectors = self.layers * (9 * hidden + self.mlp) + 2 * hidden
        outer = table * (1 if self.tied else 2) + self.max_positions * hidden
        return ModelInfo(
            attention="causal",
            **_shared(self),
            parameters=body + vectors + outer,
            matmul_parameters=body + table,
            shift=False,
            stop_ids=self.stop_ids,
        )


@dataclass(frozen=True)
class RendererConfig:
    """Sizes of a renderer. Ids: specials, characters from `first_character`, chunks from `first_chunk`, roots from
    `first_root`, `vocab_size` in total. slots: slots per expansion, by level."""

    first_character: int
    first_chunk: int
    first_root: int
    vocab_size: int
    slots: tuple[int, int]
    hidden: int
    layers: int
    heads: int
    mlp: int

    def conditions(self, level: int) -> tuple[int, int]:
        """Return the first id, and the one after the last, of the conditions of a level."""
        return (self.first_root, self.vocab_size) if level == 0 else (self.first_chunk, self.first_root)

    def written(self, level: int) -> tuple[int, int]:
        """Return the first id, and the one after the last, of the ids that a level writes."""
        return (self.first_chunk, self.first_root) if level == 0 else (self.first_character, self.first_chunk)

    def backbone(self, pad_id: int, eos_id: int, mask_id: int) -> BackboneConfig:
        """Return the configuration of its layers."""
        return BackboneConfig(
            vocab_size=self.vocab_size,
            hidden=self.hidden,
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.heads,
            head_dim=self.hidden // self.heads,
            mlp=self.mlp,
            max_positions=max(self.slots),
            causal=False,
            rotary=False,
            bos_id=None,
            pad_id=pad_id,
            eos_id=eos_id,
            mask_id=mask_id,
        )


Config = BackboneConfig | DraftConfig | GPT2Config | RendererConfig


def _matrices(config: BackboneConfig | DraftConfig) -> int:
    """Return the parameters of one layer's matrices: queries, keys, values, output, and a gated feed-forward part."""
    attention = 2 * config.hidden * config.head_dim * (config.heads + config.kv_heads)
    return attention + 3 * config.hidden * config.mlp


def _shared(config: BackboneConfig | DraftConfig | GPT2Config) -> dict[str, Any]:
    sizes = ("vocab_size", "layers", "hidden", "heads", "kv_heads", "head_dim", "mlp", "max_positions")
    return {name: getattr(config, name) for name in (*sizes, "bos_id", "eos_id", "pad_id", "mask_id")}
