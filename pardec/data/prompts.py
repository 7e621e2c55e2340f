"""Prompts of a prepared data set: their choice and their lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from random import Random

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl, sha256
from pardec.data.split import rank

KEYS = ("id", "task", "prompt", "answer")


def load_prompts(
    path: str | Path,
    limit: int | None,
    seed: int,
    task: str | None = None,
    canvas: int | None = None,
    fill: float | None = None,
) -> list[dict]:
    """Return prompt records of `path` (a .jsonl file, or a data set's folder: its held-out side).

    The records come in the seeded order of their ids, so a smaller limit gives the first ones of a larger limit.

    limit: maximum number; None for all. task: only records of this task. fill: only records whose answer takes at
    least this share of `canvas` tokens and at most all of them (an answer that takes all needs no end token).

    Raises:
        UserError: a missing or damaged file, a row that is not a prompt record, or no prompt at all.
    """
    path = Path(path)
    file = path / "heldout.jsonl" if path.is_dir() else path
    rows = read_jsonl(as_prepared(file))
    for number, row in enumerate(rows, 1):
        missing = [key for key in KEYS if not isinstance(row, dict) or key not in row]
        if missing:
            raise UserError(
                f"{file}, record {number}", f"lacks {', '.join(missing)}", "prepare the data again"
            )
    if task is not None:
        rows = [row for row in rows if row["task"] == task]
    if not rows:
        of = f" of task {task!r}" if task else ""
        raise UserError(file, f"contains no prompt{of}", "prepare the data again, or ask for another task")
    if fill is not None:
        if canvas is None:
            raise ValueError("`fill` is a share of `canvas`, which is missing")
        rows = _filling(file, rows, canvas, fill)
    return sorted(rows, key=lambda row: rank(row["id"], seed))[:limit]


def as_prepared(file: Path) -> Path:
    """Return `file` after comparing it with the SHA-256 in its folder's about.json; without one, unchecked.

    Raises:
        UserError: the hashes differ, for example because the file was truncated at the end of a line.
    """
    about = file.with_name("about.json")
    if about.is_file():
        expected = read_json(about).get("sha256", {}).get(file.name)
        if expected is not None and file.is_file() and sha256(file) != expected:
            fix = f"delete the folder {file.parent} and run `make all` again"
            raise UserError(file, "is damaged: its SHA-256 is not the one in about.json", fix)
    return file


def _filling(file: Path, rows: list[dict], canvas: int, fill: float) -> list[dict]:
    """Return the records whose answer takes at least the share `fill` of `canvas` tokens, and at most all."""
    if any(row.get("answer_tokens") is None for row in rows):
        fix = "use data whose tokenizer is made here, or leave `fill` out"
        raise UserError(file, "does not say how many tokens its answers take", fix)
    kept = [row for row in rows if fill * canvas <= row["answer_tokens"] <= canvas]
    if not kept:
        least = f"from {fill * canvas:g} to {canvas} tokens"
        raise UserError(
            file, f"contains no prompt whose answer takes {least}", "hold some out, or lower `fill`"
        )
    return kept


def cut_to(tokens: Sequence[int], n: int, before: Iterable[Sequence[int]] = ()) -> list[int]:
    """Return exactly `n` tokens of real text: the last of `tokens`, preceded by texts `before` if there are too few.

    The end of a prompt is kept, since the answer follows it. Pass tokens without a begin-of-sequence token, and
    prepend that to the result.

    Raises:
        UserError: all texts together have fewer than `n` tokens.
    """
    joined = list(tokens)
    for other in before:
        if len(joined) >= n:
            break
        joined = [*other, *joined]
    if len(joined) < n:
        raise UserError(
            f"prompt_tokens={n}", f"the texts contain {len(joined)} tokens", "ask for shorter prompts"
        )
    return joined[len(joined) - n :]


def random_tokens(
    n: int, vocab_size: int, seed: int | str, special: int = 4, avoid: frozenset[int] = frozenset()
) -> list[int]:
    """Return `n` tokens drawn uniformly from special..vocab_size-1 without those of `avoid`."""
    rng = Random(f"{seed}/random_tokens")
    drawn = iter(lambda: rng.randrange(special, vocab_size), None)
    return list(islice((token for token in drawn if token not in avoid), n))
