"""Jacobi decoding of a causal model: guess the whole output, correct all of it in every pass.

Greedy decoding is a triangular system of equations, token i = f(tokens before i). Jacobi iteration (Song et
al. 2021, arXiv:2002.03629; for language models Santilli et al. 2023, arXiv:2305.10427) replaces each token in
every pass by the model's greedy choice after the guesses before it. A token whose whole prefix did not change
is final, so each pass finalises at least one token, the fixed point is exactly the greedy output, and the
passes never outnumber the tokens. Final tokens are never run again: their keys and values stay in the cache,
and the entries of wrong guesses are cropped.

With a pool (`recycle`), n-grams of rejected predictions replace guesses (see `recycling`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.batching import ban, count_useful, filler, is_end
from pardec.decoding.noise import uniform
from pardec.decoding.recycling import Pool

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Cache
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

Guess = Literal["eos", "random", "repeat"]
NARROW = 8
"""Tokens below which a narrower pass of a model of static shapes saves no time."""


class JacobiSettings(Settings):
    """All tokens guessed at once and corrected in parallel until they no longer change."""

    passes: int | None = Field(None, ge=1)
    """Forward passes after which the guesses become the output; null continues to the fixed point, which is the
    output of greedy decoding."""
    init: Guess = "eos"
    """First guess: end tokens, random tokens, or the prompt's last token repeated."""
    window: int | None = Field(None, ge=1)
    """Tokens that a pass corrects, counted from the first that is not final; null means all remaining ones."""
    recycle: int | None = Field(None, ge=0, le=1_000_000)
    """n-grams of rejected tokens kept per row, to replace later guesses; 0 runs the same machinery with an empty pool
    (a control), null runs none."""
    ngram: int = Field(2, ge=2, le=8)
    """Tokens of a recycled n-gram: one is taken where all before it match."""
    stop: Literal["length", "eos"] = "length"
    """`length` writes the same number of tokens on every row; `eos` ends a row at its end token."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes an end token (for continuations of one length)."""


class Jacobi(Decoder):
    """Exact parallel greedy decoding; stopped early, a greedy prefix with guesses behind it."""

    Settings = JacobiSettings
    needs: ClassVar[str] = "causal"
    family: ClassVar[str] = "jacobi"

    @classmethod
    def check(cls, settings: JacobiSettings, new_tokens: int) -> str | None:
        if new_tokens < 1:
            return f"new_tokens is {new_tokens}; at least 1 is needed"
        if settings.passes is not None and settings.passes > new_tokens:
            return f"passes {settings.passes} exceed new_tokens {new_tokens}, which always suffice"
        return None

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Return the `new_tokens` tokens written after each prompt; waits for the device once per pass, to read
        how many tokens are final."""
        with torch.inference_mode():
            return _Run(self.settings, model, prompts, new_tokens, observer).run()


def buckets(most: int) -> list[int]:
    """Return ascending widths, one graph each: every number of tokens up to `most` has a width less than twice as
    large, or `NARROW`."""
    widths = [most]
    while widths[0] > NARROW:
        widths.insert(0, max(NARROW, (widths[0] + 1) // 2))
    return [width for width in widths if width > 0]


def first_guess(kind: Guess, model: LanguageModel, prompts: PromptBatch, new_tokens: int) -> Tensor:
    """Return the canvas before the first pass, [B, N] long."""
    shape = prompts.size, new_tokens
    if kind == "repeat":
        return prompts.tokens[:, -1:].repeat(1, new_tokens)
    if kind == "random":
        return (uniform(prompts.seeds, 0, (new_tokens,)) * model.info.vocab_size).long()
    return prompts.tokens.new_full(shape, filler(model.info))


class _Run:
    """One generation: the canvas and the number of final tokens per row."""

    def __init__(
        self, settings: Any, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer
    ):
        self.settings, self.model, self.prompts, self.observer = settings, model, prompts, observer
        self.new_tokens = new_tokens
        self.pad = prompts.pad if bool(prompts.pad.any()) else None
        self.ends, self.fill = model.info.ends, filler(model.info)
        self.banned = self.ends if settings.eos == "ban" else ()
        self.stoppers = self.ends if settings.stop == "eos" else ()
        self.fixed = torch.zeros_like(prompts.pad)
        """[B] long: the number of final tokens per row."""
        size = settings.recycle
        rows = range(prompts.size)
        self.pools = [] if size is None else [Pool(settings.ngram, size) for _ in rows]
        most = min(settings.window or new_tokens, new_tokens - 1)
        self.widths = buckets(most) if model.static_shapes else []
        """Tokens per pass after the first, for a model of static shapes; empty: as many as needed."""

    def run(self) -> Decoded:
        settings, length, size = self.settings, self.prompts.length, self.new_tokens
        self.observer.start()
        self.canvas = first_guess(settings.init, self.model, self.prompts, size)
        cache = self.model.new_cache(self.prompts.size, length + size - 1)
        self._warm(cache)
        first = passes = forwards = 0
        while first < size and passes != settings.passes:
            stop = min(size, first + (settings.window or size))
            # The last final token runs too: it is not in the cache yet, and its logits predict the first guess.
            tokens = self._tokens(first, stop, cache)
            logits = self.model(
                tokens, pad=self.pad, cache=cache, keep=slice(first - stop, None), canvas_start=length
            )
            passes += 1
            forwards += tokens.shape[1]
            guesses = self._behind(first, stop).tolist() if self.pools else []
            written = self._correct(ban(logits, self.banned).argmax(-1), first, stop)
            if passes == settings.passes:
                # The guesses become the output. Rows that have ended are complete already.
                written, first = self._take_guesses(written), size
            else:
                self._recycle(guesses, first, stop)
                first = int(self.fixed.min())
                cache.crop(min(length + first - 1, cache.length))
            self.observer.step(written, first)
        useful = count_useful(self.canvas, self.ends)
        return Decoded(self.canvas, useful, nfe=passes, token_forwards=forwards)

    def _take_guesses(self, written: Tensor) -> Tensor:
        """End each row at the first end token among its guesses; return `written` [B] plus the guesses that each
        row keeps."""
        left = self.new_tokens - self.fixed
        if self.stoppers:
            position = torch.arange(self.new_tokens, device=self.canvas.device)
            guess = position >= self.fixed[:, None]
            ended = (is_end(self.canvas, self.stoppers) & guess).cumsum(1) > 0
            behind = ended & (ended.cumsum(1) > 1)
            self.canvas.masked_fill_(behind, self.fill)
            left = left - behind.sum(1)
        return written + left

    def _tokens(self, first: int, stop: int, cache: Cache) -> Tensor:
        """Return the tokens of a pass that corrects positions first..stop-1. The first pass reads the prompt and all
        guesses except the last. A later one of a fixed width runs final tokens again, so the cache is cropped."""
        if not first:
            return torch.cat([self.prompts.tokens, self.canvas[:, : stop - 1]], 1)
        begin = first - 1
        if self.widths:
            begin = stop - 1 - next(width for width in self.widths if width >= stop - first)
            cache.crop(self.prompts.length + begin)
        return self.canvas[:, begin : stop - 1]

    def _behind(self, first: int, stop: int) -> Tensor:
        """Return the tokens [B, ngram - 1 + stop - first] of positions first..stop-1 and of those before them."""
        reach = self.settings.ngram - 1
        before = torch.nn.functional.pad(self.prompts.tokens, (reach, 0))[:, -reach:]
        return torch.cat([before, self.canvas], 1)[:, first : stop + reach]

    def _recycle(self, guesses: list[list[int]], first: int, stop: int) -> None:
        """Keep the n-grams that the last pass predicted and did not make final, and replace guesses by known ones.

        guesses: the result of `_behind` before that pass, which corrected positions first..stop-1.
        """
        if not self.pools:
            return
        reach, size = self.settings.ngram - 1, self.new_tokens
        fixed = self.fixed.tolist()
        until = min(size, min(fixed) + (self.settings.window or size))
        texts = self._behind(first, until).tolist()
        for row, (pool, text) in enumerate(zip(self.pools, texts, strict=True)):
            for position in range(fixed[row], stop):
                index = position - first
                pool.learn(guesses[row][index : index + reach], text[index + reach])
            start = fixed[row]
            known = pool.follow(text[start - first : start - first + reach], until - start)
            if known:
                self.canvas[row, start : start + len(known)] = self.canvas.new_tensor(known)

    def _warm(self, cache: Cache) -> None:
        """Run the first pass and each width once, so that a model of static shapes meets none later."""
        key = ("jacobi", self.prompts.size, cache.size, self.pad is not None, *self.widths)
        if not self.widths or key in self.model.warmed:
            return
        length, size = self.prompts.length, self.new_tokens
        stop = min(size, self.settings.window or size)
        # The first pass comes first: models with places of rows and columns read them from the prompt.
        for tokens in [self._tokens(0, stop, cache)] + [self.canvas[:, -width:] for width in self.widths]:
            cache.length = length + size - 1 - tokens.shape[1] if cache.length else 0
            self.model(tokens, pad=self.pad, cache=cache, keep=slice(-1, None), canvas_start=length)
        cache.crop(0)
        self.model.warmed.add(key)

    def _correct(self, choice: Tensor, first: int, stop: int) -> Tensor:
        """Write the choices for positions first..stop-1 and advance `fixed`.

        choice: [B, stop - first] long. Returns [B] long, the number of tokens that became final, end tokens
        included.
        """
        old = self.canvas[:, first:stop]
        position = torch.arange(first, stop, device=old.device)
        # A row ahead of the others ran again on the same prefix; rounding must not change it.
        choice = torch.where(position < self.fixed[:, None], old, choice)
        same = (choice == old).long().cumprod(1).sum(1)
        # The first token that changed is final too: it was chosen after a final prefix.
        fixed = (first + same + 1).clamp(max=stop).maximum(self.fixed)
        old.copy_(choice)
        written = fixed - self.fixed
        if self.stoppers:
            open_rows = (self.fixed < self.new_tokens)[:, None]
            ends = is_end(choice, self.stoppers) & (position < fixed[:, None]) & open_rows
            ended = ends.any(1)
            end = first + ends.int().argmax(1)
            written = torch.where(ended, end + 1 - self.fixed, written)
            fixed = fixed.masked_fill(ended, self.new_tokens)
            after = torch.arange(self.new_tokens, device=old.device) > end[:, None]
            self.canvas.masked_fill_(after & ended[:, None], self.fill)
        self.fixed = fixed
        return written
