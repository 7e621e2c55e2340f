"""The folder of a DFlash 2 draft: a DFlash draft's, with convolutions and a selector under the published names."""

from __future__ import annotations

from dataclasses import replace

from pardec.models.architectures.dflash2 import DFlash2Draft
from pardec.models.checkpoints.draft import NAMES, DraftCheckpoint
from pardec.models.checkpoints.formats.dflash2 import DFlash2

SELECTOR = {
    "before": "candidate_selector.predecessor_codebook",
    "after": "candidate_selector.successor_codebook",
    "gate": "candidate_selector.hidden_projection.weight",
}
CONVOLUTIONS = {
    f"{part}_{ours}": [f"{part}_conv.{theirs}"]
    for part in ("attention", "mlp")
    for ours, theirs in (("fixed", "base_kernel"), ("changes", "kernel_projection.weight"))
}


class DFlash2Checkpoint(DraftCheckpoint):
    model = DFlash2Draft
    format = DFlash2
    names = replace(NAMES, outer={**NAMES.outer, **SELECTOR}, inner={**NAMES.inner, **CONVOLUTIONS})
