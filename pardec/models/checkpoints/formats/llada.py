"""LLaDA-8B (Nie et al. 2025, arXiv:2502.09992) and LLaDA 1.5: a bidirectional Llama under OLMo's names.

Its `block_type` "llama" has separate projections; the activation is applied to `ff_proj`, which is Llama's
gate. The model's own output head is called `ff_out`, as the last projection of each layer is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.models.checkpoints.formats.base import Format, Values, first, further, head_width, reading, refuse

if TYPE_CHECKING:
    from pardec.models.architectures.config import BackboneConfig

ROOT = "model.transformer"
OUTER = {
    "model.embed_tokens.weight": f"{ROOT}.wte.weight",
    "model.norm.weight": f"{ROOT}.ln_f.weight",
    "lm_head.weight": f"{ROOT}.ff_out.weight",
}
INNER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}
PLAIN = {
    "block_type": ("llama",),
    "layer_norm_type": ("rms",),
    "activation_type": ("silu",),
    "rope": (True,),
    "alibi": (False,),
    "include_bias": (False,),
    "include_qkv_bias": (None, True, False),
    "attention_layer_norm": (False,),
    "input_emb_norm": (False,),
    "scale_logits": (False,),
    "block_group_size": (1,),
    "clip_qkv": (None,),
}
"""What its code could also do and the published models do not."""


class Llada(Format):
    """`llada`, in the names of OLMo, from which it descends."""

    @reading
    def read(cls, values: Values, where: str) -> BackboneConfig:
        from pardec.models.architectures.config import BackboneConfig

        refuse(values, where, PLAIN)
        heads, hidden = values["n_heads"], values["d_model"]
        by_query = 1 if values.get("multi_query_attention") else heads
        mlp = values.get("mlp_hidden_size") or values["mlp_ratio"] * hidden
        return BackboneConfig(
            # The table may have more rows than the tokenizer has tokens, so that its size suits the device.
            vocab_size=values.get("embedding_size") or values["vocab_size"],
            hidden=hidden,
            layers=values["n_layers"],
            heads=heads,
            kv_heads=values.get("n_kv_heads") or by_query,
            head_dim=head_width({}, hidden, heads, where),
            mlp=mlp,
            max_positions=values["max_sequence_length"],
            causal=False,
            tied=bool(values.get("weight_tying", False)),
            rope_theta=values.get("rope_theta", 10_000.0),
            norm_eps=values.get("rms_norm_eps", 1e-5),
            rope_float32=bool(values.get("rope_full_precision", True)),
            bos_id=values.get("bos_token_id"),
            eos_id=first(values.get("eos_token_id")),
            stop_ids=further(values.get("eos_token_id")),
            pad_id=first(values.get("pad_token_id")) or 0,
            mask_id=values["mask_token_id"],
            qkv_bias=bool(values.get("include_qkv_bias")),
            family="masked_diffusion",
        )

    @classmethod
    def name(cls, llama: str) -> str:
        if llama in OUTER:
            return OUTER[llama]
        _, _, layer, rest = llama.split(".", 3)
        inner, kind = rest.rsplit(".", 1)
        return f"{ROOT}.blocks.{layer}.{INNER[inner]}.{kind}"
