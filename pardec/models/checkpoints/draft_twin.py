"""A draft's twin in transformers, for the block-drafting loop of that library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.common.errors import UserError
from pardec.models.architectures.draft import DraftModel
from pardec.models.checkpoints.draft import NAMES

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def transformers_draft(model: DraftModel) -> PreTrainedModel:
    """Return the draft's weights in the one block-drafting model that transformers 5.23 has, of the same architecture,
    for `generate(assistant_model=..., speculation_type="dflash")`; on the same device and in the same precision.

    Raises:
        UserError: the draft has no norms of queries and keys, which that model always has.
    """
    from transformers import MuseGlimmerAssistantConfig, MuseGlimmerAssistantModel

    config = model.config
    if not config.qk_norm:
        raise UserError(
            "draft", "has no form in transformers: it norms no queries and keys", "use our own loop"
        )
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
    twin = MuseGlimmerAssistantModel(shape)
    renamed = {"fc.weight": "encoder.fc.weight", "hidden_norm.weight": "encoder.output_norm_enc.weight"}
    state = {renamed.get(name, name): tensor for name, tensor in NAMES.split(model.state_dict()).items()}
    twin.load_state_dict(state, strict=True)
    return twin.to(model.fc.device, model.fc.dtype).requires_grad_(False).eval()
