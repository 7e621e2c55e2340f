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

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, Passes, PromptBatch
from pardec.decoding.block_run import Run
from pardec.decoding.commits import CommitSettings, commit_trouble

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


class BlockDiffusionSettings(CommitSettings):
    """A canvas filled block by block, with the keys and values of finished blocks in a cache."""

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
    """Fills blocks from left to right, each by masked diffusion, with an exact cache of finished blocks."""

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
