"""How near decoding on a CPU comes to reading its weights, and to what it saves: engine `packed` against torch's own
products and against transformers as it comes, on the same model, prompts and greedy tokens, in one process.

In each round every contestant decodes one prompt, in an order drawn anew, and memory of the size of the weights is
read. A share is (bytes of weights a token) / (time of a token x bytes read a second), paired by round. Stops with an
error where contestants in float32 write different tokens. Goals: a token at 75 % of the rate of reading, eight tokens
in 1.5 times the time of one, twice transformers' `generate`, one and a half times its prompt lookup.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl, write_json
from pardec.jobs import job

GOALS = {"share": 0.75, "eight over one": 1.5, "generate": 2.0, "generate, lookup": 1.5}
LOOKUP = {"drafter": {"name": "ngram"}, "block": 8}
SEED = 7
AFTER = 2
"""Generations before the timed rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="results/models/smollm2", help="folder of a causal model")
    parser.add_argument("--data", default="results/data/humaneval", help="folder of prompts")
    parser.add_argument("--prompt-form", default="chat", choices=["plain", "chat"])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=12, help="timed generations of each, at least 10")
    parser.add_argument("--out", default="results/bench/packed.json")
    args = parser.parse_args()
    if args.rounds < 10:
        raise UserError("--rounds", f"is {args.rounds}: too few for an interval", "give at least 10")
    os.environ["HF_HUB_OFFLINE"] = "1"
    results = [compare(args, precision, threads) for precision in args.precision for threads in args.threads]
    write_json(args.out, {"model": args.model, "goals": GOALS, "results": results})


def compare(args: argparse.Namespace, precision: str, threads: int) -> dict[str, Any]:
    """Return ratios and shares at one precision and number of threads.

    Raises:
        UserError: in float32 two contestants write different tokens.
    """
    import torch

    from pardec.decoding.batching import pad_left
    from pardec.decoding.prepared import load_arm
    from pardec.measure.work import pass_bytes

    torch.set_num_threads(threads)
    records = read_jsonl(Path(args.data) / "heldout.jsonl")[: args.rounds]
    peer = (
        {}
        if "int8" in args.model
        else {"generate": ({}, "eager"), "generate, lookup": ({"lookup": 10}, "eager")}
    )
    arms = {"one by one": ("autoregressive", {}, "packed"), "lookup": ("speculative", LOOKUP, "packed")}
    arms["torch's products"] = ("autoregressive", {}, "eager")
    arms["torch's products, lookup"] = ("speculative", LOOKUP, "eager")
    arms |= {name: ("transformers_generate", *how) for name, how in peer.items()}
    made = {
        name: load_arm(args.model, decoder, settings, "cpu", precision, None, engine, args.prompt_form)
        for name, (decoder, settings, engine) in arms.items()
    }
    model, _, encode = made["one by one"]
    prompts = encode(records, None, None)
    longest = max(map(len, prompts))
    size = next(model.parameters()).element_size()
    read = pass_bytes(model.info, 1, 1, 0, size)
    memory = torch.ones(int(read) // 4)
    cache = model.new_cache(1, longest + args.new_tokens)

    def decode(name: str, row: int, count: int) -> Any:
        loaded, decoder, _ = made[name]
        batch = pad_left([prompts[row]], [row], loaded.info.pad_id, "cpu")
        return decoder.decode(loaded, batch, count).tokens[0].tolist()

    def step(length: int, row: int) -> None:
        with torch.inference_mode():
            cache.length = len(prompts[row])
            model(torch.full((1, length), 9), cache=cache)

    tasks: dict[str, Any] = {
        f"{name}": lambda row, name=name: decode(name, row, args.new_tokens) for name in made
    }
    tasks |= {
        f"{name}, first": lambda row, name=name: decode(name, row, 1)
        for name in ("one by one", "torch's products")
    }
    tasks |= {
        "read": lambda row: memory.sum(),
        "one": lambda row: step(1, row),
        "eight": lambda row: step(8, row),
    }
    draw, times, outputs = random.Random(SEED), {name: [] for name in tasks}, {}
    for number in range(AFTER + args.rounds):
        row = number % len(prompts)
        for name in draw.sample(list(tasks), len(tasks)):
            if name in ("one", "eight", "read"):
                tasks[name](row)  # its weights are in no cache either way, its code is
            began = time.perf_counter()
            result = tasks[name](row)
            if number >= AFTER:
                times[name].append(time.perf_counter() - began)
            if isinstance(result, list) and len(result) == args.new_tokens:
                outputs.setdefault(row, {})[name] = result
    if precision == "float32":
        for row, written in outputs.items():
            if any(tokens != written["one by one"] for tokens in written.values()):
                raise UserError(f"prompt {row}", "contestants write different tokens", "find out why")
    return summary(args, precision, threads, times, read)


def summary(
    args: argparse.Namespace, precision: str, threads: int, times: dict[str, list[float]], read: float
) -> dict[str, Any]:
    """Print and return ratios and shares with their intervals; times are in seconds."""
    from pardec.evidence.statistics import median, ratio_of_medians

    rounds = list(range(args.rounds))
    result: dict[str, Any] = {"precision": precision, "threads": threads, "times_s": times}
    print(
        f"{args.model}, {precision}, {threads} threads: {read / median(times['read']).value / 1e9:.1f} GB/s read"
    )

    def told(
        name: str, over: list[float], under: list[float], goal: float | None, most: bool = False
    ) -> None:
        ratio = ratio_of_medians(over, under, rounds, rounds)
        met = None if goal is None else ratio.value <= goal if most else ratio.value >= goal
        result[name] = {"value": ratio.value, "low": ratio.low, "high": ratio.high, "goal": goal, "met": met}
        against = "" if met is None else f" (goal {goal}: {'met' if met else 'missed'})"
        print(f"  {name}: {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]{against}", flush=True)

    for name in ("one by one", "torch's products"):
        steps = [
            (whole - first) / (args.new_tokens - 1)
            for whole, first in zip(times[name], times[f"{name}, first"], strict=True)
        ]
        print(f"  {name}: {1e3 * median(steps).value:.1f} ms a token")
        told(
            f"{name}: share of the rate of reading",
            times["read"],
            steps,
            GOALS["share"] if name == "one by one" else None,
        )
    told("time of eight tokens over one", times["eight"], times["one"], GOALS["eight over one"], most=True)
    told("one by one against torch's products", times["torch's products"], times["one by one"], None)
    told("lookup against one by one", times["one by one"], times["lookup"], None)
    told(
        "lookup against one by one, torch's products",
        times["torch's products"],
        times["torch's products, lookup"],
        None,
    )
    if "generate" in times:
        told(
            "one by one against transformers' generate",
            times["generate"],
            times["one by one"],
            GOALS["generate"],
        )
        name = "generate, lookup"
        told("lookup against transformers' prompt lookup", times[name], times["lookup"], GOALS[name])
    return result


if __name__ == "__main__":
    with job():
        main()
