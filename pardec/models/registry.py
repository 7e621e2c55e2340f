"""Model families and model sources, by name. A new one is one file and one line here."""

from __future__ import annotations

from pardec.common.registry import Registry

FAMILIES = Registry(
    "model family",
    {
        "autoregressive": "pardec.models.training.objectives.autoregressive:Autoregressive",
        "masked_diffusion": "pardec.models.training.objectives.masked_diffusion:MaskedDiffusion",
        "block_diffusion": "pardec.models.training.objectives.block_diffusion:BlockDiffusion",
        "draft": "pardec.models.training.objectives.draft:Draft",
        "consistency": "pardec.models.training.objectives.consistency:Consistency",
        "markov_draft": "pardec.models.training.objectives.markov_draft:MarkovHead",
        "selector_draft": "pardec.models.training.objectives.selector_draft:SelectorHead",
        "renderer": "pardec.models.training.objectives.renderer:RendererFamily",
    },
)

ARCHITECTURES = Registry(
    "model architecture",
    {
        "LlamaForCausalLM": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "Qwen2ForCausalLM": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "Qwen3ForCausalLM": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "LLaDAModelLM": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "DreamModel": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "Fast_dLLM_QwenForCausalLM": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "SDARForCausalLM": "pardec.models.checkpoints.backbone:BackboneCheckpoint",
        "GPT2LMHeadModel": "pardec.models.checkpoints.gpt2:GPT2Checkpoint",
        "DFlashDraftModel": "pardec.models.checkpoints.draft:DraftCheckpoint",
        "DFlashMarkovDraftModel": "pardec.models.checkpoints.markov:MarkovCheckpoint",
        "DFlash2DraftModel": "pardec.models.checkpoints.dflash2:DFlash2Checkpoint",
        "FractalRenderer": "pardec.models.checkpoints.renderer:RendererCheckpoint",
    },
)
"""How the model of a folder is read and written, by the first of `architectures` in its config.json; `model` is its
class."""

FORMATS = Registry(
    "checkpoint format",
    {
        "llama": "pardec.models.checkpoints.formats.llama:Llama",
        "qwen2": "pardec.models.checkpoints.formats.qwen2:Qwen2",
        "qwen3": "pardec.models.checkpoints.formats.qwen3:Qwen3",
        "llada": "pardec.models.checkpoints.formats.llada:Llada",
        "Dream": "pardec.models.checkpoints.formats.dream:Dream",
        "Fast_dLLM_Qwen": "pardec.models.checkpoints.formats.fast_dllm:FastDllm",
        "sdar": "pardec.models.checkpoints.formats.sdar:Sdar",
        "gpt2": "pardec.models.checkpoints.formats.gpt2:GPT2Format",
        "DFlashDraftModel": "pardec.models.checkpoints.formats.dflash:DFlash",
        "DFlashMarkovDraftModel": "pardec.models.checkpoints.formats.markov:Markov",
        "DFlash2DraftModel": "pardec.models.checkpoints.formats.dflash2:DFlash2",
        "FractalRenderer": "pardec.models.checkpoints.formats.renderer:RendererFormat",
    },
)
"""Formats of config.json, by `model_type`, or by architecture where that alone decides."""

ENGINES = Registry(
    "engine",
    {
        "compiled": "pardec.models.engines.registry:compile_model",
        "packed": "pardec.models.engines.packed:pack_model",
    },
)
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
        "adapt": "pardec.models.sources.adapt:AdaptSettings",
        "path": "pardec.models.sources.path:PathSettings",
        "hub": "pardec.models.sources.hub:HubSettings",
        "package": "pardec.models.sources.package:PackageSettings",
        "random": "pardec.models.sources.random:RandomSettings",
    },
)
