"""What other libraries' sequential decoders share: they take prompts as they are and write one token a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pardec.common.lazy import lazy
from pardec.decoding.autoregressive import AutoregressiveSettings, check_sampling, one_by_one
from pardec.decoding.base import Decoded, Decoder, Observer, Passes, PromptBatch
from pardec.decoding.batching import count_useful

if TYPE_CHECKING:
    from pardec.models.base import LanguageModel

torch = lazy("torch")


class Peer(Decoder):
    """An autoregressive decoder of another library, on the same weights and by the same rules as our own."""

    needs: ClassVar[str] = "causal"
    family: ClassVar[str] = "autoregressive"

    @classmethod
    def check(cls, settings: AutoregressiveSettings, new_tokens: int) -> str | None:
        return check_sampling(settings, new_tokens)

    @classmethod
    def passes(cls, settings: AutoregressiveSettings, prompt: int, new_tokens: int) -> list[Passes]:
        return one_by_one(prompt, new_tokens)


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
    """What a library wrote that tells of a batch only when all of it is there; rows that ended early are filled to
    `new_tokens`, as our own loop fills them."""
    longest = max(map(len, written))
    observer.step(longest)
    observer.block(new_tokens)
    fill = model.info.pad_id if model.info.eos_id is None else model.info.eos_id
    table = [row + [fill] * (new_tokens - len(row)) for row in written]
    tokens = torch.tensor(table, dtype=torch.long, device=prompts.tokens.device)
    useful = count_useful(tokens, model.info.ends)
    return Decoded(tokens, useful, nfe=longest, token_forwards=prompts.length + longest - 1)
