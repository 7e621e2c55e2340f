"""The folder of a block draft with a Markov head: a DFlash draft's, with the head's tables under DSpark's names."""

from __future__ import annotations

from dataclasses import replace

from pardec.models.architectures.markov import MarkovDraft
from pardec.models.checkpoints.draft import NAMES, DraftCheckpoint
from pardec.models.checkpoints.formats.markov import Markov

HEAD = {"before": "markov_w1.weight", "after": "markov_w2.weight"}


class MarkovCheckpoint(DraftCheckpoint):
    model = MarkovDraft
    format = Markov
    names = replace(NAMES, outer={**NAMES.outer, **HEAD})
