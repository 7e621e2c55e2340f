"""The folder of an adapted model: its adapter, and a checkpoint of the base's weights with the adapter added."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import atomic, sha256, write_json
from pardec.models.checkpoints.adapter import ADAPTER, load_adapter, merge
from pardec.models.checkpoints.checks import check_checkpoint
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
