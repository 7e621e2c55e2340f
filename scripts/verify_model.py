"""Verify a model of the hub against its authors' published generations and score, before any cell runs it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import write_json
from pardec.data.prompts import load_prompts
from pardec.decoding.registry import DECODERS
from pardec.evidence.provenance import checkpoint_files, now, provenance, sealed
from pardec.measure.device import resolve
from pardec.models.architecture import modules_of
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
    begin = now()
    checks = VerifySettings.model_validate(arguments.checks)
    questions, shots, files = [], [], checkpoint_files(arguments.model)
    if checks.sample is not None:
        sides = [arguments.data / "heldout.jsonl", arguments.data / "train.jsonl"]
        questions = load_prompts(sides[0], checks.sample.prompts, arguments.seed)
        if checks.sample.shots:
            shots = load_prompts(sides[1], checks.sample.shots, arguments.seed)
        files = [*files, *sides]
    generate = generator(arguments.model, resolve(arguments.device), arguments.precision, arguments.seed)
    body = verify(arguments.model.name, checks, generate, questions, shots)
    used = [*checks.examples, *([checks.sample] if checks.sample else [])]
    decoders = dict.fromkeys(check.decoder for check in used)
    origin = provenance(
        sys.argv,
        begin,
        files,
        modules=[*map(DECODERS.module, decoders), *modules_of(arguments.model)],
        wildcards={"model": arguments.model.name},
        seed=arguments.seed,
    )
    write_json(arguments.out, sealed(arguments.out, {**body, "provenance": origin}))
    said = [f"{len(body['examples'])} examples agree"] if body["examples"] else []
    said += [f"score {body['sample']['score']:.3f} of {body['sample']['n']}"] if body["sample"] else []
    print(f"{arguments.model.name}: {', '.join(said)}")


if __name__ == "__main__":
    sys.exit(main_guard(main))
