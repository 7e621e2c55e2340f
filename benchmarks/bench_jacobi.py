"""Jacobi decoding with its cached prefix against a naive Jacobi loop: the same model, prompts and tokens, in one
process.

The naive loop runs prompt and canvas in full in every pass and stops when a pass changes nothing. The two run in
turn on each batch of prompts, in an order drawn anew; the ratio is taken from the pairs. Stops with an error if a
single token differs from greedy decoding.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not put a script's folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from bench_ar import first_model, read_prompts

from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.jobs import job

GOAL = 1.5
SEED = 7
PREFERRED = Path("results/models/ar-mega-plain")
"""A model that needs many passes: where few are needed, there is little to reuse."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model", help="folder of an autoregressive model (default: the plain Llama of tables)"
    )
    parser.add_argument(
        "--data", help="folder of its dataset (default: its training data, else random tokens)"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=10, help="timed generations of each, at least 10")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", default="results/bench/jacobi.json")
    args = parser.parse_args()
    if args.pairs < 10:
        raise UserError("--pairs", f"is {args.pairs}: too few for an interval", "give at least 10")
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch

    torch.set_num_threads(args.threads)
    folder = Path(args.model) if args.model else PREFERRED if PREFERRED.is_dir() else first_model()
    results = [compare(args, folder, batch) for batch in args.batch]
    write_json(args.out, {"model": str(folder), "goal": GOAL, "threads": args.threads, "results": results})
    if any(result["ratio"] < GOAL for result in results):
        raise UserError(
            "bench_jacobi", f"reuse is not {GOAL} times as fast everywhere", "profile it on an idle machine"
        )


def naive(model, prompts, new_tokens: int, watch):
    """Full passes over prompt and canvas until one changes nothing; the same first guess as `Jacobi`."""
    import torch

    from pardec.decoding.base import Decoded
    from pardec.decoding.batching import count_useful
    from pardec.decoding.jacobi import first_guess

    first, passes = prompts.length, 0
    pad = prompts.pad if bool(prompts.pad.any()) else None
    text = torch.cat([prompts.tokens, first_guess("eos", model, prompts, new_tokens)], 1)
    canvas = text[:, first:]
    with torch.inference_mode():
        while True:
            logits = model(text[:, :-1], pad=pad, keep=slice(first - 1, None), canvas_start=first)
            choice = logits.argmax(-1)
            passes += 1
            if torch.equal(choice, canvas):
                break
            canvas.copy_(choice)
    watch.step(new_tokens)
    forwards = passes * (text.shape[1] - 1)
    return Decoded(canvas.clone(), count_useful(canvas, model.info.ends), passes, forwards)


def compare(args: argparse.Namespace, folder: Path, batch: int) -> dict:
    """Time both loops at one batch size.

    Raises:
        UserError: one of them does not write the greedy tokens.
    """
    from pardec.decoding.autoregressive import Autoregressive
    from pardec.decoding.batching import pad_left
    from pardec.decoding.jacobi import Jacobi
    from pardec.evidence.statistics import ratio_of_medians
    from pardec.measure.clock import clock_for
    from pardec.measure.sampling import Series, batches, measure
    from pardec.measure.stopping import Maximum
    from pardec.models.load import load_model

    model = load_model(folder, device=args.device, dtype=args.precision)
    prompts = read_prompts(args, folder, model.info.vocab_size)
    jacobi, greedy = Jacobi(Jacobi.Settings()), Autoregressive(Autoregressive.Settings())

    def chosen(rows):
        return pad_left([prompts[row] for row in rows], None, model.info.pad_id, args.device)

    ours = Series(lambda rows, watch: jacobi.decode(model, chosen(rows), args.new_tokens, watch))
    other = Series(lambda rows, watch: naive(model, chosen(rows), args.new_tokens, watch))
    order = batches(len(prompts), batch, SEED)
    measure(ours, other, clock_for(args.device), order, [Maximum(args.pairs)], warmup_passes=1, seed=SEED)
    for series in (ours, other):
        for row, tokens in series.outputs.items():
            if tokens.tolist() != greedy.decode(model, chosen([row]), args.new_tokens).tokens[0].tolist():
                raise UserError(f"prompt {row}, batch {batch}", "is not the greedy output", "find out why")

    times = {"ours": [s["e2e_ms"] for s in ours.samples], "naive": [s["e2e_ms"] for s in other.samples]}
    blocks = [sample["block"] for sample in ours.samples]
    keys = ["-".join(map(str, sample["prompts"])) for sample in ours.samples]
    ratio = ratio_of_medians(times["naive"], times["ours"], keys, blocks)
    passes = sum(sample["nfe"] for sample in ours.samples) / len(ours.samples)
    print(
        f"batch {batch}, {args.new_tokens} tokens, {len(ours.outputs)} prompts, greedy output, "
        f"{passes:.0f} passes: with reuse {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] times as fast "
        f"over {ratio.n} pairs"
    )
    return {
        "batch": batch,
        "new_tokens": args.new_tokens,
        "passes": passes,
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "pairs": ratio.n,
        "e2e_ms": times,
    }


if __name__ == "__main__":
    with job():
        main()
