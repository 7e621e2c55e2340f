"""Natural text: the documentation topics of CPython's `help()`, English and code.

They are those of one version, kept beside this package: each version's text differs, and with it every model of it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from pardec.common.errors import UserError
from pardec.data.sources.base import Prepared, Source
from pardec.data.split import heldout_keys, rank, record

if TYPE_CHECKING:
    from pardec.data.tokenizers import TextTokenizer


PYTHON = "3.11.7"
"""The version of CPython whose topics they are."""
FILE = Path(__file__).parents[1] / "cpython_topics.json.gz"
"""Its module `pydoc_data.topics`, under the PSF licence (`cpython_topics.LICENSE` beside it)."""
SHA256 = "4594d824487ea711258725d3dd158b2a0bfdea6bccd9f358421913684e2dfcfd"


def cpython_topics() -> dict[str, str]:
    """Return the topics by name, in the order of their module.

    Raises:
        UserError: the file is missing or another one.
    """
    try:
        text = gzip.decompress(FILE.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            FILE, f"cannot be read ({error})", "restore it: git checkout -- pardec/data"
        ) from None
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise UserError(FILE, "is not the text of this version", "restore it: git checkout -- pardec/data")
    return json.loads(text)


class Topics(Source):
    """Windows of CPython's documentation topics: prompts of one length distribution, and what follows."""

    source: Literal["topics"]
    """Where the data comes from."""
    vocab_size: int = Field(1024, ge=300, le=65_536)
    """Size of the byte-level BPE vocabulary, trained on the training topics."""
    prompt_min: int = Field(16, ge=1, le=4096)
    """Shortest prompt, in tokens; prompt lengths are uniform up to `prompt_max`, cut back to a whole word."""
    prompt_max: int = Field(48, ge=1, le=4096)
    """Longest prompt, in tokens."""
    answer_tokens: int = Field(64, ge=1, le=65_536)
    """Longest continuation, in tokens, cut back to a whole word."""
    train: int = Field(6000, ge=1, le=1_000_000)
    """Training windows, at random places of the training topics (they overlap)."""
    heldout: int = Field(128, ge=1, le=100_000)
    """Held-out windows, at most; they do not overlap."""
    heldout_share: float = Field(0.15, gt=0, lt=1)
    """Greatest share of the text whose topics are held out."""

    @model_validator(mode="after")
    def _possible(self) -> Topics:
        if self.prompt_min > self.prompt_max:
            raise ValueError(f"prompt_min ({self.prompt_min}) exceeds prompt_max ({self.prompt_max})")
        return self

    def build(self, seed: int) -> Prepared:
        from pardec.data.tokenizers import train_bpe

        topics = cpython_topics()
        train_texts, heldout_texts = split_documents(topics, seed, self.heldout_share)
        tokenizer = train_bpe(train_texts, self.vocab_size)
        train_documents = [Document(text, tokenizer) for text in train_texts]
        heldout = self._consecutive(
            [Document(text, tokenizer) for text in heldout_texts], Random(f"{seed}/heldout")
        )
        prompts = {row["prompt"] for row in heldout}
        drawn = self._random(train_documents, Random(f"{seed}/train"))
        train = [row for row in drawn if row["prompt"] not in prompts]
        whole = "".join(topics[name] for name in sorted(topics))
        facts = {
            "max_answer_tokens": self.answer_tokens,
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

    def _random(self, documents: list[Document], rng: Random) -> list[dict]:
        """Return windows at random words, every word of the corpus as likely as every other."""
        weights = [len(document.pieces) for document in documents]
        rows: list[dict] = []
        for _ in range(20 * self.train):
            if len(rows) == self.train:
                return rows
            document = rng.choices(documents, weights)[0]
            window = self._window(document, rng.randrange(len(document.pieces)), rng)
            if window is not None:
                rows.append(record("text", window[0], window[1]))
        raise UserError("data: topics", "the documents are too short", "lower prompt_max or answer_tokens")

    def _consecutive(self, documents: list[Document], rng: Random) -> list[dict]:
        """Return windows one after the other; where there are too many, those that come first by the hash."""
        rows: dict[str, dict] = {}
        for document in documents:
            start = 0
            while (window := self._window(document, start, rng)) is not None:
                prompt, answer, start = window
                rows.setdefault(prompt, record("text", prompt, answer))
        kept = heldout_keys(rows, 0, self.heldout)
        return [row for prompt, row in rows.items() if prompt in kept]

    def _window(self, document: Document, start: int, rng: Random) -> tuple[str, str, int] | None:
        """Return prompt, answer and the first piece after them; None where the document ends too soon.

        Too soon is before half of an answer's tokens."""
        target = rng.randint(self.prompt_min, self.prompt_max)
        middle = document.reach(start, target)
        stop = document.reach(middle, self.answer_tokens)
        if middle == start or document.tokens(middle, stop) * 2 < self.answer_tokens:
            return None
        return document.text(start, middle).lstrip(), document.text(middle, stop), stop


class Document:
    """A text cut at words; a piece is a word with what follows it up to the next single space."""

    def __init__(self, text: str, tokenizer: TextTokenizer):
        from pardec.data.tokenizers import word_starts

        cuts = [0, *word_starts(text), len(text)]
        self.pieces = [text[a:b] for a, b in pairwise(cuts)]
        self.sums = [0]
        for piece in self.pieces:
            self.sums.append(self.sums[-1] + len(tokenizer.encode(piece)))

    def tokens(self, start: int, stop: int) -> int:
        """Return the tokens of pieces start..stop-1."""
        return self.sums[stop] - self.sums[start]

    def text(self, start: int, stop: int) -> str:
        """Return the text of pieces start..stop-1."""
        return "".join(self.pieces[start:stop])

    def reach(self, start: int, tokens: int) -> int:
        """Return the greatest `stop` for which pieces start..stop-1 have at most `tokens` tokens."""
        stop = start
        while stop < len(self.pieces) and self.tokens(start, stop + 1) <= tokens:
            stop += 1
        return stop


def split_documents(documents: dict[str, str], seed: int, share: float) -> tuple[list[str], list[str]]:
    """Return training and held-out texts, cleaned.

    Documents are taken in the order of the hash of their name; one is held out where it still fits into
    `share` of all characters. Topics repeat each other's paragraphs, so a paragraph is kept once, and
    training texts lose every paragraph that a held-out document has.
    """
    cleaned = {name: paragraphs(text) for name, text in documents.items()}
    budget = share * sum(len(part) for parts in cleaned.values() for part in parts)
    held: list[str] = []
    for name in sorted(cleaned, key=lambda name: rank(name, seed)):
        size = sum(map(len, cleaned[name]))
        if size <= budget:
            held.append(name)
            budget -= size
    seen: set[str] = set()
    texts: dict[str, str] = {}
    for name in [*sorted(held), *sorted(set(cleaned) - set(held))]:
        fresh = list(dict.fromkeys(part for part in cleaned[name] if part not in seen))
        seen.update(fresh)
        texts[name] = "\n\n".join(fresh)
    train = [texts[name] for name in sorted(texts) if name not in held and texts[name]]
    return train, [texts[name] for name in sorted(held) if texts[name]]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs without underlines; lines of prose joined by one space, indented ones (code) kept."""
    parts = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.split("\n")]
        lines = [line for line in lines if line and not re.fullmatch(r"\s*([*=\-~^\"])\1{2,}", line)]
        prose = all(not line.startswith(" ") for line in lines)
        if lines:
            parts.append(" ".join(" ".join(lines).split()) if prose else "\n".join(lines))
    return parts
