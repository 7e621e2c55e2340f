"""Masked-diffusion decoding that reuses keys and values between passes.

A bidirectional model's keys and values change whenever any token does, so every cache here is an
approximation, except at `refresh: 1`. The cache keeps the prefix (all before the current block) or the prefix
and the suffix (all but the block), as in Wu et al., "Fast-dLLM" (2025), arXiv:2505.22618. A full pass
refreshes it at the start of each block, or every `refresh` passes. In the second case a block's tokens are
forwarded once more after the last of them was committed, so no key or value of a mask stays in the prefix:
the delayed caching of Ma et al., "dKV-Cache" (2025), arXiv:2505.15781, by blocks instead of tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.base import Observer, Passes, PromptBatch
from pardec.decoding.masked_diffusion import MaskedDiffusion, MaskedDiffusionSettings, Run, most_passes

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")
models = lazy("pardec.models.architectures.attention")


class CachedDiffusionSettings(MaskedDiffusionSettings):
    """Masked diffusion in blocks, with approximate keys and values of other positions in a cache."""

    cache: Literal["none", "prefix", "dual"] = "dual"
    """Keys and values kept between passes: of all positions before the current block (`prefix`), of all but the
    block (`dual`), or none."""
    refresh: int | None = Field(None, ge=1)
    """Passes from one full pass to the next; 1 keeps nothing and equals no cache. null: one full pass at the
    start of each block."""


class CachedDiffusion(MaskedDiffusion):
    """The same sampler on fewer positions per pass; its loss of quality is measured, not assumed."""

    Settings = CachedDiffusionSettings
    name: ClassVar[str] = "cached_diffusion"

    @classmethod
    def check(cls, settings: CachedDiffusionSettings, new_tokens: int) -> str | None:
        if trouble := super().check(settings, new_tokens):
            return trouble
        if settings.cfg_scale > 0 and settings.cache != "none":
            return "cfg_scale runs every pass twice, once without the prompt; a cache holds one of them"
        if settings.refresh is not None and settings.cache == "none":
            return "refresh is for a cache; set cache: prefix or cache: dual"
        return None

    @classmethod
    def passes(cls, settings: CachedDiffusionSettings, prompt: int, new_tokens: int) -> list[Passes]:
        if settings.cache == "none":
            return super().passes(settings, prompt, new_tokens)
        whole, block = prompt + new_tokens, settings.block or new_tokens
        blocks, steps = new_tokens // block, most_passes(settings, new_tokens)
        full = blocks if settings.refresh is None else -(-steps // settings.refresh)
        # The suffix has half of the canvas on average.
        length = block if settings.cache == "dual" else (new_tokens + block) // 2
        passes = [
            Passes(full, whole, 0, block, True),
            Passes(steps - full, length, whole - length, block, True),
        ]
        return [one for one in passes if one.count > 0]

    def _start(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer
    ) -> CachedRun:
        if self.settings.cache == "dual" and getattr(getattr(model, "config", None), "positions", None):
            raise UserError(
                "decoder cached_diffusion",
                "cache: dual reads a piece of the canvas, which a model with learned positions cannot",
                "set cache: prefix",
            )
        return CachedRun(self.settings, model, prompts, new_tokens, observer)


class CachedRun(Run):
    """One generation with a cache. Columns count from the left edge of the padded prompts."""

    def __init__(
        self, settings: Any, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer
    ):
        super().__init__(settings, model, prompts, new_tokens, observer)
        self.cache = None
        if settings.cache != "none":
            self.cache = model.new_cache(prompts.size, self.canvas.shape[1])
        self.block = -1
        """First output position of the last pass's block."""
        self.since = 0
        """Passes since the last full pass, that one included; 0 before the first."""
        self.settled = 0
        """Columns before this one have keys and values of final tokens."""
        self.by = 1 if model.info.shift else 0

    def _due(self, start: int) -> bool:
        """Return whether the next pass is a full pass."""
        if self.since == 0:
            return True
        return start != self.block if self.settings.refresh is None else self.since >= self.settings.refresh

    def _forward(self, start: int, stop: int, within: Tensor | None) -> Tensor:
        if self.cache is None:
            return super()._forward(start, stop, within)
        width, first = self.canvas.shape[1], self.prompts.length + start
        lead, last = first - self.by, first - start + stop
        if self._due(start):
            begin, end, self.since = 0, width, 0
        else:
            begin = min(lead, self.settled)
            end = last if self.settings.cache == "dual" else width
        keep = slice(lead - begin, last - self.by - begin) if within is None else within + (lead - begin)
        logits = self._pass(begin, end, keep)
        self.block, self.settled = start, first
        self.since += 1
        self.forwarded += end - begin
        return logits

    def _pass(self, begin: int, end: int, keep: slice | Tensor) -> Tensor:
        """Forward the columns begin..end-1 and replace their keys and values; they attend to every column."""
        cache, width = self.cache, self.canvas.shape[1]
        assert cache is not None
        cache.crop(begin)
        tokens = self.canvas[:, begin:end]
        if end == width:
            return self.model(tokens, pad=self.pad, cache=cache, keep=keep, canvas_start=self.prompts.length)
        return self.model(tokens, cache=cache, keep=keep, layout=self._layout(begin, end, width))

    def _layout(self, begin: int, end: int, width: int) -> Layout:
        columns = torch.arange(begin, end, device=self.canvas.device)[None]
        if self.pad is None:
            return models.Layout(columns, None, width)
        real = torch.arange(width, device=self.canvas.device) >= self.pad[:, None]
        positions = (columns - self.pad[:, None]).clamp(min=0)
        return models.Layout(positions, real[:, None, None].expand(-1, -1, end - begin, -1), width)
