"""What a checkpoint format is: how it reads and writes config.json, and its names for the weights of a backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError

if TYPE_CHECKING:
    from pardec.models.architectures.config import Config

Values = dict[str, Any]


class Format(ABC):
    """One `model_type`. One file, one registry line."""

    backbone: bool = True
    """Whether the configuration is a `BackboneConfig`."""
    spare: tuple[str, ...] = ("rotary_emb.inv_freq",)
    """Ends of names that such checkpoints may hold and that are no weights."""

    @classmethod
    @abstractmethod
    def read(cls, values: Values, where: str) -> Config:
        """The shape that config.json describes.

        Raises:
            UserError: a key is missing, or the model needs what a backbone does not have; names the key.
        """

    @classmethod
    def write(cls, config: Config) -> Values:
        """Returns the content of config.json; only formats that this project writes have it."""
        raise TypeError(f"{cls.__name__} is read only")

    @classmethod
    def name(cls, llama: str) -> str:
        """The format's name of the weight that a Llama checkpoint calls `llama`."""
        return llama


def reading(read: Callable[[type, Values, str], Config]) -> Any:
    """A `read` that names the key which config.json lacks."""

    def checked(cls: type, values: Values, where: str) -> Config:
        try:
            return validated(read(cls, plain_ids(values), where), where)
        except KeyError as error:
            raise UserError(
                where, f"has no key {error.args[0]!r}", "fetch the config.json of this checkpoint again"
            ) from None

    return classmethod(checked)


IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id")
"""Keys of config.json that hold token ids; -1 and null mean that there is no such token."""
SIZES = ("vocab_size", "hidden", "layers", "heads", "kv_heads", "head_dim", "mlp", "max_positions")


def plain_ids(values: Values) -> Values:
    """Returns `values` with null for each token id that means none."""

    def plain(entry: Any) -> Any:
        if isinstance(entry, list):
            return [index for index in entry if index is not None and index != -1] or None
        return None if entry == -1 else entry

    return {key: plain(entry) if key in IDS else entry for key, entry in values.items()}


def validated(config: Config, where: str) -> Config:
    """Returns `config` if its sizes and token ids can be those of a model.

    Raises:
        UserError: a size that is no positive number, heads that do not divide, or an id outside of the vocabulary;
        names the file, the value and what is allowed.
    """
    fix = "give the config.json that belongs to these weights"
    for name in SIZES:
        size = getattr(config, name)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise UserError(
                where, f"gives {size!r} as {name.replace('_', ' ')}, which must be a number above 0", fix
            )
    if config.heads % config.kv_heads:
        what = f"has {config.heads} query heads, which {config.kv_heads} key-value heads do not divide"
        raise UserError(where, what, fix)
    named = {f"{name}_token_id": getattr(config, f"{name}_id") for name in ("bos", "eos", "pad", "mask")}
    ends = [("eos_token_id", index) for index in getattr(config, "stop_ids", ())]
    for key, index in [*named.items(), *ends]:
        if index is not None and not (type(index) is int and 0 <= index < config.vocab_size):
            what = f"sets {key} to {index!r}, outside of the vocabulary of {config.vocab_size} tokens"
            raise UserError(where, what, "give an id below the vocabulary's size, or null for none")
    return config


def refuse(values: Values, where: str, wanted: dict[str, tuple[Any, ...]]) -> None:
    """Refuse a model that this backbone would run wrongly.

    wanted: the values that a key may have, the first where it is absent.

    Raises:
        UserError: names the key and what it may be.
    """
    for key, allowed in wanted.items():
        found = values.get(key, allowed[0])
        if found not in allowed:
            known = ", ".join(map(repr, allowed))
            raise UserError(where, f"sets {key} to {found!r}", f"only {known} is supported here")


def first(ids: int | Iterable[int] | None) -> int | None:
    """An id where config.json gives one or a list of several."""
    if ids is None or isinstance(ids, int):
        return ids
    return next(iter(ids), None)


def further(ids: int | list[int] | None) -> tuple[int, ...]:
    """The ids after the first where config.json gives a list."""
    return tuple(ids[1:]) if isinstance(ids, list) else ()
