"""The renderer of a two-level hierarchy: one bidirectional model that writes the chunks of a root and the characters
of a chunk, and judges what was written by an energy.

A pass sees all slots of one expansion at once. Each slot holds a token (a mask or noise where nothing is known
yet), to which the condition, gated by the slot's place, the place itself, the level and the time are added. Level 0
turns roots into chunks, level 1 chunks into characters, with the same layers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json
from pardec.models.architectures.backbone import Layer
from pardec.models.architectures.base import ModelInfo
from pardec.models.architectures.config import BackboneConfig
from pardec.models.architectures.norm import rms_norm

ARCHITECTURE = "FractalRenderer"
PAD, EOS, MASK = 0, 2, 3


@dataclass(frozen=True)
class RendererConfig:
    """Sizes. Ids: specials, characters from `first_character`, chunks from `first_chunk`, roots from `first_root`,
    `vocab_size` in all. slots: slots of an expansion, by level."""

    first_character: int
    first_chunk: int
    first_root: int
    vocab_size: int
    slots: tuple[int, int]
    hidden: int
    layers: int
    heads: int
    mlp: int

    def conditions(self, level: int) -> tuple[int, int]:
        """First id, and the one after the last, of what a level expands."""
        return (self.first_root, self.vocab_size) if level == 0 else (self.first_chunk, self.first_root)

    def written(self, level: int) -> tuple[int, int]:
        """The same of what it writes."""
        return (self.first_chunk, self.first_root) if level == 0 else (self.first_character, self.first_chunk)


class Renderer(nn.Module):
    """`expansion0` [roots, C] and `expansion1` [chunks, L] are the hierarchy itself: what it learned from, what its
    outputs are held against, and what a table lookup reads. No pass of the model reads them."""

    def __init__(self, config: RendererConfig):
        super().__init__()
        self.config = config
        shape = _shape(config)
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.codes = nn.Parameter(torch.empty(config.vocab_size - config.first_chunk, config.hidden))
        self.places = nn.Parameter(torch.empty(sum(config.slots), config.hidden))
        self.gates = nn.Parameter(torch.empty(sum(config.slots), config.hidden))
        self.levels = nn.Parameter(torch.empty(2, config.hidden))
        self.times = nn.Parameter(torch.empty(2, config.hidden))
        self.layers = nn.ModuleList([Layer(shape) for _ in range(config.layers)])
        self.norm = nn.Parameter(torch.ones(config.hidden))
        self.judge = nn.Parameter(torch.empty(1, config.hidden))
        roots, chunks = config.vocab_size - config.first_root, config.first_root - config.first_chunk
        self.register_buffer("expansion0", torch.zeros(roots, config.slots[0], dtype=torch.long))
        self.register_buffer("expansion1", torch.zeros(chunks, config.slots[1], dtype=torch.long))
        self.info = _info(self)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers); the codes of
        the conditions with N(0, 0.5²) and the gates with N(0, 1), so that conditions differ, and each slot reads
        another view of its condition, before anything is learned."""
        damping = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith((".out", ".down"))
                    scale = {"codes": 0.5, "gates": 1.0}.get(name) or 0.02 * (damping if residual else 1.0)
                    parameter.normal_(0.0, scale, generator=generator)

    def expansion(self, level: int) -> Tensor:
        """The right expansions of all conditions of a level, [conditions, slots] ids, padded."""
        return self.expansion0 if level == 0 else self.expansion1

    def forward(
        self, tokens: Tensor, conditions: Tensor, level: int, time: Tensor | None = None, energy: bool = False
    ) -> Tensor:
        """One pass.

        tokens: [N, slots] long. conditions: [N] long. time: [N] share of the slots that hold noise, 1 where None.
        Returns logits [N, slots, 1 + classes], class 0 the pad and class i the i-th id that the level writes; with
        energy the energies [N] of `tokens`, the lower the better.
        """
        first = 0 if level == 0 else self.config.slots[0]
        own = slice(first, first + tokens.shape[1])
        at = self.places[own] + self.levels[level]
        # An invalid condition has no code; the decoder tells and throws away what comes of it.
        codes = F.embedding((conditions - self.config.first_chunk).clamp(0, len(self.codes) - 1), self.codes)
        x = F.embedding(tokens, self.embedding) + codes[:, None] * self.gates[own] + at
        if energy:
            x = x + self.times[0]
        else:
            x = x + (self.times[1] if time is None else time[:, None, None] * self.times[1])
        for layer in self.layers:
            x = layer(x, None, None, None, False, None, 0, 0)
        x = rms_norm(x, self.norm, 1e-5)
        if energy:
            return F.linear(x, self.judge)[..., 0].mean(-1)
        start, stop = self.config.written(level)
        return F.linear(x, torch.cat([self.embedding[PAD : PAD + 1], self.embedding[start:stop]]))

    def head_classes(
        self, tokens: Tensor, conditions: Tensor, level: int, time: Tensor | None = None, energy: bool = False
    ) -> int:
        """Numbers that `forward` gives for each slot with the same arguments: its work is counted by them."""
        start, stop = self.config.written(level)
        return 1 if energy else 1 + stop - start

    def ids(self, classes: Tensor, level: int) -> Tensor:
        """Classes of `forward` as ids."""
        return torch.where(classes == 0, PAD, classes + (self.config.written(level)[0] - 1))

    def classes(self, ids: Tensor, level: int) -> Tensor:
        """Ids that a level writes as classes of `forward`."""
        return torch.where(ids == PAD, 0, ids - (self.config.written(level)[0] - 1))

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors, both whole or not at all."""
        from safetensors.torch import save_file

        folder = Path(folder)
        state = {name: tensor.detach().contiguous() for name, tensor in self.state_dict().items()}
        with atomic(folder / "model.safetensors") as temporary:
            save_file(state, temporary, metadata={"format": "pt"})
        sizes = asdict(self.config) | {"slots": list(self.config.slots)}
        write_json(
            folder / "config.json", {"architectures": [ARCHITECTURE], "model_type": "renderer", **sizes}
        )

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> Renderer:
        """The renderer in `folder`.

        Raises:
            UserError: config.json lacks a size, or the weights are missing, damaged or of another shape.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        values = read_json(Path(folder) / "config.json")
        try:
            sizes = {name: values[name] for name in RendererConfig.__dataclass_fields__}
        except KeyError as error:
            raise UserError(Path(folder) / "config.json", f"lacks {error}", "train the model again") from None
        model = cls(RendererConfig(**{**sizes, "slots": tuple(sizes["slots"])}))
        file = Path(folder) / "model.safetensors"
        try:
            model.load_state_dict(load_file(file))
        except (SafetensorError, OSError, RuntimeError) as error:
            raise UserError(file, f"does not hold these weights ({error})", "train the model again") from None
        return model.to(device=device, dtype=dtype).eval()


def _shape(config: RendererConfig) -> BackboneConfig:
    return BackboneConfig(
        vocab_size=config.vocab_size,
        hidden=config.hidden,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.heads,
        head_dim=config.hidden // config.heads,
        mlp=config.mlp,
        max_positions=max(config.slots),
        causal=False,
        rotary=False,
    )


def _info(model: Renderer) -> ModelInfo:
    config = model.config
    matrices = sum(p.numel() for layer in model.layers for p in layer.parameters() if p.dim() == 2)
    return ModelInfo(
        attention="bidirectional",
        vocab_size=config.vocab_size,
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.heads,
        head_dim=config.hidden // config.heads,
        mlp=config.mlp,
        max_positions=max(config.slots),
        bos_id=None,
        eos_id=EOS,
        pad_id=PAD,
        mask_id=MASK,
        parameters=sum(p.numel() for p in model.parameters()),
        matmul_parameters=matrices + model.embedding.numel(),
        shift=False,
    )
