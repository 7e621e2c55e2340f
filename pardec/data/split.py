"""Train and held-out sides by hash: a prompt's side depends only on the prompt, the seed and the other prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def rank(key: str, seed: int) -> str:
    """Return the sort key of `key` in the seeded order: SHA-256, as hexadecimal text."""
    return hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()


def heldout_keys(keys: Iterable[str], seed: int, count: int) -> set[str]:
    """Return the `count` distinct keys that come first in the seeded order; fewer where there are fewer."""
    return set(sorted(set(keys), key=lambda key: rank(key, seed))[:count])


def record_id(task: str, prompt: str) -> str:
    """Return a stable name of a prompt: the first 16 hexadecimal digits of the SHA-256 of task and prompt."""
    return hashlib.sha256(f"{task}\0{prompt}".encode()).hexdigest()[:16]


def record(task: str, prompt: str, answer: str | None) -> dict:
    """Return a prompt record: `{"id", "task", "prompt", "answer"}`."""
    return {"id": record_id(task, prompt), "task": task, "prompt": prompt, "answer": answer}
