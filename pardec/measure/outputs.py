"""Output tokens for a cell's record, and the margins of their choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pardec.decoding.registry import drafts
from pardec.measure.sampling import Series


def written(side: Any, partner: Any | None, series: Series, ids: Sequence[str]) -> list[dict]:
    """Return the output tokens by prompt, each from its last timed generation by a `Side` of a cell.

    partner: the other side. A plain pass adds to each greedy output of a side that drafts {"entropy": nats of the
    target's predictions, mean over the tokens}. In a format shorter than float32, and if either side drafts, it adds
    the margins of its choices and the largest gap between best and chosen logit: {"margins": nats per token, up to the
    end token, "behind_ulp": units in the last place}; in float32 tokens must be the target's.
    """
    mine, rounds = drafts(side.arm.decoder), side.spec.precision != "float32"
    either = mine or (partner is not None and drafts(partner.arm.decoder))
    wanted = (["entropy"] if mine else []) + (["margins", "behind_ulp"] if rounds and either else [])
    outputs = []
    for row, tokens in sorted(series.outputs.items()):
        output = {"prompt": ids[row], "tokens": tokens.tolist()}
        if wanted and _causal_and_greedy(side):
            facts = _plain(side, row, tokens)
            output |= {name: getattr(facts, name) for name in wanted}
        outputs.append(output)
    return outputs


def _causal_and_greedy(side: Any) -> bool:
    from pardec.models.architectures.base import LanguageModel

    return (
        not getattr(side.decoder.settings, "temperature", 0)
        and isinstance(side.model, LanguageModel)
        and side.model.info.attention == "causal"
    )


def _plain(side: Any, row: int, tokens: Any) -> Any:
    from pardec.decoding.batching import count_useful
    from pardec.decoding.divergence import plain_pass

    info, batch = side.model.info, side.batch([row])
    banned = info.ends if getattr(side.decoder.settings, "eos", "free") == "ban" else ()
    # Tokens after the end token fill the row; the end token itself was a choice.
    stop = int(count_useful(tokens[None], info.ends)[0]) + 1
    # Outputs differ in length: a compiled model would compile a graph for each.
    model, written = side.model.uncompiled(), tokens[:stop].to(batch.tokens.device)
    return plain_pass(model, batch.tokens, written, banned, batch.pad)
