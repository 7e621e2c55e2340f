"""Verify a model of the hub against its authors' published generations and score, before any cell runs it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pardec.data.prompts import load_prompts
from pardec.decoding.registry import DECODERS
from pardec.evidence.provenance import checkpoint_files
from pardec.jobs import job
from pardec.measure.device import resolve
from pardec.models.checkpoints.configs import modules_of
from pardec.models.sources.verification import VerifySettings
from pardec.quality.verification import generator, verify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="folder of the model")
    parser.add_argument("--checks", required=True, type=json.loads, help="the model's section `verify`, JSON")
    parser.add_argument("--data", type=Path, help="folder of the questions")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    with job() as this:
        this.wildcards, this.seed = {"model": arguments.model.name}, arguments.seed
        this.read(*checkpoint_files(arguments.model))
        checks = VerifySettings.model_validate(arguments.checks)
        questions, shots = [], []
        if checks.sample is not None:
            sides = [arguments.data / "heldout.jsonl", arguments.data / "train.jsonl"]
            this.read(*sides)
            questions = load_prompts(sides[0], checks.sample.prompts, arguments.seed)
            if checks.sample.shots:
                shots = load_prompts(sides[1], checks.sample.shots, arguments.seed)
        generate = generator(arguments.model, resolve(arguments.device), arguments.precision, arguments.seed)
        body = verify(arguments.model.name, checks, generate, questions, shots)
        used = [*checks.examples, *([checks.sample] if checks.sample else [])]
        this.load(*(DECODERS.module(check.decoder) for check in used), *modules_of(arguments.model))
        this.seal(arguments.out, body)
        parts = [f"{len(body['examples'])} examples agree"] if body["examples"] else []
        parts += [f"score {body['sample']['score']:.3f} of {body['sample']['n']}"] if body["sample"] else []
        print(f"{arguments.model.name}: {', '.join(parts)}")


if __name__ == "__main__":
    main()
