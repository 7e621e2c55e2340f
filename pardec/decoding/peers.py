"""Input and output of other libraries' decoders: prompts without padding, rows of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.base import Decoded, Observer, PromptBatch
from pardec.decoding.batching import count_useful, filler
from pardec.models.registry import ENGINES

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


def on_engine(twin: Any, engine: str, device: str) -> Any:
    """Return another library's model on the engine of the arm, where that is more than a choice of its own loop."""
    return ENGINES.load(engine)(twin, device) if engine == "packed" else twin


def unpadded(prompts: PromptBatch) -> list[list[int]]:
    """Return the tokens of each prompt without its padding."""
    return [row[left:] for row, left in zip(prompts.tokens.tolist(), prompts.pad.tolist(), strict=True)]


def reported_at_the_end(
    model: LanguageModel,
    prompts: PromptBatch,
    written: list[list[int]],
    new_tokens: int,
    observer: Observer,
) -> Decoded:
    """Report and return the output of a library that gives a batch only once all of it is written.

    written: for each prompt its token ids, at most `new_tokens`; rows that ended early are filled to [B,
    new_tokens], as our own loop fills them.
    """
    longest = max(map(len, written))
    observer.step(torch.tensor([len(row) for row in written]), new_tokens)
    fill = filler(model.info)
    table = [row + [fill] * (new_tokens - len(row)) for row in written]
    tokens = torch.tensor(table, dtype=torch.long, device=prompts.tokens.device)
    useful = count_useful(tokens, model.info.ends)
    return Decoded(tokens, useful, nfe=longest, token_forwards=prompts.length + longest - 1)
