"""Bring a model that is not trained here into a checkpoint folder: from a folder, the hub, or a random
generator."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from pydantic import ValidationError

from pardec.common.cli import main_guard
from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.evidence.provenance import now, provenance
from pardec.models.registry import SOURCES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the model's name in the study")
    parser.add_argument("--settings", required=True, help="its settings as JSON")
    parser.add_argument("--seed", required=True, type=int, help="seed of random weights")
    parser.add_argument("--out", required=True, help="the folder to write")
    arguments = parser.parse_args()
    where = f"models.{arguments.name}"
    try:
        values = json.loads(arguments.settings)
        settings = SOURCES.load(str(values.get("source"))).model_validate(values)
    except (json.JSONDecodeError, AttributeError) as error:
        raise UserError("--settings", f"is not a JSON object ({error})", "give a JSON object") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *map(str, first["loc"])])
        raise UserError(
            key, f"{first['msg']} (it is {first['input']!r})", "mend this key of the study"
        ) from None
    module = importlib.import_module(SOURCES.module(settings.source))
    if not hasattr(module, "fetch"):
        raise UserError(
            where, f"source {settings.source!r} is not fetched", "train it with scripts/train_model.py"
        )
    begin = now()
    source = module.fetch(settings, arguments.out, arguments.seed)
    out = Path(arguments.out)
    origin = provenance(
        sys.argv,
        begin,
        [],
        modules=[SOURCES.module(settings.source)],
        wildcards={"model": arguments.name},
        seed=arguments.seed,
        outputs=[out / "config.json", out / "source.json"],  # source.json holds the hashes of all the others
    )
    write_json(out / "provenance.json", origin)
    size = sum(entry["bytes"] for entry in source["files"].values())
    print(f"{arguments.name}: {len(source['files'])} files, {size / 1e6:.1f} MB from {settings.source}")


if __name__ == "__main__":
    sys.exit(main_guard(main))
