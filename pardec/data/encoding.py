"""Prompt records to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pardec.data.prompts import cut_to, random_tokens

if TYPE_CHECKING:
    from pardec.data.tokenizers import TextTokenizer


def encode_prompts(
    tokenizer: TextTokenizer,
    prompts: Sequence[dict],
    length: int | None,
    random: int | None = None,
    chat: bool = False,
) -> list[list[int]]:
    """Return token ids of each prompt.

    length: None keeps prompts as they are. Otherwise each prompt is real text of exactly this many tokens, start
    token included: its own end, with the texts of the records before it in front where it is too short.
    random: a seed; each prompt's tokens but the start token are then replaced by random ordinary ones. They depend on
    the seed and the record's id alone.
    chat: each prompt is a user's turn written by the checkpoint's template, up to where the model's turn begins; of any
    length.

    Raises:
        UserError: the records hold too little text for `length`, or the template refuses a prompt.
    """
    start = tokenizer.start_ids
    if chat:
        turns = ([{"role": "user", "content": record["prompt"]}] for record in prompts)
        encoded = [tokenizer.encode_chat(messages) for messages in turns]
    elif length is None:
        encoded = [tokenizer.encode_prompt(record["prompt"]) for record in prompts]
    else:
        texts = [tokenizer.encode(record["prompt"] + (record["answer"] or "")) for record in prompts]
        encoded = [
            start
            + cut_to(
                tokenizer.encode(record["prompt"]),
                length - len(start),
                texts[:k][::-1] + texts[k + 1 :][::-1],
            )
            for k, record in enumerate(prompts)
        ]
    if random is None:
        return encoded
    special = tokenizer.special_ids
    return [
        start
        + random_tokens(
            len(tokens) - len(start), tokenizer.vocab_size, f"{random}/{record['id']}", avoid=special
        )
        for record, tokens in zip(prompts, encoded, strict=True)
    ]
