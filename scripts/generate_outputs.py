"""Decode held-out prompts, untimed, and keep every output for scoring."""

from __future__ import annotations

import argparse
import json
import os
import sys

from pardec.common.cli import main_guard
from pardec.measure import forkserver

BATCH = 16
"""Prompts decoded together; decoding is batch-invariant, so this changes the time taken and nothing else."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--arm", required=True)
    parser.add_argument("--decoder", required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help="the decoder's settings, JSON")
    parser.add_argument("--companions", type=json.loads, default={}, help="folders of further models, JSON")
    parser.add_argument("--data", required=True, help="dataset folder")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--task")
    parser.add_argument("--prompt-tokens", type=int)
    parser.add_argument("--prompt-text", choices=["real", "random"], default="real", help="what prompts say")
    parser.add_argument(
        "--prompt-form", choices=["plain", "chat"], default="plain", help="chat: through the chat template"
    )
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--fill", type=float, help="least share of the canvas that a prompt's answer takes")
    parser.add_argument("--prompts", type=int, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument(
        "--engine", default="eager", choices=["eager", "compiled"], help="how models are executed"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def main() -> None:
    args = arguments()

    import torch

    from pardec.common.files import write_jsonl
    from pardec.common.progress import Progress
    from pardec.data.load import load_tokenizer
    from pardec.data.prompts import load_prompts
    from pardec.decoding.batching import pad_left, prompt_seed
    from pardec.decoding.prepared import load_arm
    from pardec.decoding.registry import DECODERS
    from pardec.evidence.provenance import checkpoint_files, now, write_sidecar
    from pardec.measure.device import resolve
    from pardec.models.checkpoints.configs import modules_of

    begin = now()
    torch.set_num_threads(args.threads)
    device = resolve(args.device)
    model, decoder, encode = load_arm(
        args.model,
        args.decoder,
        args.settings,
        device,
        args.precision,
        args.companions,
        args.engine,
        args.prompt_form,
    )
    tokenizer = load_tokenizer(args.model)
    path = os.path.join(args.data, "heldout.jsonl")
    prompts = load_prompts(
        path, limit=args.prompts, seed=args.seed, task=args.task, canvas=args.new_tokens, fill=args.fill
    )
    tokens = encode(prompts, args.prompt_tokens, args.seed if args.prompt_text == "random" else None)
    progress = Progress(f"outputs {args.workload} {args.arm}", len(prompts))
    rows = []
    for start in range(0, len(prompts), BATCH):
        chosen = range(start, min(start + BATCH, len(prompts)))
        seeds = [prompt_seed(args.seed, prompts[k]["id"]) for k in chosen]
        batch = pad_left([tokens[k] for k in chosen], seeds, model.info.pad_id, device)
        decoded = decoder.decode(model, batch, args.new_tokens)
        told = decoder.check_outputs(model, batch) or [None] * len(chosen)
        for k, output, checks in zip(chosen, decoded.tokens.tolist(), told, strict=True):
            text = tokenizer.decode(output, prompt=tokens[k])
            row = {**prompts[k], "prompt_ids": tokens[k], "tokens": output, "text": text}
            rows.append(row if checks is None else {**row, "checks": checks})
        progress.update(len(rows))
    write_jsonl(args.out, rows)
    folders = dict.fromkeys([args.model, *args.companions.values()])
    write_sidecar(
        [args.out],
        sys.argv,
        begin,
        [path, *(file for folder in folders for file in checkpoint_files(folder))],
        modules=[DECODERS.module(args.decoder), *modules_of(*folders)],
        wildcards=named(args.out),
        seed=args.seed,
    )


def named(path: str) -> dict[str, str]:
    """Which set of outputs a file below results/quality belongs to."""
    _, found, rest = os.path.dirname(path).partition("results/quality/")
    return {"output_set": rest} if found else {}


if __name__ == "__main__":
    forkserver.hand_over(sys.argv)
    sys.exit(main_guard(main))
