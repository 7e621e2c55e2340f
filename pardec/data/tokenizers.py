"""Tokenizers that this project makes: one for tasks, one trained on text; and what every tokenizer does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.files import atomic
from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from tokenizers import Tokenizer

hf = lazy("tokenizers")

PAD, BOS, EOS, MASK = range(4)
SPECIAL = ["<pad>", "<bos>", "<eos>", "<mask>"]
"""The special tokens of our own tokenizers, in the order of their ids."""


class TextTokenizer:
    """Text to token ids and back.

    Prompts are encoded as the begin-of-sequence token (where there is one) and the prompt, answers as the
    answer and the end-of-sequence token. `bos_id` and `mask_id` are None where there is no such token;
    `pad_id` is `eos_id` then. `end_ids` are the tokens that end a text.

    Raises:
        UserError: no end-of-sequence token.
    """

    def __init__(self, tokenizer: Tokenizer, ids: dict[str, int | None], where: str | Path = "tokenizer"):
        self.tokenizer = tokenizer
        self.where = where
        self.bos_id, self.mask_id = ids["bos"], ids["mask"]
        if ids["eos"] is None:
            raise UserError(
                where, "has no end-of-sequence token", 'name it: "eos_token" in tokenizer_config.json'
            )
        self.eos_id: int = ids["eos"]
        self.pad_id: int = self.eos_id if ids["pad"] is None else ids["pad"]
        self.end_ids = frozenset({self.eos_id})

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def largest_id(self) -> int:
        """The largest id of a token."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of added tokens, which ordinary text does not contain."""
        return frozenset(self.tokenizer.get_added_tokens_decoder())

    @property
    def start_ids(self) -> list[int]:
        """Ids that every prompt starts with."""
        return [] if self.bos_id is None else [self.bos_id]

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, no special token added.

        Raises:
            UserError: the vocabulary lacks a word of `text`.
        """
        try:
            return self.tokenizer.encode(text, add_special_tokens=False).ids
        except Exception as error:  # the library raises bare Exception
            raise UserError(
                self.where, f"cannot encode {text[:60]!r} ({error})", "use the tokenizer of this data"
            ) from None

    def encode_prompt(self, text: str) -> list[int]:
        """Return the ids of a prompt, with the special tokens that belong to one."""
        return self.start_ids + self.encode(text)

    def encode_answer(self, text: str, end: bool = True) -> list[int]:
        """Return the ids of `text`, with the end-of-sequence token unless `end` is false (the text continues)."""
        return self.encode(text) + ([self.eos_id] if end else [])

    def encode_pair(self, prompt: str, answer: str, end: bool = True) -> tuple[list[int], list[int]]:
        """Return the ids of a prompt and of the answer that follows it."""
        return self.encode_prompt(prompt), self.encode_answer(answer, end)

    def encode_chat(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        """Return the ids of a conversation as its model was taught it, up to where the model's turn begins.

        messages: {"role", "content"} each.

        Raises:
            UserError: the checkpoint has no chat template, or one that refuses the messages.
        """
        self.require_chat()
        return []

    def require_chat(self) -> None:
        """Raise UserError where the checkpoint has no chat template."""
        what = "has no chat template, and the prompts are to go through it"
        raise UserError(Path(self.where).parent, what, "set prompt_form or chat off")

    def decode(self, ids: Sequence[int], prompt: Sequence[int] = ()) -> str:
        """Return the text of `ids` before the first token that ends it, special tokens left out.

        prompt: the ids before them, where their text depends on those (spaces, characters of several bytes).
        """
        return self.tokenizer.decode(self.before_end(ids), skip_special_tokens=True)

    def before_end(self, ids: Sequence[int]) -> list[int]:
        """Return `ids` up to the first that ends a text."""
        ids = list(ids)
        end = next((place for place, index in enumerate(ids) if index in self.end_ids), len(ids))
        return ids[:end]

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json."""
        with atomic(path) as temporary:
            self.tokenizer.save(str(temporary))


def task_tokenizer(symbols: Iterable[str]) -> TextTokenizer:
    """Return a tokenizer in which every symbol is one token.

    Decoding restores canonical task text: tokens one space apart, no space around a comma or a newline.
    """
    vocabulary = {
        token: index for index, token in enumerate([*SPECIAL, *sorted(set(symbols), key=_symbol_order)])
    }
    # The unknown token is left out of the vocabulary on purpose: an unknown word is an error, not a token.
    tokenizer = hf.Tokenizer(hf.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.add_special_tokens(SPECIAL)
    split = hf.pre_tokenizers.Split
    # Where a number with its separator is a symbol ("5,"), it is one token; the separator alone else.
    joined = any(len(token) > 1 and token[-1] in ",\n" for token in vocabulary)
    pieces = "[0-9]+[,\n]|[,\n]" if joined else "[,\n]"
    tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence(
        [split(" ", "removed"), split(hf.Regex(pieces), "isolated")]
    )
    decoders = hf.decoders
    # Without a prefix to merge, the WordPiece decoder just joins by spaces; those around separators then go.
    steps = [decoders.WordPiece(prefix="##", cleanup=False), decoders.Fuse()]
    steps += [decoders.Replace(f" {mark}", mark) for mark in ",\n"]
    steps += [decoders.Replace(f"{mark} ", mark) for mark in ",\n"]
    tokenizer.decoder = decoders.Sequence(steps)
    return _own(tokenizer)


def _symbol_order(symbol: str) -> tuple:
    """Order integers by value, then letters, then words, then everything else."""
    if symbol.isdigit():
        return (0, int(symbol), symbol)
    return (1 if len(symbol) == 1 and symbol.isalpha() else 2 if symbol.isalpha() else 3, 0, symbol)


def train_bpe(texts: Iterable[str], vocab_size: int = 1024) -> TextTokenizer:
    """Return a byte-level BPE trained on `texts`; every text can be encoded, and decoding restores it exactly."""
    tokenizer = hf.Tokenizer(hf.models.BPE())
    tokenizer.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = hf.decoders.ByteLevel()
    trainer = hf.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(hf.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _own(tokenizer)


BYTES = 260
"""Tokens of `byte_tokenizer`."""


def byte_tokenizer() -> TextTokenizer:
    """Return the special tokens, and one token for each byte: text for models that have no vocabulary of their own."""
    return train_bpe([], BYTES)


def _own(tokenizer: Tokenizer, where: str | Path = "tokenizer") -> TextTokenizer:
    # A "<mask>" within a text is text, not our mask token.
    tokenizer.encode_special_tokens = True
    return TextTokenizer(tokenizer, {"pad": PAD, "bos": BOS, "eos": EOS, "mask": MASK}, where)


def read_own(file: Path) -> TextTokenizer | None:
    """Return the tokenizer that `task_tokenizer` or `train_bpe` saved in `file`; None where somebody else made it.

    Raises:
        UserError: a damaged file.
    """
    try:
        tokenizer = hf.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise UserError(file, f"is not a tokenizer ({error})", "fetch or make this file again") from None
    known = [tokenizer.token_to_id(name) for name in SPECIAL]
    return _own(tokenizer, file) if known == [PAD, BOS, EOS, MASK] else None


def word_starts(text: str) -> list[int]:
    """Return the character offsets where `text` may be cut so that both parts keep their byte-level BPE tokens.

    That is before a single space between two visible characters.
    """
    return [match.start() for match in re.finditer(r"(?<=\S) (?=\S)", text)]
