"""How masked diffusion revises committed tokens: it replaces them, or masks them again.

- `edit`: a pass replaces a token by one that it finds probable (Bie et al. 2026, LLaDA 2.1, arXiv:2602.08676).
- `remask`: a pass masks the least confident tokens again (Wang et al. 2025, ReMDM, arXiv:2503.00307). ReMDM draws them
  with a probability; here their number is fixed.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy
from pardec.decoding.commits import above

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


def editable(region: Tensor, choice: Tensor, ranked: Tensor, threshold: float, mask: int) -> Tensor:
    """Return which committed tokens of `region` are replaced by `choice`, [B, L] bool.

    region, choice: [B, L] tokens. ranked: [B, L], the surprisal of `choice` in nats. threshold: the probability above
    which a token is replaced. mask: the mask token.
    """
    return (region != mask) & (choice != region) & above(ranked, threshold, "low_confidence")


def mask_again(region: Tensor, doubt: Tensor, count: int, mask: int) -> Tensor:
    """Mask the `count` tokens of each row of `region` that were committed with the most doubt; return where, [B, L]
    bool.

    region: [B, L], changed in place. doubt: [B, L], the rank with which each token was committed, -inf where none was;
    changed in place. mask: the mask token.
    """
    first = doubt.sort(dim=1, descending=True, stable=True).indices[:, :count]
    chosen = torch.zeros_like(doubt, dtype=torch.bool).scatter_(1, first, True) & (doubt > -inf)
    region.masked_fill_(chosen, mask)
    doubt.masked_fill_(chosen, -inf)
    return chosen
