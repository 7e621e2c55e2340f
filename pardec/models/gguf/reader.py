"""Metadata and weights of a GGUF file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.files import LFS

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".gguf"
MAGIC = b"GGUF"


def is_gguf(path: str | Path) -> bool:
    """Return whether a path names a GGUF file, by its ending."""
    return Path(path).suffix.lower() == SUFFIX


class GGUF:
    """An opened file.

    Raises:
        UserError: no such file, a pointer of Git LFS, or a file that is cut short or damaged.
    """

    def __init__(self, path: str | Path):
        from gguf import GGUFReader

        self.path = Path(path)
        try:
            with open(self.path, "rb") as file:
                start = file.read(len(LFS))
        except OSError:
            raise UserError(path, "does not exist", "check the path of the GGUF file") from None
        if start == LFS:
            fix = "run `git lfs pull` where it comes from, and give the file itself"
            raise UserError(path, "is a pointer of Git LFS, not the file", fix)
        if not start.startswith(MAGIC):
            raise UserError(path, "is not a GGUF file", "give a file that llama.cpp's tools wrote")
        try:
            self._reader = GGUFReader(self.path)
        except Exception as error:  # the library lets the errors of numpy through
            what = f"is not a whole GGUF file ({(str(error).splitlines() or [type(error).__name__])[0]})"
            raise UserError(path, what, "fetch or copy the file again") from None
        self.tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    @cached_property
    def architecture(self) -> str:
        """Return the architecture's name, such as "llama"."""
        return str(self.get("general.architecture"))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a metadata key; numbers of 32 bits as the shortest decimal that means them."""
        field = self._reader.get_field(key)
        if field is None:
            return default
        value = field.contents()
        if field.types and field.types[0].name == "FLOAT32":
            import numpy as np

            return float(str(np.float32(value)))
        return value

    def need(self, key: str) -> Any:
        """Return the value of a metadata key.

        Raises:
            UserError: it has none.
        """
        value = self.get(key)
        if value is None:
            raise UserError(self.path, f"has no {key!r} in its metadata", "convert the model again")
        return value

    def of_model(self, key: str, default: Any = None) -> Any:
        """Return the value of a key of the model's architecture, such as `llama.block_count`."""
        return self.get(f"{self.architecture}.{key}", default)

    def weight(self, name: str) -> np.ndarray:
        """Return a weight: plain numbers of 16 bits as they are, all else as float32, which no format exceeds.

        Raises:
            UserError: a quantisation that the library cannot undo.
        """
        import numpy as np
        from gguf import dequantize

        tensor = self.tensors[name]
        shape = tuple(int(size) for size in reversed(tensor.shape))
        kind = tensor.tensor_type
        if kind.name in ("F32", "F16"):
            return np.array(tensor.data).reshape(shape)
        try:
            return dequantize(tensor.data, kind).astype(np.float32, copy=False).reshape(shape)
        except (NotImplementedError, ValueError) as error:
            what = f"stores weight {name!r} as {kind.name}, which cannot be dequantised ({error})"
            raise UserError(
                self.path, what, "give the file in another quantisation, such as Q8_0 or F16"
            ) from None

    def kinds(self) -> dict[str, int]:
        """Return how many weights are stored in each format, such as {"Q4_1": 210, "F32": 61}."""
        counts: dict[str, int] = {}
        for tensor in self.tensors.values():
            counts[tensor.tensor_type.name] = counts.get(tensor.tensor_type.name, 0) + 1
        return dict(sorted(counts.items()))
