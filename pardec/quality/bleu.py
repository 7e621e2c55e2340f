"""BLEU: word n-gram precision against the real continuation (Papineni et al. 2002)."""

from __future__ import annotations

from typing import Any

from pardec.quality.reference import ReferenceMetric


class Bleu(ReferenceMetric):
    """BLEU-4 with the 13a tokenizer, as sacrebleu computes it; sentence scores use the effective order."""

    name = "bleu"
    title = "BLEU"

    def scorer(self, sentence: bool) -> Any:
        from sacrebleu.metrics import BLEU

        return BLEU(effective_order=sentence)
