"""Sizes of a model from its config.json or its settings alone: what planning needs before any weights exist."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pardec.models.architectures.config import BackboneConfig
from pardec.models.architectures.draft_config import ARCHITECTURE, DraftConfig
from pardec.models.checkpoints.shapes import shape

GROUP = 128
"""Inputs that share a scale in int4."""
GUESSED_WORDS = 1024
"""Vocabulary of a model trained here, which only its data's tokenizer knows."""


@dataclass(frozen=True)
class Facts:
    """What a count of operations and bytes asks of a model; names as in `ModelInfo`."""

    attention: str
    vocab_size: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    parameters: int
    matmul_parameters: int
    matmul_bytes: int | None = None

    def weight_bytes(self, size: int) -> float:
        """Bytes of all weights, those that are not quantised `size` bytes each."""
        if self.matmul_bytes is None:
            return float(size * self.parameters)
        return float(self.matmul_bytes + size * (self.parameters - self.matmul_parameters))

    def quantised(self, how: str, size: int) -> Facts:
        """The same model with its layers' matrices quantised (`pardec.models.engines.quantise`); int4 has a scale and
        a least value of `size` bytes for each group."""
        head = self.vocab_size * self.hidden
        each = 1.0 if how == "int8" else 0.5 + 2 * size / GROUP
        return replace(self, matmul_bytes=round(each * (self.matmul_parameters - head)) + size * head)


def facts_of_config(values: dict[str, Any], where: str = "config.json") -> Facts:
    """The facts of the model that a config.json describes.

    Raises:
        UserError: a format that is not known, or a key that is missing.
    """
    if values.get("model_type") == "gpt2":
        return _gpt2(values)
    if ARCHITECTURE in values.get("architectures", ()):
        return _draft(DraftConfig.from_json(values, where))
    return facts_of_backbone(BackboneConfig.from_json(values, where))


def facts_of_settings(settings: Any) -> Facts | None:
    """The facts of a study's model; None where only its download tells them."""
    if settings.source == "random":
        return facts_of_config(settings.config_json())
    if settings.source == "hub":
        return None if settings.shape is None else facts_of_config(shape(settings.shape))
    if settings.source == "path":
        from pardec.common.files import read_json

        where = f"{settings.path}/config.json"
        return facts_of_config(read_json(where), where)
    size = getattr(settings, "size", None)
    if size is None:
        return None
    from pardec.models.registry import FAMILIES

    family = FAMILIES.load(settings.family)
    names = ("hidden", "layers", "heads", "mlp", "max_positions")
    return facts_of_backbone(
        BackboneConfig(
            vocab_size=GUESSED_WORDS,
            kv_heads=size.kv_heads or size.heads,
            head_dim=size.hidden // size.heads,
            causal=family.causal,
            **{name: getattr(size, name) for name in names},
        )
    )


def facts_of_backbone(config: BackboneConfig) -> Facts:
    """The facts of a backbone of this shape."""
    hidden, width = config.hidden, config.head_dim
    vectors = 2 * hidden
    vectors += width * (config.heads + 2 * config.kv_heads) if config.qkv_bias else 0
    vectors += 2 * width if config.qk_norm else 0
    tables = config.vocab_size * hidden
    learned = config.prompt_positions + config.canvas_positions + config.grid_rows + config.grid_columns
    learned += config.grid_right + config.grid_below
    body = config.layers * _matrices(config)
    outer = tables * (1 if config.tied else 2) + hidden * (1 + learned)
    return Facts(
        attention="causal" if config.causal else "bidirectional",
        **_sizes(config),
        parameters=body + config.layers * vectors + outer,
        matmul_parameters=body + tables,
    )


def _matrices(config: BackboneConfig | DraftConfig) -> int:
    """Parameters of one layer's matrices: queries, keys, values and output, and a gated feed-forward part."""
    attention = 2 * config.hidden * config.head_dim * (config.heads + config.kv_heads)
    return attention + 3 * config.hidden * config.mlp


def _sizes(config: BackboneConfig | DraftConfig) -> dict[str, int]:
    names = ("vocab_size", "layers", "hidden", "heads", "kv_heads", "head_dim", "mlp")
    return {name: getattr(config, name) for name in names}


def _draft(config: DraftConfig) -> Facts:
    """A draft has no table of tokens: it reads its target's, and writes through its target's head."""
    hidden, width = config.hidden, config.head_dim
    vectors = 2 * hidden + (2 * width if config.qk_norm else 0)
    body = config.layers * _matrices(config) + len(config.taps) * hidden * hidden
    return Facts(
        attention="bidirectional",
        **_sizes(config),
        parameters=body + config.layers * vectors + 2 * hidden,
        matmul_parameters=body,
    )


def _gpt2(values: dict[str, Any]) -> Facts:
    hidden, layers, words = values["n_embd"], values["n_layer"], values["vocab_size"]
    mlp = values.get("n_inner") or 4 * hidden
    body = layers * (4 * hidden * hidden + 2 * hidden * mlp)
    vectors = layers * (4 * hidden + 4 * hidden + mlp + hidden) + 2 * hidden
    tables = words * hidden * (1 if values.get("tie_word_embeddings", True) else 2)
    return Facts(
        attention="causal",
        vocab_size=words,
        layers=layers,
        hidden=hidden,
        heads=values["n_head"],
        kv_heads=values["n_head"],
        head_dim=hidden // values["n_head"],
        mlp=mlp,
        parameters=body + vectors + tables + values["n_positions"] * hidden,
        matmul_parameters=body + words * hidden,
    )
