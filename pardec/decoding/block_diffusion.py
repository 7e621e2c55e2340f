"""Block diffusion decoding: blocks from left to right, each filled by masked diffusion behind an exact cache.

A finished block attends to itself and to what precedes it, never to what follows, so its keys and values are final
once it is full (Arriola et al. 2025, BD3-LM, arXiv:2503.09573; Wu et al. 2025, Fast-dLLM v2, arXiv:2509.26328).
They are computed in the first pass of the next block, together with its masks, so a block costs no pass of its own.
With blocks of one token and a shifted model this is autoregressive decoding, pass by pass.

Blocks count from the end of the prompt, which is causal. Where the model's prompt is blocks too (Fast-dLLM v2, SDAR:
`pardec.models.architectures.block_prompts`) they count from a row's first token, so the first block may begin with
prompt tokens, and the last one keeps its masks behind the tokens that are asked for.

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
from pardec.decoding.block_columns import Blocks
from pardec.decoding.commits import CommitSettings, commit_trouble, leftmost_smallest, rank, surest
from pardec.decoding.noise import gumbel
from pardec.models.architectures.block_prompts import prompt_block

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

WIDE = 512
"""Vocabulary size from which leaving committed places out of the output head saves time."""


class BlockDiffusionSettings(CommitSettings):
    block: int | None = Field(None, ge=1)
    """Tokens per block; null means that of the model where its prompt is blocks too, else one block, the full canvas.
    The last block may be shorter."""
    sub_block: int | None = Field(None, ge=1)
    """Tokens per part of a block: parts are filled from left to right, in passes over the whole block. null means one
    part, the block."""
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
    temperature: float = Field(0.0, ge=0, le=100)
    """Scale of the Gumbel noise added to the logits before the token is chosen; 0 takes the most probable."""
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
        self.by = 1 if model.info.shift else 0
        self.device = prompts.tokens.device
        # Graphs of static shape are shared by all batches where any of them is padded.
        padded = getattr(model, "padded", False) or bool(prompts.pad.any())
        self.pad = prompts.pad if padded else None
        self.laid = Blocks(prompts, self.pad, settings.block, prompt_block(model.info), new_tokens, self.mask)
        self.block, self.canvas, self.last = self.laid.block, self.laid.canvas, self.laid.last
        self.starts = list(self.laid.starts)
        """First place of each row's block."""
        self.offsets = torch.arange(self.block, device=self.device)
        self.uneven = bool(
            (settings.bound is not None and settings.share < self.block)
            or settings.sub_block
            or self.ends
            or len(set(self.starts)) > 1
        )
        """Whether rows may commit different numbers of tokens in one pass."""
        # A wide output head costs as much as several layers; random numbers are drawn for all tokens of a block.
        self.sparse = model.info.vocab_size >= WIDE and settings.temperature == 0
        self.cache: Any = None
        if settings.cache:
            # Rows that have no finished block to add while others have one write it behind the canvas.
            spare = self.block if self.uneven and prompts.size > 1 else 0
            self.cache = model.new_cache(prompts.size, self.canvas.shape[1] + spare)
        self.fresh = [True] * prompts.size
        """Whether the row's next pass is the first of its block."""
        self.made = [0] * prompts.size
        """Passes that have read the row's block."""
        self.ended = [False] * prompts.size
        self.within: Tensor | None = None
        """[B, K] long, counted from the block's start: the places that the last pass computed logits for, all masks
        among them; None: all."""
        self.most = self.block
        """Most tokens that any row's block lacks."""
        self.left = 0
        """Tokens that the current block of every row lacks, where all rows lack as many."""
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
            shown = max(seen, shown)
        output = self.canvas[:, self.first : self.first + self.new_tokens].clone()
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
        opens = self.passes == 1 and self.laid.in_prompt
        if not together or any(self.ended):
            self.rows = torch.tensor([self.starts, self.fresh, self.ended], device=self.device)[..., None]
        if self.cache is None:
            logits = self._whole(self.last)
        elif opens:
            logits = self._whole(self.first + max(self.starts) + self.block)
        elif together:
            logits = self._together(self.starts[0], self.fresh[0])
        else:
            logits = self._apart()
        logits[..., self.mask] = -inf
        return ban(logits, self.model.info.ends) if self.settings.eos == "ban" else logits

    def _together(self, start: int, fresh: bool) -> Tensor:
        """Forward the block at `start` of every row, behind the block before it where that is not cached yet."""
        middle = self.first + start
        begin = middle if not fresh else middle - self.block if self.passes > 1 else 0
        end = min(middle + self.block, self.last)
        if self.by and end == middle + 1:
            end = middle  # a shifted model predicts a block's first token without reading its masks
        self.cache.crop(begin)
        size = end - begin
        if end == middle and (begin == 0 or size == 1):
            return self._causal(begin, end)
        # Finished tokens see nothing of the masks behind them, and a prompt is causal.
        masked = begin == 0 or begin < middle < end or self.pad is not None
        layout = self.laid.layout(begin, end, masked)
        if not self.by:
            keep = slice(middle - begin, end - begin)
        else:
            keep = slice(middle - 1 - begin if fresh else 0, max(end - 1, middle) - begin)
        if not fresh and self.most < size and self.sparse:
            region = self.canvas[:, begin:end]
            masks = (region != self.mask).byte().sort(dim=1, stable=True).indices[:, : self.most]
            self.within = masks
            logits = self._pass(region, (masks - self.by).clamp(min=0), layout)
            return torch.where((masks == 0)[..., None], self.lead, logits) if self.by else logits
        logits = self._pass(self.canvas[:, begin:end], keep, layout)
        if self.by and fresh:
            self.lead = logits[:, :1].clone()
        return logits if fresh or not self.by else torch.cat([self.lead, logits], 1)

    def _causal(self, begin: int, end: int) -> Tensor:
        """Forward a causal prompt, or one token, as autoregression does: for the token that follows."""
        self.forwarded += end - begin
        tokens = self.canvas[:, begin:end]
        return self.model(
            tokens, pad=self.pad, cache=self.cache, keep=slice(-1, None), canvas_start=self.first
        )

    def _whole(self, end: int) -> Tensor:
        """Forward all columns before `end`: without a cache, or a prompt that is blocks with the block of each row that
        its end falls into."""
        start = torch.full_like(self.prompts.pad[:, None], self.starts[0]) if self.aligned else self.rows[0]
        keep = (self.first + start + self.offsets).clamp(max=self.last - 1) - self.by
        # No logits precede the first token of a row, which is no mask where it is in its block.
        logits = self._pass(self.canvas[:, :end], keep.clamp(min=0), self.laid.layout(0, end))
        self.lead = logits[:, :1].clone() if self.by else None
        return logits

    def _apart(self) -> Tensor:
        """Forward each row's block, wherever it is; with the block before it, where a row has one to add."""
        start, fresh = self.rows[0], self.rows[1].bool()
        adding = any(self.fresh)
        columns = middle = self.first + start
        # A shifted model with blocks of one token reads no masks: see `_together`.
        columns = columns + self.offsets[: 0 if self.by and self.block == 1 else self.block]
        if adding:
            spare = self.cache.size - self.block
            clean = torch.where(fresh, middle - self.block, spare) + self.offsets
            columns = torch.cat([clean, columns], 1)
        tokens, layout = self.laid.scattered(columns, self.cache.size)
        keep = (
            slice(self.block - self.by, 2 * self.block - self.by)
            if adding
            else slice(0, self.block - self.by)
        )
        logits = self._pass(tokens, keep, layout)
        if not self.by:
            return logits
        if adding:
            self.lead = torch.where(fresh[..., None], logits[:, :1], self.lead)
            logits = logits[:, 1:]
        return torch.cat([self.lead, logits], 1)

    def _pass(self, tokens: Tensor, keep: slice | Tensor, layout: Layout) -> Tensor:
        self.forwarded += tokens.shape[1]
        return self.model(tokens, cache=self.cache, keep=keep, layout=layout)

    def _commit(self, logits: Tensor) -> int | Tensor:
        """Commit what the rule allows; return the tokens committed per row."""
        within, settings = self.within, self.settings
        size = logits.shape[1] if within is None else min(self.block, self.last - self.first - self.starts[0])
        choice = self._drawn(logits)
        share, lacking = settings.share, self.block if any(self.fresh) else self.most
        if not self.uneven:
            if self.fresh[0]:
                self.left = min(self.starts[0] + self.block, self.new_tokens) - max(self.starts[0], 0)
            lacking = self.left
            share = min(share, lacking)
            self.left -= share
            if share == size:
                begin = self.first + self.starts[0]
                self.canvas[:, begin : begin + size] = logits.argmax(-1) if choice is None else choice
                return share
        region, free, places, _ = self._region(size)
        if share >= lacking and not settings.sub_block:
            # Everything is committed, in whichever order.
            choice = logits.argmax(-1) if choice is None else choice
            commit = free
        else:
            ranked, choice = rank(settings, logits.float(), choice)
            if within is not None:
                ranked = ranked.new_full(region.shape, inf).scatter_(1, within, ranked)
            commit = self._chosen(ranked, free, share)
        if within is not None:
            choice = region.scatter(1, within, choice)
        written = torch.where(commit, choice, region)
        if places is None:
            region.copy_(written)
        else:
            self.canvas.scatter_(1, self.first + places, written)
        return commit.sum(1) if self.uneven else share

    def _drawn(self, logits: Tensor) -> Tensor | None:
        """Return the tokens drawn at a temperature, [B, L] long; None: the most probable ones are taken."""
        if not self.settings.temperature:
            return None
        # A row's numbers depend on its block and pass alone, not on the rows beside it.
        stream = [2 * (start + made) for start, made in zip(self.starts, self.made, strict=True)]
        streams = torch.tensor(stream, device=self.device)
        noise = gumbel(self.prompts.seeds, streams, tuple(logits.shape[1:]))
        return noise.mul_(self.settings.temperature).add_(logits).argmax(-1)

    def _chosen(self, ranked: Tensor, free: Tensor, share: int) -> Tensor:
        """Return which places are committed, [B, L] bool. ranked, free: [B, L]."""
        if part := self.settings.sub_block:
            parts = self.offsets[: free.shape[1]].div(part, rounding_mode="floor")
            current = parts.masked_fill(~free, self.block).amin(1, keepdim=True)
            free = free & (parts == current)
        ranked = ranked.masked_fill(~free, inf)
        first = leftmost_smallest(ranked, min(share, ranked.shape[1]))
        commit = surest(self.settings, ranked).scatter_(1, first, True)
        return commit & free if self.uneven else commit

    def _region(self, length: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return the first `length` tokens of each row's block, which of them may be committed, [B, L] each; their
        places where rows differ, else the tokens are a view of the canvas; and where `stop: eos` reads an end token.
        """
        places, asked = None, None
        if self.aligned:
            begin = self.first + self.starts[0]
            region = self.canvas[:, begin : begin + length]
        else:
            places = self.rows[0] + self.offsets[:length]
            region = self.canvas.gather(1, self.first + places)
        free = region == self.mask
        if min(self.starts) < 0 or max(self.starts) + length > self.new_tokens:
            counted = self.starts[0] + self.offsets[:length] if places is None else places
            asked = (counted >= 0) & (counted < self.new_tokens)
            free &= asked
        ends = None
        if self.ends:
            # A prompt may contain ends too, in a block that it shares with the output.
            ends = is_end(region, self.ends) if asked is None else is_end(region, self.ends) & asked
            free &= ends.cumsum(1) == 0
            if any(self.ended):
                free &= self.rows[2] == 0
        return region, free, places, ends

    def _advance(self) -> None:
        """Move rows that have filled their block to the next one, and end those that are through."""
        if not self.uneven:
            counts, stopped = [self.left] * len(self.starts), [False] * len(self.starts)
        else:
            _, free, _, ends = self._region(self.block)
            over = torch.zeros_like(free[:, 0]) if ends is None else ends.any(1)
            counts, stopped = torch.stack([free.sum(1), over.long()]).tolist()
        self.most = max(counts)
        for row, left in enumerate(counts):
            if self.ended[row]:
                continue
            self.fresh[row] = not left
            self.made[row] += 1
            if left:
                continue
            self.made[row] = 0
            self.ended[row] = bool(stopped[row]) or self.starts[row] + self.block >= self.new_tokens
            self.starts[row] += 0 if self.ended[row] else self.block
        if any(self.ended) and not all(self.ended):
            # Rows that have ended go along with one that has not, so that rows stay together; they commit nothing.
            guide = self.ended.index(False)
            for row, ended in enumerate(self.ended):
                if ended:
                    self.starts[row], self.fresh[row] = self.starts[guide], self.fresh[guide]
