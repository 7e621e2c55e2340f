"""Drafters, which write the draft: a block-diffusion model, prompt lookup, or a small causal model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import DROPPING, Choose, Draft, Drafter, Hints, Noise, Target, View
from pardec.decoding.speculative.layouts import block_of_many, tree_of_many
from pardec.decoding.speculative.tree import chain_shape

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout
    from pardec.models.architectures.base import LanguageModel
    from pardec.models.architectures.draft import DraftModel

torch = lazy("torch")


class DFlashSettings(Settings):
    """Draft with the companion `draft`, a DFlash model."""

    name: Literal["dflash"] = "dflash"
    """The name of the drafter."""
    context: Literal["all", "last"] = "all"
    """The tokens that the draft's cache keeps: all committed ones, or those of the last cycle only (a control: the
    input of a draft without its cache)."""


class DFlash(Drafter):
    """A block-diffusion draft: all tokens of a block in one pass, from the target's hidden states (DFlash,
    arXiv:2602.06036).

    Its cache keeps the context: the fused hidden states of all committed tokens. Each cycle appends the newly
    committed tokens and drops the block's keys and values.
    """

    Settings: ClassVar[Any] = DFlashSettings
    companion = "draft"
    redrafts = True
    whole = True
    varies = True

    def taps(self, companion: DraftModel) -> tuple[int, ...]:
        config = companion.config
        if not hasattr(config, "taps"):
            what = (
                f"drafter dflash reads a target's layers, and its companion is a {type(companion).__name__}"
            )
            raise UserError("decoder speculative", what, "give a DFlash draft, or set drafter: {name: small}")
        return config.taps

    def begin(self, target: Target, companion: DraftModel, batch: int, size: int) -> None:
        """Begin a generation; see `Drafter.begin`.

        Raises:
            UserError: the draft was made for another target.
        """
        from pardec.models.architectures.draft import fits

        fits(companion, target.info)
        self.model, self.target = companion, target
        self.cache = companion.new_cache(batch, size)
        self.mask = target.embedding[companion.config.mask_id][None, None]

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        if self._room(view) < 1:
            return Draft(view.anchor[:, :0])
        assert view.fresh is not None
        self.context = self.model.fuse(view.fresh)
        logits = self._pass(view, count, hints, self.context)
        return Draft(choose(logits, 0), logits)

    def redraft(self, view: View, count: int, choose: Choose, hints: Hints) -> Draft:
        logits = self._pass(view, count, hints, None)
        return Draft(choose(logits, 0), logits)

    def vary(self, view: View, count: int, rate: float, noise: Noise) -> Tensor:
        # Overwrite the newest context with a copy that lacks some of its features.
        drop = noise(DROPPING, (1, self.context.shape[-1])) < rate
        context = self.context.masked_fill(drop, 0.0) / (1 - rate)
        if view.single:
            self.cache.length -= context.shape[1]
        logits = self._pass(view, count, None, context)
        # Restore the context.
        if view.single:
            self.cache.length -= context.shape[1]
        self._pass(view, 1, None, self.context)
        return logits

    def _pass(self, view: View, count: int, hints: Hints | None, context: Tensor | None) -> Tensor:
        """Return logits [B, count, V] of the slots behind the anchor."""
        count = min(count, self._room(view))
        table = self.target.embedding
        anchor = torch.nn.functional.embedding(view.anchor, table)
        slots = self.mask.expand(len(anchor), count, -1)
        if hints is not None:
            hinted = torch.nn.functional.embedding(hints.tokens, table)
            size = min(count, hints.tokens.shape[1])
            begun = torch.where(hints.where[:, :size, None], hinted[:, :size], slots[:, :size])
            slots = torch.cat([begun, slots[:, size:]], 1)
        block = torch.cat([anchor, slots], 1)
        layout = self._layout(view, 1 + count, 0 if context is None else context.shape[1])
        return self.read(self.model(block, context, self.cache, layout)[:, 1:])

    def read(self, hidden: Tensor) -> Tensor:
        """Return logits [B, n, V] of slots from the draft's normed hidden states [B, n, hidden]."""
        return self.target.head(hidden)

    def _room(self, view: View) -> int:
        """Return the number of positions that the draft has left behind the anchor."""
        return self.model.config.max_positions - max(view.lengths) - 1

    def _layout(self, view: View, size: int, new: int) -> Layout | None:
        if view.single and self.settings.context == "all":
            return None
        counts = view.counts if new else [0] * len(view.counts)
        starts, limit = view.starts, self.model.config.max_positions
        layout = block_of_many(starts, view.lengths, counts, new, size, view.pad, limit)
        if self.settings.context == "last":
            counts = torch.tensor(view.counts, device=starts.device)[:, None]
            recent = torch.arange(layout.filled, device=starts.device) >= starts - counts
            layout.mask = layout.mask & recent[:, None, None]
        return layout


class NgramSettings(Settings):
    """Copy what followed the last occurrence of the row's last tokens, in prompt or output."""

    name: Literal["ngram"] = "ngram"
    """The name of the drafter."""
    longest: int = Field(3, ge=1, le=16)
    """Most tokens compared; the longest match wins."""
    shortest: int = Field(1, ge=1, le=16)
    """Fewest tokens that must match."""

    @model_validator(mode="after")
    def _ordered(self) -> NgramSettings:
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) exceeds longest ({self.longest})")
        return self


class Ngram(Drafter):
    """Prompt lookup: copy the tokens after the last occurrence of the same few tokens (Saxena 2023; also in
    transformers)."""

    Settings = NgramSettings
    settings: NgramSettings
    marginals = False

    def begin(self, target: Target, companion: Any, batch: int, size: int) -> None:
        self.seen: list[dict[tuple[int, ...], int]] = [{} for _ in range(batch)]
        """For each row: the index behind the last occurrence of a few tokens."""
        self.read = [0] * batch
        self.matches = 0

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        copies = [self._follow(row, tokens, count) for row, tokens in enumerate(view.rows)]
        self.matches = sum(map(bool, copies))
        size = max(map(len, copies))
        # Rows with fewer tokens to copy guess their last token again; the target decides.
        rows = [
            copy + tokens[-1:] * (size - len(copy)) for copy, tokens in zip(copies, view.rows, strict=True)
        ]
        device = view.anchor.device
        return Draft(torch.tensor(rows, device=device, dtype=torch.long).view(len(rows), size))

    def facts(self) -> dict[str, Any]:
        return {"found": self.matches}

    def _follow(self, row: int, tokens: list[int], count: int) -> list[int]:
        """Return the tokens after the last earlier occurrence of the longest known suffix of `tokens`."""
        known, sizes = self.seen[row], range(self.settings.shortest, self.settings.longest + 1)
        for stop in range(self.read[row] + 1, len(tokens)):
            for size in sizes:
                if size <= stop:
                    known[tuple(tokens[stop - size : stop])] = stop
        self.read[row] = max(self.read[row], len(tokens) - 1)
        for size in reversed(sizes):
            start = known.get(tuple(tokens[-size:])) if size <= len(tokens) else None
            if start is not None:
                return tokens[start : start + count]
        return []


class SmallSettings(Settings):
    """Draft with the companion `draft`, a causal model that reads the same tokens."""

    name: Literal["small"] = "small"
    """The name of the drafter."""


class Small(Drafter):
    """A small autoregressive model of the same vocabulary, one token per pass (Leviathan et al. 2023,
    arXiv:2211.17192).
    """

    Settings = SmallSettings
    companion = "draft"

    def begin(self, target: Target, companion: LanguageModel, batch: int, size: int) -> None:
        """Begin a generation; see `Drafter.begin`.

        Raises:
            UserError: no causal model of the target's vocabulary.
        """
        info = companion.info
        if info.attention != "causal" or info.vocab_size != target.info.vocab_size:
            raise UserError(
                "companion draft",
                f"is {info.attention} with {info.vocab_size} tokens, the target has {target.info.vocab_size}",
                "give a causal model of the same data",
            )
        self.model, self.target = companion, target
        self.cache = companion.new_cache(batch, size)
        self.held = [0] * batch
        """Columns of each row in the cache."""
        self.starts = [0] * batch
        """Columns before the anchor of the last draft."""

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        # The last drafted token is never run, so it needs no position.
        count = min(count, self.model.info.max_positions - max(view.lengths))
        if count < 1:
            return Draft(view.anchor[:, :0])
        # Drop the columns of tokens that were drafted and not committed.
        self.held = [
            min(held, start + 1 + agreed)
            for held, start, agreed in zip(self.held, self.starts, view.agreed, strict=True)
        ]
        tokens, drafted, logits_of = self._unread(view), [], []
        for slot in range(count):
            logits = self._step(view, tokens, slot)
            logits_of.append(logits)
            tokens = choose(logits, slot)
            drafted.append(tokens)
        self.starts = list(view.lengths)
        self.held = [length + count for length in view.lengths]
        return Draft(torch.cat(drafted, 1), torch.cat(logits_of, 1))

    def _unread(self, view: View) -> Tensor:
        """Return the last w tokens of each row up to its anchor, [B, w] long; w is the most tokens that any row's cache
        lacks."""
        width = max(length + 1 - held for length, held in zip(view.lengths, self.held, strict=True))
        if self.model.static_shapes and any(self.held):
            # One token is missing, or two where a whole draft was accepted; one shape serves both.
            width = max(2, width)
        if width == 1:
            return view.anchor
        # In the first cycle these are all tokens, after padding; later a row that lacks fewer tokens than w and is
        # shorter is filled at its left, where nothing is attended to.
        fill = self.target.info.pad_id
        rows = [[fill] * (width - len(row)) + row[-width:] for row in view.rows]
        return torch.tensor(rows, device=view.anchor.device)

    def _step(self, view: View, tokens: Tensor, slot: int) -> Tensor:
        """Return logits [B, 1, V] of the next token after `tokens`, whose last is `slot` columns behind the anchor."""
        width, last = tokens.shape[1], slice(-1, None)
        first = not any(self.held)
        if view.single or (first and slot == 0):
            self.cache.length = view.lengths[0] + slot + 1 - width
            logits = self.model(tokens, pad=view.pad, cache=self.cache, keep=last)
        else:
            starts = view.starts - (width - 1 - slot)
            longest = max(view.lengths) + slot + 1 - width
            limit = self.model.info.max_positions
            shape = chain_shape(width - 1, str(tokens.device))
            layout = tree_of_many(shape, starts, longest, view.pad, limit)
            self.cache.length = longest
            logits = self.model(tokens, cache=self.cache, layout=layout, keep=last)
        return self.target.ban(logits)
