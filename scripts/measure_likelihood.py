"""Measure the likelihood of held-out answers under a model: exact if autoregressive, else a bound."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.common.files import read_json, write_json
from pardec.common.progress import Progress
from pardec.data.load import load_tokenizer
from pardec.data.prompts import load_prompts
from pardec.evidence.provenance import checkpoint_files, now, provenance, sealed
from pardec.measure.device import resolve
from pardec.models.checkpoints.configs import modules_of
from pardec.models.load import load_model
from pardec.quality.likelihood import as_json, bound_likelihood, encoded, exact_likelihood


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--prompts", required=True, type=int, help="held-out records")
    parser.add_argument(
        "--samples", required=True, type=int, help="Monte-Carlo draws a record, for the bound"
    )
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, or auto")
    parser.add_argument("--out", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    begin = now()
    data = Path(arguments.data)
    model = load_model(arguments.model, resolve(arguments.device))
    ends = read_json(data / "about.json")["answers_end"]
    records = load_prompts(data, arguments.prompts, arguments.seed)
    prompts, answers, names = encoded(records, load_tokenizer(arguments.model), ends)
    if model.info.attention == "causal":
        result = exact_likelihood(model, prompts, answers, arguments.seed)
    else:
        progress = Progress("likelihood bound", len(names) * arguments.samples)
        told = lambda done, total: progress.update(done)  # noqa: E731
        result = bound_likelihood(model, prompts, answers, names, arguments.samples, arguments.seed, told)
    about = {
        "model": Path(arguments.model).name,
        "data": data.name,
        "seed": arguments.seed,
        "unit": "nats/token",
    }
    files = [*checkpoint_files(arguments.model), data / "heldout.jsonl", data / "about.json"]
    origin = provenance(
        sys.argv,
        begin,
        files,
        modules=modules_of(arguments.model),
        wildcards={"model": about["model"]},
        seed=arguments.seed,
    )
    body = {**as_json(result), **about, "inputs": origin["inputs"], "provenance": origin}
    write_json(arguments.out, sealed(arguments.out, body))
    print(f"{about['model']}: {result.kind} {result.nats_per_token:.3f} nats/token over {result.n} records")


if __name__ == "__main__":
    sys.exit(main_guard(main))
