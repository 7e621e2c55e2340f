"""Where a draft is cut short, and the truncation that the README adds."""

from __future__ import annotations

import torch

from pardec.decoding.speculative.base import Draft
from pardec.decoding.speculative.registry import TRUNCATIONS
from tests.reference.drafts import draft_of


def test_a_draft_is_cut_behind_its_end():
    kind = TRUNCATIONS.load("eos")
    cut = kind(kind.Settings())
    assert cut.keep(Draft(torch.tensor([[5, 2, 7, 2]])), (2,)) == 2
    assert cut.keep(Draft(torch.tensor([[5, 2, 7], [5, 6, 7]])), (2,)) == 3
    assert cut.keep(Draft(torch.tensor([[5, 9, 7]])), (2, 9)) == 2


def test_a_draft_is_cut_where_belief_ends():
    kind = TRUNCATIONS.load("adaptive")
    draft = draft_of({4: 0.9}, {5: 0.8}, {6: 0.5}, {7: 0.9})
    draft._probabilities = draft.logits.exp()
    for threshold, size in ((0.0, 4), (0.3, 4), (0.35, 3), (0.5, 2), (0.95, 1)):
        assert kind(kind.Settings(threshold=threshold)).keep(draft, ()) == size
