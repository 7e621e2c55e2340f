"""Make one data set of a study: prompt records to train and to measure on, and a tokenizer."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.data.prepare import prepare
from pardec.data.registry import SOURCES, TASKS
from pardec.evidence.provenance import now, provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the data set's name in the study")
    parser.add_argument("--settings", required=True, help="its settings as JSON")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--out", required=True, help="the folder to write")
    arguments = parser.parse_args()
    try:
        settings = json.loads(arguments.settings)
    except json.JSONDecodeError as error:
        raise UserError("--settings", f"is not valid JSON ({error})", "give a JSON object") from None
    begin = now()
    about = prepare(settings, arguments.seed, arguments.out, arguments.name)
    modules = [SOURCES.module(about["source"])]
    if about["source"] == "tasks":
        chosen = [name for name, task in about["settings"]["tasks"].items() if task is not None]
        modules += [TASKS.module(name) for name in chosen]
    path = about["settings"].get("path")
    inputs = [path] if path and Path(path).is_file() else []
    out = Path(arguments.out)
    names = ("about.json", "train.jsonl", "heldout.jsonl", "tokenizer.json")
    written = [out / name for name in names if (out / name).exists()]
    origin = provenance(
        sys.argv,
        begin,
        inputs,
        modules=modules,
        wildcards={"data": arguments.name},
        seed=arguments.seed,
        # Data made here brings a tokenizer; the rest has a rule of its own, which promises none.
        rule=None if out / "tokenizer.json" in written else "fetch_prompts",
        outputs=written,
    )
    write_json(out / "provenance.json", origin)
    train, heldout = (about["counts"][side]["all"] for side in ("train", "heldout"))
    print(f"{arguments.name}: {train} training and {heldout} held-out examples")


if __name__ == "__main__":
    sys.exit(main_guard(main))
