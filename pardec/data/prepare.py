"""Write a data set's folder: prompt records of both sides, the tokenizer, and about.json with their facts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.common.files import sha256, write_json, write_jsonl
from pardec.data.registry import SOURCES
from pardec.data.sources.base import Prepared, Source

SHARES = (0, 0.05, 0.5, 0.95, 1)


def parse_settings(settings: dict[str, Any], where: str = "data") -> Source:
    """Return the validated settings of a data set, by its source; `source` defaults to tasks.

    Raises:
        UserError: an unknown source or key, or a value out of bounds; names the key.
    """
    source = settings.get("source", "tasks")
    try:
        return SOURCES.load(str(source)).model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {key or source}", first["msg"], "correct this key") from None


def prepare(
    settings: Source | dict[str, Any],
    seed: int,
    out_dir: str | Path,
    name: str | None = None,
    model: str | Path | None = None,
) -> dict:
    """Build a data set, write train.jsonl, heldout.jsonl, tokenizer.json (for tokenizers made here) and about.json,
    and return the content of about.json.

    The same settings and seed give the same bytes. model: the folder of the model that a source asks (its key `model`).

    Raises:
        UserError: bad settings, an unreadable source, or no held-out prompt.
    """
    out = Path(out_dir)
    parsed = parse_settings(settings) if isinstance(settings, dict) else settings
    prepared = parsed.build(seed)
    if (spare := getattr(parsed, "mask", None)) is not None:
        if model is None:
            raise UserError("--model", "is missing", "give the folder of the model that is asked")
        from pardec.data.asked import as_asked

        prepared = as_asked(prepared, model, spare)
    if not prepared.heldout:
        raise UserError(name or out.name, "has no held-out prompt", "ask for more examples or another source")
    write_jsonl(out / "train.jsonl", prepared.train)
    write_jsonl(out / "heldout.jsonl", measured(prepared))
    if prepared.tokenizer is not None:
        prepared.tokenizer.save(out / "tokenizer.json")
    about = {
        "name": name or out.name,
        "source": parsed.source,
        "settings": parsed.model_dump(mode="json", exclude_none=True),
        "seed": seed,
        "counts": {"train": count(prepared.train), "heldout": count(prepared.heldout)},
        "answers_end": prepared.ends,
        "lengths": lengths(prepared),
        "sha256": {file: sha256(out / file) for file in ("train.jsonl", "heldout.jsonl")},
        **prepared.facts,
    }
    write_json(out / "about.json", about)
    return about


def measured(prepared: Prepared) -> list[dict]:
    """Return held-out records with the length of each answer in tokens, without its end token, where there is a
    tokenizer."""
    if prepared.tokenizer is None or not prepared.ends:
        return prepared.heldout
    sizes = (len(prepared.tokenizer.encode(row["answer"])) for row in prepared.heldout)
    return [{**row, "answer_tokens": size} for row, size in zip(prepared.heldout, sizes, strict=True)]


def count(rows: Iterable[dict]) -> dict[str, int]:
    """Return the rows per task, and all of them under "all"."""
    by_task: dict[str, int] = {}
    for row in rows:
        by_task[row["task"]] = by_task.get(row["task"], 0) + 1
    return {"all": sum(by_task.values()), **by_task}


def lengths(prepared: Prepared) -> dict[str, Any]:
    """Return the quantiles of the held-out lengths: in tokens where there is a tokenizer, else in characters."""
    tokenizer = prepared.tokenizer
    unit = "characters" if tokenizer is None else "tokens"

    def measure(text: str) -> int:
        return len(text) if tokenizer is None else len(tokenizer.encode(text))

    quantiles: dict[str, Any] = {"unit": unit, "shares": list(SHARES)}
    for key in ("prompt", "answer"):
        sizes = sorted(measure(row[key]) for row in prepared.heldout if row[key] is not None)
        quantiles[key] = [sizes[round(share * (len(sizes) - 1))] for share in SHARES] if sizes else None
    return quantiles


def remarks(about: dict[str, Any]) -> list[str]:
    """Return one sentence per kind of row, or of answer, that a data set leaves out.

    about: the content of its about.json.
    """
    facts = about.get("text", {})
    skipped = {
        key.removeprefix("rows_without_"): number
        for key, number in facts.items()
        if key.startswith("rows_without_")
    }
    settings = about["settings"]
    lines = [
        f"{about['name']}: {number} of {facts['rows']} rows have no {field!r}"
        + (" and were skipped" if field == settings.get("field") else "")
        for field, number in skipped.items()
    ]
    if differing := facts.get("repeated_with_another_answer"):
        lines.append(
            f"{about['name']}: {differing} rows repeat a prompt with another answer; the first one counts"
        )
    return lines
