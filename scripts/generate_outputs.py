"""Decode held-out prompts, untimed, and keep every output for scoring."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from pardec.measure.handover import LAUNCH
from pardec.measure.supervise import LIMIT_S, limit, moment, supervise

if TYPE_CHECKING:
    import argparse

    from pardec.jobs import Job


def arguments() -> argparse.Namespace:
    import argparse
    import json

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
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
        "--engine", default="eager", choices=["eager", "compiled", "packed"], help="how models are executed"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--timeout-s", type=float, default=LIMIT_S, help="prompts without an output then have none"
    )
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def main() -> None:
    from pardec.jobs import job

    args = arguments()
    with job() as this:
        note(this, args)
        keep(this, args, written(args))


def note(this: Job, args: argparse.Namespace) -> None:
    """Note what decides the outputs: prompts, checkpoints, modules."""
    from pardec.decoding.prepared import modules_run
    from pardec.evidence.provenance import checkpoint_files

    folders = dict.fromkeys([args.model, *args.companions.values()])
    this.wildcards, this.seed = named(args.out), args.seed
    this.read(prompts_file(args), *(file for folder in folders for file in checkpoint_files(folder)))
    this.load(*modules_run(args.decoder, args.settings, args.engine))
    this.load_models(*folders)


def keep(this: Job, args: argparse.Namespace, rows: list[dict]) -> None:
    """Write the outputs and their provenance; print which prompts have none."""
    from pardec.common.files import write_jsonl

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


def supervised() -> int:
    """Decode in a separate process, and write the reason for each prompt if it is lost; return the exit status."""
    started = time.time()
    ended = supervise(sys.argv, limit(sys.argv), fresh=False)
    if isinstance(ended, int):
        return ended
    from pardec.jobs import job

    args = arguments()
    with job(begin=moment(started)) as this:
        note(this, args)
        keep(this, args, without_output(args, ended.status, ended.reason))
    return 0


def prompts_file(args: argparse.Namespace) -> str:
    return os.path.join(args.data, "heldout.jsonl")


def read_prompts(args: argparse.Namespace) -> list[dict]:
    from pardec.data.prompts import load_prompts

    which = {"task": args.task, "canvas": args.new_tokens, "fill": args.fill}
    return load_prompts(prompts_file(args), limit=args.prompts, seed=args.seed, **which)


def without_output(args: argparse.Namespace, status: str, reason: str) -> list[dict]:
    """Return the rows of a set that has no output; a single row where the prompts cannot be read either."""
    from pardec.common.errors import UserError
    from pardec.quality.generate import ended

    try:
        prompts = read_prompts(args)
    except UserError:
        prompts = [{"id": "all prompts", "task": args.task, "prompt": "", "answer": None}]
    return [ended(prompt, status, reason) for prompt in prompts]


def written(args: argparse.Namespace) -> list[dict]:
    """Return one row per prompt; if the arm cannot run, every row has the reason."""
    import torch

    from pardec.common.errors import unfit
    from pardec.common.progress import Progress
    from pardec.data.load import load_tokenizer
    from pardec.decoding.batching import prompt_seed
    from pardec.decoding.prepared import load_arm
    from pardec.measure.cell import CellTimeout, time_limit
    from pardec.measure.device import resolve
    from pardec.quality.generate import Writer, ending

    torch.set_num_threads(args.threads)
    device = resolve(args.device)
    try:
        with time_limit(args.timeout_s):
            prompts = read_prompts(args)
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
            with unfit():
                tokens = encode(
                    prompts, args.prompt_tokens, args.seed if args.prompt_text == "random" else None
                )
            progress = Progress(f"outputs {args.workload} {args.arm}", len(prompts))
            seed_of = lambda ident: prompt_seed(args.seed, ident)  # noqa: E731 (one short name for one use)
            writer = Writer(model, decoder, tokenizer, device, args.new_tokens, seed_of, progress.update)
            return writer.write(prompts, tokens, args.precision)
    except CellTimeout:
        return without_output(args, "timeout", f"longer than {args.timeout_s:g} s before its first output")
    except Exception as error:
        return without_output(args, *ending(error))


def named(path: str) -> dict[str, str]:
    """Return the set of outputs of a file below results/quality."""
    _, separator, rest = os.path.dirname(path).partition("results/quality/")
    return {"output_set": rest} if separator else {}


if __name__ == "__main__":
    # Another process decodes, see pardec.measure.supervise.
    sys.exit(main() if LAUNCH in os.environ else supervised())
