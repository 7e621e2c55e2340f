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
    """Return the token ids of each prompt.

    length: None keeps prompts unchanged. Otherwise each prompt is real text of exactly this many tokens, start token
    included: the end of the prompt, preceded by the texts of other records if it is too short.
    random: a seed; each prompt's tokens except the start token are then replaced by random ordinary ones, which depend
    on the seed and the record's id alone.
    chat: each prompt is a user's turn in the checkpoint's template, up to the start of the model's turn; of any length.

    Raises:
        UserError: the records have too little text for `length`, or the template refuses a prompt.
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
