"""One generation of the decoder `block_diffusion`: which blocks a pass reads, and what it commits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.base import Decoded, Observer, PromptBatch
from pardec.decoding.batching import ban, count_useful, filler, is_end
from pardec.decoding.block_columns import Blocks
from pardec.decoding.commits import leftmost_smallest, rank, surest
from pardec.decoding.noise import gumbel
from pardec.models.architectures.block_prompts import prompt_block

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

WIDE = 512
"""Vocabulary size from which leaving committed places out of the output head saves time."""


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
        self.part = min(settings.sub_block or self.block, self.block)
        """Tokens of a part of a block."""
        self.most = self.block
        """Most tokens that any row's block lacks; with parts, the part that it fills."""
        self.left = 0
        """Tokens that the current block of every row lacks, where all rows lack as many."""
        self.rows: Any = None
        """[3, B, 1] long: `starts`, `fresh` and `ended` on the device, where rows differ in one of them."""
        self.lead: Tensor | None = None
        """[B, 1, V]: logits of each block's first token, which follow from finished tokens alone; shifted models."""
        self.foremost: tuple[Tensor, Tensor] | None = None
        """[B, 1] each: rank and choice that follow from `lead`, once they are known."""
        self.led = False
        """Whether the last pass returned no logits of first tokens, since `lead` has them."""
        self.passes = 0
        self.forwarded = 0
        """Positions per row that all passes have processed."""

    def run(self) -> Decoded:
        """Decode, and return the output of all rows."""
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
        and banned end tokens at -inf. Where first tokens are `led`, they have none, or no meaning.

        L is the block's length; the last block is shorter where all rows have reached it."""
        self.passes += 1
        self.within, self.led = None, False
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
        return self._barred(logits)

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
            # Parts are filled from the left, so the first masks are those of the part.
            region = self.canvas[:, begin:end]
            masks = (region != self.mask).byte().sort(dim=1, stable=True).indices[:, : self.most]
            self.within = masks
            self.led = self.by == 1
            return self._pass(region, (masks - self.by).clamp(min=0), layout)
        if fresh and self.sparse and self.part < end - middle:
            keep = slice(keep.start, keep.start + self.part)
        logits = self._pass(self.canvas[:, begin:end], keep, layout)
        if self.by and fresh:
            self._set_lead(logits[:, :1])
        self.led = not fresh and self.by == 1
        if self.led and self.settings.temperature:
            self.led = False
            return torch.cat([self.lead, logits], 1)
        return logits

    def _set_lead(self, logits: Tensor) -> None:
        """Keep the logits [B, 1, V] of each block's first token."""
        self.lead, self.foremost = self._barred(logits.clone()), None

    def _barred(self, logits: Tensor) -> Tensor:
        """Set the logits of what is never written to -inf, in place; return them."""
        logits[..., self.mask] = -inf
        return ban(logits, self.model.info.ends) if self.settings.eos == "ban" else logits

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
        if self.by:
            self._set_lead(logits[:, :1])
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
            self._set_lead(torch.where(fresh[..., None], logits[:, :1], self.lead))
            logits = logits[:, 1:]
        return torch.cat([self.lead, logits], 1)

    def _pass(self, tokens: Tensor, keep: slice | Tensor, layout: Layout) -> Tensor:
        self.forwarded += tokens.shape[1]
        return self.model(tokens, cache=self.cache, keep=keep, layout=layout)

    def _commit(self, logits: Tensor) -> int | Tensor:
        """Commit what the rule allows; return the tokens committed per row."""
        within, settings = self.within, self.settings
        size = logits.shape[1] + (1 if self.led else 0)
        if within is not None:
            size = min(self.block, self.last - self.first - self.starts[0])
        choice = self._drawn(logits)
        share, lacking = settings.share, self.block if any(self.fresh) else self.most
        if not self.uneven:
            begin = self.first + self.starts[0]
            if self.fresh[0]:
                self.left = min(self.starts[0] + self.block, self.new_tokens) - max(self.starts[0], 0)
            lacking = self._part_left()
            share = min(share, lacking)
            if share == size:
                self.left -= share
                self.canvas[:, begin : begin + size] = logits.argmax(-1) if choice is None else choice
                return share
            if within is not None:
                self._commit_within(logits, choice, within, share, begin)
                self.left -= share
                return share
        region, free, places, _ = self._region(size)
        # Where everything is committed, its order is of no interest.
        ordered = share < lacking or bool(settings.sub_block)
        ranked = None
        if ordered:
            ranked, choice = rank(settings, logits.float(), choice)
        elif choice is None:
            choice = logits.argmax(-1)
        if self.led:
            ranked, choice = self._with_lead(ranked, choice)
        if within is not None:
            choice = region.scatter(1, within, choice)
            if ranked is not None:
                ranked = ranked.new_full(region.shape, inf).scatter_(1, within, ranked)
        commit = free if ranked is None else self._chosen(ranked, free, share)
        self.left -= share
        written = torch.where(commit, choice, region)
        if places is None:
            region.copy_(written)
        else:
            self.canvas.scatter_(1, self.first + places, written)
        return commit.sum(1) if self.uneven else share

    def _commit_within(
        self, logits: Tensor, choice: Tensor | None, within: Tensor, share: int, begin: int
    ) -> None:
        """Commit `share` of the places `within`, all that the part of the block at column `begin` lacks. logits:
        [B, K, V]. within: [B, K]."""
        ranked = None
        if share < within.shape[1]:
            ranked, choice = rank(self.settings, logits.float(), choice)
        elif choice is None:
            choice = logits.argmax(-1)
        # Parts behind the first do not contain the block's first token.
        if self.led and self._filled() < self.part:
            ranked, choice = self._with_lead(ranked, choice)
        if ranked is not None:
            first = leftmost_smallest(ranked, share)
            within, choice = within.gather(1, first), choice.gather(1, first)
        self.canvas.scatter_(1, begin + within, choice)

    def _filled(self) -> int:
        """Return how far the current block of every row is filled, from its start, where all are filled as far."""
        return min(self.block, self.new_tokens - self.starts[0]) - self.left

    def _part_left(self) -> int:
        """Return the tokens that the part of its block lacks which every row fills, where all rows lack as many."""
        return min(self.part - self._filled() % self.part, self.left)

    def _with_lead(self, ranked: Tensor | None, choice: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return rank (None: not wanted) and choice with those of each block's first token put in."""
        if self.foremost is None:
            assert self.lead is not None
            self.foremost = rank(self.settings, self.lead.float(), None)
        first = self.foremost
        if self.within is None:
            both = torch.cat([first[1], choice], 1)
            return None if ranked is None else torch.cat([first[0], ranked], 1), both
        leads = self.within == 0
        both = torch.where(leads, first[1], choice)
        return None if ranked is None else torch.where(leads, first[0], ranked), both

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
        free = self._in_part(free)
        ranked = ranked.masked_fill(~free, inf)
        first = leftmost_smallest(ranked, min(share, ranked.shape[1]))
        commit = surest(self.settings, ranked).scatter_(1, first, True)
        return commit & free  # a bound may reach places of no rank

    def _in_part(self, free: Tensor) -> Tensor:
        """Return those of the `free` places [B, L] that are in the part of its block that each row fills."""
        if not self.settings.sub_block:
            return free
        parts = self.offsets[: free.shape[1]].div(self.part, rounding_mode="floor")
        current = parts.masked_fill(~free, self.block).amin(1, keepdim=True)
        return free & (parts == current)

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
            most = [self._part_left()]
        else:
            _, free, _, ends = self._region(self.block)
            over = torch.zeros_like(free[:, 0]) if ends is None else ends.any(1)
            lacking = self._in_part(free).sum(1)
            counts, most, stopped = torch.stack([free.sum(1), lacking, over.long()]).tolist()
        self.most = max(most)
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
