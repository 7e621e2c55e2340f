"""Decode held-out prompts, untimed, and keep every output for scoring."""

from __future__ import annotations

import argparse
import json
import os
import sys

from pardec.jobs import job
from pardec.measure import forkserver


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
    with job() as this:
        from pardec.common.files import write_jsonl
        from pardec.data.prompts import load_prompts
        from pardec.decoding.prepared import modules_run
        from pardec.evidence.provenance import checkpoint_files
        from pardec.models.checkpoints.configs import modules_of

        folders = dict.fromkeys([args.model, *args.companions.values()])
        path = os.path.join(args.data, "heldout.jsonl")
        this.wildcards, this.seed = named(args.out), args.seed
        this.read(path, *(file for folder in folders for file in checkpoint_files(folder)))
        this.load(*modules_run(args.decoder, args.settings, args.engine), *modules_of(*folders))
        prompts = load_prompts(
            path, limit=args.prompts, seed=args.seed, task=args.task, canvas=args.new_tokens, fill=args.fill
        )
        rows = written(args, prompts)
        write_jsonl(args.out, rows)
        this.sign(args.out)
        differ = [row["id"] for row in rows if row.get("same_alone") is False]
        if differ:
            rule = "; in float32 it must not" if args.precision == "float32" else ""
            print(f"{args.out}: the batch decides the tokens of {', '.join(differ)}{rule}", file=sys.stderr)
        lost = [row for row in rows if "status" in row]
        if lost:
            print(
                f"{args.out}: {len(lost)} of {len(rows)} prompts have no output; {lost[0]['id']}: {lost[0]['reason']}"
            )


def written(args: argparse.Namespace, prompts: list[dict]) -> list[dict]:
    """Returns one row per prompt; if the arm cannot run, every row has the reason."""
    import torch

    from pardec.common.progress import Progress
    from pardec.data.load import load_tokenizer
    from pardec.decoding.batching import prompt_seed
    from pardec.decoding.prepared import load_arm
    from pardec.measure.device import resolve
    from pardec.quality.generate import Writer, ended, ending

    torch.set_num_threads(args.threads)
    device = resolve(args.device)
    try:
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
        tokens = encode(prompts, args.prompt_tokens, args.seed if args.prompt_text == "random" else None)
    except Exception as error:
        return [ended(prompt, *ending(error)) for prompt in prompts]
    progress = Progress(f"outputs {args.workload} {args.arm}", len(prompts))
    seed_of = lambda ident: prompt_seed(args.seed, ident)  # noqa: E731 (one short name for one use)
    writer = Writer(model, decoder, tokenizer, device, args.new_tokens, seed_of, progress.update)
    return writer.write(prompts, tokens, args.precision)


def named(path: str) -> dict[str, str]:
    """Returns the set of outputs of a file below results/quality."""
    _, separator, rest = os.path.dirname(path).partition("results/quality/")
    return {"output_set": rest} if separator else {}


if __name__ == "__main__":
    forkserver.hand_over(sys.argv)
    main()
