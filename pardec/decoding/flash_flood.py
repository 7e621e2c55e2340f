"""Flash Flood: a plan of roots, rendered level by level, every condition of a level in one batched pass.

The manager writes roots one after another (or they are given); the renderer then expands [R] roots into [R, C] chunks
and these into [R, C * L] characters. Each condition may get K candidates; the one with the lowest energy is kept. The
sequential orders do the same work, one root or one candidate at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.noise import uniform
from pardec.decoding.registry import DECODERS

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.renderer import Renderer

torch = lazy("torch")
PAD, EOS, MASK = 0, 2, 3


class FlashFloodSettings(Settings):
    """Roots rendered to chunks and chunks to characters, all conditions of a level at once."""

    candidates: int = Field(1, ge=1, le=1024)
    """K: candidates per condition. A single one is the most probable expansion; among several, the one with the
    lowest energy is kept."""
    order: Literal["parallel", "by_root", "by_candidate"] = "parallel"
    """`parallel` expands all conditions and candidates of a level together; `by_root` loops over roots, and
    over the chunks of each, with all candidates of one condition together; `by_candidate` loops over
    candidates too."""
    plan: Literal["given", "manager"] = "given"
    """`given` renders the prompt's roots; `manager` continues the prompt to `roots` roots by the manager, and renders
    all of them."""
    roots: int = Field(200, ge=1, le=100_000)
    """Roots of the whole plan, the prompt's included, where the manager plans."""
    manager: Literal["autoregressive", "jacobi"] = "autoregressive"
    """Decoder of the manager: one root per pass, or several guessed and corrected per pass until nothing changes.
    Both write the same roots."""
    window: int | None = Field(8, ge=1)
    """Roots that a pass of the Jacobi manager corrects; null means all remaining ones."""
    chunk_batch: int | None = Field(None, ge=1)
    """Most expansions per pass, candidates counted; null: all of a level."""


class FlashFloodDecoder(Decoder):
    """Renders a plan level by level, roots to chunks to characters, a whole level per pass."""

    Settings: ClassVar[Any] = FlashFloodSettings
    settings: FlashFloodSettings
    needs: ClassVar[str] = "bidirectional"
    accompanied: ClassVar[tuple[str, ...]] = ("manager",)

    @classmethod
    def wants(cls, settings: FlashFloodSettings) -> tuple[str, ...]:
        return ("manager",) if settings.plan == "manager" else ()

    @classmethod
    def modules(cls, settings: FlashFloodSettings) -> tuple[str, ...]:
        manager = (DECODERS.module(settings.manager),) if settings.plan == "manager" else ()
        return (cls.__module__, *manager)

    def decode(
        self, model: Renderer, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Return characters [B, new_tokens], cut at the canvas or filled up with the end token."""
        with torch.inference_mode():
            return self._decode(model, prompts, new_tokens, observer)

    def _decode(self, model: Renderer, prompts: PromptBatch, new_tokens: int, observer: Observer) -> Decoded:
        observer.start()
        self.model, self.forwards, self.positions, self.planning = model, 0, 0, 0
        roots = self._plan(prompts, observer)
        parallel = self.settings.order == "parallel"
        steps = [slice(0, roots.numel())] if parallel else [slice(k, k + 1) for k in range(roots.numel())]
        flat, seeds = roots.flatten(), prompts.seeds.repeat_interleave(roots.shape[1])
        places = torch.arange(roots.shape[1], device=flat.device).repeat(len(roots))
        parts, invalid, chunks = [], 0, 0
        for step in steps:
            grid, counts = self.render(flat[step], seeds[step], places[step], observer)
            parts.append(grid)
            invalid, chunks = invalid + counts[0], chunks + counts[1]
        width = model.config.slots[0] * model.config.slots[1]
        written = torch.cat(parts) if parts else flat.new_empty(0, width)
        tokens, sizes = compact(written.view(len(roots), -1), new_tokens)
        tokens = tokens.cpu().to(prompts.tokens.device)
        observer.phase("transfer")
        observer.cycle(
            roots=flat.numel(),
            chunks=chunks,
            characters=(written != PAD).sum(),
            passes=self.forwards,
            manager_passes=self.planning,
            invalid=invalid,
            cut=(sizes - new_tokens).clamp(min=0).sum(),
        )
        observer.step(sizes.clamp(max=new_tokens).float())
        return Decoded(tokens, sizes.clamp(max=new_tokens), nfe=self.forwards, token_forwards=self.positions)

    def _plan(self, prompts: PromptBatch, observer: Observer) -> Tensor:
        """Return the roots [B, R]. Left padding is not a root: it is kept as invalid and writes nothing."""
        if self.settings.plan == "given":
            return prompts.tokens
        wanted = self.settings.roots - prompts.length
        if wanted <= 0:
            return prompts.tokens[:, : self.settings.roots]
        written = self._manager().decode(self.companions["manager"], prompts, wanted)
        self.planning = written.nfe
        observer.phase("manager")
        return torch.cat([prompts.tokens, written.tokens], 1)

    def _manager(self) -> Decoder:
        """Return the greedy decoder of the plan; a plan has the requested length, so it never ends early."""
        kind = DECODERS.load(self.settings.manager)
        window = {"window": self.settings.window} if self.settings.manager == "jacobi" else {}
        return kind(kind.Settings(eos="ban", **window))

    def render(
        self, roots: Tensor, seeds: Tensor, places: Tensor, observer: Observer = SILENT
    ) -> tuple[Tensor, tuple[int, int]]:
        """Return characters [N, C * L] of roots [N], padded; and the numbers of invalid roots and of written chunks.

        places: [N], the index of each root in its plan, which with the seed of the prompt determines its noise.
        """
        model, (wide, long) = self.model, self.model.config.slots
        start, stop = model.config.conditions(0)
        valid = ((roots >= start) & (roots < stop)).nonzero()[:, 0]
        chunks = roots.new_full((len(roots), wide), PAD)
        keys = seeds + places * (wide + 1)
        chunks[valid] = self.expand_level_parallel(roots[valid], 0, self.settings.candidates, keys[valid])
        observer.phase("level0")
        flat = chunks.flatten()
        written = (flat != PAD).nonzero()[:, 0]
        inner = (keys[:, None] + 1 + torch.arange(wide, device=roots.device)).flatten()[written]
        characters = roots.new_full((flat.numel(), long), PAD)
        steps = [slice(0, len(written))]
        if self.settings.order != "parallel":
            steps = [slice(k, k + 1) for k in range(len(written))]
        for step in steps:
            rows = written[step]
            characters[rows] = self.expand_level_parallel(
                flat[rows], 1, self.settings.candidates, inner[step]
            )
        observer.phase("level1")
        return characters.view(len(roots), wide * long), (len(roots) - len(valid), len(written))

    def expand_level_parallel(self, conditions: Tensor, level: int, k: int, seeds: Tensor) -> Tensor:
        """Return the chosen expansion of each condition: [N] ids -> [N, slots] ids, padded.

        Candidate 0 starts from masks, the others from random tokens drawn from the condition's seed. seeds:
        [N].
        """
        slots = self.model.config.slots[level]
        if not len(conditions):
            return conditions.new_empty(0, slots)
        starts = self._starts(seeds, level, k, slots)
        repeated = conditions.repeat_interleave(k)
        written = self._passes(starts.flatten(0, 1), repeated, level, False)
        if k == 1:
            return written
        energies = self._passes(written, repeated, level, True).view(-1, k)
        energies = energies + self._surprise(written.view(-1, k, slots), conditions, level)
        return choose(written.view(-1, k, slots), energies)

    def _surprise(self, written: Tensor, conditions: Tensor, level: int) -> Tensor:
        """Return nats of each candidate under the denoiser that sees masks only, [N, K], from written [N, K, slots].

        The learned energy is a correction of it (residual energies: Deng et al. 2020, arXiv:2004.11714); alone it errs
        more often with more candidates.
        """
        size = len(conditions) if self.settings.chunk_batch is None else self.settings.chunk_batch
        size = 1 if self.settings.order == "by_candidate" else size
        nats = []
        for start in range(0, len(conditions), size):
            rows = slice(start, start + size)
            masks = written[rows, 0].new_full(written[rows, 0].shape, MASK)
            likely = self.model(masks, conditions[rows], level).log_softmax(-1)
            classes = self.model.classes(written[rows], level).transpose(1, 2)
            nats.append(-likely.gather(-1, classes).sum(1))
            self.forwards += 1
        self.positions += conditions.numel() * written.shape[-1]
        return torch.cat(nats)

    def _starts(self, seeds: Tensor, level: int, k: int, slots: int) -> Tensor:
        """Return the ids of the slots before the pass, [N, K, slots]."""
        masks = seeds.new_full((len(seeds), 1, slots), MASK)
        if k == 1:
            return masks
        start, stop = self.model.config.written(level)
        noise = (uniform(seeds, 7 + level, (k - 1, slots)) * (stop - start)).long() + start
        return torch.cat([masks, noise], 1)

    def _passes(self, tokens: Tensor, conditions: Tensor, level: int, energy: bool) -> Tensor:
        """Return expansions, or their energies, in passes of the size that order and `chunk_batch` allow."""
        size = len(tokens) if self.settings.chunk_batch is None else self.settings.chunk_batch
        if self.settings.order == "by_candidate":
            size = 1
        parts = []
        for start in range(0, len(tokens), size):
            rows = slice(start, start + size)
            out = self.model(tokens[rows], conditions[rows], level, energy=energy)
            parts.append(out if energy else self.model.ids(out.argmax(-1), level))
            self.forwards += 1
        self.positions += tokens.numel()
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def check_outputs(self, model: Renderer, prompts: PromptBatch) -> list[dict] | None:
        from pardec.decoding.flood_checks import check

        self.model, self.forwards, self.positions = model, 0, 0
        return check(
            lambda conditions, level, seeds: self.expand_level_parallel(
                conditions, level, self.settings.candidates, seeds
            ),
            model,
            prompts,
        )


class TableLookupSettings(Settings):
    """There is nothing to set."""


class TableLookup(FlashFloodDecoder):
    """The upper limit: expansions looked up in the hierarchy itself. Exact by construction, without a model's pass."""

    Settings = TableLookupSettings
    accompanied: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def wants(cls, settings: TableLookupSettings) -> tuple[str, ...]:
        return ()

    @classmethod
    def modules(cls, settings: TableLookupSettings) -> tuple[str, ...]:
        return (cls.__module__,)

    def __init__(self, settings: TableLookupSettings):
        super().__init__(FlashFloodSettings())

    def expand_level_parallel(self, conditions: Tensor, level: int, k: int, seeds: Tensor) -> Tensor:
        return self.model.expansion(level)[conditions - self.model.config.conditions(level)[0]]


def choose(candidates: Tensor, energies: Tensor) -> Tensor:
    """Return the candidate with the lowest energy, the first among equals: [N, K, slots], [N, K] -> [N, slots]."""
    best = energies.argmin(-1)
    return candidates[torch.arange(len(best), device=best.device), best]


def compact(grid: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the rows [B, W] without their padding, cut or filled up with the end token to [B, size]; and their
    previous lengths [B]."""
    written = grid != PAD
    columns = written.cumsum(1) - 1
    out = grid.new_full((len(grid), size + 1), EOS)
    # Padding and positions past the canvas go to one spare column.
    out.scatter_(1, torch.where(written, columns, size).clamp(max=size), grid)
    return out[:, :size].contiguous(), written.sum(1)
