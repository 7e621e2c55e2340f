"""Model families and model sources, by name. A new one is one file and one line here."""

from __future__ import annotations

from pardec.common.registry import Registry

FAMILIES = Registry(
    "model family",
    {
        "autoregressive": "pardec.models.families.autoregressive:Autoregressive",
        "masked_diffusion": "pardec.models.families.masked_diffusion:MaskedDiffusion",
    },
)

ARCHITECTURES = Registry(
    "model architecture",
    {
        "LlamaForCausalLM": "pardec.models.backbone:Backbone",
    },
)
"""Classes by the first of `architectures` in config.json; each has `load(folder, device, dtype)` and `save(folder)`."""

SOURCES = Registry(
    "model source",
    {
        "train": "pardec.models.sources.train:TrainSettings",
        "path": "pardec.models.sources.path:PathSettings",
        "hub": "pardec.models.sources.hub:HubSettings",
        "random": "pardec.models.sources.random:RandomSettings",
    },
)
