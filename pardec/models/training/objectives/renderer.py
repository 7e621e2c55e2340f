"""Renderers of a two-level hierarchy: denoising of whole expansions, and an energy learned by contrast.

Denoising (Austin et al. 2021, arXiv:2107.03006, with masks and uniform noise): every slot is predicted from the
condition and partly noisy slots. Energy (van den Oord et al. 2018, arXiv:1807.03748): the right expansion against hard
negatives of the same condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.training.objectives.base import Family

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Generator, Tensor

    from pardec.data.fractal import HierarchyTokenizer
    from pardec.models.architectures.renderer import Renderer
    from pardec.models.sources.train import TrainSettings

torch = lazy("torch")
PAD, MASK = 0, 3


class RendererSettings(Settings):
    """Write an expansion from its condition in one pass, and rank the right one before wrong ones."""

    family: Literal["renderer"] = "renderer"
    """The name of the family."""
    frequent: float = Field(0.5, ge=0, le=1)
    """Share of the conditions drawn by their frequency in the training text; the rest uniformly."""
    whole: float = Field(0.7, ge=0, le=1)
    """Share of examples in which every slot is noise."""
    judged: float = Field(0.25, gt=0, le=1)
    """Share of a batch on which the energy is trained."""
    energy: float = Field(0.5, ge=0, le=100)
    """Weight of the energy's loss beside the denoising loss."""


@dataclass
class RenderBatch:
    """Conditions [N], their right expansions `tokens` [N, slots], and the level."""

    tokens: Tensor
    conditions: Tensor
    level: int

    def to(self, device: str) -> RenderBatch:
        """Return the same rows with all tensors on `device`."""
        return RenderBatch(self.tokens.to(device), self.conditions.to(device), self.level)


class RenderRows:
    """Conditions of both levels with their expansions."""

    def __init__(
        self,
        first: tuple[int, int],
        tables: tuple[Tensor, Tensor],
        counts: tuple[Tensor, Tensor],
        share: float,
    ):
        self.first, self.tables, self.share = first, tables, share
        self.chances = [count / count.sum() for count in counts]

    def draw(self, size: int, generator: Generator) -> list[RenderBatch]:
        """Return `size` conditions of each level."""
        batches = []
        for level, table in enumerate(self.tables):
            often = torch.multinomial(self.chances[level], size, True, generator=generator)
            any_ = torch.randint(len(table), (size,), generator=generator)
            rows = torch.where(torch.rand(size, generator=generator) < self.share, often, any_)
            batches.append(RenderBatch(table[rows], rows + self.first[level], level))
        return batches


class RendererFamily(Family):
    """Bidirectional within an expansion; its size comes from the data set's hierarchy."""

    Settings = RendererSettings
    settings: RendererSettings
    causal = False
    masks = True
    architecture: ClassVar[str] = "FractalRenderer"

    def build(self, settings: TrainSettings, tokenizer: HierarchyTokenizer, teachers: dict) -> Renderer:
        from pardec.models.architectures.config import RendererConfig
        from pardec.models.architectures.renderer import Renderer

        if not hasattr(tokenizer, "expansions") or tokenizer.level != "roots":
            raise UserError(
                f"models: data {settings.data}",
                "is not a hierarchy of roots",
                "name a data set of source fractal",
            )
        size = settings.size
        config = RendererConfig(
            first_character=tokenizer.first_character,
            first_chunk=tokenizer.first_chunk,
            first_root=tokenizer.first_root,
            vocab_size=tokenizer.vocab_size,
            slots=(tokenizer.root_size, tokenizer.chunk_size),
            hidden=size.hidden,
            layers=size.layers,
            heads=size.heads,
            mlp=size.mlp,
        )
        model = Renderer(config)
        for level in (0, 1):
            model.expansion(level).copy_(torch.tensor(tokenizer.expansions(level)))
        return model

    def examples(
        self, folder: Path, tokenizer: HierarchyTokenizer, settings: TrainSettings, teachers: dict
    ) -> tuple[RenderRows, None]:
        from pardec.common.files import read_jsonl

        tables = tuple(torch.tensor(tokenizer.expansions(level)) for level in (0, 1))
        texts = read_jsonl(folder / "train.jsonl")
        roots = [root for row in texts for root in tokenizer.encode(row["prompt"] + (row["answer"] or ""))]
        often = torch.bincount(torch.tensor(roots) - tokenizer.first_root, minlength=len(tables[0])).float()
        chunks = (tables[0] - tokenizer.first_chunk)[tables[0] != PAD]
        weights = often[:, None].expand(tables[0].shape)[tables[0] != PAD]
        inner = torch.zeros(len(tables[1])).index_add_(0, chunks, weights)
        first = (tokenizer.first_root, tokenizer.first_chunk)
        return RenderRows(first, tables, (often + 1e-3, inner + 1e-3), self.settings.frequent), None

    def loss(self, model: Renderer, batch: RenderBatch, generator: Generator) -> Tensor:
        """Return the mean cross entropy of all slots, in nats, plus the weighted loss of the energy."""
        level = batch.level
        noisy, time = self._noise(model, batch, generator)
        logits = model(noisy, batch.conditions, level, time)
        right = model.classes(batch.tokens, level)
        denoising = torch.nn.functional.cross_entropy(logits.flatten(0, 1), right.flatten())
        written = model.ids(logits.detach().argmax(-1), level)
        # The model's own errors are the hardest negatives, and rare: those rows come first.
        wrong = (written != batch.tokens).any(-1)
        rows = wrong.int().argsort(descending=True, stable=True)[
            : max(2, round(self.settings.judged * len(right)))
        ]
        chosen = RenderBatch(batch.tokens[rows], batch.conditions[rows], level)
        return denoising + self.settings.energy * self._contrast(model, chosen, written[rows], generator)

    def _noise(self, model: Renderer, batch: RenderBatch, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return slots with a share replaced, by masks in half of the rows and by random tokens in the others; and that
        share."""
        shape, device = batch.tokens.shape, batch.tokens.device
        time = torch.rand(shape[0], generator=generator)
        time[torch.rand(shape[0], generator=generator) < self.settings.whole] = 1.0
        hidden = torch.rand(shape, generator=generator) < time[:, None]
        noise = random_tokens(model, shape, batch.level, generator)
        masked = torch.rand(shape[0], 1, generator=generator) < 0.5
        noise = torch.where(masked, MASK, noise).to(device)
        return torch.where(hidden.to(device), noise, batch.tokens), time.to(device)

    def _contrast(self, model: Renderer, batch: RenderBatch, written: Tensor, generator: Generator) -> Tensor:
        """Return the cross entropy of picking the right expansion among hard negatives; negatives that happen to be
        right are excluded."""
        right, level, count = batch.tokens, batch.level, len(batch.tokens)
        wrong = [written, truncated(right), substituted(model, right, level, generator), right.roll(1, 0)]
        options = torch.stack([right, *wrong], 1)
        conditions = batch.conditions[:, None].expand(options.shape[:2])
        energies = model(options.flatten(0, 1), conditions.flatten(), level, energy=True).view(
            options.shape[:2]
        )
        same = (options == right[:, None]).all(-1)
        same[:, 0] = False
        scores = (-energies).masked_fill(same, -torch.inf)
        goal = torch.zeros(count, dtype=torch.long, device=right.device)
        absolute = torch.nn.functional.softplus(energies[:, 0]) + (
            torch.nn.functional.softplus(-energies[:, 1:]).masked_fill(same[:, 1:], 0).mean(-1)
        )
        return torch.nn.functional.cross_entropy(scores, goal) + absolute.mean()


def random_tokens(model: Renderer, shape: tuple, level: int, generator: Generator) -> Tensor:
    """Return tokens that a level writes, of this shape, drawn uniformly, on the CPU."""
    start, stop = model.config.written(level)
    return torch.randint(start, stop, shape, generator=generator)


def truncated(right: Tensor) -> Tensor:
    """Return expansions [N, slots] without their last token."""
    sizes = (right != PAD).sum(-1, keepdim=True)
    places = torch.arange(right.shape[1], device=right.device)
    return torch.where(places == sizes - 1, PAD, right)


def substituted(model: Renderer, right: Tensor, level: int, generator: Generator) -> Tensor:
    """Return expansions [N, slots] with one token, drawn at random, replaced by a random one: near neighbours."""
    sizes = (right != PAD).sum(-1, keepdim=True).clamp(min=1)
    place = (torch.rand(len(right), 1, generator=generator).to(right.device) * sizes).long()
    other = random_tokens(model, right.shape, level, generator).to(right.device)
    return torch.where(torch.arange(right.shape[1], device=right.device) == place, other, right)
