"""Small models for tests of decoders."""

from __future__ import annotations

import torch
from torch import Tensor

from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import LanguageModel
from pardec.models.architectures.config import BackboneConfig, ModelInfo

WORDS, BOS, EOS, MASK = 23, 1, 2, 3


def backbone(causal: bool, seed: int = 0, scale: float = 8.0, **changes) -> Backbone:
    """A random transformer whose logits are far apart (scale), so that rounding does not decide."""
    config = BackboneConfig(
        **{
            "vocab_size": WORDS,
            "hidden": 16,
            "layers": 2,
            "heads": 4,
            "kv_heads": 2,
            "head_dim": 4,
            "mlp": 24,
            "max_positions": 64,
            "causal": causal,
            "tied": False,
            "mask_id": None if causal else MASK,
            **changes,
        }
    )
    model = Backbone(config)
    generator = torch.Generator().manual_seed(seed)
    model.initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(scale)
    return model.eval()


class Table(LanguageModel):
    """Logits that depend on the position alone: [positions, V], counted from the canvas start."""

    def __init__(self, table: Tensor, attention: str = "bidirectional"):
        super().__init__()
        self.table = torch.nn.Parameter(table)
        self.calls: list[tuple[int, int]] = []
        self.info = ModelInfo(
            attention=attention,
            vocab_size=table.shape[1],
            layers=1,
            hidden=1,
            heads=1,
            kv_heads=1,
            head_dim=1,
            mlp=1,
            max_positions=10_000,
            bos_id=BOS,
            eos_id=EOS,
            pad_id=0,
            mask_id=MASK,
            parameters=0,
            matmul_parameters=0,
            shift=False,
        )

    def forward(self, tokens, pad=None, cache=None, keep=None, canvas_start=None):
        """As an autoregressive model: the distribution of the next token after each."""
        past = 0 if cache is None else cache.length
        if cache is not None:
            cache.length += tokens.shape[1]
        rows = torch.arange(past, past + tokens.shape[1]).clamp(max=len(self.table) - 1)
        logits = self.table[rows].expand(len(tokens), -1, -1).clone()
        return logits if keep is None else logits[:, keep]

    def denoise(self, canvas, pad, start, stop, canvas_start=None, within=None):
        first = start if canvas_start is None else canvas_start
        self.calls.append((start - first, stop - first))
        block = self.table[start - first : stop - first]
        return block.expand(len(canvas), -1, -1).clone() if within is None else block[within]


def on_task(name):
    """Return (model, prompts, new tokens) of a task in its own tokens; the model was never trained, since any greedy
    output will do."""
    from pardec.data.sources.tasks import Tasks

    data = Tasks.model_validate({"source": "tasks", "tasks": {name: {}}, "train": 20, "heldout": 8}).build(5)
    prompts = [data.tokenizer.encode_prompt(row["prompt"]) for row in data.heldout[:5]]
    model = backbone(causal=True, vocab_size=data.tokenizer.vocab_size, max_positions=300).double()
    return model, prompts, min(40, data.facts["max_answer_tokens"])
