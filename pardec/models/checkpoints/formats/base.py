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
            return read(cls, values, where)
        except KeyError as error:
            raise UserError(
                where, f"has no key {error.args[0]!r}", "fetch the config.json of this checkpoint again"
            ) from None

    return classmethod(checked)


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
