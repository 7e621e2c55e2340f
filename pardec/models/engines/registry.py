"""The engine `compiled`: the static form of each architecture that has one."""

from __future__ import annotations

from typing import Any

from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.dflash2 import DFlash2Draft
from pardec.models.architectures.draft import DraftModel
from pardec.models.architectures.markov import MarkovDraft
from pardec.models.engines.compiled import StaticBackbone, refuse_platform
from pardec.models.engines.compiled_draft import StaticDFlash2, StaticDraft, StaticMarkov

STATIC: dict[type, Any] = {
    Backbone: StaticBackbone,
    DraftModel: StaticDraft,
    MarkovDraft: StaticMarkov,
    DFlash2Draft: StaticDFlash2,
}
"""Architectures and their compiled forms."""


def compile_model(model: Any, device: str) -> Any:
    """Return `model` on the engine `compiled`.

    Raises:
        NotImplementedError: the machine cannot compile, or the model has no static form.
    """
    refuse_platform(device)
    if type(model) not in STATIC:
        raise NotImplementedError(f"engine compiled: {type(model).__name__} has no static form")
    return STATIC[type(model)].of(model, device)
