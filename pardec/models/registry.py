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

SOURCES = Registry(
    "model source",
    {
        "train": "pardec.models.sources.train:TrainSettings",
        "path": "pardec.models.sources.path:PathSettings",
        "hub": "pardec.models.sources.hub:HubSettings",
        "random": "pardec.models.sources.random:RandomSettings",
    },
)
