"""What goes into other libraries' decoders, and what comes out: prompts without padding, rows of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.common.lazy import lazy
from pardec.decoding.base import Decoded, Observer, PromptBatch
from pardec.decoding.batching import count_useful

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


def unpadded(prompts: PromptBatch) -> list[list[int]]:
    """Each prompt's own tokens."""
    return [row[left:] for row, left in zip(prompts.tokens.tolist(), prompts.pad.tolist(), strict=True)]


def told_at_the_end(
    model: LanguageModel,
    prompts: PromptBatch,
    written: list[list[int]],
    new_tokens: int,
    observer: Observer,
) -> Decoded:
    """What a library wrote that tells of a batch only when all of it is there.

    written: a row of token ids a prompt, at most `new_tokens` of them; rows that ended early are filled to [B,
    new_tokens], as our own loop fills them.
    """
    longest = max(map(len, written))
    observer.step(longest)
    observer.block(new_tokens)
    fill = model.info.pad_id if model.info.eos_id is None else model.info.eos_id
    table = [row + [fill] * (new_tokens - len(row)) for row in written]
    tokens = torch.tensor(table, dtype=torch.long, device=prompts.tokens.device)
    useful = count_useful(tokens, model.info.ends)
    return Decoded(tokens, useful, nfe=longest, token_forwards=prompts.length + longest - 1)
