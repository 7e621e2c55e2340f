"""transformers' own block-drafting loop on our models: an independent oracle."""

from __future__ import annotations

import torch

from pardec.models.architectures.draft import DraftModel
from pardec.models.checkpoints.draft_twin import transformers_draft
from pardec.models.checkpoints.twin import transformers_twin


def native_generate(
    target, draft: DraftModel, prompt: list[int], new_tokens: int
) -> tuple[list[int], list[int]]:
    """What transformers' own loop writes with this draft, and how many tokens each of its verifications committed."""
    from transformers import GenerationConfig

    twin = transformers_twin(target).eval()
    twin.generation_config = GenerationConfig(bos_token_id=None, eos_token_id=None, pad_token_id=0)
    passes: list[int] = []
    handle = twin.register_forward_pre_hook(
        lambda _, args, kwargs: passes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    committed: list[int] = []

    class Told:
        def __call__(self, input_ids, scores, **_):
            committed.append(input_ids.shape[1])
            return torch.zeros(1, dtype=torch.bool)

    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = twin.generate(
            ids,
            assistant_model=transformers_draft(draft),
            generation_config=GenerationConfig(
                max_new_tokens=new_tokens,
                do_sample=False,
                use_cache=True,
                speculation_type="dflash",
                eos_token_id=None,
                pad_token_id=0,
            ),
            stopping_criteria=[Told()],
        )
    handle.remove()
    written = [stop - start for start, stop in zip([len(prompt), *committed], committed, strict=False)]
    return out[0, len(prompt) :].tolist(), written
