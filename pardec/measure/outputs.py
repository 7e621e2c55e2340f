"""Output tokens for a cell's record, and the margins of their choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pardec.decoding.registry import drafts
from pardec.measure.sampling import Series


def written(side: Any, partner: Any | None, series: Series, ids: Sequence[str]) -> list[dict]:
    """Return the output tokens by prompt, each from its last timed generation by a `Side` of a cell.

    partner: the other side. In a format shorter than float32, and if either side drafts, a plain pass adds for each
    greedy output the margins of its choices and the largest gap between best and chosen logit: {"margins": nats per
    token, up to the end token, "behind_ulp": units in the last place}.
    """
    near_ties = _rounding_decides(side, partner)
    outputs = []
    for row, tokens in sorted(series.outputs.items()):
        output = {"prompt": ids[row], "tokens": tokens.tolist()}
        outputs.append(output | (_near_ties(side, row, tokens) if near_ties else {}))
    return outputs


def _rounding_decides(side: Any, partner: Any | None) -> bool:
    """Return whether two tokens with almost equal logits may swap without a fault. In float32 tokens must be the
    target's."""
    from pardec.models.architectures.base import LanguageModel

    return (
        side.spec.precision != "float32"
        and any(drafts(one.arm.decoder) for one in (side, partner) if one is not None)
        and not getattr(side.decoder.settings, "temperature", 0)
        and isinstance(side.model, LanguageModel)
        and side.model.info.attention == "causal"
    )


def _near_ties(side: Any, row: int, tokens: Any) -> dict[str, Any]:
    from pardec.decoding.batching import count_useful
    from pardec.decoding.divergence import plain_pass

    info, batch = side.model.info, side.batch([row])
    banned = info.ends if getattr(side.decoder.settings, "eos", "free") == "ban" else ()
    # Tokens after the end token fill the row; the end token itself was a choice.
    stop = int(count_useful(tokens[None], info.ends)[0]) + 1
    # Outputs differ in length: a compiled model would compile a graph for each.
    model, written = side.model.uncompiled(), tokens[:stop].to(batch.tokens.device)
    facts = plain_pass(model, batch.tokens, written, banned, batch.pad)
    return {"margins": facts.margins, "behind_ulp": facts.behind_ulp}
