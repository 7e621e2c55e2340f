"""Training data of a model: a prepared data set's training side as token ids."""

from __future__ import annotations

from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl
from pardec.data.prompts import as_prepared
from pardec.data.tokenizers import TextTokenizer
from pardec.models.training.batches import AnswerRows, Mixture, Rows, TextRows


def read_rows(
    folder: str | Path, tokenizer: TextTokenizer, canvas: int | None, by_length: bool = False
) -> tuple[Rows, int | None]:
    """Return the training rows of the data set in `folder`, and the canvas they fill (None for text).

    If answers end (by about.json), a row is a prompt and an answer, and the canvas of a task defaults to its longest
    answer. Otherwise prompt and answer are one text. by_length: see `AnswerRows`; texts are always batched by length.

    Raises:
        UserError: nothing to learn from, or a canvas too short for an answer; names file or key.
    """
    folder = Path(folder)
    file = folder / "train.jsonl"
    about = read_json(folder / "about.json")
    records = read_jsonl(as_prepared(file))
    if not records:
        raise UserError(
            file, "contains no training example", "ask the data set for more, or hold less of it out"
        )
    prompts = [tokenizer.encode_prompt(record["prompt"]) for record in records]
    if not about["answers_end"]:
        texts = [tokenizer.encode_answer(record["answer"] or "", end=False) for record in records]
        return TextRows([prompt + text for prompt, text in zip(prompts, texts, strict=True)]), None
    if any(record["answer"] is None for record in records):
        raise UserError(file, "has examples without an answer", "train on data that has answers")
    answers = [tokenizer.encode_answer(record["answer"]) for record in records]
    longest = max(map(len, answers))
    if canvas is not None and canvas < longest:
        raise UserError(
            "models: canvas", f"is {canvas}, an answer has {longest} tokens", f"set it to {longest} or more"
        )
    parts = []
    for task in dict.fromkeys(record["task"] for record in records):
        chosen = [index for index, record in enumerate(records) if record["task"] == task]
        task_answers = [answers[index] for index in chosen]
        size = canvas or max(map(len, task_answers))
        task_prompts = [prompts[i] for i in chosen]
        parts.append(
            AnswerRows(task_prompts, task_answers, size, tokenizer.pad_id, tokenizer.eos_id, by_length)
        )
    return Mixture(parts), canvas or longest
