"""Block diffusion decoding: blocks from left to right, each filled by masked diffusion behind an exact cache.

A finished block attends to itself and to what precedes it, never to what follows, so its keys and values are final
once it is full (Arriola et al. 2025, BD3-LM, arXiv:2503.09573; Wu et al. 2025, Fast-dLLM v2, arXiv:2509.26328).
They are computed in the first pass of the next block, together with its masks, so a block costs no pass of its own.
With blocks of one token and a shifted model this is autoregressive decoding, pass by pass.

Each row of a batch starts its next block as soon as it has filled one.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, Passes, PromptBatch
from pardec.decoding.batching import ban, count_useful, filler, is_end
from pardec.decoding.commits import CommitSettings, commit_trouble, leftmost_smallest, rank, surest

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")
models = lazy("pardec.models.architectures.attention")
masks = lazy("pardec.models.architectures.blocks")

WIDE = 512
"""Vocabulary size from which leaving committed places out of the output head saves time."""


class BlockDiffusionSettings(CommitSettings):
    block: int | None = Field(None, ge=1)
    """Tokens per block; null means one block, the full canvas. The last block may be shorter."""
    share: int = Field(1, ge=1)
    """Tokens that a pass commits at least, up to what the block lacks."""
    remasking: Literal["low_confidence", "margin", "entropy"] = "low_confidence"
    """The predictions that a pass commits first: those of the most probable token, of the largest margin between the
    two most probable tokens, or of the least entropy."""
    stop: Literal["length", "eos"] = "length"
    """`length` writes the same number of tokens on every row, the fair choice for comparing speed; `eos` ends a row
    once nothing before its end token is masked, and decoding once every row has ended."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes an end token (for continuations of one length)."""
    cache: bool = True
    """Whether keys and values of finished blocks are kept. False computes all of them again in each pass, with the
    same result: the control of the cache."""


class BlockDiffusion(Decoder):
    Settings = BlockDiffusionSettings
    needs: ClassVar[str] = "block_causal"

    @classmethod
    def check(cls, settings: BlockDiffusionSettings, new_tokens: int) -> str | None:
        if new_tokens < 1:
            return f"new_tokens is {new_tokens}; at least 1 is needed"
        return commit_trouble(settings)

    @classmethod
    def passes(cls, settings: BlockDiffusionSettings, prompt: int, new_tokens: int) -> list[Passes]:
        block = min(settings.block or new_tokens, new_tokens)
        blocks, each = -(-new_tokens // block), -(-block // min(settings.share, block))
        if not settings.cache:
            return [Passes(blocks * each, prompt + new_tokens, 0, block, False)]
        half = prompt + new_tokens // 2
        passes = [
            Passes(1, prompt + block, 0, block, True),
            Passes(blocks - 1, 2 * block, half, block, True),
            Passes(blocks * (each - 1), block, half, block, True),
        ]
        return [one for one in passes if one.count]

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Return the `new_tokens` tokens written after each prompt.

        Decoding waits for the device once per pass where rows may differ: with a threshold, a factor, an entropy bound
        or `stop: eos`.

        Raises:
            UserError: the settings do not fit `new_tokens`, or the model has no mask token.
        """
        if trouble := self.check(self.settings, new_tokens):
            raise UserError("decoder block_diffusion", trouble, "change the commit rule or new_tokens")
        if model.info.mask_id is None:
            raise UserError(
                "decoder block_diffusion", "the model has no mask token", "use a block-diffusion model"
            )
        with torch.inference_mode():
            return Run(self.settings, model, prompts, new_tokens, observer).run()


class Run:
    """One generation. Columns count from the left edge of the padded prompts, places from the first token written."""

    def __init__(
        self, settings: Any, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer
    ):
        self.settings, self.model, self.prompts, self.observer = settings, model, prompts, observer
        self.new_tokens, self.first = new_tokens, prompts.length
        self.ends = model.info.ends if settings.stop == "eos" else ()
        assert model.info.mask_id is not None
        self.mask, self.fill = model.info.mask_id, filler(model.info)
        self.block = min(settings.block or new_tokens, new_tokens)
        self.by = 1 if model.info.shift else 0
        # Graphs of static shape are shared by all batches where any of them is padded.
        padded = getattr(model, "padded", False) or bool(prompts.pad.any())
        self.pad = prompts.pad if padded else None
        width = -(-new_tokens // self.block) * self.block
        # Places behind the last one that is asked for stay masked, and no token sees them.
        blank = prompts.tokens.new_full((prompts.size, width), self.mask)
        self.canvas = torch.cat([prompts.tokens, blank], 1)
        self.output = self.canvas[:, self.first :]
        self.last = self.first + new_tokens
        self.device = self.canvas.device
        self.offsets = torch.arange(self.block, device=self.device)
        self.uneven = settings.bound is not None or bool(self.ends)
        """Whether rows may commit different numbers of tokens in one pass."""
        # Rows that have no finished block to add while others have one write it behind the canvas.
        spare = self.block if self.uneven and prompts.size > 1 else 0
        self.cache: Any = None
        if settings.cache:
            self.cache = model.new_cache(prompts.size, self.first + width + spare)
        self.starts = [0] * prompts.size
        """First place of each row's block."""
        self.fresh = [True] * prompts.size
        """Whether the row's next pass is the first of its block."""
        self.ended = [False] * prompts.size
        self.within: Tensor | None = None
        """[B, K] long, counted from the block's start: the places that the last pass computed logits for, all masks
        among them; None: all."""
        self.most = self.block
        """Most tokens that any row's block lacks."""
        self.left = 0
        """Masks in the current block of every row, where all rows have as many."""
        self.rows: Any = None
        """[3, B, 1] long: `starts`, `fresh` and `ended` on the device, where rows differ in one of them."""
        self.lead: Tensor | None = None
        """[B, 1, V]: logits of each block's first token, which follow from finished tokens alone; shifted models."""
        self.passes = 0
        self.forwarded = 0
        """Positions per row that all passes have processed."""

    def run(self) -> Decoded:
        self.observer.start()
        shown = 0
        while not all(self.ended):
            logits = self._logits()
            if self.passes == 1:
                self.observer.prefill()
            self.observer.phase("forward")
            committed = self._commit(logits)
            self._advance()
            seen = min(
                self.new_tokens if ended else start
                for start, ended in zip(self.starts, self.ended, strict=True)
            )
            self.observer.phase("sampler")
            self.observer.step(committed, seen if seen > shown else None)
            shown = seen
        output = self.output[:, : self.new_tokens].clone()
        if self.ends:
            behind = is_end(output, self.ends).cumsum(1) > 0
            output[:, 1:].masked_fill_(behind[:, :-1], self.fill)
        useful = count_useful(output, self.model.info.ends)
        return Decoded(output, useful, self.passes, token_forwards=self.forwarded)

    def _logits(self) -> Tensor:
        """Return logits [B, L or K, V] of each row's block, or of its places `within`, from one pass; the mask token
        and banned end tokens at -inf.

        L is the block's length; the last block is shorter where all rows have reached it."""
        self.passes += 1
        self.within = None
        self.aligned = len(set(self.starts)) == 1
        together = self.aligned and len(set(self.fresh)) == 1
        if not together or any(self.ended):
            self.rows = torch.tensor([self.starts, self.fresh, self.ended], device=self.device)[..., None]
        if self.cache is None:
            logits = self._anew()
        elif together:
            logits = self._together(self.starts[0], self.fresh[0])
        else:
            logits = self._apart()
        logits[..., self.mask] = -inf
        return ban(logits, self.model.info.ends) if self.settings.eos == "ban" else logits

    def _together(self, start: int, fresh: bool) -> Tensor:
        """Forward the block at `start` of every row, behind the block before it where that is not cached yet."""
        middle = self.first + start
        begin = middle if not fresh else middle - self.block if start else 0
        end = min(middle + self.block, self.last)
        if self.by and end == middle + 1:
            end = middle  # a shifted model predicts a block's first token without reading its masks
        columns = torch.arange(begin, end, device=self.device)
        mask = None
        # Finished tokens see nothing of the masks behind them, and a prompt is causal.
        if begin == 0 or begin < middle < end or self.pad is not None:
            limits = torch.where(columns < middle, middle, end)
            if begin == 0:
                limits = torch.where(columns < self.first, columns + 1, limits)
            mask = self._mask(limits[None], columns[None], end)
        layout = models.Layout(self._positions(columns[None]), mask, end)
        self.cache.crop(begin)
        if not self.by:
            keep = slice(middle - begin, end - begin)
        else:
            keep = slice(middle - 1 - begin if fresh else 0, max(end - 1, middle) - begin)
        size = end - begin
        if not fresh and self.most < size and self.model.info.vocab_size >= WIDE:
            # A wide output head costs as much as several layers: only masks need it.
            region = self.canvas[:, begin:end]
            masked = (region != self.mask).byte().sort(dim=1, stable=True).indices[:, : self.most]
            self.within = masked
            logits = self._pass(region, (masked - self.by).clamp(min=0), layout)
            return torch.where((masked == 0)[..., None], self.lead, logits) if self.by else logits
        logits = self._pass(self.canvas[:, begin:end], keep, layout)
        if self.by and fresh:
            self.lead = logits[:, :1].clone()
        return logits if fresh or not self.by else torch.cat([self.lead, logits], 1)

    def _apart(self) -> Tensor:
        """Forward each row's block, wherever it is; with the block before it, where a row has one to add."""
        start, fresh = self.rows[0], self.rows[1].bool()
        adding = any(self.fresh)
        columns = middle = self.first + start
        limits = (middle + self.block).clamp(max=self.last)
        # A shifted model with blocks of one token reads no masks: see `_together`.
        noisy = 0 if self.by and self.block == 1 else self.block
        columns, limits = columns + self.offsets[:noisy], limits.expand(-1, noisy)
        if adding:
            spare = self.cache.size - self.block
            clean = torch.where(fresh, middle - self.block, spare) + self.offsets
            columns = torch.cat([clean, columns], 1)
            limits = torch.cat([middle.expand_as(clean), limits], 1)
        places = columns.clamp(max=self.last - 1)
        layout = models.Layout(
            self._positions(places), self._mask(limits, columns, self.cache.size), self.cache.size, columns
        )
        keep = (
            slice(self.block - self.by, 2 * self.block - self.by)
            if adding
            else slice(0, self.block - self.by)
        )
        logits = self._pass(self.canvas.gather(1, places), keep, layout)
        if not self.by:
            return logits
        if adding:
            self.lead = torch.where(fresh[..., None], logits[:, :1], self.lead)
            logits = logits[:, 1:]
        return torch.cat([self.lead, logits], 1)

    def _anew(self) -> Tensor:
        """Forward prompt and canvas without a cache."""
        layout = masks.block_causal(self.first, self.new_tokens, self.block, self.pad, self.device)
        start = torch.full_like(self.prompts.pad[:, None], self.starts[0]) if self.aligned else self.rows[0]
        columns = (self.first + start + self.offsets).clamp(max=self.last - 1) - self.by
        return self._pass(self.canvas[:, : self.last], columns, layout)

    def _pass(self, tokens: Tensor, keep: slice | Tensor, layout: Layout) -> Tensor:
        self.forwarded += tokens.shape[1]
        return self.model(tokens, cache=self.cache, keep=keep, layout=layout)

    def _positions(self, columns: Tensor) -> Tensor:
        return columns if self.pad is None else (columns - self.pad[:, None]).clamp(min=0)

    def _mask(self, limits: Tensor, columns: Tensor, filled: int) -> Tensor:
        """Return the mask [B or 1, 1, T, filled]: each token sees the columns before its limit, its own included, and
        no padding."""
        keys = torch.arange(filled, device=self.device)
        allowed = keys < limits[..., None]
        if self.pad is not None:
            real = keys >= self.pad[:, None]
            allowed = (allowed & real[:, None]) | (keys == columns[..., None])
        return allowed[:, None]

    def _commit(self, logits: Tensor) -> int | Tensor:
        """Commit what the rule allows; return the tokens committed per row."""
        within = self.within
        size = logits.shape[1] if within is None else min(self.block, self.new_tokens - self.starts[0])
        region, free, places = self._region(size)
        ranked, choice = rank(self.settings, logits.float(), None)
        if within is not None:
            ranked = ranked.new_full(region.shape, inf).scatter_(1, within, ranked)
            choice = region.scatter(1, within, choice)
        ranked = ranked.masked_fill(~free, inf)
        if self.uneven:
            commit = (self._first(ranked, self.settings.share) | surest(self.settings, ranked)) & free
            share = commit.sum(1)
        else:
            if self.fresh[0]:
                self.left = min(self.block, self.new_tokens - self.starts[0])
            share = min(self.settings.share, self.left)
            commit = free if share == self.left else self._first(ranked, share)
            self.left -= share
        written = torch.where(commit, choice, region)
        if places is None:
            region.copy_(written)
        else:
            self.output.scatter_(1, places, written)
        return share

    def _first(self, ranked: Tensor, count: int) -> Tensor:
        """Return the `count` smallest entries of each row, [B, L] bool; ties go to the leftmost."""
        first = leftmost_smallest(ranked, count)
        return torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, first, True)

    def _region(self, length: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the first `length` tokens of each row's block, which of them may be committed, and their places where
        rows differ, [B, L] each; without places the tokens are a view of the output."""
        if self.aligned:
            start, places = self.starts[0], None
            region = self.output[:, start : start + length]
            inside = start + length <= self.new_tokens or self.offsets[:length] < self.new_tokens - start
        else:
            places = self.rows[0] + self.offsets[:length]
            region, inside = self.output.gather(1, places), places < self.new_tokens
        free = (region == self.mask) & inside
        if self.ends:
            free &= is_end(region, self.ends).cumsum(1) == 0
            if any(self.ended):
                free &= self.rows[2] == 0
        return region, free, places

    def _advance(self) -> None:
        """Move rows that have filled their block to the next one, and end those that are through."""
        if not self.uneven:
            counts, stopped = [self.left] * len(self.starts), [False] * len(self.starts)
        else:
            region, free, _ = self._region(self.block)
            over = is_end(region, self.ends).any(1) if self.ends else torch.zeros_like(free[:, 0])
            counts, stopped = torch.stack([free.sum(1), over.long()]).tolist()
        self.most = max(counts)
        for row, left in enumerate(counts):
            if self.ended[row]:
                continue
            self.fresh[row] = not left
            if left:
                continue
            self.ended[row] = bool(stopped[row]) or self.starts[row] + self.block >= self.new_tokens
            self.starts[row] += 0 if self.ended[row] else self.block
        if any(self.ended) and not all(self.ended):
            # Rows that have ended go along with one that has not, so that rows stay together; they commit nothing.
            guide = self.ended.index(False)
            for row, ended in enumerate(self.ended):
                if ended:
                    self.starts[row], self.fresh[row] = self.starts[guide], self.fresh[guide]
