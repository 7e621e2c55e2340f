"""A two-level hierarchy over text: characters, chunks of characters, roots of chunks; all in one space of ids.

Chunks are byte-pair merges over characters (Sennrich et al. 2016, arXiv:1508.07909), roots byte-pair merges over
chunks. So each root represents exactly one text, and rendering it is a look-up: the hierarchy is a dictionary coder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import write_text
from pardec.common.lazy import lazy
from pardec.data.tokenizers import EOS, MASK, PAD, SPECIAL, TextTokenizer

hf = lazy("tokenizers")

KIND = "pardec-hierarchy"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for every character that the training text and the printable ones lack."""
BASE = 0x10000
"""Chunk i is written as character BASE + i while roots are learned, in a plane without surrogates."""
WORDS = r" ?[^\s]+|\s+"
"""Chunks do not reach over the end of a word."""
ASCII = [chr(code) for code in range(32, 127)] + ["\n"]


class HierarchyTokenizer(TextTokenizer):
    """Text to roots (or to characters) and back.

    Ids: the special tokens, the characters, the chunks, the roots. `encode` writes at `level`; `decode` takes ids of
    any level. There is no begin-of-sequence token: a prompt of R tokens is R roots.
    """

    def __init__(self, body: dict[str, Any], where: str | Path = "tokenizer"):
        self.body, self.where = body, where
        self.level: str = body["level"]
        self.characters: list[str] = body["characters"]
        self.first_character = len(SPECIAL)
        self.first_chunk = self.first_character + len(self.characters)
        self.chunks: list[str] = body["chunks"]
        self.first_root = self.first_chunk + len(self.chunks)
        self.roots: list[list[int]] = body["roots"]
        """Chunk numbers of each root."""
        self.bos_id, self.mask_id, self.eos_id, self.pad_id = None, MASK, EOS, PAD
        self.end_ids = frozenset({EOS})
        self._character = {text: k for k, text in enumerate(self.characters)}

    @cached_property
    def tokenizer(self) -> Any:  # type: ignore[override]
        """Return the library's tokenizer with the merges over characters."""
        return hf.Tokenizer.from_str(self.body["chunk_merges"])

    @cached_property
    def root_merges(self) -> Any:
        """Return the library's tokenizer with the merges over chunks."""
        return hf.Tokenizer.from_str(self.body["root_merges"])

    @property
    def vocab_size(self) -> int:
        return self.first_root + (len(self.roots) if self.level == "roots" else 0)

    @property
    def largest_id(self) -> int:
        return self.vocab_size - 1

    @property
    def chunk_size(self) -> int:
        """Most characters in a chunk."""
        return self.body["chunk_size"]

    @property
    def root_size(self) -> int:
        """Most chunks in a root."""
        return self.body["root_size"]

    def encode(self, text: str) -> list[int]:
        known = "".join(c if c in self._character else UNKNOWN for c in text)
        if self.level == "characters":
            return [self.first_character + self._character[c] for c in known]
        chunks = self.tokenizer.encode(known, add_special_tokens=False).ids
        roots = self.root_merges.encode("".join(chr(BASE + k) for k in chunks), add_special_tokens=False).ids
        return [self.first_root + k for k in roots]

    def decode(self, ids: Sequence[int], prompt: Sequence[int] = ()) -> str:
        return "".join(self.text_of(k) for k in self.before_end(ids))

    def text_of(self, token: int) -> str:
        """Return the text of one id of any level; special tokens have none.

        Raises:
            UserError: no such id.
        """
        if not 0 <= token < self.first_root + len(self.roots):
            raise UserError(self.where, f"has no token {token}", "decode ids of this hierarchy")
        if token >= self.first_root:
            return "".join(self.chunks[k] for k in self.roots[token - self.first_root])
        if token >= self.first_chunk:
            return self.chunks[token - self.first_chunk]
        return "" if token < self.first_character else self.characters[token - self.first_character]

    def expansions(self, level: int) -> list[list[int]]:
        """Return the padded expansion of each condition of a level: roots to chunks (0), chunks to characters (1)."""
        if level == 0:
            rows = [[self.first_chunk + k for k in root] for root in self.roots]
            width = self.root_size
        else:
            rows = [[self.first_character + self._character[c] for c in chunk] for chunk in self.chunks]
            width = self.chunk_size
        return [row + [PAD] * (width - len(row)) for row in rows]

    def save(self, path: str | Path) -> None:
        write_text(path, json.dumps(self.body, ensure_ascii=False) + "\n")


def learn(
    texts: Iterable[str], level: str, chunks: int, roots: int, chunk_size: int, root_size: int
) -> HierarchyTokenizer:
    """Learn a hierarchy of about `chunks` chunks of at most `chunk_size` characters, and about `roots` roots of at
    most `root_size` chunks."""
    texts = list(texts)
    alphabet = sorted({*ASCII, UNKNOWN, *"".join(texts)})
    lower = _merges(texts, chunks, chunk_size, alphabet, hf.Regex(WORDS))
    names = [text for text, _ in sorted(lower.get_vocab().items(), key=lambda pair: pair[1])]
    coded = ["".join(chr(BASE + k) for k in lower.encode(text).ids) for text in texts]
    upper = _merges(coded, roots, root_size, [chr(BASE + k) for k in range(len(names))], None)
    spelled = [text for text, _ in sorted(upper.get_vocab().items(), key=lambda pair: pair[1])]
    body = {
        "kind": KIND,
        "level": level,
        "chunk_size": chunk_size,
        "root_size": root_size,
        "characters": alphabet,
        "chunks": names,
        "roots": [[ord(c) - BASE for c in root] for root in spelled],
        "chunk_merges": lower.to_str(),
        "root_merges": upper.to_str(),
    }
    return HierarchyTokenizer(body)


def _merges(texts: list[str], size: int, longest: int, alphabet: list[str], words: Any) -> Any:
    tokenizer = hf.Tokenizer(hf.models.BPE())
    if words is not None:
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Split(words, "isolated")
    # The library's bound is off by one: with max_token_length=n it makes tokens of at most n - 1 characters.
    trainer = hf.trainers.BpeTrainer(
        vocab_size=max(size, len(alphabet)),
        initial_alphabet=alphabet,
        max_token_length=longest + 1,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
