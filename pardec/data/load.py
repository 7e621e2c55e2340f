"""The tokenizer of a folder: one made by this project, quick to load, or that of a foreign checkpoint."""

from __future__ import annotations

from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.data.ends import first_end, read_ends
from pardec.data.tokenizers import TextTokenizer, read_own

HIERARCHY = '"kind": "pardec-hierarchy"'
"""How a tokenizer file of `pardec.data.fractal` begins."""
FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")
"""Files with a vocabulary."""


def load_tokenizer(path: str | Path) -> TextTokenizer:
    """Return the tokenizer of a folder, given the folder or its tokenizer.json.

    Its `end_ids` are all tokens that end a text of the model in that folder.

    Raises:
        UserError: no tokenizer, a damaged file, or no end-of-sequence token.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    file = folder / "tokenizer.json" if path.is_dir() else path
    if file.name != "tokenizer.json" or not any((folder / name).is_file() for name in FILES):
        raise UserError(file, "does not exist", "give a folder that contains tokenizer.json")
    tokenizer = _load(folder, file)
    if ends := read_ends(folder):
        tokenizer.end_ids = ends
        if tokenizer.eos_id not in ends and (first := first_end(folder)) is not None:
            tokenizer.eos_id = first
    return tokenizer


def _load(folder: Path, file: Path) -> TextTokenizer:
    if file.is_file():
        with open(file, encoding="utf-8", errors="replace") as handle:
            hierarchy = HIERARCHY in handle.read(64)
        if hierarchy:
            from pardec.data.fractal import HierarchyTokenizer

            return HierarchyTokenizer(read_json(file), file)
        if not (folder / "tokenizer_config.json").is_file():
            tokenizer = read_own(file)
            if tokenizer is not None:
                return tokenizer
    from pardec.data.foreign import ForeignTokenizer

    return ForeignTokenizer(folder)
