"""Small drafts and targets for tests of speculative decoding."""

from __future__ import annotations

import torch

from pardec.decoding.autoregressive import Autoregressive
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left, prompt_seed
from pardec.decoding.speculative.base import Draft
from pardec.decoding.speculative.decoder import Speculative
from pardec.models.architectures.config import DraftConfig, MarkovConfig
from pardec.models.architectures.dflash2 import DFlash2Draft
from pardec.models.architectures.draft import DraftModel
from pardec.models.architectures.markov import MarkovDraft
from pardec.models.checkpoints.formats.dflash2 import DFlash2Config
from tests.reference.models import EOS, MASK, WORDS, backbone


def draft_model(target=None, seed: int = 0, scale: float = 4.0, **changes) -> DraftModel:
    """A random draft of the target's width."""
    info = (target or backbone(causal=True)).info
    config = DraftConfig(
        **{
            "vocab_size": info.vocab_size,
            "hidden": info.hidden,
            "layers": 1,
            "heads": 4,
            "kv_heads": 2,
            "head_dim": 4,
            "mlp": 24,
            "max_positions": info.max_positions,
            "block": 8,
            "mask_id": MASK,
            "taps": tuple(range(info.layers)),
            "target_layers": info.layers,
            "eos_id": EOS,
            **changes,
        }
    )
    model = DraftModel(config)
    model.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(scale)
    return model.requires_grad_(False).eval()


class Cycles(Observer):
    """What each cycle told."""

    def __init__(self):
        self.cycles, self.committed, self.final, self.phases = [], [], [], []

    def step(self, committed, final=None):
        self.committed.append(committed)
        if final is not None:
            self.block(final)

    def block(self, stop):
        self.final.append(stop)

    def cycle(self, **facts):
        self.cycles.append({name: float(fact) for name, fact in facts.items()})

    def phase(self, name):
        self.phases.append(name)

    @property
    def taus(self):
        return [cycle["tau"] for cycle in self.cycles]


def with_head(draft: DraftModel, seed: int = 0, rank: int = 3, scale: float = 2.0) -> MarkovDraft:
    """The draft with a random Markov head."""
    model = MarkovDraft(MarkovConfig(**vars(draft.config), rank=rank)).to(draft.fc.dtype)
    model.load_state_dict(draft.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(seed)
    for table in (model.before, model.after):
        table.data.normal_(0.0, scale, generator=generator)
    return model.requires_grad_(False).eval()


def with_selector(
    draft: DraftModel, seed: int = 0, convolutions: float = 0.3, selector: float | None = 2.0, **changes
) -> DFlash2Draft:
    """The draft with DFlash 2's additions, drawn at these scales; selector None: without effect."""
    shape = {"kernel": 2, "group": 4, "rank": 3, "top_k": 5, **changes}
    model = DFlash2Draft(DFlash2Config(**vars(draft.config), **shape)).to(draft.fc.dtype)
    generator = torch.Generator().manual_seed(seed)
    model.initialise(generator)
    model.load_state_dict(draft.state_dict(), strict=False)
    for layer in model.layers:
        for name, weight in layer.named_parameters():
            if name.endswith(("_fixed", "_changes")):
                weight.data.add_(convolutions * torch.randn(weight.shape, generator=generator))
    for table in () if selector is None else (model.before, model.after, model.gate):
        table.data.normal_(0.0, selector, generator=generator)
    return model.requires_grad_(False).eval()


def batch_of(prompts, seed: int = 3):
    return pad_left(prompts, [prompt_seed(seed, str(row)) for row in range(len(prompts))], 0)


def speculate(model, prompts, new_tokens, draft=None, observer=None, seed: int = 3, **settings):
    decoder = Speculative(Speculative.Settings(**settings))
    if draft is not None:
        decoder.companions = {"draft": draft}
    return decoder.decode(model, batch_of(prompts, seed), new_tokens, observer or Observer())


def plain(model, prompts, new_tokens, seed: int = 3, **settings):
    decoder = Autoregressive(Autoregressive.Settings(**settings))
    return decoder.decode(model, batch_of(prompts, seed), new_tokens)


__all__ = ["EOS", "WORDS", "Cycles", "backbone", "batch_of", "draft_model", "plain", "speculate"]


def draft_of(*slots: dict[int, float], words: int = 12) -> Draft:
    """One row, each slot a distribution of a few words; the rest is nearly nothing."""
    chances = torch.full((1, len(slots), words), 1e-12, dtype=torch.float64)
    for place, distribution in enumerate(slots):
        for word, chance in distribution.items():
            chances[0, place, word] = chance
    logits = chances.log()
    return Draft(logits.argmax(-1), logits)
