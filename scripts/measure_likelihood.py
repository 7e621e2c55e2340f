"""Measure the likelihood of held-out answers under a model: exact if autoregressive, else a bound."""

from __future__ import annotations

import argparse
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.common.progress import Progress
from pardec.data.load import load_tokenizer
from pardec.data.prompts import load_prompts
from pardec.evidence.provenance import checkpoint_files
from pardec.jobs import job
from pardec.measure.device import resolve
from pardec.models.checkpoints.configs import modules_of
from pardec.models.load import load_model
from pardec.quality.generate import ending
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
    parser.add_argument("--precision", default="float32", help="of weights and activations")
    parser.add_argument("--out", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    with job() as this:
        data = Path(arguments.data)
        about = {
            "model": Path(arguments.model).name,
            "data": data.name,
            "seed": arguments.seed,
            "unit": "nats/token",
        }
        this.wildcards, this.seed = {"model": about["model"]}, arguments.seed
        this.read(*checkpoint_files(arguments.model), data / "heldout.jsonl", data / "about.json")
        this.load(*modules_of(arguments.model))
        ends = read_json(data / "about.json")["answers_end"]
        records = load_prompts(data, arguments.prompts, arguments.seed)
        try:
            body = measured(arguments, records, ends)
        except Exception as error:
            body = dict(zip(("status", "reason"), ending(error), strict=True))
            body |= {"kind": None, "nats_per_token": None, "n": 0}
        origin = this.provenance()
        this.seal(arguments.out, {**body, **about, "inputs": origin["inputs"]})
        summary = f"{body['kind']} {body['nats_per_token']:.3f} nats/token" if body["n"] else body["reason"]
        print(f"{about['model']}: {summary} over {body['n']} records")


def measured(arguments: argparse.Namespace, records: list[dict], ends: bool) -> dict:
    """Returns the likelihood of the records that fit the model; records too long are counted and named."""
    model = load_model(arguments.model, resolve(arguments.device), arguments.precision)
    pairs = list(zip(*encoded(records, load_tokenizer(arguments.model), ends), strict=True))
    most = model.info.max_positions
    lost = [name for prompt, answer, name in pairs if len(prompt) + len(answer) > most]
    kept = [pair for pair in pairs if pair[2] not in lost]
    if not kept:
        raise UserError("likelihood", f"no record fits the {most} positions of the model", "use shorter ones")
    prompts, answers, names = map(list, zip(*kept, strict=True))
    if model.info.attention == "causal":
        result = exact_likelihood(model, prompts, answers, arguments.seed)
    else:
        progress = Progress("likelihood bound", len(names) * arguments.samples)
        advance = lambda done, total: progress.update(done)  # noqa: E731 (one short name for one use)
        result = bound_likelihood(model, prompts, answers, names, arguments.samples, arguments.seed, advance)
    return {"status": "ok", "reason": None, **as_json(result), "lost": lost}


if __name__ == "__main__":
    main()
