"""Block diffusion models: autoregressive over blocks, masked diffusion within one (Arriola et al. 2025, BD3-LM,
arXiv:2503.09573). One pass over a clean and a masked copy of each answer teaches every block at once. The token shift
and the complementary masks are those of Fast-dLLM v2 (Wu et al. 2025, arXiv:2509.26328), which starts from
autoregressive weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.training.objectives.base import Family
from pardec.models.training.subsets import draw_prompt_length

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pardec.models.architectures.base import LanguageModel
    from pardec.models.training.batches import Batch

torch = lazy("torch")
attention = lazy("pardec.models.architectures.blocks")


class BlockDiffusionSettings(Settings):
    """Predict the masked tokens of a block from its other tokens and all earlier blocks."""

    family: Literal["block_diffusion"] = "block_diffusion"
    """The name of the family."""
    blocks: tuple[int, ...] = Field((1, 2, 4, 8, 16, 32), min_length=1)
    """Block sizes that one model learns, in tokens; each batch draws one of them. A size above the answer's length
    makes the answer one block."""
    shift: bool = False
    """The logits at a position predict the next one, as in the autoregressive model whose weights it starts from."""
    complementary: bool = False
    """Each answer is seen twice in a pass, the second time with the masks where the first has none, so that every
    token is learned. The loss is then no bound of the likelihood."""
    whole: float = Field(0.0, ge=0, le=1)
    """Share of blocks that are masked entirely, beyond those that chance masks entirely."""


class BlockDiffusion(Family):
    """A causal prompt, and blocks that see all of themselves; with blocks of one token, autoregression."""

    Settings = BlockDiffusionSettings
    settings: BlockDiffusionSettings
    causal = True
    masks = True

    @property
    def shift(self) -> bool:
        return self.settings.shift

    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean cross entropy per token, in nats, at masked positions, each block weighed by its share of
        masks.

        Without `whole` and `complementary`, its expectation is an upper bound on an answer's negative log-likelihood
        per token at the block size drawn. Blocks that begin behind an answer's end are not learned: decoding never
        reaches them. A text without a prompt (start 0) gets one.
        """
        width, lengths = batch.tokens.shape[1], batch.lengths
        start, prompt = batch.start, batch.start
        if not prompt:
            prompt = draw_prompt_length(width, generator)
            lengths = lengths - prompt
        sizes = self.settings.blocks
        block = min(sizes[int(torch.randint(len(sizes), (1,), generator=generator))], width - prompt)
        longest = int(lengths.max()) if start else width - prompt
        size = min(-(-longest // block) * block, width - prompt)
        answer = batch.tokens[:, prompt : prompt + size]
        masked, weights = choose_block_masks(len(answer), size, block, generator, self.settings)
        masked, weights = masked.to(answer.device), weights.to(answer.device)
        learned = torch.arange(size, device=answer.device) // block * block < lengths[:, None]
        logits = self._logits(model, batch, prompt, answer, block, masked)
        chosen = masked & learned
        targets = answer.expand(len(masked), -1, -1)
        losses = torch.nn.functional.cross_entropy(logits[chosen], targets[chosen], reduction="none")
        return (losses * weights[chosen]).sum() / (learned.sum() * len(masked))

    def _logits(
        self, model: LanguageModel, batch: Batch, prompt: int, answer: Tensor, block: int, masked: Tensor
    ) -> Tensor:
        """Return the logits [C, B, A, V] of C masked copies of the answers [B, A], from one pass."""
        copies, rows, size = masked.shape
        device = answer.device
        layout = attention.two_copies(prompt, size, block, batch.pad, copies, device)
        noisy = [answer.masked_fill(one, model.info.mask_id) for one in masked]
        tokens = torch.cat([batch.tokens[:, : prompt + size], *noisy], 1)
        places = torch.arange(size, device=device)
        first = prompt + size * torch.arange(1, copies + 1, device=device)[:, None]
        columns = first + places
        if self.shift:
            # A block's first token follows a finished one, so its prediction is the clean copy's.
            columns = torch.where(places % block == 0, prompt + places - 1, columns - 1)
        keep = columns.flatten()[None].expand(rows, -1)
        logits = model(tokens, keep=keep, layout=layout)
        return logits.view(rows, copies, size, -1).transpose(0, 1)


def choose_block_masks(
    rows: int, size: int, block: int, generator: Generator, settings: BlockDiffusionSettings
) -> tuple[Tensor, Tensor]:
    """Return the positions to mask in each copy, [C, rows, size] bool, and their weights, float, on the CPU.

    In each block of n tokens the count k of masks is uniform in 1..n (with probability `whole` it is n), each set of
    k positions is equally likely, and the weight is n / k. C is 2 with complementary masks, else 1.
    """
    count = -(-size // block)
    lengths = torch.full((count,), block)
    lengths[-1] = size - block * (count - 1)
    masks = (torch.rand(rows, count, generator=generator) * lengths).long().clamp(max=lengths - 1) + 1
    if settings.whole:
        masks = torch.where(torch.rand(rows, count, generator=generator) < settings.whole, lengths, masks)
    drawn = torch.rand(rows, count, block, generator=generator)
    drawn = drawn.masked_fill(torch.arange(block) >= lengths[:, None], 2)
    masked = (drawn.argsort(-1).argsort(-1) < masks[..., None]).view(rows, -1)[:, :size]
    counts = masks.repeat_interleave(block, 1)[:, :size]
    lengths = lengths.repeat_interleave(block)[:size]
    if not settings.complementary:
        return masked[None], (lengths / counts)[None]
    weights = torch.stack([lengths / counts, lengths / (lengths - counts).clamp(min=1)])
    return torch.stack([masked, ~masked]), weights
