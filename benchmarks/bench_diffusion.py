"""Our diffusion samplers in pairs: the plain one against a straightforward float64 one on a vocabulary of LLaDA's
size, and the cached one against the plain one on a trained text model, with its cost in quality.

Two samplers run in turn on each batch of prompts, in an order drawn anew; ratios are taken from the pairs.
Stops with an error if the plain sampler writes another token than the float64 one.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl, write_json
from pardec.jobs import job

PLAIN_GOAL, CACHED_GOAL = 1.5, 4.0
SEED = 7
WORDS, MASK, EOS = 126_464, 126_336, 126_081
"""LLaDA's vocabulary and two of its ids."""
BLOCK, NEW_TOKENS = 32, 128
CACHED: dict[str, dict[str, Any]] = {
    "dual": {},
    "dual, refresh 64": {"refresh": 64},
    "dual + threshold": {"threshold": 0.3, "steps": 64},
    "dual + factor": {"factor": 1.5, "steps": 64},
}
"""Settings of the cached sampler; `CACHED_GOAL` is asked of the third."""
ASKED = "dual + threshold"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model", help="a masked-diffusion text model (default: the first in results/models)"
    )
    parser.add_argument("--scorer", help="an autoregressive model that judges the text (default: beside it)")
    parser.add_argument("--data", help="folder of its dataset (default: its training data)")
    parser.add_argument("--pairs", type=int, default=12, help="timed generations of each, at least 10")
    parser.add_argument("--prompts", type=int, default=48, help="texts whose quality is compared")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="results/bench/diffusion.json")
    args = parser.parse_args()
    if args.pairs < 10:
        raise UserError("--pairs", f"is {args.pairs}: too few for an interval", "give at least 10")

    import torch

    torch.set_num_threads(args.threads)
    plain = [against_float64(args, batch) for batch in (1, 4)]
    cached = against_plain(args)
    write_json(
        args.out,
        {"goals": {"plain": PLAIN_GOAL, "cached": CACHED_GOAL}, "plain": plain, "cached": cached},
    )
    asked = next(row["ratio"] for row in cached if row["name"] == ASKED)
    if asked < CACHED_GOAL or any(row["ratio"] < PLAIN_GOAL for row in plain):
        raise UserError("bench_diffusion", "a goal was missed", "profile it on an idle machine")


def against_float64(args: argparse.Namespace, batch: int) -> dict[str, Any]:
    """Time the plain sampler and the float64 one on a tiny trunk with LLaDA's vocabulary.

    Raises:
        UserError: they write different tokens.
    """
    import torch

    from pardec.decoding.batching import pad_left
    from pardec.decoding.masked_diffusion import MaskedDiffusion
    from pardec.measure.sampling import Series
    from pardec.models.architectures.backbone import Backbone
    from pardec.models.architectures.config import BackboneConfig

    sizes = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 4, "head_dim": 16, "mlp": 128}
    ids = {"bos_id": 1, "eos_id": EOS, "mask_id": MASK}
    config = BackboneConfig(vocab_size=WORDS, max_positions=256, causal=False, tied=False, **sizes, **ids)
    model = Backbone(config).requires_grad_(False).eval()
    model.initialise(torch.Generator().manual_seed(SEED))
    model.head.mul_(30)  # logits far apart, as a trained model's are, so that rounding decides nothing
    draw = random.Random(SEED)
    prompts = [[1, *(draw.randrange(4, WORDS) for _ in range(15))] for _ in range(2 * batch)]
    steps, canvas = 8, BLOCK
    decoder = MaskedDiffusion(MaskedDiffusion.Settings(steps=steps))

    def chosen(rows):
        return pad_left([prompts[row] for row in rows], None, 0)

    ours = Series(lambda rows, watch: decoder.decode(model, chosen(rows), canvas, watch))
    other = Series(lambda rows, watch: float64_sampler(model, chosen(rows), canvas, steps, watch))
    row = paired(args, ours, other, len(prompts), batch)
    for name, tokens in ours.outputs.items():
        if tokens.tolist() != other.outputs[name].tolist():
            raise UserError(
                f"prompt {name}, batch {batch}", "the samplers write different tokens", "find out why"
            )
    print(
        f"plain sampler, {WORDS} words, batch {batch}, {canvas} tokens in {steps} passes, identical: "
        f"{show(row)} times the float64 one"
    )
    return {"batch": batch, **row}


def float64_sampler(model, prompts, new_tokens: int, steps: int, watch):
    """LLaDA's sampler as one writes it down: a float64 softmax over the canvas, and the surest are committed."""
    import torch

    from pardec.decoding.base import Decoded
    from pardec.decoding.batching import count_useful
    from pardec.decoding.masked_diffusion import schedule

    first = prompts.length
    with torch.inference_mode():
        watch.start()
        blank = prompts.tokens.new_full((prompts.size, new_tokens), MASK)
        canvas = torch.cat([prompts.tokens, blank], 1)
        for share in schedule(new_tokens, steps):
            logits = model.denoise(canvas, None, first, first + new_tokens, first).double()
            logits[..., MASK] = -torch.inf
            chance, token = logits.softmax(-1).max(-1)
            region = canvas[:, first:]
            chance = chance.masked_fill(region != MASK, -torch.inf)
            surest = chance.topk(share, -1).indices
            region.scatter_(1, surest, token.gather(1, surest))
            watch.step(share)
        watch.block(new_tokens)
        output = canvas[:, first:].clone()
    return Decoded(output, count_useful(output, (EOS,)), steps, steps * canvas.shape[1])


def against_plain(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the cached sampler and the plain one, one token per pass, at several settings on a trained text model."""
    from pardec.data.encoding import encode_prompts
    from pardec.data.load import load_tokenizer
    from pardec.decoding.batching import pad_left
    from pardec.decoding.cached_diffusion import CachedDiffusion
    from pardec.decoding.masked_diffusion import MaskedDiffusion
    from pardec.measure.sampling import Series
    from pardec.models.load import load_model

    folder = Path(args.model) if args.model else first_text_model()
    scorer = load_model(Path(args.scorer) if args.scorer else folder.with_name("scorer-text"))
    named = read_json(folder / "training.json").get("recipe", {}).get("data")
    data = Path(args.data) if args.data else Path("results/data") / Path(str(named)).name
    model, tokenizer = load_model(folder), load_tokenizer(folder / "tokenizer.json")
    records = read_jsonl(data / "heldout.jsonl")[: args.prompts]
    prompts = encode_prompts(tokenizer, records, None)
    # Text of one length on both sides: the end token is never written.
    usual = {"block": BLOCK, "eos": "ban"}
    plain = MaskedDiffusion(MaskedDiffusion.Settings(**usual))

    def decode(decoder, rows, *watch):
        chosen = pad_left([prompts[row] for row in rows], None, model.info.pad_id)
        return decoder.decode(model, chosen, NEW_TOKENS, *watch)

    def nats(decoder) -> list[float]:
        written = [decode(decoder, [row]).tokens[0].tolist() for row in range(len(prompts))]
        return [nats_a_token(scorer, prompt, text) for prompt, text in zip(prompts, written, strict=True)]

    before, rows = nats(plain), []
    for name, settings in CACHED.items():
        decoder = CachedDiffusion(CachedDiffusion.Settings(**usual, **settings))
        ours = Series(lambda rows, watch, decoder=decoder: decode(decoder, rows, watch))
        other = Series(lambda rows, watch: decode(plain, rows, watch))
        row = paired(args, ours, other, len(prompts), 1)
        cost = quality_cost(before, nats(decoder))
        rows.append({"name": name, "settings": settings, **row, "nats_more": cost})
        print(
            f"cached sampler, {name}: {show(row)} times the plain one over {NEW_TOKENS} tokens; "
            f"{cost['value']:+.2f} [{cost['low']:+.2f}, {cost['high']:+.2f}] nats a token under the scorer"
        )
    return rows


def first_text_model() -> Path:
    """Return the first masked-diffusion text model that the workflow has trained.

    Raises:
        UserError: there is none yet.
    """
    for config in sorted(Path("results/models").glob("*text*/config.json")):
        if not read_json(config).get("is_causal") and (config.parent / "model.safetensors").exists():
            return config.parent
    raise UserError(
        "results/models", "holds no diffusion text model", "run `make all` first, or give --model"
    )


def nats_a_token(scorer, prompt: list[int], text: list[int]) -> float:
    """Return the mean surprisal of `text` after `prompt` under the scorer, which shares the tokenizer."""
    import torch

    with torch.inference_mode():
        logits = scorer(torch.tensor([prompt + text]), keep=slice(len(prompt) - 1, -1))[0].log_softmax(-1)
    return float(-logits.gather(-1, torch.tensor(text)[:, None]).mean())


def quality_cost(before: list[float], after: list[float]) -> dict[str, float]:
    """Return the mean of the paired differences over prompts, and its bootstrap interval."""
    import numpy as np

    differences = np.array(after) - np.array(before)
    draws = np.random.default_rng(SEED).choice(differences, (4000, len(differences))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": float(differences.mean()), "low": float(low), "high": float(high), "n": len(differences)}


def paired(args: argparse.Namespace, ours, other, prompts: int, batch: int) -> dict[str, Any]:
    """Return how many times as fast `ours` is as `other`, from pairs in random order."""
    from pardec.evidence.statistics import ratio_of_medians
    from pardec.measure.clock import clock_for
    from pardec.measure.sampling import batches, measure
    from pardec.measure.stopping import Maximum

    order = batches(prompts, batch, SEED)
    measure(ours, other, clock_for("cpu"), order, [Maximum(args.pairs)], warmup_passes=2, seed=SEED)
    times = [[sample["e2e_ms"] for sample in series.samples] for series in (ours, other)]
    blocks = [sample["block"] for sample in ours.samples]
    keys = ["-".join(map(str, sample["prompts"])) for sample in ours.samples]
    ratio = ratio_of_medians(times[1], times[0], keys, blocks)
    return {
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "pairs": ratio.n,
        "own_ms": times[0],
        "other_ms": times[1],
    }


def show(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"


if __name__ == "__main__":
    with job():
        main()
