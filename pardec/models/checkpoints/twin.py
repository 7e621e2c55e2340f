"""A model's twin in transformers: the same weights (the same memory, where it can be) behind LlamaForCausalLM, or its
descendant for Qwen's biases or norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pardec.common.errors import UserError
from pardec.models.architectures.base import LanguageModel
from pardec.models.architectures.config import BackboneConfig
from pardec.models.checkpoints import backbone
from pardec.models.checkpoints.configs import config_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def transformers_twin(model: LanguageModel) -> PreTrainedModel:
    """Return the model as a LlamaForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM on the same device and in the same
    precision, in evaluation mode.

    Raises:
        UserError: the model has no equivalent there (it is bidirectional, or has learned positions).
    """
    import transformers

    config = getattr(model, "config", None)
    if not isinstance(config, BackboneConfig) or not config.causal:
        raise _no_twin(model, "only causal Llama models have one")
    if model.info.matmul_bytes is not None:
        raise _no_twin(model, "its weights are quantised")
    state = backbone.split(model.state_dict(), config)
    weight = state[backbone.OUTER["embedding"]]
    if config.tied:
        state[backbone.OUTER["head"]] = weight
    name = "Qwen3" if config.qk_norm else "Qwen2" if config.qkv_bias else "Llama"
    values = {key: value for key, value in config_json(config).items() if key not in ("dtype", "model_type")}
    shape = getattr(transformers, f"{name}Config")(**values)
    # Weights are shared, not copied into newly drawn ones; only the rotary table must be computed.
    with torch.device("meta"):
        twin = getattr(transformers, f"{name}ForCausalLM")(shape)
    if state.keys() != twin.state_dict().keys():
        raise _no_twin(model, f"it has weights that a {name} model has not")
    twin.load_state_dict(state, assign=True)
    twin.model.rotary_emb = type(twin.model.rotary_emb)(shape).to(weight.device)
    return twin.requires_grad_(False).eval()


def _no_twin(model: LanguageModel, why: str) -> UserError:
    return UserError(
        f"decoder transformers_generate on {type(model).__name__}",
        f"the model has no form in transformers: {why}",
        "use the autoregressive decoder for this model",
    )
