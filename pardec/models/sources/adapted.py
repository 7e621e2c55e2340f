"""The folder of an adapted model: its adapter, and a checkpoint of the base's weights with the adapter added."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, sha256, write_json
from pardec.data.load import load_tokenizer
from pardec.models.checkpoints.adapter import ADAPTER, load_adapter, merge
from pardec.models.checkpoints.checks import check_checkpoint
from pardec.models.checkpoints.configs import read_config
from pardec.models.load import load_model, save_model
from pardec.models.sources.adapt import AdaptSettings
from pardec.models.sources.folder import taken

OWN = (
    "config.json",
    "model.safetensors",
    ADAPTER,
    "training.json",
    "source.json",
    "provenance.json",
    "verified.json",
)
"""Files of a model's folder that are not the base's."""


def check_base(name: str, settings: AdaptSettings, data: str | Path, base: str | Path) -> None:
    """Refuse to adapt the model in folder `base` on the data set in folder `data` if tokens mean something else there.

    Raises:
        UserError: a quantised base, or one of another vocabulary than the data set's.
    """
    file = Path(base) / "config.json"
    values = read_json(file)
    if how := values.get("quantise"):
        what = f"is {how}, and an adapter needs whole weights"
        raise UserError(f"models.{settings.base}.quantise", what, "leave it out for the base")
    where, fix = f"models.{name}.data", f"name a data set that has the tokenizer of {settings.base}"
    size, ours, theirs = read_config(values, str(file)).info().vocab_size, _words(data), _words(base)
    if (last := max(ours, default=-1)) >= size:
        what = f"{settings.data} has token {last}, and base {settings.base} has {size} tokens"
        raise UserError(where, what, fix)
    # The mask may have another name in the base: it is a token that the base does not use.
    mask = load_tokenizer(data).mask_id
    other = [token for token, word in ours.items() if theirs.get(token) != word and token != mask]
    if other:
        token = min(other)
        what = f"{settings.data} has {ours[token]!r} as token {token}, base {settings.base} {theirs.get(token)!r}"
        raise UserError(where, what, fix)


def _words(folder: str | Path) -> dict[int, str]:
    """Return the tokens of a folder's tokenizer by their ids."""
    tokenizer = load_tokenizer(folder).tokenizer
    return {token: word for word, token in tokenizer.get_vocab(with_added_tokens=True).items()}


def write_adapted(settings: AdaptSettings, base: str | Path, mask_id: int, out: str | Path) -> dict[str, Any]:
    """Write the model that the adapter in folder `out` makes of the one in folder `base`, in float32, with the base's
    tokenizer; return what its source.json says.

    Raises:
        UserError: a damaged base or adapter, or an adapter of a model of another shape.
    """
    base, out = Path(base), Path(out)
    model: Any = load_model(base)
    if mask_id >= model.info.vocab_size:
        what = f"has mask token {mask_id}, the base's vocabulary has {model.info.vocab_size} tokens"
        raise UserError(f"data set {settings.data}", what, "name a mask token of the base's vocabulary")
    merge(model, load_adapter(out / ADAPTER), mask_id, settings.objective.shift)
    save_model(model, out)
    theirs = [path for path in taken(base) if path.name not in OWN and path.suffix != ".safetensors"]
    for path in theirs:
        if not path.name.endswith(".index.json"):
            with atomic(out / path.name) as temporary:
                shutil.copyfile(path, temporary)
    check_checkpoint(out)
    names = sorted(
        path.name
        for path in taken(out)
        if path.name not in ("training.json", "provenance.json", "verified.json")
    )
    files = {name: {"sha256": sha256(out / name), "bytes": (out / name).stat().st_size} for name in names}
    source = {"source": "adapt", "base": settings.base, "files": files}
    write_json(out / "source.json", source)
    return source
