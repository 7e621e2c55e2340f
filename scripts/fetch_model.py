"""Bring a model that is not trained here into a checkpoint folder: from a folder, the hub, or a random
generator."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.jobs import job
from pardec.models.registry import SOURCES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the model's name in the study")
    parser.add_argument("--settings", required=True, help="its settings as JSON")
    parser.add_argument("--seed", required=True, type=int, help="seed of random weights")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write")
    arguments = parser.parse_args()
    with job() as this:
        this.wildcards, this.seed = {"model": arguments.name}, arguments.seed
        where = f"models.{arguments.name}"
        settings = parse_settings(arguments.settings, where)
        module = importlib.import_module(SOURCES.module(settings.source))
        if not hasattr(module, "fetch"):
            raise UserError(
                where, f"source {settings.source!r} is not fetched", "train it with scripts/train_model.py"
            )
        source = module.fetch(settings, arguments.out, arguments.seed)
        this.load(SOURCES.module(settings.source))
        # source.json contains the hashes of all other files.
        written = (arguments.out / "config.json", arguments.out / "source.json")
        this.sign(*written, beside=arguments.out / "provenance.json")
        size = sum(entry["bytes"] for entry in source["files"].values())
        print(f"{arguments.name}: {len(source['files'])} files, {size / 1e6:.1f} MB from {settings.source}")


def parse_settings(text: str, where: str):
    """Return the settings of any source except `train`.

    Raises:
        UserError: the text is not JSON, there is no such source, or it refuses a key.
    """
    try:
        values = json.loads(text)
        return SOURCES.load(str(values.get("source"))).model_validate(values)
    except (json.JSONDecodeError, AttributeError) as error:
        raise UserError("--settings", f"is not a JSON object ({error})", "give a JSON object") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *map(str, first["loc"])])
        raise UserError(
            key, f"{first['msg']} (it is {first['input']!r})", "correct this key of the study"
        ) from None


if __name__ == "__main__":
    main()
