"""The interface of a checkpoint format: reading and writing config.json, and the names of a backbone's weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError

if TYPE_CHECKING:
    from pardec.models.architectures.config import BackboneConfig, Config, DraftConfig

Values = dict[str, Any]


class Format(ABC):
    """One `model_type`. One file, one registry line."""

    backbone: bool = True
    """Whether the configuration is a `BackboneConfig`."""
    spare: tuple[str, ...] = ("rotary_emb.inv_freq",)
    """Suffixes of names in such checkpoints that are not weights."""

    @classmethod
    @abstractmethod
    def read(cls, values: Values, where: str) -> Config:
        """Return the shape that config.json describes.

        Raises:
            UserError: a key is missing, or the model needs what a backbone does not have; names the key.
        """

    @classmethod
    def write(cls, config: Config) -> Values:
        """Return the content of config.json.

        Raises:
            TypeError: a format that this project only reads.
        """
        raise TypeError(f"{cls.__name__} is read only")

    @classmethod
    def name(cls, llama: str) -> str:
        """Return the format's name of the weight that a Llama checkpoint calls `llama`."""
        return llama


def reading(read: Callable[[type, Values, str], Config]) -> Any:
    """Return a class method `read` that reports a missing key or an unusable value of config.json as one UserError."""

    def checked(cls: type, values: Values, where: str) -> Config:
        try:
            return validated(read(cls, plain_ids(values), where), where)
        except KeyError as error:
            raise UserError(
                where, f"has no key {error.args[0]!r}", "fetch the config.json of this checkpoint again"
            ) from None
        except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise UserError(where, f"contains a value of the wrong kind ({error})", FIX) from None

    return classmethod(checked)


FIX = "give the config.json that belongs to these weights"


IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id")
"""Keys of config.json whose values are token ids; -1 and null mean that there is no such token."""
LARGEST = 2**31
"""Sizes and positions are below this; torch counts no further on some devices."""
SIZES = ("vocab_size", "hidden", "layers", "heads", "kv_heads", "head_dim", "mlp", "max_positions")


def plain_ids(values: Values) -> Values:
    """Return `values` with null in place of each token id that means none."""

    def plain(entry: Any) -> Any:
        if isinstance(entry, list):
            return [index for index in entry if index is not None and index != -1] or None
        return None if entry == -1 else entry

    return {key: plain(entry) if key in IDS else entry for key, entry in values.items()}


def validated(config: Config, where: str) -> Config:
    """Return `config` if its sizes and token ids can be those of a model.

    Raises:
        UserError: a size that is not a positive number, heads that do not divide, a number or flag of another kind, or
        an id outside the vocabulary; names the file, the value and the allowed ones.
    """
    for name in SIZES:
        size = getattr(config, name)
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size < LARGEST:
            raise UserError(
                where, f"gives {size!r} as {name.replace('_', ' ')}, which must be a number above 0", FIX
            )
    if config.heads % config.kv_heads:
        what = f"has {config.heads} query heads, which {config.kv_heads} key-value heads do not divide"
        raise UserError(where, what, FIX)
    if getattr(config, "rotary", False) and config.head_dim % 2:
        raise UserError(where, f"has heads of width {config.head_dim}; rotary positions need pairs", FIX)
    for name in ("norm_eps", "rope_theta"):
        number = getattr(config, name, 1.0)
        if not is_positive(number):
            raise UserError(where, f"gives {number!r} as {name}, which must be a number above 0", FIX)
    for name in ("causal", "tied"):
        if not isinstance(flag := getattr(config, name, True), bool):
            raise UserError(where, f"gives {flag!r} as {name}, which must be true or false", FIX)
    named = {f"{name}_token_id": getattr(config, f"{name}_id") for name in ("bos", "eos", "pad", "mask")}
    ends = [("eos_token_id", index) for index in getattr(config, "stop_ids", ())]
    for key, index in [*named.items(), *ends]:
        if index is not None:
            check_id(key, index, config.vocab_size, where)
    return config


def is_positive(number: Any) -> bool:
    """Return whether a value of config.json is a number above 0 that float32 can hold; JSON as Python reads it has
    infinities."""
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < 1e18


def check_id(key: str, index: Any, vocab_size: int, where: str | Path) -> None:
    """Raise UserError unless `index` is the id of a token in a vocabulary of `vocab_size`."""
    if not (type(index) is int and 0 <= index < vocab_size):
        what = f"sets {key} to {index!r}, outside of the vocabulary of {vocab_size} tokens"
        raise UserError(where, what, "give an id below the vocabulary's size, or null for none")


def head_width(values: Values, hidden: int, heads: int, where: str) -> int:
    """Return the width of a head: `head_dim` of config.json, or the hidden size shared among the heads.

    Raises:
        UserError: there is no `head_dim`, and the heads do not divide the hidden size.
    """
    if (width := values.get("head_dim")) is not None:
        return width
    if not all(type(size) is int and size > 0 for size in (hidden, heads)):
        what = f"gives {hidden!r} as hidden size and {heads!r} as heads, which must be numbers above 0"
        raise UserError(where, what, FIX)
    if hidden % heads:
        raise UserError(where, f"has {heads} heads, which do not divide the hidden size {hidden}", FIX)
    return hidden // heads


def read_sizes(values: Values, where: str) -> Values:
    """Return the sizes of a configuration from the keys that Llama and its descendants share.

    Raises:
        KeyError: a size is missing.
        UserError: heads that do not divide the hidden size.
    """
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    return {
        "vocab_size": values["vocab_size"],
        "hidden": hidden,
        "layers": values["num_hidden_layers"],
        "heads": heads,
        "kv_heads": values.get("num_key_value_heads") or heads,
        "head_dim": head_width(values, hidden, heads, where),
        "mlp": values["intermediate_size"],
        "max_positions": values.get("max_position_embeddings", 2048),
    }


def write_sizes(config: BackboneConfig | DraftConfig) -> Values:
    """Return the sizes of a configuration under the keys that Llama and its descendants share."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp,
        "max_position_embeddings": config.max_positions,
    }


def refuse(values: Values, where: str, wanted: dict[str, tuple[Any, ...]]) -> None:
    """Refuse a model that this backbone would run wrongly.

    wanted: the values that a key may have; the first is its default.

    Raises:
        UserError: names the key and its allowed values.
    """
    for key, allowed in wanted.items():
        value = values.get(key, allowed[0])
        if value not in allowed:
            known = ", ".join(map(repr, allowed))
            raise UserError(where, f"sets {key} to {value!r}", f"only {known} is supported here")


def written_ends(config: Config) -> int | list[int] | None:
    """Return the `eos_token_id` of a config.json: none, one id, or a list."""
    ends = [index for index in (config.eos_id, *config.stop_ids) if index is not None]
    return ends if len(ends) > 1 else first(ends)


def first(ids: int | list[int] | None) -> int | None:
    """Return the id, or the first of a list of ids."""
    return next(iter(ids), None) if isinstance(ids, list) else ids


def further(ids: int | list[int] | None) -> tuple[int, ...]:
    """Return the ids after the first one of a list; empty for a single id."""
    return tuple(ids[1:]) if isinstance(ids, list) else ()
