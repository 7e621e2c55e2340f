"""A foreign checkpoint folder: its files are copied, checked and recorded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Set
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, sha256, write_json
from pardec.common.settings import Settings
from pardec.models.checkpoints.checks import check_checkpoint
from pardec.models.checkpoints.shapes import shape
from pardec.models.checkpoints.shards import read_header, shard_names

WEIGHTS = ".safetensors"
TAKEN = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""Names that belong to a checkpoint. Code (`*.py`) is never taken, nor run."""
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
FOREIGN = {".gguf", ".onnx", ".h5", ".msgpack"}
"""Weights of llama.cpp, ONNX, TensorFlow and Flax."""
OURS = {"source.json"}
FICLONE = 0x40049409
"""Linux's request to share all blocks of a file with another."""


class ForeignSettings(Settings):
    """The settings of weights that the study did not train."""

    family: str | None = Field(None, pattern="^(autoregressive|masked_diffusion)$")
    """The model's training objective: autoregressive or masked_diffusion. null takes it from config.json."""
    mask_id: int | None = Field(None, ge=0)
    """Id of the mask token of a masked-diffusion model whose config.json has none."""

    quantise: Literal["int8", "int4"] | None = None
    """Weight-only quantisation when the model is loaded: int8 by output channel, int4 by groups of inputs; null keeps
    the weights as they are."""

    @model_validator(mode="after")
    def _mask_needs_its_family(self) -> Self:
        if self.mask_id is not None and self.family != "masked_diffusion":
            raise ValueError("mask_id is for family masked_diffusion")
        return self


def known_shape(name: str | None) -> str | None:
    """Return `name`, the value of a key `shape`.

    Raises:
        ValueError: no published shape has this name; pydantic reports it with the key.
    """
    try:
        return name if name is None or shape(name) else None
    except UserError as error:
        raise ValueError(f"{error.where} {error.what}; {error.fix}") from None


def survey(folder: Path) -> list[Path]:
    """Return the checkpoint's files, sorted by name.

    Raises:
        UserError: no such folder, no config.json, no safetensors (pickled weights are refused), a shard
            missing, or a weight file cut short.
    """
    if not folder.is_dir():
        raise UserError(
            folder, "is not a folder", "give the folder that contains config.json and *.safetensors"
        )
    lost = next((path for path in sorted(folder.iterdir()) if path.is_symlink() and not path.exists()), None)
    if lost is not None:
        raise UserError(lost, "is a link to a file that does not exist", "fetch the checkpoint again")
    files = taken(folder)
    names = {path.name for path in files}
    weights = sorted(path for path in files if path.suffix == WEIGHTS)
    if "adapter_config.json" in names and all(path.name.startswith("adapter_") for path in weights):
        fix = "merge it into its base (merge_and_unload of peft), and give the merged checkpoint"
        raise UserError(folder, "is an adapter (LoRA), not a model", fix)
    if "config.json" not in names:
        inner = sorted(folder.glob("snapshots/*/config.json"))
        fix = f"give {inner[0].parent}" if inner else "give a checkpoint in the Hugging Face Llama format"
        raise UserError(folder, "has no config.json", fix)
    if not weights:
        others = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in {*PICKLES, *FOREIGN})
        kind = "pickled" if others and Path(others[0]).suffix.lower() in PICKLES else "other"
        listed = f", only {kind} weights ({', '.join(others[:3])})" if others else ""
        what = f"has no safetensors file{listed}"
        fix = "convert the weights to safetensors; pickles run code when loaded and are refused"
        raise UserError(folder, what, fix)
    for index in folder.glob("*.safetensors.index.json"):
        for shard in sorted(set(shard_names(index)) - names):
            raise UserError(
                folder / shard, f"is missing ({index.name} names it)", "fetch the checkpoint again"
            )
    for path in weights:
        read_header(path)
    return files


def taken(folder: Path) -> list[Path]:
    """Return the files of `folder` that belong to a checkpoint, sorted by name."""
    return sorted(
        {
            path
            for pattern in TAKEN
            for path in folder.glob(pattern)
            if path.name not in OURS and path.is_file()
        }
    )


def install(
    folder: Path, out: Path, settings: ForeignSettings, facts: dict[str, Any], link: bool
) -> dict[str, Any]:
    """Put the checkpoint into `out`: small files copied, weights too, without using space where the file system can
    share blocks. link: hard-link the weights (or symlink them across file systems) instead; only for a cache whose
    files nobody changes in place, or a record would say other bytes than those that were measured.

    Writes `out`/source.json last: `facts`, and of every file its SHA-256, bytes and whether it was linked.
    Returns it.

    Raises:
        UserError: see `survey` and `check_checkpoint`; or `out` is `folder` itself.
    """
    files = survey(folder)
    if out.resolve() == folder.resolve():
        raise UserError(folder, "is the folder to be written", "give a checkpoint outside results/models")
    if not isinstance(read_json(folder / "config.json"), dict):
        raise UserError(
            folder / "config.json", "is not a JSON object", "give the config.json of a checkpoint"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "source.json").unlink(missing_ok=True)
    clear(out, keep={path.name for path in files})
    record = {}
    for path in files:
        target, linked = out / path.name, link and path.suffix == WEIGHTS
        if linked:
            _link(path.resolve(), target)
        else:
            _copy(path, target)
        record[path.name] = {"sha256": sha256(target), "bytes": target.stat().st_size, "linked": linked}
    changes = adapt_config(out / "config.json", settings, folder)
    check_checkpoint(out, folder)
    source = {**facts, "config_changes": changes, "files": record}
    write_json(out / "source.json", source)
    return source


def adapt_config(path: Path, settings: ForeignSettings, brought: Path) -> dict[str, Any]:
    """Write the study's settings of the model into config.json; return the changed keys.

    brought: the user's folder that it was copied from.

    Raises:
        UserError: a masked-diffusion model without a mask token.
    """
    config = read_json(path)
    changes: dict[str, Any] = {}
    if settings.family is not None:
        changes["is_causal"] = settings.family == "autoregressive"
        extra = config.get("pardec") or {}
        changes["pardec"] = {**extra, "family": settings.family}
    if settings.family == "masked_diffusion":
        mask = settings.mask_id if settings.mask_id is not None else config.get("mask_token_id")
        if mask is None or mask == -1:
            raise UserError(
                brought / path.name, "has no mask_token_id", "set mask_id in the model's settings"
            )
        changes["mask_token_id"] = mask
    changes["quantise"] = settings.quantise
    changes = {key: value for key, value in changes.items() if config.get(key) != value}
    if changes:
        write_json(path, {**config, **changes})
    return changes


def clear(out: Path, keep: Set[str] = frozenset()) -> None:
    """Remove files of an earlier checkpoint from `out` that the new one does not have."""
    for pattern in TAKEN:
        for path in out.glob(pattern):
            if path.name not in keep:
                path.unlink()


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        if not _share(source, temporary):
            shutil.copyfile(source, temporary)


def _share(source: Path, target: Path) -> bool:
    """Make `target` a copy that shares the blocks of `source` until one of them is written; False where the file
    system cannot (only Btrfs, XFS and a few others can)."""
    try:
        import fcntl

        with open(source, "rb") as read, open(target, "wb") as written:
            fcntl.ioctl(written.fileno(), FICLONE, read.fileno())
    except (ImportError, OSError):
        return False
    return True


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)
