"""The draft as it is: one path."""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Proposal
from pardec.decoding.speculative.tree import Tree, chain_shape


class ChainSettings(Settings):
    """Verify the drafted block itself."""

    name: Literal["chain"] = "chain"
    """The name of the proposal."""


class Chain(Proposal):
    Settings = ChainSettings

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        return Tree(chain_shape(len(draft), str(draft.tokens.device)), draft.tokens, draft.laws)
