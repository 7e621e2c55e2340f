"""Train one model of a study, or restore it where one of the same recipe is published or was trained here before."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.evidence.provenance import checkpoint_files
from pardec.jobs import job
from pardec.measure.handover import hand_over
from pardec.models.sources.restored import (
    DATA,
    HERE,
    find_trained,
    modules,
    publish,
    recipe,
    restore,
)
from pardec.models.sources.train import TrainSettings


def main(apart: bool = False) -> None:
    """Train or restore. apart: train in a child of the server that has torch loaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the model's name in the study")
    parser.add_argument("--settings", required=True, help="its settings as JSON")
    parser.add_argument("--data", required=True, type=Path, help="the folder of its data set")
    parser.add_argument("--init", help="the folder of the model it starts from")
    parser.add_argument("--teachers", type=json.loads, default={}, help="folders of its teachers, JSON")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument(
        "--device", default="cpu", choices=["cpu", "cuda", "auto"], help="auto: cuda if there"
    )
    parser.add_argument("--published", help="folder of published weights; without it, every model is trained")
    parser.add_argument("--kept", type=Path, help="folder of weights trained here, to take and to add to")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write")
    arguments = parser.parse_args()
    with job() as this:
        train(arguments, this, apart)


def train(arguments: argparse.Namespace, this, apart: bool = False) -> None:
    settings = parse_settings(arguments.settings, arguments.name)
    if (settings.init is None) != (arguments.init is None):
        raise UserError("--init", "disagrees with `init` of the settings", "give both or neither")
    parents = {**({"init": arguments.init} if arguments.init else {}), **arguments.teachers}
    this.wildcards, this.seed = {"model": arguments.name}, arguments.seed
    this.read(*(arguments.data / name for name in DATA))
    this.read(*(path for parent in parents.values() for path in checkpoint_files(parent)))
    this.load(*modules(settings.family, parents.values()))
    wanted = recipe(settings, arguments.seed, arguments.data, parents)
    this.facts["recipe"] = wanted
    published = find_trained(arguments.published, arguments.kept, wanted)
    if published is None:
        if apart and arguments.device == "cpu":
            hand_over("training")
        message = train_anew(arguments, settings)
    else:
        this.facts["restored"] = restore(published, arguments.data, arguments.out)
        message = f"{arguments.name}: restored from {published}, whose recipe is the same"
    anew = published is None
    names = ("config.json", "model.safetensors", "tokenizer.json", "training.json")
    this.sign(*(arguments.out / name for name in names), beside=arguments.out / "provenance.json")
    if anew and arguments.kept:
        publish(arguments.kept, arguments.out, read_json(arguments.out / "provenance.json"), HERE)
    print(message)


def train_anew(arguments: argparse.Namespace, settings: TrainSettings) -> str:
    """Train the model, write its folder, and return one line on the training."""
    import torch

    from pardec.models.training.train import train_model

    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    report = train_model(
        arguments.name,
        settings,
        arguments.data,
        arguments.seed,
        arguments.out,
        arguments.init,
        arguments.teachers,
        device,
    )
    loss, cpu_s = report["loss"][-1][1], report["cpu_s"]
    return f"{arguments.name}: {report['steps']} steps, last loss {loss:.3f}, {cpu_s:.0f} CPU-seconds"


def parse_settings(text: str, name: str) -> TrainSettings:
    try:
        return TrainSettings.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"models.{name}: {key}", first["msg"], "correct this key") from None


if __name__ == "__main__":
    main(apart=True)
