"""The config.json of a published DFlash draft (arXiv:2602.06036)."""

from __future__ import annotations

from pardec.common.errors import UserError
from pardec.models.architectures.config import DraftConfig
from pardec.models.checkpoints.formats.base import (
    FIX,
    Format,
    Values,
    first,
    read_sizes,
    reading,
    write_sizes,
)
from pardec.models.checkpoints.formats.rotary import read_rotary

ARCHITECTURE = "DFlashDraftModel"


class DFlash(Format):
    """`dflash_config` beside the sizes of a Qwen3 or a Llama."""

    backbone = False

    @reading
    def read(cls, values: Values, where: str) -> DraftConfig:
        """Return the shape that config.json describes.

        Raises:
            UserError: a key is missing, or the draft needs something this model does not have; names the key.
        """
        _refuse_unsupported(values, where)
        theta, stretch = read_rotary(values, where)
        section = values.get("dflash_config") or {}
        sizes, target_layers = read_sizes(values, where), values["num_target_layers"]
        config = DraftConfig(
            **sizes,
            block=section.get("block_size") or values["block_size"],
            mask_id=section["mask_token_id"],
            taps=tuple(section.get("target_layer_ids") or default_taps(target_layers, sizes["layers"])),
            target_layers=target_layers,
            rope_theta=theta,
            rope_stretch=stretch,
            norm_eps=values.get("rms_norm_eps", 1e-6),
            qk_norm=values.get("model_type", "qwen3") == "qwen3",
            bos_id=values.get("bos_token_id"),
            eos_id=first(values.get("eos_token_id")),
            pad_id=first(values.get("pad_token_id")) or 0,
        )
        _check(config, where)
        return config

    @classmethod
    def write(cls, config: DraftConfig) -> Values:
        """Return the content of config.json, in the published names."""
        return {
            "architectures": [ARCHITECTURE],
            "model_type": "qwen3" if config.qk_norm else "llama",
            "block_size": config.block,
            "dflash_config": {"mask_token_id": config.mask_id, "target_layer_ids": list(config.taps)},
            "num_target_layers": config.target_layers,
            **write_sizes(config),
            "rope_theta": config.rope_theta,
            **({} if config.rope_stretch is None else {"rope_scaling": config.rope_stretch.to_json()}),
            "rms_norm_eps": config.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": config.bos_id,
            "eos_token_id": config.eos_id,
            "pad_token_id": config.pad_id,
            "dtype": "float32",
        }


def default_taps(target_layers: int, count: int) -> tuple[int, ...]:
    """Return `count` layers of the target, evenly from its 2nd to its 3rd-last, as published drafts without an
    explicit list have them; all layers of a target with no more than that."""
    first, last = 1, target_layers - 3
    if last - first + 1 < count:
        return tuple(range(target_layers))
    if count == 1:
        return (target_layers // 2,)
    return tuple(round(first + index * (last - first) / (count - 1)) for index in range(count))


def _check(config: DraftConfig, where: str) -> None:
    """Refuse taps that are no layers of the target, and a block without a draft."""
    for name, size in (("num_target_layers", config.target_layers), ("block_size", config.block - 1)):
        if type(size) is not int or size < 1:
            raise UserError(
                where, f"gives a wrong {name}, which must be a number of layers, or of two tokens", FIX
            )
    wrong = [tap for tap in config.taps if type(tap) is not int or not 0 <= tap < config.target_layers]
    if wrong or not config.taps:
        what = f"reads layers {list(config.taps)!r} of a target of {config.target_layers} layers"
        raise UserError(where, what, "give target_layer_ids that are layers of the target, from 0")


def _refuse_unsupported(values: Values, where: str) -> None:
    vocab_size = values.get("draft_vocab_size")
    if vocab_size is not None and vocab_size != values.get("vocab_size"):
        what = f"has a vocabulary of its own (draft_vocab_size {vocab_size!r}), with a head and a map to the target's"
        raise UserError(where, what, "give a draft that uses its target's head, as published for DFlash")
    kind = values.get("model_type", "qwen3")
    if kind not in ("qwen3", "llama"):
        raise UserError(where, f"describes a draft of type {kind!r}", "give one of type 'qwen3' or 'llama'")
    if values.get("attention_bias"):
        raise UserError(where, "sets attention_bias", "only drafts without biases are supported")
    if values.get("hidden_act", "silu") != "silu":
        raise UserError(where, f"asks for activation {values['hidden_act']!r}", "only 'silu' is supported")
    if "sliding_attention" in (values.get("layer_types") or ()):
        raise UserError(
            where, "has layers of sliding attention", "only drafts of full attention are supported"
        )
