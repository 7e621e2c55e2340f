"""The config.json of a block draft with a Markov head: that of a DFlash draft, and the head's rank."""

from __future__ import annotations

from pardec.common.errors import UserError
from pardec.models.architectures.config import MarkovConfig
from pardec.models.checkpoints.formats.base import Format, Values, reading
from pardec.models.checkpoints.formats.dflash import DFlash

ARCHITECTURE = "DFlashMarkovDraftModel"
KEY = "markov_rank"
"""The head's rank, named as in DSpark."""


class Markov(Format):
    backbone = False

    @reading
    def read(cls, values: Values, where: str) -> MarkovConfig:
        """Return the shape that config.json describes.

        Raises:
            UserError: a key is missing, or the draft needs something this model does not have; names the key.
        """
        rank = values.get(KEY)
        if type(rank) is not int or rank < 1:
            raise UserError(
                where, f"gives {KEY} as {rank!r}", "give the number of columns of the head's tables"
            )
        return MarkovConfig(**vars(DFlash.read(values, where)), rank=rank)

    @classmethod
    def write(cls, config: MarkovConfig) -> Values:
        """Return the content of config.json: the published names of a DFlash draft, and the rank."""
        return DFlash.write(config) | {"architectures": [ARCHITECTURE], KEY: config.rank}
