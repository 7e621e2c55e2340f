"""Measure the likelihood of held-out answers under a model: exact if autoregressive, else a bound."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pardec.measure.handover import LAUNCH
from pardec.measure.supervise import LIMIT_S, limit, moment, supervise

if TYPE_CHECKING:
    import argparse

    from pardec.jobs import Job


def arguments() -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--prompts", required=True, type=int, help="held-out records")
    parser.add_argument(
        "--samples", required=True, type=int, help="Monte-Carlo draws a record, for the bound"
    )
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, or auto")
    parser.add_argument("--precision", default="float32", help="of weights and activations")
    parser.add_argument("--timeout-s", type=float, default=LIMIT_S, help="the model then has no likelihood")
    parser.add_argument("--out", required=True, help="JSON file to write")
    return parser.parse_args()


def main() -> None:
    from pardec.jobs import job

    args = arguments()
    with job() as this:
        from pardec.quality.generate import ending

        note(this, args)
        try:
            body = measured(args)
        except Exception as error:
            body = without_value(*ending(error))
        keep(this, args, body)


def supervised() -> int:
    """Measure in a separate process, and write the reason if it is lost; return the exit status."""
    started = time.time()
    ended = supervise(sys.argv, limit(sys.argv), fresh=False)
    if isinstance(ended, int):
        return ended
    from pardec.jobs import job

    args = arguments()
    with job(begin=moment(started)) as this:
        note(this, args)
        keep(this, args, without_value(ended.status, ended.reason))
    return 0


def note(this: Job, args: argparse.Namespace) -> None:
    """Note what decides the likelihood: texts, the checkpoint, its modules."""
    from pardec.evidence.provenance import checkpoint_files

    data = Path(args.data)
    this.wildcards, this.seed = {"model": Path(args.model).name}, args.seed
    this.read(*checkpoint_files(args.model), data / "heldout.jsonl", data / "about.json")
    this.load_models(args.model)


def keep(this: Job, args: argparse.Namespace, body: dict) -> None:
    """Write the likelihood with its provenance; print one line about it."""
    about = {"model": Path(args.model).name, "data": Path(args.data).name, "seed": args.seed}
    this.seal(args.out, {**body, **about, "unit": "nats/token", "inputs": this.inputs})
    summary = f"{body['kind']} {body['nats_per_token']:.3f} nats/token" if body["n"] else body["reason"]
    print(f"{about['model']}: {summary} over {body['n']} records")


def without_value(status: str, reason: str) -> dict:
    return {"status": status, "reason": reason, "kind": None, "nats_per_token": None, "n": 0}


def measured(args: argparse.Namespace) -> dict:
    """Return the likelihood of the records that fit the model; records too long are counted and named."""
    from pardec.common.errors import UnfitError
    from pardec.common.files import read_json
    from pardec.common.progress import Progress
    from pardec.data.load import load_tokenizer
    from pardec.data.prompts import load_prompts
    from pardec.measure.device import resolve
    from pardec.models.load import load_model
    from pardec.quality.likelihood import as_json, bound_likelihood, encoded, exact_likelihood

    ends = read_json(Path(args.data) / "about.json")["answers_end"]
    records = load_prompts(args.data, args.prompts, args.seed)
    model = load_model(args.model, resolve(args.device), args.precision)
    pairs = list(zip(*encoded(records, load_tokenizer(args.model), ends), strict=True))
    most = model.info.max_positions
    lost = [name for prompt, answer, name in pairs if len(prompt) + len(answer) > most]
    kept = [pair for pair in pairs if pair[2] not in lost]
    if not kept:
        raise UnfitError(
            "likelihood", f"no record fits the {most} positions of the model", "use shorter ones"
        )
    prompts, answers, names = map(list, zip(*kept, strict=True))
    if model.info.attention == "causal":
        result = exact_likelihood(model, prompts, answers, args.seed)
    else:
        progress = Progress("likelihood bound", len(names) * args.samples)
        advance = lambda done, total: progress.update(done)  # noqa: E731 (one short name for one use)
        result = bound_likelihood(model, prompts, answers, names, args.samples, args.seed, advance)
    return {"status": "ok", "reason": None, **as_json(result), "lost": lost}


if __name__ == "__main__":
    # Another process measures, see pardec.measure.supervise.
    sys.exit(main() if LAUNCH in os.environ else supervised())
