"""Text against one reference each, by sacrebleu (Post 2018): the common base of chrF and BLEU."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from pardec.quality.base import Context, Metric, Scored

RESAMPLES = 1000


class ReferenceMetric(Metric):
    """The corpus score, its interval by sacrebleu's seeded bootstrap over prompts, and sentence scores."""

    better = "higher"
    unit = "points of 100"
    span = 100.0
    margin = 2.0
    """Approximately the smallest difference of two systems that readers notice (Kocmi et al. 2024)."""
    needs = frozenset({"answer"})

    @abstractmethod
    def scorer(self, sentence: bool) -> Any:
        """Return a new sacrebleu metric, for single sentences or for the corpus."""

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        texts = [row["text"] for row in outputs]
        answers = [row["answer"] for row in outputs]
        sentence = self.scorer(sentence=True)
        per_prompt = [
            sentence.sentence_score(text, [answer]).score for text, answer in zip(texts, answers, strict=True)
        ]
        corpus = self.scorer(sentence=False)
        several = len(texts) > 1
        score = corpus.corpus_score(texts, [answers], n_bootstrap=RESAMPLES if several else 1)
        context.facts[self.name] = {"signature": str(corpus.get_signature())}
        # sacrebleu keeps the centre and half width of its interval under these names.
        low, high = (score._mean - score._ci, score._mean + score._ci) if several else (None, None)
        return Scored(score.score, low, high, len(texts), per_prompt)
