"""Fast-dLLM's loop with a dual cache, as its paper describes it: what our cached sampler is timed against.

Wu et al., "Fast-dLLM" (2025), arXiv:2505.22618, algorithm 1: a full pass at the start of each block fills the cache,
later passes forward the block alone. Logits are computed at every position of a pass and ranked by a softmax in
float64, each row commits in a loop of its own, and the host asks before each pass whether anything is masked. The
passes are those of our model, so both loops run the same weights on the same kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pardec.decoding.base import SILENT, Decoded, Observer, PromptBatch
from pardec.decoding.batching import count_useful
from pardec.decoding.masked_diffusion import schedule
from pardec.models.architectures.attention import Layout
from pardec.models.architectures.backbone import Backbone


@torch.inference_mode()
def decode(
    model: Backbone,
    prompts: PromptBatch,
    new_tokens: int,
    block: int,
    steps: int,
    observer: Observer = SILENT,
) -> Decoded:
    """Return what the loop writes in `steps` passes, shared equally by the blocks. Prompts have one length."""
    first, mask = prompts.length, model.info.mask_id
    assert mask is not None
    blank = prompts.tokens.new_full((prompts.size, new_tokens), mask)
    canvas = torch.cat([prompts.tokens, blank], 1)
    width, passes, forwarded = canvas.shape[1], 0, 0
    observer.start()
    cache = model.new_cache(prompts.size, width)
    for start in range(first, width, block):
        region = canvas[:, start : start + block]
        columns = torch.arange(start, start + block, device=canvas.device)[None]
        for number, share in enumerate(schedule(block, steps * block // new_tokens)):
            if number and not bool((region == mask).any()):
                break
            if number == 0:
                cache.crop(0)
                logits = model(canvas, cache=cache)[:, start : start + block]
            else:
                cache.crop(start)
                logits = model(region, cache=cache, layout=Layout(columns, None, width))
            commit(region, logits, mask, share)
            observer.step(share)
            passes += 1
            forwarded += block if number else width
    output = canvas[:, first:].clone()
    return Decoded(output, count_useful(output, model.info.ends), passes, forwarded)


def commit(region: Tensor, logits: Tensor, mask: int, share: int) -> None:
    """Commit the `share` surest tokens of each row of `region` [B, L], changed in place."""
    logits[..., mask] = -torch.inf
    token = logits.argmax(-1)
    chance = logits.double().softmax(-1).gather(-1, token[..., None])[..., 0]
    chance = chance.masked_fill(region != mask, -torch.inf)
    for row in range(len(region)):
        surest = chance[row].topk(share).indices
        region[row, surest] = token[row, surest]
