"""Model families and model sources, by name. A new one is one file and one line here."""

from __future__ import annotations

from pardec.common.registry import Registry

FAMILIES = Registry(
    "model family",
    {
        "autoregressive": "pardec.models.families.autoregressive:Autoregressive",
        "masked_diffusion": "pardec.models.families.masked_diffusion:MaskedDiffusion",
        "draft": "pardec.models.families.draft:Draft",
        "renderer": "pardec.models.families.renderer:RendererFamily",
    },
)

ARCHITECTURES = Registry(
    "model architecture",
    {
        "LlamaForCausalLM": "pardec.models.backbone:Backbone",
        "Qwen2ForCausalLM": "pardec.models.backbone:Backbone",
        "Qwen3ForCausalLM": "pardec.models.backbone:Backbone",
        "LLaDAModelLM": "pardec.models.backbone:Backbone",
        "DreamModel": "pardec.models.backbone:Backbone",
        "GPT2LMHeadModel": "pardec.models.gpt2:GPT2",
        "DFlashDraftModel": "pardec.models.draft:DraftModel",
        "FractalRenderer": "pardec.models.renderer:Renderer",
    },
)
"""Classes by the first of `architectures` in config.json; each has `load(folder, device, dtype)` and `save(folder)`."""

FORMATS = Registry(
    "checkpoint format",
    {
        "llama": "pardec.models.formats.llama:Llama",
        "qwen2": "pardec.models.formats.qwen2:Qwen2",
        "qwen3": "pardec.models.formats.qwen3:Qwen3",
        "llada": "pardec.models.formats.llada:Llada",
        "Dream": "pardec.models.formats.dream:Dream",
    },
)
"""Formats that a backbone is read from, by `model_type` in config.json: fields, and names of the weights."""

SOURCES = Registry(
    "model source",
    {
        "train": "pardec.models.sources.train:TrainSettings",
        "path": "pardec.models.sources.path:PathSettings",
        "hub": "pardec.models.sources.hub:HubSettings",
        "random": "pardec.models.sources.random:RandomSettings",
    },
)
