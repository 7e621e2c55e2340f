"""Our autoregressive loop against transformers' `generate`: the same model, prompts and greedy tokens, in one
process.

The two run in turn on each batch of prompts, in an order drawn anew; the ratio is taken from the pairs. Stops
with an error if a single token differs.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl, write_json
from pardec.jobs import job

GOAL = 1.3
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model", help="folder of an autoregressive model (default: the first in results/models)"
    )
    parser.add_argument(
        "--data", help="folder of its dataset (default: its training data, else random tokens)"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=15, help="timed generations of each, at least 10")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", default="results/bench/ar.json")
    args = parser.parse_args()
    if args.pairs < 10:
        raise UserError("--pairs", f"is {args.pairs}: too few for an interval", "give at least 10")
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch

    torch.set_num_threads(args.threads)
    folder = Path(args.model) if args.model else first_model()
    results = [compare(args, folder, batch) for batch in args.batch]
    write_json(args.out, {"model": str(folder), "goal": GOAL, "threads": args.threads, "results": results})
    if any(result["ratio"] < GOAL for result in results):
        raise UserError(
            "bench_ar", f"our loop is not {GOAL} times as fast everywhere", "profile it on an idle machine"
        )


def first_model() -> Path:
    """Return the first autoregressive model that the workflow has trained.

    Raises:
        UserError: there is none yet.
    """
    for config in sorted(Path("results/models").glob("*/config.json")):
        if read_json(config).get("is_causal") and (config.parent / "model.safetensors").exists():
            return config.parent
    raise UserError(
        "results/models", "holds no autoregressive model", "run `make all` first, or give --model"
    )


def compare(args: argparse.Namespace, folder: Path, batch: int) -> dict:
    """Time both loops at one batch size.

    Raises:
        UserError: they write different tokens.
    """
    from pardec.decoding.autoregressive import Autoregressive
    from pardec.decoding.batching import pad_left
    from pardec.decoding.transformers_generate import TransformersGenerate
    from pardec.evidence.statistics import median, ratio_of_medians
    from pardec.measure.clock import clock_for
    from pardec.measure.sampling import Series, batches, measure
    from pardec.measure.stopping import Maximum
    from pardec.models.load import load_model

    model = load_model(folder, device=args.device, dtype=args.precision)
    prompts = read_prompts(args, folder, model.info.vocab_size)

    def series(kind) -> Series:
        decoder = kind(kind.Settings())
        decoder.prepare(model)

        def run(rows, watch):
            chosen = pad_left([prompts[row] for row in rows], None, model.info.pad_id, args.device)
            return decoder.decode(model, chosen, args.new_tokens, watch)

        return Series(run)

    ours, other = series(Autoregressive), series(TransformersGenerate)
    order = batches(len(prompts), batch, SEED)
    measure(ours, other, clock_for(args.device), order, [Maximum(args.pairs)], warmup_passes=3, seed=SEED)
    for row, tokens in ours.outputs.items():
        if tokens.tolist() != other.outputs[row].tolist():
            raise UserError(
                f"prompt {row}, batch {batch}", "the two loops write different tokens", "find out why"
            )

    times = {
        "ours": [s["e2e_ms"] for s in ours.samples],
        "transformers": [s["e2e_ms"] for s in other.samples],
    }
    blocks = [sample["block"] for sample in ours.samples]
    keys = ["-".join(map(str, sample["prompts"])) for sample in ours.samples]
    ratio = ratio_of_medians(times["transformers"], times["ours"], keys, blocks)
    written = batch * args.new_tokens
    rate = {name: written / median(values).value * 1000 for name, values in times.items()}
    print(
        f"batch {batch}, {args.new_tokens} tokens, {len(ours.outputs)} prompts, identical: "
        f"our loop {rate['ours']:.0f} tokens/s, transformers {rate['transformers']:.0f}; "
        f"ratio {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] over {ratio.n} pairs"
    )
    return {
        "batch": batch,
        "new_tokens": args.new_tokens,
        "tokens_per_s": rate,
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "pairs": ratio.n,
        "e2e_ms": times,
    }


def read_prompts(args: argparse.Namespace, folder: Path, vocab_size: int) -> list[list[int]]:
    """Return held-out prompts of the model's data as token ids, or random ids where there are no data."""
    data = Path(args.data) if args.data else None
    if data is None and (folder / "training.json").exists():
        named = read_json(folder / "training.json").get("recipe", {}).get("data")
        data = Path("results/data") / Path(str(named)).name if named else None
    if data is not None and (data / "heldout.jsonl").exists():
        from pardec.data.encoding import encode_prompts
        from pardec.data.load import load_tokenizer

        records = read_jsonl(data / "heldout.jsonl")[: args.prompts]
        return encode_prompts(load_tokenizer(folder / "tokenizer.json"), records, None)
    draw = random.Random(SEED)
    lengths = [draw.randint(4, 24) for _ in range(args.prompts)]
    return [[1, *(draw.randrange(4, vocab_size) for _ in range(length))] for length in lengths]


if __name__ == "__main__":
    with job():
        main()
