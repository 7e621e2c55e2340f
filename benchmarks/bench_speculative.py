"""Speculative decoding against our autoregressive loop: the same target, prompts and greedy tokens, in one process.

The two run in turn on each prompt, in an order drawn anew; the ratio is taken from the pairs. Prints tau (pooled:
tokens over verifications), the speed ratio, and the loop's overhead: cycle time without the passes of draft and target,
as a share of it. In float32 it stops with an error if a single token differs; in a shorter format it prints where the
outputs differ, and by how much the target's best logit exceeds the second there.

Without --target it compares the pair of the embedded study, in results/, with four baselines: its own sequential
decoding, transformers' generate(), its native block drafting with the same draft, and its assisted generation with a
one-layer model that is trained here in a few seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl, write_json
from pardec.jobs import job

SEED = 7
PASSES = ("draft", "refine", "verify")
WORKLOADS = {"grid": 193, "arithmetic": 56}
"""Workloads of the bars, with their canvas; target, draft and data bear their names."""
BARS = {"ours": 2.5, "transformers": 3.0, "native": 1.3, "assisted": 1.3}
"""Least ratio to each."""
MOST_OVERHEAD = 0.15
SMALL = {"hidden": 64, "layers": 1, "heads": 4, "mlp": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", help="folder of the autoregressive model; without it, all bars")
    parser.add_argument("--draft", help="folder of its draft")
    parser.add_argument(
        "--data", help="folder of the data set whose held-out prompts are used; with --target"
    )
    parser.add_argument("--results", default="results", help="the run whose models the bars take")
    parser.add_argument("--assistant", help="folder of a small causal model, for --against assisted")
    parser.add_argument("--task", help="only prompts of this task")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the speculative decoder, JSON")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=48, help="timed generations of each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--text", action="store_true", help="never write the end token")
    parser.add_argument(
        "--against",
        choices=["ours", "transformers", "native", "assisted"],
        default="ours",
        help="our loop, its generate(), its block drafting with this draft, its assisted generation",
    )
    parser.add_argument("--out", help="file for the figures, JSON")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    if args.target is None:
        result = bars(args)
    elif args.data is None:
        raise UserError("--data", "is missing", "name the folder of the target's data set")
    else:
        result = compare(args)
        show(f"{Path(args.target).name} {args.task or ''} {json.dumps(args.settings)}", result)
    if args.out:
        write_json(args.out, result)


def show(what: str, result: dict, bar: float | None = None) -> None:
    against = "" if bar is None else f" (bar {bar}: {'met' if result['ratio'] >= bar else 'missed'})"
    print(
        f"{what}: tau {result['tau']:.2f} pooled, {result['tau_mean']:.2f} mean of prompts; ratio "
        f"{result['ratio']:.2f} [{result['ratio_low']:.2f}, {result['ratio_high']:.2f}]{against}; cycle "
        f"{result['cycle_ms']:.2f} ms, of which the loop {result['overhead']:.1%}; {result['prompts']} prompts, "
        f"{parting(result)}",
        flush=True,
    )


def parting(result: dict) -> str:
    parted = result["parted"]
    if not parted:
        return "identical"
    first = ", ".join(
        f"token {one['at']} of prompt {one['prompt']} ({one['margin']:.3g} nats)" for one in parted[:5]
    )
    return f"{len(parted)} part at first in {first}{', ...' if len(parted) > 5 else ''}"


def bars(args: argparse.Namespace) -> dict:
    """Return the comparison with every bar on every workload.

    Raises:
        UserError: the run has no drafts yet.
    """
    from tempfile import TemporaryDirectory

    result: dict[str, dict] = {}
    for name, new_tokens in WORKLOADS.items():
        folders = {
            "target": f"{args.results}/models/ar-{name}",
            "draft": f"{args.results}/models/draft-{name}",
            "data": f"{args.results}/data/{name}",
        }
        for folder in folders.values():
            if not Path(folder).is_dir():
                raise UserError(
                    folder, "is not there", "run `make all` first, or name --target, --draft and --data"
                )
        with TemporaryDirectory() as assistant:
            ours = {
                **vars(args),
                **folders,
                "new_tokens": new_tokens,
                "settings": {"block": 8, **args.settings},
            }
            for against, bar in BARS.items():
                if against == "assisted":
                    train_small(folders["data"], assistant)
                run = compare(argparse.Namespace(**{**ours, "against": against, "assistant": assistant}))
                show(f"{name} against {against}", run, bar)
                result[f"{name}/{against}"] = {**run, "bar": bar}
    worst = max(run["overhead"] for run in result.values())
    met = "met" if worst <= MOST_OVERHEAD else "missed"
    print(f"the loop's share of cycle time: at most {worst:.1%} (bar {MOST_OVERHEAD:.0%}: {met})")
    return result


def train_small(data: str, out: str) -> None:
    """A causal model of one layer, to assist transformers' generate()."""
    from pardec.models.sources.train import TrainSettings
    from pardec.models.training.train import train_model

    recipe = {"source": "train", "data": "small", "objective": {"family": "autoregressive"}, "size": SMALL}
    settings = TrainSettings.model_validate_json(json.dumps({**recipe, "steps": 250, "batch": 16}))
    train_model("small", settings, data, SEED, out)


def compare(args: argparse.Namespace) -> dict:
    """Time both decoders.

    Raises:
        UserError: they write different tokens in float32.
    """
    from pardec.data.encoding import encode_prompts
    from pardec.data.load import load_tokenizer
    from pardec.decoding.autoregressive import Autoregressive
    from pardec.decoding.batching import pad_left
    from pardec.decoding.divergence import divergence
    from pardec.decoding.speculative.decoder import Speculative
    from pardec.decoding.transformers_generate import TransformersGenerate
    from pardec.evidence.statistics import median, ratio_of_medians
    from pardec.measure.clock import clock_for
    from pardec.measure.sampling import Series, batches, measure
    from pardec.measure.stopping import Maximum
    from pardec.models.load import load_model

    model = load_model(args.target, device=args.device, dtype=args.precision)
    records = read_jsonl(Path(args.data) / "heldout.jsonl")
    records = [record for record in records if args.task in (None, record["task"])][: args.prompts]
    prompts = encode_prompts(load_tokenizer(Path(args.target) / "tokenizer.json"), records, None)
    ends = {"eos": "ban"} if args.text else {"stop": "eos"}
    ours = Speculative(Speculative.Settings.model_validate_json(json.dumps({**ends, **args.settings})))
    if args.draft:
        ours.companions = {"draft": load_model(args.draft, device=args.device, dtype=args.precision)}
    kind = Autoregressive if args.against == "ours" else TransformersGenerate
    plain = kind(kind.Settings(**ends))
    drafted = args.against in ("native", "assisted")
    if drafted and args.batch > 1:
        raise UserError("--batch", f"is {args.batch}", "transformers drafts for one row only")

    def series(decoder) -> Series:
        decoder.prepare(model)

        def run(rows, watch):
            chosen = pad_left([prompts[row] for row in rows], None, model.info.pad_id, args.device)
            return decoder.decode(model, chosen, args.new_tokens, watch)

        return Series(run)

    mine, other = series(ours), Series(theirs(args, model, ours, prompts)) if drafted else series(plain)
    order = batches(len(prompts), args.batch, SEED)
    measure(mine, other, clock_for(args.device), order, [Maximum(args.pairs)], warmup_passes=3, seed=SEED)
    banned = model.info.ends if args.text else ()
    parted = []
    for row, tokens in sorted(mine.outputs.items()):
        result = divergence(model, prompts[row], tokens.tolist(), other.outputs[row].tolist(), banned)
        if result and args.precision == "float32":
            raise UserError(
                f"prompt {row}", f"the two write different tokens from {result.at} on", "find out why"
            )
        if result:
            parted.append({"prompt": row, "at": result.at, "margin": result.margin})
    keys = ["-".join(map(str, sample["prompts"])) for sample in mine.samples]
    times = [[sample["e2e_ms"] for sample in side.samples] for side in (mine, other)]
    ratio = ratio_of_medians(times[1], times[0], keys, [sample["block"] for sample in mine.samples])
    taus = {key: [c["tau"] for c in sample["cycles"]] for key, sample in zip(keys, mine.samples, strict=True)}
    cycles = [own_share(sample) for sample in mine.samples]
    whole, passes = (sum(part) for part in zip(*cycles, strict=True))
    every = [tau for result in taus.values() for tau in result]
    return {
        "tau": sum(every) / len(every),
        "tau_mean": sum(sum(result) / len(result) for result in taus.values()) / len(taus),
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "prompts": len(mine.outputs),
        "parted": parted,
        "cycle_ms": whole / sum(len(sample["cycles"]) for sample in mine.samples),
        "overhead": 1 - passes / whole,
        "e2e_ms": median(times[0]).value,
        "other_e2e_ms": median(times[1]).value,
    }


def theirs(args: argparse.Namespace, model, ours, prompts):
    """One generation by transformers' loop: block drafting with our draft, or assisted by a small model."""
    import torch
    from transformers import GenerationConfig

    from pardec.decoding.base import Decoded
    from pardec.decoding.batching import count_useful
    from pardec.models.checkpoints.draft_twin import transformers_draft
    from pardec.models.checkpoints.twin import transformers_twin
    from pardec.models.load import load_model

    eos = model.info.eos_id
    twin = transformers_twin(model)
    twin.generation_config = GenerationConfig(bos_token_id=None, eos_token_id=None, pad_token_id=0)
    native = args.against == "native"
    if native:
        assistant = transformers_draft(ours.companions["draft"])
    elif args.assistant:
        assistant = transformers_twin(load_model(args.assistant, device=args.device, dtype=args.precision))
    else:
        raise UserError("--assistant", "is missing", "give a small causal model of the same data")
    config = GenerationConfig(
        max_new_tokens=args.new_tokens,
        do_sample=False,
        use_cache=True,
        eos_token_id=None if args.text else eos,
        pad_token_id=model.info.pad_id,
        suppress_tokens=[eos] if args.text else None,
        **({"speculation_type": "dflash"} if native else {}),
    )

    def run(rows, watch):
        ids = torch.tensor([prompts[rows[0]]], device=args.device)
        with torch.inference_mode():
            result = twin.generate(ids, assistant_model=assistant, generation_config=config)[
                :, ids.shape[1] :
            ]
        watch.step(result.shape[1])
        output = torch.nn.functional.pad(result, (0, args.new_tokens - result.shape[1]), value=eos)
        return Decoded(output, count_useful(output, model.info.ends), nfe=0, token_forwards=0)

    return run


def own_share(sample: dict) -> tuple[float, float]:
    """Return milliseconds of all cycles of a generation, and of the passes in them."""
    begin = sample["phases_ms"]["prefill"]
    passes = sum(sample["phases_ms"].get(name, 0.0) for name in PASSES)
    return sample["cycles"][-1]["at_ms"] - begin, passes


if __name__ == "__main__":
    with job():
        main()
