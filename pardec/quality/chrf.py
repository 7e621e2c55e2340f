"""chrF: character n-gram F-score against the real continuation (Popovic 2015)."""

from __future__ import annotations

from typing import Any

from pardec.quality.reference import ReferenceMetric


class Chrf(ReferenceMetric):
    """chrF2 with character 6-grams, as sacrebleu computes it."""

    name = "chrf"
    title = "chrF"

    def scorer(self, sentence: bool) -> Any:
        from sacrebleu.metrics import CHRF

        return CHRF()
