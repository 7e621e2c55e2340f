"""Each decoder and strategy on a small model, made afresh: what tests and `make gpu-check` run on two devices."""

from __future__ import annotations

import copy
from functools import cache

import torch

from pardec.data.fractal import learn
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build
from pardec.decoding.registry import DECODERS
from pardec.models.architectures.config import PositionConfig
from pardec.models.sources.train import TrainSettings
from pardec.models.training.objectives.renderer import RendererFamily, RendererSettings
from tests.reference.drafts import draft_model, with_head, with_selector
from tests.reference.models import MASK, backbone

PROMPTS = [[1, 5, 9, 4, 4], [1, 7, 6], [1, 8, 8, 5]]
TEXT = "the cat sat on the mat, and the cat ate the rat.\n" * 20
TOKENIZER = learn([TEXT], "roots", 160, 220, 8, 3)
DRAWN = {"temperature": 1.0}
SAMPLED = {"temperature": 0.8, "acceptance": {"name": "residual"}}
ON = {
    "ewma": {"schedule": {"name": "ewma", "sizes": (4, 8)}},
    "break_even": {"schedule": {"name": "break_even", "sizes": (4, 8)}},
    "threshold": {"schedule": {"name": "threshold", "sizes": (4, 8)}},
    "dense": {"seeding": {"name": "dense"}},
    "sparse": {"seeding": {"name": "sparse"}},
    "gated": {"seeding": {"name": "gated", "threshold": 0.0}},
    "refine selective": {"refinement": {"name": "selective", "threshold": 0.5}},
    "refine full": {"refinement": {"name": "full"}},
    "tree": {"proposal": {"name": "tree"}},
    "tree_lite": {"proposal": {"name": "tree_lite"}},
    "candidates": {"proposal": {"name": "candidates"}},
    "confidence": {"proposal": {"name": "confidence"}},
    "rank_suffix": {"proposal": {"name": "rank_suffix", "prefix": 0}},
    "adaptive": {"truncation": {"name": "adaptive", "threshold": 1.0}},
    "rounds": {**SAMPLED, "proposal": {"name": "rounds", "rounds": 2}},
}
"""Settings that switch each idea of drafting on."""

CASES: dict[str, tuple[str, dict]] = {
    "ar": ("autoregressive", {}),
    "ar sampled": ("autoregressive", DRAWN | {"stop": "eos"}),
    "ar ban": ("autoregressive", {"eos": "ban"}),
    "transformers": ("transformers_generate", {}),
    "transformers static": ("transformers_generate", {"cache": "static", "stop": "eos"}),
    "jacobi": ("jacobi", {}),
    "jacobi eos": ("jacobi", {"stop": "eos", "window": 4}),
    "full": ("full_passes", {}),
    "diffusion": ("masked_diffusion", {"steps": 4}),
    "diffusion blocks": ("masked_diffusion", {"steps": 6, "block": 4} | DRAWN),
    "diffusion random": ("masked_diffusion", {"steps": 4, "remasking": "random"}),
    "diffusion threshold": (
        "masked_diffusion",
        {"threshold": 0.5, "block": 4, "cfg_scale": 1.0, "eos": "defer"},
    ),
    "cached": ("cached_diffusion", {"steps": 6, "block": 4, "refresh": 2}),
    "cached factor": ("cached_diffusion", {"block": 4, "factor": 0.7, "after_eos": "fill"}),
    "cached prefix": ("cached_diffusion", {"steps": 6, "block": 4, "cache": "prefix"}),
    "block": ("block_diffusion", {"block": 4, "share": 2}),
    "block margin": ("block_diffusion", {"block": 5, "share": 2, "remasking": "margin"}),
    "block factor": ("block_diffusion", {"block": 4, "factor": 1.5, "stop": "eos"}),
    "block anew": ("block_diffusion", {"block": 4, "threshold": 0.3, "cache": False}),
    "block entropy": ("block_diffusion", {"block": 4, "remasking": "entropy", "entropy_bound": 1.0}),
    "flood": ("flash_flood", {}),
    "flood candidates": ("flash_flood", {"candidates": 3}),
    "flood by root": ("flash_flood", {"order": "by_root", "candidates": 2}),
    "flood by candidate": ("flash_flood", {"order": "by_candidate", "candidates": 2}),
    "table": ("table_lookup", {}),
    "draft": ("speculative", {}),
    "draft residual": ("speculative", DRAWN | {"acceptance": {"name": "residual"}}),
    "draft match": ("speculative", DRAWN | {"acceptance": {"name": "sampled_match"}}),
    "draft ngram": ("speculative", {"drafter": {"name": "ngram"}}),
    "draft small": ("speculative", {"drafter": {"name": "small"}}),
    "draft markov": ("speculative", {"drafter": {"name": "markov"}}),
    "draft markov sampled": ("speculative", {**SAMPLED, "drafter": {"name": "markov"}}),
    "draft markov tree": ("speculative", {"drafter": {"name": "markov"}, "proposal": {"name": "tree"}}),
    "draft selector": ("speculative", {"drafter": {"name": "selector"}}),
    "draft selector tree": ("speculative", {"drafter": {"name": "selector"}, "proposal": {"name": "tree"}}),
    "draft eos": ("speculative", {"truncation": {"name": "eos"}, "stop": "eos"}),
    **{f"draft {name}": ("speculative", settings) for name, settings in ON.items()},
}


@cache
def renderer():
    settings = {"source": "train", "data": "d", "objective": {"family": "renderer"}}
    settings["size"] = {"hidden": 32, "layers": 1, "heads": 2, "mlp": 32}
    model = RendererFamily(RendererSettings()).build(TrainSettings.model_validate(settings), TOKENIZER, {})
    model.initialise(torch.Generator().manual_seed(0))
    return model.requires_grad_(False).eval()


def block_model():
    return backbone(causal=True, scale=3.0, shift=True, family="block_diffusion", mask_id=MASK)


def models(decoder: str, settings: dict):
    """Return (model, companions, prompts, new tokens), made afresh on the CPU."""
    if decoder in ("flash_flood", "table_lookup"):
        return copy.deepcopy(renderer()), {}, [TOKENIZER.encode(TEXT[:20]), TOKENIZER.encode(TEXT[5:40])], 120
    if DECODERS.load(decoder).needs == "bidirectional":
        learned = PositionConfig(8, 16) if decoder == "masked_diffusion" else None
        return backbone(causal=False, scale=3.0, positions=learned), {}, PROMPTS, 12
    if decoder == "block_diffusion":
        return block_model(), {}, PROMPTS, 14
    target = backbone(causal=True, scale=3.0)
    drafter = settings.get("drafter", {}).get("name", "dflash")
    draft = {
        "dflash": lambda: draft_model(target),
        "markov": lambda: with_head(draft_model(target)),
        "selector": lambda: with_selector(draft_model(target)),
        "small": lambda: backbone(True, seed=1, scale=3.0),
    }
    companions = {"draft": draft[drafter]()} if decoder == "speculative" and drafter in draft else {}
    return target, companions, PROMPTS, 10


def run(name: str, device: str, rows: int | None = None, observer: Observer | None = None):
    decoder, settings = CASES[name]
    model, companions, prompts, new = models(decoder, settings)
    made = build(decoder, settings)
    made.companions = {key: other.to(device) for key, other in companions.items()}
    model = model.to(device)
    made.prepare(model)
    batch = pad_left(prompts[:rows], [7, 8, 9][: len(prompts[:rows])], model.info.pad_id, device)
    return made, model, batch, lambda: made.decode(model, batch, new, *([observer] if observer else []))
