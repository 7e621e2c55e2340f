"""Our draft behind transformers' own block-drafting model and loop: an independent oracle for both."""

from __future__ import annotations

import torch

from pardec.models.draft import DraftModel
from pardec.models.draft_files import split
from pardec.models.twin import transformers_twin


def assistant_of(draft: DraftModel):
    """The draft's weights in the one block-drafting model that transformers 5.23 has, of the same architecture."""
    from transformers import MuseGlimmerAssistantConfig, MuseGlimmerAssistantModel

    config = draft.config
    shape = MuseGlimmerAssistantConfig(
        hidden_size=config.hidden,
        intermediate_size=config.mlp,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.head_dim,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        max_position_embeddings=config.max_positions,
        layer_types=["full_attention"] * config.layers,
        block_size=config.block,
        mask_token_id=config.mask_id,
        target_layer_ids=list(config.taps),
        bos_token_id=config.bos_id,
        eos_token_id=config.eos_id,
        pad_token_id=config.pad_id,
    )
    model = MuseGlimmerAssistantModel(shape)
    renamed = {"fc.weight": "encoder.fc.weight", "hidden_norm.weight": "encoder.output_norm_enc.weight"}
    state = {renamed.get(name, name): tensor for name, tensor in split(draft.state_dict()).items()}
    missing = model.load_state_dict(state, strict=True)
    assert not missing.missing_keys and not missing.unexpected_keys
    return model.to(draft.fc.dtype).eval()


def native_generate(target, draft: DraftModel, prompt: list[int], new_tokens: int) -> tuple[list[int], list[int]]:
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
            assistant_model=assistant_of(draft),
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
