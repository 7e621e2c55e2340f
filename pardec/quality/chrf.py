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

        class Stable(CHRF):
            """Gives scores of one type in resamples: sacrebleu gives float32, and float for those without a match, of
            which Python takes no mean."""

            def _compute_score_from_stats(self, stats: Any) -> Any:
                score = super()._compute_score_from_stats(stats)
                if hasattr(stats, "dtype"):
                    score.score = stats.dtype.type(score.score)
                return score

        return Stable()
