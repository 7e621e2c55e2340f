"""Model families and model sources, by name. A new one is one file and one line here."""

from __future__ import annotations

from pardec.common.registry import Registry

FAMILIES = Registry(
    "model family",
    {
        "autoregressive": "pardec.models.training.objectives.autoregressive:Autoregressive",
        "masked_diffusion": "pardec.models.training.objectives.masked_diffusion:MaskedDiffusion",
        "draft": "pardec.models.training.objectives.draft:Draft",
        "renderer": "pardec.models.training.objectives.renderer:RendererFamily",
    },
)

ARCHITECTURES = Registry(
    "model architecture",
    {
        "LlamaForCausalLM": "pardec.models.architectures.backbone:Backbone",
        "Qwen2ForCausalLM": "pardec.models.architectures.backbone:Backbone",
        "Qwen3ForCausalLM": "pardec.models.architectures.backbone:Backbone",
        "LLaDAModelLM": "pardec.models.architectures.backbone:Backbone",
        "DreamModel": "pardec.models.architectures.backbone:Backbone",
        "GPT2LMHeadModel": "pardec.models.architectures.gpt2:GPT2",
        "DFlashDraftModel": "pardec.models.architectures.draft:DraftModel",
        "FractalRenderer": "pardec.models.architectures.renderer:Renderer",
    },
)
"""Classes by the first of `architectures` in config.json; each has `load(folder, device, dtype)` and `save(folder)`."""

FORMATS = Registry(
    "checkpoint format",
    {
        "llama": "pardec.models.checkpoints.formats.llama:Llama",
        "qwen2": "pardec.models.checkpoints.formats.qwen2:Qwen2",
        "qwen3": "pardec.models.checkpoints.formats.qwen3:Qwen3",
        "llada": "pardec.models.checkpoints.formats.llada:Llada",
        "Dream": "pardec.models.checkpoints.formats.dream:Dream",
    },
)
"""Formats that a backbone is read from, by `model_type` in config.json: fields, and names of the weights."""

ENGINES = Registry("engine", {"compiled": "pardec.models.engines.compiled:compile_model"})
"""What runs a loaded model otherwise than as plain modules (engine `eager`), by name: (model, device) -> model."""

QUANTISATIONS = Registry(
    "quantisation",
    {
        "int8": "pardec.models.engines.quantise:quantise",
        "int4": "pardec.models.engines.quantise:quantise",
    },
)
"""What quantises the weights of a loaded model, by `quantise` in its config.json: (model, how) -> model."""

SOURCES = Registry(
    "model source",
    {
        "train": "pardec.models.sources.train:TrainSettings",
        "path": "pardec.models.sources.path:PathSettings",
        "hub": "pardec.models.sources.hub:HubSettings",
        "random": "pardec.models.sources.random:RandomSettings",
    },
)
