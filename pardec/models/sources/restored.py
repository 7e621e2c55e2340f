"""Published weights, taken in place of a training whose recipe is that of the published model. Imports no torch.

A recipe is all that decides what training computes: the settings, the seed, the bytes of the data, the weights that it
reads, and the statements of the code. It contains no path, time, machine or library, so that it is the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.closure import closure, essence
from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, sha256, write_json
from pardec.models.checkpoints.configs import modules_of_config
from pardec.models.registry import FAMILIES

if TYPE_CHECKING:
    from pardec.models.sources.adapt import AdaptSettings
    from pardec.models.sources.train import TrainSettings

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = "weights"
"""Below the folder of what was published, and below that of each study whose models the paper study does not train:
for each model <name>.safetensors, and <name>.json with its recipe."""
HERE = "an earlier job of this workflow"
"""Who trained weights that a folder of results keeps, so that the same recipe is not trained twice in it."""
TRAININGS = {"train": "pardec/models/training/train.py", "adapt": "pardec/models/training/adapt.py"}
"""The file that trains, by the source of a model's settings."""
STORED = {"train": "model.safetensors", "adapt": "adapter.safetensors"}
"""The file of a model's folder that is published, by its source: all weights, or what was added to those of a base."""
REGISTRY = "registry.py"
"""Name of files that only say which module has a name: the modules in use count themselves."""
DATA = ("train.jsonl", "tokenizer.json", "about.json")
"""Files of a data set that training reads."""
MODEL = ("config.json", "model.safetensors", "tokenizer.json")
"""Files of a model that training of another one reads."""


def recipe(
    settings: TrainSettings | AdaptSettings, seed: int, data: str | Path, parents: Mapping[str, str | Path]
) -> dict[str, Any]:
    """Return the recipe of a model, and its own SHA-256 under the key `sha256`.

    data: folder of its data set. parents: folders of the models that training reads, by what for: `init`, `base`, or
    the role of a teacher.

    Raises:
        UserError: a file is missing.
    """
    made = {
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "data": _hashes(data, DATA),
        "parents": {role: _hashes(folder, MODEL) for role, folder in sorted(parents.items())},
        "modules": modules(settings.family, parents.values()),
    }
    made["code_sha256"] = code_of(made)
    return made | {"sha256": digest_of(made)}


def modules(family: str, parents: Iterable[str | Path] = ()) -> list[str]:
    """Return the modules that training a model of `family` loads by name. parents: folders of the models it reads."""
    trained = {"architectures": [FAMILIES.load(family).architecture], "model_type": "llama"}
    configs = [trained, *(read_json(Path(folder) / "config.json") for folder in parents)]
    return sorted(
        {FAMILIES.module(family), *(name for values in configs for name in modules_of_config(values))}
    )


def code_of(recipe: Mapping[str, Any], root: Path = ROOT) -> str:
    """Return the SHA-256 over the statements that training by a recipe runs here."""
    files = closure(root, TRAININGS[recipe["settings"]["source"]], recipe["modules"])
    return essence(root, [file for file in files if Path(file).name != REGISTRY])


def digest_of(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a recipe, without its own."""
    plain = {key: value for key, value in recipe.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _hashes(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    files = {name: Path(folder) / name for name in names}
    for path in files.values():
        if not path.is_file():
            raise UserError(path, "does not exist", "run `make all` to produce it")
    return {name: sha256(path) for name, path in files.items()}


def weights_folders(published: str | Path) -> list[Path]:
    """Return the folders of published weights. published: a folder, taken from here first, then from the project."""
    here, there = Path(published), ROOT / published
    roots = [here] if here.resolve() == there.resolve() else [here, there]
    return [folder for root in roots for folder in (root / WEIGHTS, *sorted(root.glob(f"*/{WEIGHTS}")))]


def find(folders: Iterable[Path], wanted: Mapping[str, Any]) -> Path | None:
    """Return the description in `folders` of the weights with the recipe `wanted`; None without any.

    Raises:
        UserError: a description is damaged.
    """
    for path in [path for folder in folders for path in sorted(folder.glob("*.json"))]:
        body = read_json(path)
        if not isinstance(body, dict) or not isinstance(body.get("recipe"), dict):
            raise UserError(path, "does not describe published weights", "restore it, or set retrain=true")
        if body["recipe"].get("sha256") == wanted["sha256"]:
            return path
    return None


def find_trained(published: str | None, kept: Path | None, wanted: Mapping[str, Any]) -> Path | None:
    """Return the description of weights with the recipe `wanted`, published or trained here before; None where there
    are none, or every model is to be trained.

    published: the folder of what is published; None: every model is to be trained. kept: folder of weights trained
    here, since Snakemake runs a training again whose inputs were made again, even if they are the same bytes.
    """
    if published is None:
        return None
    return find([*weights_folders(published), *([kept] if kept else [])], wanted)


def restore(description: Path, data: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the published model of `description` to folder `out`; return where its weights came from.

    data: the folder of its data set, which has its tokenizer.

    Raises:
        UserError: a published file is missing or damaged.
    """
    body, out = read_json(description), Path(out)
    _copy(_weights(description), out / "model.safetensors")
    _copy(Path(data) / "tokenizer.json", out / "tokenizer.json")
    for name in ("config", "training"):
        write_json(out / f"{name}.json", body[name])
    return confirm(description, out)


def restore_adapter(description: Path, out: str | Path) -> None:
    """Write the published adapter of `description`, and the record of its training, to folder `out`.

    Raises:
        UserError: the published file is missing.
    """
    _copy(_weights(description), Path(out) / STORED["adapt"])
    write_json(Path(out) / "training.json", read_json(description)["training"])


def confirm(description: Path, out: str | Path) -> dict[str, Any]:
    """Compare the model in folder `out` with the published one of `description`; return where its weights came from.

    Raises:
        UserError: a published file is damaged.
    """
    body = read_json(description)
    for name, sha in body["files"].items():
        if sha256(Path(out) / name) != sha:
            weights = description.with_suffix(".safetensors")
            raise UserError(
                weights, f"is not what {description.name} describes ({name} differs)", _mend(weights)
            )
    return {"sha256": body["files"]["model.safetensors"], **body["trained"]}


def _weights(description: Path) -> Path:
    weights = description.with_suffix(".safetensors")
    if not weights.is_file():
        raise UserError(weights, "does not exist", _mend(weights))
    return weights


def _mend(weights: Path) -> str:
    return f"fetch it again (git checkout -- {weights}), or train with --config retrain=true"


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def publish(folder: str | Path, model: Path, block: Mapping[str, Any], who: str) -> Path:
    """Write the trained model in folder `model` to the published weights in `folder`; return the description's path.

    block: the provenance of the job that made it, see `scripts/train_model.py`. who: who ran that job.

    Raises:
        UserError: the model has no recipe, or a tokenizer other than its data set's.
    """
    if "recipe" not in block:
        raise UserError(model / "provenance.json", "contains no recipe", "train this model again")
    stored = STORED[block["recipe"]["settings"]["source"]]
    if stored in MODEL and sha256(model / "tokenizer.json") != block["recipe"]["data"]["tokenizer.json"]:
        raise UserError(model / "tokenizer.json", "is not that of its data set", "train this model again")
    names = dict.fromkeys((*MODEL, "training.json", stored))
    kept = ("command", "code_sha256", "git", "machine", "environment", "start", "end")
    body = {
        "model": model.name,
        "recipe": block["recipe"],
        "files": {name: sha256(model / name) for name in names},
        "trained": block.get("restored") or {"who": who, **{key: block.get(key) for key in kept}},
        "config": read_json(model / "config.json"),
        "training": read_json(model / "training.json"),
    }
    body["trained"].pop("sha256", None)
    if body["trained"]["who"] == HERE:
        body["trained"]["who"] = who
    path = Path(folder) / f"{model.name}.json"
    _copy(model / stored, path.with_suffix(".safetensors"))
    write_json(path, body)
    return path
