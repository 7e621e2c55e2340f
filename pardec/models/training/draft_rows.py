"""Training data of a draft: a data set's training prompts with the outputs of its target."""

from __future__ import annotations

from pathlib import Path

import torch

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl
from pardec.data.tokenizers import TextTokenizer
from pardec.models.architectures.base import LanguageModel
from pardec.models.training.batches import AnswerRows, Mixture, Rows
from pardec.models.training.rollouts import roll_out

SEED = 0x5EED
"""Seed of the choice of prompts and of drawn outputs: every draft of a target learns from the same sequences."""


def draft_rows(
    folder: str | Path,
    tokenizer: TextTokenizer,
    target: LanguageModel,
    canvas: int | None,
    sequences: int,
    new_tokens: int,
    temperature: float = 0.0,
    by_length: bool = False,
) -> tuple[Rows, int | None]:
    """Return the target's outputs as training rows, separate by task, and the canvas they fill (None for text).

    sequences: total number of outputs. new_tokens: length of an output. temperature: 0 is greedy.

    Text has no end within a canvas, so its outputs never end.

    Raises:
        UserError: there is no training prompt.
    """
    folder = Path(folder)
    records = read_jsonl(folder / "train.jsonl")
    if not records:
        raise UserError(folder / "train.jsonl", "contains no training example", "ask the data set for more")
    ends = read_json(folder / "about.json")["answers_end"]
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(records), generator=generator).tolist()
    tasks = list(dict.fromkeys(record["task"] for record in records))
    share = max(1, sequences // len(tasks))
    parts = []
    for task in tasks:
        chosen = [records[index] for index in order if records[index]["task"] == task][:share]
        if temperature > 0:
            # Drawn outputs differ, so a prompt may be continued more than once.
            chosen = (chosen * -(-share // len(chosen)))[:share]
        prompts = [tokenizer.encode_prompt(record["prompt"]) for record in chosen]
        size = new_tokens
        if ends:
            longest = max(len(tokenizer.encode_answer(record["answer"])) for record in chosen)
            size = min(size, canvas or longest)
        outputs = roll_out(target, prompts, size, generator, temperature, ban_eos=not ends)
        # An output of one token has no block to learn.
        kept = [pair for pair in zip(prompts, outputs, strict=True) if len(pair[1]) > 1]
        if not kept:
            raise UserError(
                "models: teachers.target", f"writes nothing on task {task}", "train the target first"
            )
        asked, written = zip(*kept, strict=True)
        longest = max(map(len, written))
        parts.append(AnswerRows(asked, written, longest, tokenizer.pad_id, tokenizer.eos_id, by_length))
    return Mixture(parts), (canvas or new_tokens) if ends else None
