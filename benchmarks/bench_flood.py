"""Flash Flood's rendering in parallel against root by root: the same model, roots and text, paired in one process.

The two run in turn on each plan, in an order drawn anew; the ratio is taken from the pairs. Stops with an error if a
single character differs. The sequential order can use a second core for next to nothing, the parallel one for nearly
twice the speed, so the number of threads is part of the answer: both are measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not put a script's folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl, write_json
from pardec.jobs import job

GOAL, RATE = 5.0, 10_000
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="results/models/renderer", help="folder of a renderer")
    parser.add_argument("--data", default="results/data/roots", help="folder of its dataset")
    parser.add_argument("--roots", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pairs", type=int, default=12, help="timed renderings of each, at least 10")
    parser.add_argument("--plans", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", default="results/bench/flood.json")
    args = parser.parse_args()
    if args.pairs < 10:
        raise UserError("--pairs", f"is {args.pairs}: too few for an interval", "give at least 10")
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch

    results = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        results += [compare(args, roots, threads) for roots in args.roots]
    write_json(args.out, {"model": args.model, "goal": GOAL, "goal_tokens_per_s": RATE, "results": results})
    largest = [result for result in results if result["roots"] == max(args.roots)]
    if max(result["ratio"] for result in largest) < GOAL:
        raise UserError(
            "bench_flood", f"the flood is not {GOAL} times as fast", "profile it on an idle machine"
        )


def plans(args: argparse.Namespace, roots: int) -> list[list[int]]:
    """Return roots of held-out text, as many as asked for, one piece of text joined to the next where it is shorter.

    Raises:
        UserError: there is no such dataset, or too little of it.
    """
    from pardec.data.encoding import encode_prompts
    from pardec.data.load import load_tokenizer

    records = read_jsonl(Path(args.data) / "heldout.jsonl")
    pieces = encode_prompts(load_tokenizer(Path(args.model) / "tokenizer.json"), records, None)
    flat = [root for piece in pieces for root in piece]
    if len(flat) < roots * 2:
        raise UserError(args.data, f"holds {len(flat)} roots", f"--roots {len(flat) // 2} at most")
    count = min(args.plans, len(flat) // roots)
    return [flat[k * roots : (k + 1) * roots] for k in range(count)]


def compare(args: argparse.Namespace, roots: int, threads: int) -> dict:
    """Time both orders at one size.

    Raises:
        UserError: they do not write the same text.
    """
    from pardec.decoding.batching import pad_left
    from pardec.decoding.flash_flood import FlashFloodDecoder, FlashFloodSettings
    from pardec.evidence.statistics import median, ratio_of_medians
    from pardec.measure.clock import clock_for
    from pardec.measure.sampling import Series, batches, measure
    from pardec.measure.stopping import Maximum
    from pardec.models.load import load_model

    model = load_model(Path(args.model), device=args.device, dtype=args.precision)
    prompts = plans(args, roots)
    size = roots * 16

    def series(order: str) -> Series:
        decoder = FlashFloodDecoder(FlashFloodSettings(order=order))
        return Series(
            lambda rows, watch: decoder.decode(
                model,
                pad_left([prompts[row] for row in rows], None, model.info.pad_id, args.device),
                size,
                watch,
            )
        )

    ours, other = series("parallel"), series("by_root")
    measure(
        ours,
        other,
        clock_for(args.device),
        batches(len(prompts), 1, SEED),
        [Maximum(args.pairs)],
        warmup_passes=1,
        seed=SEED,
    )
    for row, tokens in ours.outputs.items():
        if tokens.tolist() != other.outputs[row].tolist():
            raise UserError(
                f"plan {row}, {roots} roots", "is not rendered alike in both orders", "find out why"
            )
    times = {"ours": [s["e2e_ms"] for s in ours.samples], "by_root": [s["e2e_ms"] for s in other.samples]}
    keys = ["-".join(map(str, sample["prompts"])) for sample in ours.samples]
    ratio = ratio_of_medians(times["by_root"], times["ours"], keys, [s["block"] for s in ours.samples])
    rate = median([s["cycles"][0]["chunks"] / s["e2e_ms"] * 1000 for s in ours.samples])
    written = median([s["useful"] / s["e2e_ms"] * 1000 for s in ours.samples])
    print(
        f"{roots} roots, {threads} threads: in parallel {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] times "
        f"as fast as root by root over {ratio.n} pairs; {rate.value:,.0f} rendered tokens/s, "
        f"{written.value:,.0f} characters/s"
    )
    return {
        "roots": roots,
        "threads": threads,
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "pairs": ratio.n,
        "tokens_per_s": rate.value,
        "characters_per_s": written.value,
        "e2e_ms": times,
    }


if __name__ == "__main__":
    with job():
        main()
