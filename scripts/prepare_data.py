"""Make one data set of a study: prompt records to train and to measure on, and a tokenizer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pardec.common.errors import UserError
from pardec.data.prepare import prepare, remarks
from pardec.data.registry import SOURCES, TASKS
from pardec.evidence.provenance import checkpoint_files
from pardec.jobs import job

FILES = ("about.json", "train.jsonl", "heldout.jsonl", "tokenizer.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the data set's name in the study")
    parser.add_argument("--settings", required=True, help="its settings as JSON")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument(
        "--model", help="the folder of the model that is asked, for sources with a key `model`"
    )
    parser.add_argument("--out", required=True, help="the folder to write")
    arguments = parser.parse_args()
    with job() as this:
        this.wildcards, this.seed = {"data": arguments.name}, arguments.seed
        try:
            settings = json.loads(arguments.settings)
        except json.JSONDecodeError as error:
            raise UserError("--settings", f"is not valid JSON ({error})", "give a JSON object") from None
        named = settings if isinstance(settings, dict) else {}
        path = named.get("path") or named.get("wheel")
        if path and Path(path).is_file():
            this.read(path)
        if arguments.model:
            this.read(*(path for path in checkpoint_files(arguments.model) if path.suffix != ".safetensors"))
        about = prepare(settings, arguments.seed, arguments.out, arguments.name, arguments.model)
        this.load(SOURCES.module(about["source"]))
        if about["source"] == "tasks":
            chosen = [name for name, task in about["settings"]["tasks"].items() if task is not None]
            this.load(*map(TASKS.module, chosen))
        out = Path(arguments.out)
        written = [out / name for name in FILES if (out / name).exists()]
        # Generated data has a tokenizer; other data has a separate rule, which declares none.
        this.rule = None if out / "tokenizer.json" in written else "fetch_prompts"
        this.sign(*written, beside=out / "provenance.json")
        train, heldout = (about["counts"][side]["all"] for side in ("train", "heldout"))
        for line in remarks(about):
            print(line)
        print(f"{arguments.name}: {train} training and {heldout} held-out examples")


if __name__ == "__main__":
    main()
