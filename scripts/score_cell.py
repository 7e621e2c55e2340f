"""Score the outputs of one model, decoder and task."""

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
    from pardec.quality.base import Context


def arguments() -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outputs", required=True, help="outputs.jsonl")
    parser.add_argument(
        "--task", help="the task of all outputs; scoring goes by each record's own where left out"
    )
    parser.add_argument(
        "--metrics", required=True, help="names with commas between; the first is the main one"
    )
    parser.add_argument("--scorer", help="folder of the autoregressive model that scores text")
    parser.add_argument("--encoder", help="folder of the encoder for encoder_similarity")
    parser.add_argument("--run-code", choices=["yes"], help="let metric unit_tests run what models wrote")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, or auto")
    parser.add_argument("--precision", default="float32", help="of the scorer's weights and activations")
    parser.add_argument("--seed", type=int, default=0, help="of bootstrap resampling")
    parser.add_argument("--timeout-s", type=float, default=LIMIT_S, help="the outputs then have no score")
    parser.add_argument("--out", required=True, help="score.json to write")
    return parser.parse_args()


def main() -> None:
    from pardec.jobs import job

    args = arguments()
    with job() as this:
        from pardec.quality.base import Context
        from pardec.quality.score import score_outputs

        metrics, outputs = read(this, args)
        context = Context(encoder=args.encoder, seed=args.seed, run_code=args.run_code == "yes")
        # Most tasks need no model to be scored, and loading torch takes longer than scoring them.
        if args.scorer or args.encoder:
            from pardec.measure.device import resolve

            context.device = resolve(args.device)
        if args.scorer:
            load_scorer(args.scorer, args.precision, context)
        keep(this, args, score_outputs(outputs, metrics, context))


def read(this: Job, args: argparse.Namespace) -> tuple[list[str], list[dict]]:
    """Return the names of the metrics and the outputs; notes what decides the score."""
    from pardec.data.registry import TASKS
    from pardec.evidence.provenance import checkpoint_files
    from pardec.quality.registry import METRICS
    from pardec.quality.score import read_outputs

    this.wildcards, this.seed = named(args.outputs), args.seed
    this.read(args.outputs, *(checkpoint_files(args.scorer) if args.scorer else []))
    metrics = [name.strip() for name in args.metrics.split(",") if name.strip()]
    this.load(*map(METRICS.module, metrics), *([TASKS.module(args.task)] if args.task in TASKS else []))
    if args.scorer:
        this.load_models(args.scorer)
    return metrics, read_outputs(args.outputs, args.task)


def keep(this: Job, args: argparse.Namespace, score: dict) -> None:
    """Write the score with its provenance; print one line about it."""
    this.seal(args.out, {**score, "inputs": this.inputs})
    print(f"{args.out}: {summary_of(score)}")


def supervised() -> int:
    """Score in a separate process, and write a score without values if it is lost; return the exit status."""
    started = time.time()
    ended = supervise(sys.argv, limit(sys.argv), fresh=False)
    if isinstance(ended, int):
        return ended
    from pardec.jobs import job

    args = arguments()
    with job(begin=moment(started)) as this:
        from pardec.quality.score import without_score

        metrics, outputs = read(this, args)
        keep(this, args, without_score(outputs, metrics, ended.status, ended.reason))
    return 0


def load_scorer(folder: str, precision: str, context: Context) -> None:
    """Put the scorer into the context, or the reason if it cannot be loaded."""
    from pardec.data.load import load_tokenizer
    from pardec.models.load import load_model
    from pardec.quality.generate import ending

    try:
        context.scorer = load_model(folder, context.device, precision)
        context.scorer_tokenizer = load_tokenizer(folder)
    except Exception as error:
        error.add_note("in the scorer")
        context.missing["scorer"] = ending(error)


def summary_of(score: dict) -> str:
    """Return one line: the main metric or the reason for its absence, and the number of prompts without output."""
    lost = f", {len(score['lost'])} without an output" if score["lost"] else ""
    if score["status"] != "ok":
        return f"{score['status']}: {score['reason']}{lost}"
    main = score["metrics"][score["main"]]
    value = "none" if main["value"] is None else f"{main['value']:.3f}"
    return f"{score['main']} {value} over {main['n']} prompts{lost}"


def named(outputs: str) -> dict[str, str]:
    """Return the set of outputs of a file below results/quality."""
    _, known, rest = str(Path(outputs).parent.as_posix()).partition("results/quality/")
    return {"output_set": rest} if known else {}


if __name__ == "__main__":
    # Another process scores, see pardec.measure.supervise.
    sys.exit(main() if LAUNCH in os.environ else supervised())
