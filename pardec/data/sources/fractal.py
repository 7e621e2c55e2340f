"""CPython's documentation topics as a two-level hierarchy: prompts of roots, or the same text as characters."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Literal

from pydantic import Field, model_validator

from pardec.data.fractal import HierarchyTokenizer, learn
from pardec.data.sources.base import Prepared, Source
from pardec.data.sources.topics import PYTHON, cpython_topics, split_documents
from pardec.data.split import heldout_keys, record


class Fractal(Source):
    """Windows of the topics, counted in roots; data sets that differ in `level` alone contain the same texts."""

    source: Literal["fractal"]
    """Where the data comes from."""
    level: Literal["roots", "characters"] = "roots"
    """What a token is."""
    chunks: int = Field(1024, ge=128, le=65_536)
    """Distinct chunks, single characters included."""
    roots: int = Field(2048, ge=128, le=262_144)
    """Distinct roots, single chunks included."""
    chunk_size: int = Field(16, ge=1, le=64)
    """Most characters in a chunk."""
    root_size: int = Field(4, ge=1, le=16)
    """Most chunks in a root."""
    prompt_roots: int = Field(32, ge=1, le=4096)
    """Roots of a prompt."""
    answer_roots: int = Field(96, ge=1, le=65_536)
    """Roots of what follows."""
    train: int = Field(4000, ge=1, le=1_000_000)
    """Training windows, at random places of the training topics (they overlap)."""
    heldout: int = Field(64, ge=1, le=100_000)
    """Held-out windows, at most; they do not overlap."""
    heldout_share: float = Field(0.15, gt=0, lt=1)
    """Greatest share of the text whose topics are held out."""
    split: int = Field(0, ge=0)
    """Seed of the split, so that data sets of both levels hold out the same topics."""

    @model_validator(mode="after")
    def _possible(self) -> Fractal:
        if self.roots < self.chunks:
            raise ValueError(
                f"roots ({self.roots}) must be at least chunks ({self.chunks}): each chunk is a root"
            )
        return self

    def build(self, seed: int) -> Prepared:
        topics = cpython_topics()
        train_texts, heldout_texts = split_documents(topics, self.split, self.heldout_share)
        sizes = self.chunks, self.roots, self.chunk_size, self.root_size
        rooted = learn(train_texts, "roots", *sizes)
        tokenizer = rooted
        if self.level != "roots":
            tokenizer = HierarchyTokenizer({**rooted.body, "level": self.level})
        heldout = self._consecutive([rooted.encode(text) for text in heldout_texts], rooted)
        prompts = {row["prompt"] for row in heldout}
        drawn = self._random([rooted.encode(text) for text in train_texts], rooted, Random(f"{seed}/train"))
        train = [row for row in drawn if row["prompt"] not in prompts]
        whole = "".join(topics[name] for name in sorted(topics))
        facts = {
            "hierarchy": {
                "characters": len(rooted.characters),
                "chunks": len(rooted.chunks),
                "roots": len(rooted.roots),
                "unknown_heldout_characters": sum(
                    character not in set(rooted.characters) for text in heldout_texts for character in text
                ),
            },
            "text": {
                "name": "pydoc_data.topics",
                "python": PYTHON,
                "sha256": hashlib.sha256(whole.encode()).hexdigest(),
                "characters": len(whole),
                "train_characters": sum(map(len, train_texts)),
                "heldout_characters": sum(map(len, heldout_texts)),
            },
        }
        return Prepared(train, heldout, tokenizer, False, facts)

    def _cut(self, ids: list[int], start: int, rooted: HierarchyTokenizer) -> dict:
        middle = start + self.prompt_roots
        stop = middle + self.answer_roots
        return record("text", rooted.decode(ids[start:middle]), rooted.decode(ids[middle:stop]))

    def _random(self, documents: list[list[int]], rooted: HierarchyTokenizer, rng: Random) -> list[dict]:
        """Return windows at random roots, every root of the corpus as likely as every other."""
        long = [ids for ids in documents if len(ids) > 2 * self.prompt_roots]
        chosen = rng.choices(long, [len(ids) for ids in long], k=self.train)
        return [self._cut(ids, rng.randrange(len(ids) - self.prompt_roots), rooted) for ids in chosen]

    def _consecutive(self, documents: list[list[int]], rooted: HierarchyTokenizer) -> list[dict]:
        size = self.prompt_roots + self.answer_roots
        rows: dict[str, dict] = {}
        for ids in documents:
            for start in range(0, len(ids) - size // 2, size):
                row = self._cut(ids, start, rooted)
                rows.setdefault(row["prompt"], row)
        kept = heldout_keys(rows, 0, self.heldout)
        return [row for prompt, row in rows.items() if prompt in kept]
