"""Adapt one model of a study to block diffusion, or restore the adapter where one of the same recipe is published or
was trained here before."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.evidence.provenance import checkpoint_files
from pardec.jobs import job
from pardec.models.sources.adapt import AdaptSettings
from pardec.models.sources.restored import (
    DATA,
    HERE,
    STORED,
    confirm,
    find_trained,
    modules,
    publish,
    recipe,
    restore_adapter,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the model's name in the study")
    parser.add_argument("--settings", required=True, help="its settings as JSON")
    parser.add_argument("--data", required=True, type=Path, help="the folder of its data set")
    parser.add_argument("--base", required=True, type=Path, help="the folder of the model that is adapted")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--published", help="folder of published weights; without it, every model is trained")
    parser.add_argument("--kept", type=Path, help="folder of weights trained here, to take and to add to")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write")
    arguments = parser.parse_args()
    with job() as this:
        adapt(arguments, this)


def adapt(arguments: argparse.Namespace, this) -> None:
    settings = parse_settings(arguments.settings, arguments.name)
    parents = {"base": arguments.base}
    this.wildcards, this.seed = {"model": arguments.name}, arguments.seed
    this.read(*(arguments.data / name for name in DATA), *checkpoint_files(arguments.base))
    this.load(*modules(settings.family, parents.values()))
    wanted = recipe(settings, arguments.seed, arguments.data, parents)
    this.facts["recipe"] = wanted
    published = find_trained(arguments.published, arguments.kept, wanted)
    if published is None:
        train_anew(arguments, settings, wanted["sha256"])
    else:
        restore_adapter(published, arguments.out)

    from pardec.data.load import load_tokenizer
    from pardec.models.sources.adapted import write_adapted

    mask_id = load_tokenizer(arguments.data).mask_id
    assert mask_id is not None  # training needs it
    source = write_adapted(settings, arguments.base, mask_id, arguments.out)
    if published is not None:
        this.facts["restored"] = confirm(published, arguments.out)
    # source.json contains the hashes of the files that decide what the model writes.
    names = ("config.json", "source.json", "training.json", *source["files"])
    written = [arguments.out / name for name in dict.fromkeys(names)]
    this.sign(*written, beside=arguments.out / "provenance.json")
    if published is None and arguments.kept:
        publish(arguments.kept, arguments.out, read_json(arguments.out / "provenance.json"), HERE)
    body = read_json(arguments.out / "training.json")
    done = f"restored from {published}" if published else f"adapted from {settings.base}"
    print(f"{arguments.name}: {done}; {body['steps']} steps, last loss {body['loss'][-1][1]:.3f}")


def train_anew(arguments: argparse.Namespace, settings: AdaptSettings, recipe_id: str) -> None:
    """Train the adapter and write it and training.json; a training that is stopped goes on when it is started again."""
    from pardec.models.checkpoints.adapter import save_adapter
    from pardec.models.sources.adapted import check_base
    from pardec.models.training.adapt import train_adapter

    check_base(arguments.name, settings, arguments.data, arguments.base)
    partial = None
    if arguments.kept is not None:
        partial = arguments.kept / "stopped" / recipe_id
        partial.mkdir(parents=True, exist_ok=True)
    tensors, report = train_adapter(
        arguments.name, settings, arguments.data, arguments.base, arguments.seed, partial
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_adapter(arguments.out / STORED["adapt"], tensors)
    write_json(arguments.out / "training.json", report)
    if partial is not None:
        shutil.rmtree(partial)


def parse_settings(text: str, name: str) -> AdaptSettings:
    try:
        return AdaptSettings.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"models.{name}: {key}", first["msg"], "correct this key") from None


if __name__ == "__main__":
    main()
