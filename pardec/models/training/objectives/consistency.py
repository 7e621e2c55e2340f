"""Consistency training of an autoregressive model for Jacobi decoding, on Jacobi trajectories (CLLM, Kou et al. 2024,
arXiv:2403.00835).

Jacobi decoding guesses a window of tokens and replaces all of them in every pass. The guesses after pass 0, 1, 2, ...
are a trajectory; its end, the fixed point, is the greedy output. The model learns to write the fixed point from a state
on the way to it, so that decoding needs fewer passes. It goes on learning the outputs themselves, so that it writes as
well as before. The trajectories are those of the model that it starts from, its teacher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.training.objectives.autoregressive import guess
from pardec.models.training.objectives.base import Family

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Generator, Tensor, nn

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.base import LanguageModel
    from pardec.models.sources.train import TrainSettings
    from pardec.models.training.batches import Batch, Rows

torch = lazy("torch")


class ConsistencySettings(Settings):
    """Write the greedy output from any state of a Jacobi trajectory, and from itself."""

    family: Literal["consistency"] = "consistency"
    """The name of the family."""
    window: int = Field(16, ge=2, le=4096)
    """Tokens that a trajectory guesses at once."""
    passes: int = Field(4, ge=0, le=4096)
    """Most passes of the teacher before the state that is learned from; their number is drawn anew each step, from
    0, the first guess itself."""
    states: Literal["trajectory", "random"] = "trajectory"
    """States learned from: those of the teacher's trajectories, or wrong guesses at random (a control)."""
    autoregressive: float = Field(1.0, ge=0, le=100)
    """Weight of the autoregressive loss beside the consistency loss."""
    sequences: int = Field(1000, ge=1, le=10_000_000)
    """Training sequences that the teacher writes, at most one per training prompt."""
    new_tokens: int = Field(64, ge=2, le=65_536)
    """Most tokens per sequence; a task's canvas bounds them too."""


class Consistency(Family):
    """Causal; a plain Llama. Its teacher is the model that it starts from."""

    Settings = ConsistencySettings
    settings: ConsistencySettings
    causal = True
    taught_by = ("target",)

    def examples(
        self, folder: Path, tokenizer: TextTokenizer, settings: TrainSettings, teachers: dict[str, nn.Module]
    ) -> tuple[Rows, int | None]:
        """Return the teacher's outputs after the training prompts of the data set in `folder`, and the canvas."""
        from pardec.models.training.draft_rows import draft_rows

        self.teacher, mine = teachers["target"], self.settings
        rows, canvas = draft_rows(
            folder,
            tokenizer,
            self.teacher,
            settings.canvas,
            mine.sequences,
            mine.new_tokens,
            by_length=settings.group_by_length,
        )
        # Text has no end within a canvas: neither outputs nor trajectories write one.
        self.banned = list(self.teacher.info.ends) if canvas is None else []
        return rows, canvas

    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean cross entropy, in nats, of the outputs' tokens given a state before them, plus the weighted
        one given the outputs themselves.

        Rows are moved to the left edge, so that no padding precedes them and the causal mask alone suffices. Behind a
        state the right tokens follow its window; only the window's tokens are learned there.
        """
        columns = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
        moved = torch.zeros_like(batch.tokens[:, :1]) if batch.pad is None else batch.pad[:, None]
        tokens = batch.tokens.gather(1, (columns + moved).clamp(max=len(columns) - 1))
        starts = (batch.start - moved).clamp(min=1)
        stops = batch.start - moved + batch.lengths[:, None]
        last = int(stops.max())
        tokens, columns = tokens[:, :last], columns[:last]
        first = self._first(starts, stops, generator)
        window = (columns >= first) & (columns < first + self.settings.window) & (columns < stops)
        state = self._state(tokens, window, generator)
        loss = _cross_entropy(model, state, tokens, window)
        if self.settings.autoregressive:
            answer = (columns >= starts) & (columns < stops)
            loss = loss + self.settings.autoregressive * _cross_entropy(model, tokens, tokens, answer)
        return loss

    def _first(self, starts: Tensor, stops: Tensor, generator: Generator) -> Tensor:
        """Return the first column of a window in each row, [B, 1] long, anywhere in its output."""
        drawn = torch.rand(starts.shape, generator=generator).to(starts.device)
        return starts + (drawn * (stops - starts)).long()

    def _state(self, tokens: Tensor, window: Tensor, generator: Generator) -> Tensor:
        """Return the tokens [B, T] with a state of a trajectory within `window` [B, T] bool: guesses, after a random
        number of passes of the teacher."""
        drawn = guess(tokens, self.teacher.info.vocab_size, 1.0, generator)
        state = torch.where(window, drawn, tokens)
        count = int(torch.randint(self.settings.passes + 1, (1,), generator=generator))
        if self.settings.states == "random":
            # As many of the first guesses are right as passes would have made right at least.
            before = window.long().cumsum(1) <= count
            return torch.where(window & before, tokens, state)
        with torch.no_grad():
            for _ in range(count):
                logits = _logits(self.teacher, state, window)
                logits[..., self.banned] = -torch.inf
                state[window] = logits.argmax(-1)
        return state


def _cross_entropy(model: LanguageModel, read: Tensor, right: Tensor, where: Tensor) -> Tensor:
    """Return the mean cross entropy of the tokens `right` [B, T] at `where` [B, T] bool, given the tokens `read` [B, T]
    before each."""
    return torch.nn.functional.cross_entropy(_logits(model, read, where), right[where])


def _logits(model: LanguageModel, read: Tensor, where: Tensor) -> Tensor:
    """Return the logits [n, V] of the tokens at `where` [B, T] bool, never in its first column, given the tokens `read`
    before each."""
    columns = where.any(0).nonzero()[:, 0]
    first, stop = int(columns[0]), int(columns[-1]) + 1
    logits = model(read[:, : stop - 1], keep=slice(first - 1, None))
    return logits[where[:, first:stop]]
