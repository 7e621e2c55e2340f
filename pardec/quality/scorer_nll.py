"""Likelihood of generated text under a held-out autoregressive model, the scorer."""

from __future__ import annotations

from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored, mean_of, required


class ScorerNLL(Metric):
    """Nats per token of an output after its prompt, under the scorer; the mean over prompts.

    The text is encoded by the scorer's tokenizer, so outputs of any model are comparable. Repetitive text scores well:
    read distinct-n beside it. An empty output has no score. The interval is a bootstrap over prompts.
    """

    name = "scorer_nll"
    title = "NLL under the scorer"
    better = "lower"
    unit = "nats/token"
    margin = 0.1
    """A tenth more perplexity (e^0.1 = 1.105)."""
    needs = frozenset({"scorer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        from pardec.quality.autoregressive import answer_nats

        tokenizer = required(context.scorer_tokenizer)
        encoded = {row["id"]: tokenizer.encode_pair(row["prompt"], row["text"], end=False) for row in outputs}
        scorable = {name: pair for name, pair in encoded.items() if all(pair)}
        prompts, texts = zip(*scorable.values(), strict=True) if scorable else ((), ())
        nats = dict(zip(scorable, answer_nats(required(context.scorer), prompts, texts), strict=True))

        def mean_nats(row: dict) -> float | None:
            return sum(nats[row["id"]]) / len(nats[row["id"]]) if row["id"] in nats else None

        return mean_of(outputs, mean_nats, context.seed)
