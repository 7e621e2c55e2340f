"""Tokenizers: one for tasks, one trained on text, and what a downloaded model brings; one interface."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json
from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from pardec.data.chat import ChatTemplate

hf = lazy("tokenizers")

PAD, BOS, EOS, MASK = range(4)
SPECIAL = ["<pad>", "<bos>", "<eos>", "<mask>"]
"""The special tokens of our own tokenizers, in the order of their ids."""

HIERARCHY = '"kind": "pardec-hierarchy"'
"""How a tokenizer file of `pardec.data.fractal` begins."""

# Names in use in published tokenizers, tried in order where tokenizer_config.json does not say.
KNOWN_NAMES = {
    "pad": ["<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>"],
    "bos": ["<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>", "[CLS]"],
    "eos": ["<eos>", "</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "[SEP]"],
    "mask": ["<mask>", "<|mdm_mask|>", "<|mask|>", "<|MASK|>", "[MASK]"],
}


TURN_ENDS = ("<|eot_id|>", "<|im_end|>")
"""End of a turn in the templates of Llama 3, LLaDA, Qwen and Dream."""


class TextTokenizer:
    """Text to token ids and back.

    Prompts are encoded as the begin-of-sequence token (where there is one) and the prompt, answers as the
    answer and the end-of-sequence token. `bos_id` and `mask_id` are None where there is no such token;
    `pad_id` is `eos_id` then.
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
        turns = (tokenizer.token_to_id(name) for name in TURN_ENDS)
        self.end_ids = frozenset({self.eos_id, *(index for index in turns if index is not None)})
        """Tokens that end a text: the end of sequence, and the end of a turn."""

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, no special token added.

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
        start = [] if self.bos_id is None else [self.bos_id]
        return start + self.encode(text)

    def encode_chat(self, template: ChatTemplate, messages: list[dict[str, str]]) -> list[int]:
        """The ids of a conversation as its model was taught it, up to where the model's turn begins.

        The template writes special tokens as text, the start token among them; they are read as such.
        """
        return self.encode(template.render(messages))

    def encode_answer(self, text: str, end: bool = True) -> list[int]:
        """The ids of `text`, with the end-of-sequence token unless `end` is false (a text that goes on)."""
        return self.encode(text) + ([self.eos_id] if end else [])

    def decode(self, ids: Sequence[int]) -> str:
        """The text before the first token that ends it, special tokens left out."""
        ids = list(ids)
        end = next((place for place, index in enumerate(ids) if index in self.end_ids), len(ids))
        return self.tokenizer.decode(ids[:end], skip_special_tokens=True)

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json."""
        with atomic(path) as temporary:
            self.tokenizer.save(str(temporary))


def task_tokenizer(symbols: Iterable[str]) -> TextTokenizer:
    """A tokenizer in which every symbol is one token.

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
    """Integers by value, then letters, then words, then everything else."""
    if symbol.isdigit():
        return (0, int(symbol), symbol)
    return (1 if len(symbol) == 1 and symbol.isalpha() else 2 if symbol.isalpha() else 3, 0, symbol)


def train_bpe(texts: Iterable[str], vocab_size: int = 1024) -> TextTokenizer:
    """Byte-level BPE trained on `texts`; every text can be encoded, and decoding restores it exactly."""
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
    """The special tokens, and one token for each byte: text for models that have no vocabulary of their own."""
    return train_bpe([], BYTES)


def _own(tokenizer: Tokenizer, where: str | Path = "tokenizer") -> TextTokenizer:
    # A "<mask>" that stands in a text is text, not our mask token.
    tokenizer.encode_special_tokens = True
    return TextTokenizer(tokenizer, {"pad": PAD, "bos": BOS, "eos": EOS, "mask": MASK}, where)


def load_tokenizer(path: str | Path) -> TextTokenizer:
    """Load `tokenizer.json`, given itself or its folder; ours or any of the `tokenizers` library.

    The special tokens of a foreign tokenizer are those of the tokenizer_config.json beside it, else the first
    of the usual names that its vocabulary holds.

    Raises:
        UserError: no such file, a damaged file, or no end-of-sequence token.
    """
    path = Path(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise UserError(file, "does not exist", "give a folder that holds tokenizer.json")
    with open(file, encoding="utf-8", errors="replace") as handle:
        ours = HIERARCHY in handle.read(64)
    if ours:
        from pardec.data.fractal import HierarchyTokenizer

        return HierarchyTokenizer(read_json(file), file)
    try:
        tokenizer = hf.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise UserError(file, f"is not a tokenizer ({error})", "fetch or make this file again") from None
    if [tokenizer.token_to_id(name) for name in SPECIAL] == [PAD, BOS, EOS, MASK]:
        return _own(tokenizer, file)
    return TextTokenizer(tokenizer, _foreign_ids(tokenizer, file), file)


def _foreign_ids(tokenizer: Tokenizer, file: Path) -> dict[str, int | None]:
    config_file = file.with_name("tokenizer_config.json")
    config = read_json(config_file) if config_file.is_file() else {}
    ids = {}
    for role, usual in KNOWN_NAMES.items():
        named = config.get(f"{role}_token")
        named = named["content"] if isinstance(named, dict) else named
        if named is not None and tokenizer.token_to_id(named) is None:
            near = difflib.get_close_matches(named, tokenizer.get_vocab(), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"{config_file}: {role}_token",
                f"{named!r} is not in {file.name}",
                f"name a token of it{hint}",
            )
        found = (tokenizer.token_to_id(name) for name in ([named] if named is not None else usual))
        ids[role] = next((index for index in found if index is not None), None)
    return ids


def word_starts(text: str) -> list[int]:
    """Character offsets where `text` may be cut so that both parts keep their byte-level BPE tokens.

    That is before a single space between two visible characters.
    """
    return [match.start() for match in re.finditer(r"(?<=\S) (?=\S)", text)]
