"""The config.json of a renderer trained here."""

from __future__ import annotations

from dataclasses import asdict

from pardec.common.errors import UserError
from pardec.models.architectures.config import RendererConfig
from pardec.models.checkpoints.formats.base import Format, Values

ARCHITECTURE = "FractalRenderer"


class RendererFormat(Format):
    """The fields of `RendererConfig` by their own names."""

    backbone = False

    @classmethod
    def read(cls, values: Values, where: str) -> RendererConfig:
        """Return the shape that config.json describes.

        Raises:
            UserError: a size is missing.
        """
        try:
            sizes = {name: values[name] for name in RendererConfig.__dataclass_fields__}
        except KeyError as error:
            raise UserError(where, f"lacks {error}", "train the model again") from None
        return RendererConfig(**{**sizes, "slots": tuple(sizes["slots"])})

    @classmethod
    def write(cls, config: RendererConfig) -> Values:
        """Return the content of config.json."""
        sizes = asdict(config) | {"slots": list(config.slots)}
        return {"architectures": [ARCHITECTURE], "model_type": "renderer", **sizes}
