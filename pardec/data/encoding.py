"""Prompt records to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pardec.data.prompts import cut_to

if TYPE_CHECKING:
    from pardec.data.tokenizers import TextTokenizer


def encode_prompts(tokenizer: TextTokenizer, prompts: Sequence[dict], length: int | None) -> list[list[int]]:
    """Token ids of each prompt.

    length: None keeps prompts as they are. Otherwise each prompt is real text of exactly this many tokens, start
    token included: its own end, with the texts of the records before it in front where it is too short.

    Raises:
        UserError: the records hold too little text for `length`.
    """
    if length is None:
        return [tokenizer.encode_prompt(record["prompt"]) for record in prompts]
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    texts = [tokenizer.encode(record["prompt"] + (record["answer"] or "")) for record in prompts]
    return [
        start
        + cut_to(
            tokenizer.encode(record["prompt"]), length - len(start), texts[:k][::-1] + texts[k + 1 :][::-1]
        )
        for k, record in enumerate(prompts)
    ]
