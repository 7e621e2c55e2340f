"""Verification of a model against its authors' published outputs and scores, before it is profiled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.models.sources.verification import GenerationSettings, ScoreCheck, VerifySettings
from pardec.quality.intervals import wilson
from pardec.quality.number import same_number

BATCH = 8
SHOT = "Question: {prompt}\nAnswer:{answer}"
"""Format of a question, and of the solved ones before it: that of lm-eval's task `gsm8k`."""

Generate = Callable[[GenerationSettings, Sequence[str]], list[str]]
"""Texts of the outputs after each of several prompts."""


def written(row: dict, shots: Sequence[dict]) -> str:
    """Return the prompt of one question after solved ones."""
    solved = [SHOT.format(prompt=shot["prompt"], answer=f" {shot['answer']}") for shot in shots]
    return "\n\n".join([*solved, SHOT.format(prompt=row["prompt"], answer="")])


def verify(
    name: str,
    checks: VerifySettings,
    generate: Generate,
    questions: Sequence[dict] = (),
    shots: Sequence[dict] = (),
) -> dict[str, Any]:
    """Run the checks; return each prompt, the text and the expected text.

    questions, shots: records with prompt and answer, for the sample.

    Raises:
        UserError: an output is not the authors', or the score of the sample is not theirs; names the first.
    """
    fix = "check revision, precision, chat and decoder settings; none of its cells runs before this agrees"
    body: dict[str, Any] = {"model": name, "examples": [], "sample": None}
    for number, check in enumerate(checks.examples):
        (text,) = generate(check, [check.prompt])
        if not agrees(text, check.expected):
            raise UserError(
                f"models.{name}.verify.examples.{number}",
                f"the authors' output gives {check.expected[:80]!r}, ours is {text[:160]!r}",
                fix,
            )
        body["examples"].append({"prompt": check.prompt, "expected": check.expected, "text": text})
    if checks.sample is not None:
        body["sample"] = _sample(name, checks.sample, generate, questions, shots, fix)
    return body


def agrees(text: str, expected: str) -> bool:
    """Return whether an output agrees with the published one: a number as its answer, or a text in whole words."""
    try:
        float(expected)
    except ValueError:
        words = r"\s+".join(map(re.escape, expected.split())) or re.escape(expected)
        return re.search(rf"(?<!\w){words}(?!\w)", text) is not None
    return same_number(text, expected)


def _sample(
    name: str,
    check: ScoreCheck,
    generate: Generate,
    questions: Sequence[dict],
    shots: Sequence[dict],
    fix: str,
) -> dict[str, Any]:
    where = f"models.{name}.verify.sample"
    if len(questions) < check.prompts or len(shots) < check.shots:
        what = f"data {check.data} contains {len(questions)} questions and {len(shots)} solved ones"
        raise UserError(where, what, "lower prompts or shots, or raise the dataset's limit")
    sample, solved = questions[: check.prompts], shots[: check.shots]
    texts = generate(check, [written(row, solved) for row in sample])
    right = [same_number(text, row["answer"]) for text, row in zip(texts, sample, strict=True)]
    low, high = wilson(sum(right), len(right), 0.99)
    result = {"score": sum(right) / len(right), "low": low, "high": high, "n": len(right)}
    if not low - check.margin <= check.score <= high + check.margin:
        what = (
            f"{sum(right)} of {len(right)} answers are right, 99 % interval {low:.3f} to {high:.3f}, and the "
            f"authors report {check.score:g}"
        )
        raise UserError(where, what, fix)
    return {**result, "published": check.score, "margin": check.margin, "right": right}


def generator(folder: Path, device: str, precision: str, seed: int) -> Generate:
    """Generate with the checkpoint in `folder`; each decoder is built once."""
    made: dict[str, tuple] = {}

    def generate(check: GenerationSettings, prompts: Sequence[str]) -> list[str]:
        from pardec.data.load import load_tokenizer
        from pardec.decoding.batching import pad_left, prompt_seed
        from pardec.decoding.prepared import load_arm

        form = "chat" if check.chat else "plain"
        words = json.dumps([check.decoder, check.settings, form], sort_keys=True)
        if words not in made:
            made.clear()  # one large model at a time
            made[words] = load_arm(folder, check.decoder, check.settings, device, precision, prompt_form=form)
        model, decoder, encode = made[words]
        tokenizer = load_tokenizer(folder)
        tokens = encode([{"prompt": text} for text in prompts], None)
        texts = []
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            seeds = [prompt_seed(seed, str(start + row)) for row in range(len(part))]
            decoded = decoder.decode(
                model, pad_left(part, seeds, model.info.pad_id, device), check.new_tokens
            )
            rows = zip(decoded.tokens.tolist(), decoded.useful.tolist(), part, strict=True)
            texts += [tokenizer.decode(row[:useful], prompt) for row, useful, prompt in rows]
        return texts

    return generate
