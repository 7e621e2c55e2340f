"""A model's twin in transformers: the same weights (the same memory, where it can be) behind
LlamaForCausalLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pardec.common.errors import UserError
from pardec.models import names
from pardec.models.base import LanguageModel

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


def transformers_twin(model: LanguageModel) -> LlamaForCausalLM:
    """The model as a LlamaForCausalLM on the same device and in the same precision, in evaluation mode.

    Raises:
        UserError: the model is no plain causal Llama (it looks both ways, or learned positions of its own).
    """
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = getattr(model, "config", None)
    if config is None or not config.causal:
        raise _no_twin(model, "only causal Llama models have one")
    state = names.split(model.state_dict(), config)
    weight = state[names.OUTER["embedding"]]
    if config.tied:
        state[names.OUTER["head"]] = weight
    shape = LlamaConfig(**{key: value for key, value in config.to_json().items() if key != "dtype"})
    # Weights are taken as they are, not copied into freshly drawn ones; the rotary table is all that must be
    # computed.
    with torch.device("meta"):
        twin = LlamaForCausalLM(shape)
    if state.keys() != twin.state_dict().keys():
        raise _no_twin(model, "it has weights that a Llama model has not")
    twin.load_state_dict(state, assign=True)
    twin.model.rotary_emb = LlamaRotaryEmbedding(shape).to(weight.device)
    return twin.requires_grad_(False).eval()


def _no_twin(model: LanguageModel, why: str) -> UserError:
    return UserError(
        f"decoder transformers_generate on {type(model).__name__}",
        f"the model has no form in transformers: {why}",
        "use the autoregressive decoder for this model",
    )
