"""Score the outputs of one model, decoder and task."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pardec.common.cli import main_guard
from pardec.measure import forkserver


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
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
    parser.add_argument("--seed", type=int, default=0, help="of bootstrap resampling")
    parser.add_argument("--out", required=True, help="score.json to write")
    return parser.parse_args()


def main() -> None:
    args = arguments()

    from pardec.common.files import write_json
    from pardec.data.registry import TASKS
    from pardec.evidence.provenance import checkpoint_files, now, provenance, sealed
    from pardec.quality.base import Context
    from pardec.quality.registry import METRICS
    from pardec.quality.score import read_outputs, score_outputs

    begin = now()
    modules: list[str] = []
    context = Context(encoder=args.encoder, seed=args.seed, run_code=args.run_code == "yes")
    outputs = read_outputs(args.outputs, args.task)
    # Most tasks need no model to be scored, and loading torch takes longer than scoring them.
    if args.scorer or args.encoder:
        from pardec.measure.device import resolve

        context.device = resolve(args.device)
    if args.scorer:
        from pardec.data.load import load_tokenizer
        from pardec.models.checkpoints.configs import modules_of
        from pardec.models.load import load_model

        modules += modules_of(args.scorer)
        context.scorer = load_model(args.scorer, context.device)
        context.scorer_tokenizer = load_tokenizer(args.scorer)
    metrics = [name.strip() for name in args.metrics.split(",") if name.strip()]
    score = score_outputs(outputs, metrics, context)
    files = [Path(args.outputs), *(checkpoint_files(args.scorer) if args.scorer else [])]
    modules += [METRICS.module(name) for name in metrics]
    modules += [TASKS.module(args.task)] if args.task in TASKS else []
    _, known, rest = str(Path(args.outputs).parent.as_posix()).partition("results/quality/")
    wildcards = {"output_set": rest} if known else {}
    origin = provenance(sys.argv, begin, files, modules=modules, wildcards=wildcards, seed=args.seed)
    body = {**score, "inputs": origin["inputs"], "provenance": origin}
    write_json(args.out, sealed(args.out, body))
    main_score = score["metrics"][score["main"]]
    value = "none" if main_score["value"] is None else f"{main_score['value']:.3f}"
    print(f"{args.out}: {score['main']} {value} over {main_score['n']} prompts")


if __name__ == "__main__":
    forkserver.hand_over(sys.argv)
    sys.exit(main_guard(main))
