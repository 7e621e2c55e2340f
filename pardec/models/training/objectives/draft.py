"""Block-diffusion drafts: all tokens of a block at once, from the target's hidden states of the tokens before it
(DFlash, arXiv:2602.06036).

They learn from the target's outputs, which they will have to guess. Each sequence gives many blocks at once, behind
anchors drawn at random: a block attends to the context strictly before its anchor and to itself, not to other blocks.
Early positions of a block weigh more: a wrong token at one of them loses all that follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.training.objectives.base import Family

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Generator, Tensor, nn

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.draft import DraftModel
    from pardec.models.sources.train import TrainSettings
    from pardec.models.training.batches import Batch, Rows

torch = lazy("torch")

GAMMAS = {8: 4.0, 10: 5.0, 16: 7.0}
"""The paper's decay of weights by block size."""


class DraftSettings(Settings):
    """Predict a block of tokens from the target's hidden states before it."""

    family: Literal["draft"] = "draft"
    """The name of the family."""
    block: int = Field(8, ge=2, le=64)
    """Tokens per block, the anchor included."""
    gamma: float | None = Field(None, gt=0)
    """Weights fall as exp(-(k - 1) / gamma) over a block's positions k; null: the paper's for blocks of 8, 10 and 16,
    a proportionate one for others. Only with `weights: decay`."""
    weights: Literal["decay", "reached"] = "decay"
    """Weight of a block's positions in the loss: `decay` falls with each, as in the paper; `reached` is the draft's
    probability that all tokens before it are right, since nothing is accepted behind a wrong one."""
    anchors: int = Field(8, ge=1, le=1024)
    """Blocks per sequence and step."""
    sequences: int = Field(4000, ge=1, le=10_000_000)
    """Training sequences that the target writes; at temperature 0 at most one per training prompt."""
    new_tokens: int = Field(64, ge=2, le=65_536)
    """Most tokens per sequence; a task's canvas bounds them too."""
    temperature: float = Field(0.0, ge=0, le=100)
    """Temperature of the target; 0 takes the most probable tokens."""
    taps: tuple[int, ...] | None = None
    """Layers of the target, from 0, whose hidden states are read; null: five, evenly from the 2nd to the 3rd-last, or
    all of a target with fewer."""

    @model_validator(mode="after")
    def _one_decay(self) -> DraftSettings:
        if self.gamma is not None and self.weights != "decay":
            raise ValueError("gamma: only with weights decay")
        return self

    def decay(self) -> float:
        """Return the decay of the weights over a block's positions, in positions."""
        return self.gamma or GAMMAS.get(self.block, self.block / 2)


class Draft(Family):
    """Bidirectional within its block; embedding and head are the target's."""

    Settings: ClassVar[Any] = DraftSettings
    settings: DraftSettings
    causal = False
    masks = True
    architecture = "DFlashDraftModel"
    taught_by = ("target",)

    def build(
        self, settings: TrainSettings, tokenizer: TextTokenizer, teachers: dict[str, nn.Module]
    ) -> DraftModel:
        """Return a draft of this family for the target, its weights not drawn yet.

        Raises:
            UserError: a width that is not the target's, layers that it does not have, or no mask token.
        """
        from pardec.models.architectures.config import DraftConfig
        from pardec.models.architectures.draft import DraftModel
        from pardec.models.checkpoints.formats.dflash import default_taps
        from pardec.models.training.tapped import Tapped

        self.target, size = teachers["target"], settings.size
        info = self.target.info
        if size.hidden != info.hidden:
            raise UserError(
                "models: size.hidden",
                f"is {size.hidden}, the target's is {info.hidden}",
                f"set it to {info.hidden}",
            )
        if tokenizer.mask_id is None:
            raise UserError("tokenizer", "has no mask token", "name it in tokenizer_config.json")
        taps = self.settings.taps or default_taps(info.layers, 5)
        if max(taps) >= info.layers or list(taps) != sorted(set(taps)):
            raise UserError(
                "models: objective.taps",
                f"are {list(taps)}, the target has layers 0 to {info.layers - 1}",
                "name layers of the target, ascending",
            )
        config = DraftConfig(
            vocab_size=info.vocab_size,
            hidden=info.hidden,
            layers=size.layers,
            heads=size.heads,
            kv_heads=size.kv_heads or size.heads,
            head_dim=size.hidden // size.heads,
            mlp=size.mlp,
            max_positions=info.max_positions,
            block=self.settings.block,
            mask_id=tokenizer.mask_id,
            taps=tuple(taps),
            target_layers=info.layers,
            rope_theta=size.rope_theta,
            bos_id=info.bos_id,
            eos_id=info.eos_id,
            pad_id=info.pad_id,
        )
        self.tapped = Tapped(self.target, config.taps)
        return DraftModel(config)

    def examples(
        self, folder: Path, tokenizer: TextTokenizer, settings: TrainSettings, teachers: dict[str, nn.Module]
    ) -> tuple[Rows, int | None]:
        """Return the target's outputs after the training prompts of the data set in `folder`, and the canvas."""
        from pardec.models.training.draft_rows import draft_rows

        target = teachers["target"]
        objective = self.settings
        return draft_rows(
            folder,
            tokenizer,
            target,
            settings.canvas,
            objective.sequences,
            objective.new_tokens,
            objective.temperature,
            settings.group_by_length,
        )

    def loss(self, model: DraftModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the weighted mean cross entropy, in nats, of the tokens behind random anchors."""
        from pardec.models.architectures.attention import Layout

        size, count = self.settings.block, self.settings.anchors
        stop = batch.start + int(batch.lengths.max())
        tokens, rows, device = batch.tokens[:, :stop], len(batch.tokens), batch.tokens.device
        pad = torch.zeros_like(batch.lengths) if batch.pad is None else batch.pad
        ends = batch.start + batch.lengths
        with torch.no_grad():
            features = self.tapped.read(batch, stop)
            drawn = torch.rand(rows, count, generator=generator).to(device)
            anchors = batch.start + (drawn * (batch.lengths - 1).clamp(min=1)[:, None]).long()
            columns = anchors[..., None] + torch.arange(size, device=device)
            targets = tokens.gather(1, columns.flatten(1).clamp(max=stop - 1)).view(rows, count, size)
            learned = (columns < ends[:, None, None])[..., 1:]
            mask = _block_mask(anchors, pad, stop, size)
            positions = torch.cat([torch.arange(stop, device=device).expand(rows, -1), columns.flatten(1)], 1)
            positions = (positions - pad[:, None]).clamp(0, model.config.max_positions - 1)
            inputs = torch.full_like(targets, model.config.mask_id)
            inputs[..., 0] = targets[..., 0]
            block = torch.nn.functional.embedding(inputs.flatten(1), self.target.embedding)
        layout = Layout(positions, mask, positions.shape[1])
        hidden = model(block, model.fuse(features), layout=layout).view(rows, count, size, -1)[:, :, 1:]
        logits = self._logits(model, hidden[learned], targets[..., :-1][learned])
        losses = torch.nn.functional.cross_entropy(logits, targets[..., 1:][learned], reduction="none")
        weights = self._weights(losses.detach(), learned)
        return (losses * weights).sum() / weights.sum()

    def _logits(self, model: DraftModel, hidden: Tensor, before: Tensor) -> Tensor:
        """Return logits [n, V] of the normed hidden states [n, hidden] of positions; before: the tokens [n] before
        them."""
        return self.target.read(hidden)

    def _weights(self, losses: Tensor, learned: Tensor) -> Tensor:
        """Return the weights [n] of `losses` [n], which belong to the positions `learned` [B, A, block - 1] bool."""
        if self.settings.weights == "decay":
            order = torch.arange(learned.shape[-1], device=learned.device)
            return torch.exp(-order / self.settings.decay()).expand_as(learned)[learned]
        total = losses.new_zeros(learned.shape)
        total[learned] = losses
        # The learned positions are the beginning of a block, so there is no gap before a position.
        return torch.exp(total - total.cumsum(-1))[learned]


def _block_mask(anchors: Tensor, pad: Tensor, width: int, size: int) -> Tensor:
    """Return the attention mask of the blocks' tokens, [B, 1, A * size, width + A * size] bool: the context strictly
    before the anchor, and the same block in both directions. anchors: [B, A] columns. pad: [B]."""
    rows, count = anchors.shape
    order = torch.arange(width, device=anchors.device)
    context = (order < anchors[..., None]) & (order >= pad[:, None, None])
    same_block = (
        torch.eye(count, dtype=torch.bool, device=anchors.device)
        .repeat_interleave(size, 1)
        .expand(rows, -1, -1)
    )
    return torch.cat([context, same_block], -1).repeat_interleave(size, 1)[:, None]
