"""Tokenizers of foreign checkpoints, run by transformers, with its results for prompts, conversations and texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.data.ends import USUAL_ENDS, first_end, read_ends, read_object, token_text
from pardec.data.tokenizers import TextTokenizer

USUAL_NAMES = {
    "pad": ("<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>"),
    "bos": (),
    "eos": USUAL_ENDS,
    "mask": ("<mask>", "<|mdm_mask|>", "<|mask|>", "<|MASK|>", "[MASK]"),
}
"""Names of special tokens in published tokenizers, tried in order where no file names one; a start token is never
guessed, since transformers then writes none."""
CLASSES = {"DreamTokenizer": "qwen2"}
"""Tokenizer classes of checkpoints' own code, which is not run, by the type in transformers that does the same."""


class ForeignTokenizer(TextTokenizer):
    """The tokenizer of a checkpoint that was not trained here.

    Its ids are those of `transformers.AutoTokenizer` for the same folder: `encode_prompt(text)` equals
    `AutoTokenizer(text)`, `encode_chat(messages)` equals `AutoTokenizer.apply_chat_template(messages)` up to the start
    of the model's turn. Truncation and padding saved in tokenizer.json are off. A folder without tokenizer_config.json
    is read by its tokenizer.json alone.

    Raises:
        UserError: no file of a tokenizer, a damaged one, one that needs code of the checkpoint, a special token that
            the vocabulary lacks, or no end-of-sequence token.
    """

    def __init__(self, folder: Path):
        self.folder, self.where = folder, folder / "tokenizer.json"
        self.theirs = _load(folder)
        self.tokenizer = self.theirs.backend_tokenizer
        ids = {role: self._special_id(role) for role in USUAL_NAMES}
        if (ends := read_ends(folder)) and ids["eos"] not in ends:
            ids["eos"] = first_end(folder)
        super().__init__(self.tokenizer, ids, self.where)

    @property
    def vocab_size(self) -> int:
        return len(self.theirs)

    @property
    def largest_id(self) -> int:
        return max(self.theirs.get_vocab().values(), default=-1)

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self.theirs.added_tokens_decoder)

    @cached_property
    def start_ids(self) -> list[int]:
        bare, whole = self.encode("a"), self.encode_prompt("a")
        return next((whole[:k] for k in range(len(whole)) if whole[k : k + len(bare)] == bare), [])

    def encode(self, text: str, special: bool = False) -> list[int]:
        try:
            return self.theirs(text, add_special_tokens=special, verbose=False)["input_ids"]
        except Exception as error:  # the library raises bare Exception
            raise UserError(
                self.where, f"cannot encode {text[:60]!r} ({error})", "use the tokenizer of this data"
            ) from None

    def encode_prompt(self, text: str) -> list[int]:
        return self.encode(text, special=True)

    def encode_pair(self, prompt: str, answer: str, end: bool = True) -> tuple[list[int], list[int]]:
        """Return the ids of a prompt and of the answer after it; spaces between them belong to the answer.

        The rule of lm-eval (`_encode_pair`). If the two share a token, each is encoded separately.
        """
        last = [self.eos_id] if end else []
        head = self.start_ids + self.encode(prompt.rstrip())
        whole = self.start_ids + self.encode(prompt + answer)
        if not head or whole[: len(head)] != head:
            head, whole = self.encode_prompt(prompt), self.encode_prompt(prompt) + self.encode(answer)
        return head, whole[len(head) :] + last

    def _text(self, ids: Sequence[int]) -> str:
        return self.theirs.decode(list(ids), skip_special_tokens=True)

    def decode(self, ids: Sequence[int], prompt: Sequence[int] = ()) -> str:
        head, whole = self._text(prompt), self._text([*prompt, *self.before_end(ids)])
        # They agree up to the new text, or less: where a prompt ends within a character, or a space is cleaned up.
        places = zip(head, whole, strict=False) if prompt else ()
        return whole[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], places)) :]

    def require_chat(self) -> None:
        if self.theirs.chat_template is None:
            super().require_chat()

    def render_chat(self, messages: Sequence[dict[str, Any]]) -> str:
        """Return the text of a conversation, by the checkpoint's template in transformers' renderer.

        Reasoning is switched off for models that have it (Qwen3): the drafts published for them were trained so.

        Raises:
            UserError: no template, an invalid one, or one that refuses the messages.
        """
        from jinja2 import TemplateSyntaxError

        self.require_chat()
        where = f"{self.folder}: chat template"
        plain = [{**message, "content": joined(message.get("content"))} for message in messages]
        try:
            return self.theirs.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except TemplateSyntaxError as error:
            raise UserError(
                where, f"is not a Jinja template ({error})", "fetch the checkpoint again"
            ) from None
        except Exception as error:  # what a template's own code raises
            what = f"cannot write these messages ({str(error) or type(error).__name__})"
            raise UserError(where, what, "change the messages") from None

    def encode_chat(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        return self.encode(self.render_chat(messages))

    def _special_id(self, role: str) -> int | None:
        index = getattr(self.theirs, f"{role}_token_id")
        if index is not None:
            return index
        settings = read_object(self.folder / "tokenizer_config.json")
        if f"{role}_token" in settings:
            return None
        vocabulary = self.theirs.get_vocab()
        listed = token_text(read_object(self.folder / "special_tokens_map.json").get(f"{role}_token"))
        if listed is not None or role == "bos":
            return vocabulary.get(listed)
        return next((vocabulary[name] for name in USUAL_NAMES[role] if name in vocabulary), None)


def joined(content: Any) -> Any:
    """Return the text of a message's content: text parts of a list joined, anything else unchanged."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            return "".join(texts)
    return content


def _load(folder: Path) -> Any:
    import transformers

    settings = read_object(folder / "tokenizer_config.json")
    _check_names(folder, settings)
    own_code = CLASSES.get(str(settings.get("tokenizer_class")).removesuffix("Fast"))
    whole = (folder / "tokenizer.json").is_file()
    # Objects without the mark that transformers writes: it would refuse them.
    texts = {
        key: token_text(value)
        for key, value in settings.items()
        if key.endswith("_token") and isinstance(value, dict) and "__type" not in value
    }
    options: dict[str, Any] = {"local_files_only": True, **texts}
    if not (folder / "config.json").is_file():
        options["config"] = transformers.PretrainedConfig()
    try:
        if whole and (not settings or ("auto_map" in settings and own_code is None)):
            return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        return transformers.AutoTokenizer.from_pretrained(
            folder, tokenizer_type=own_code, trust_remote_code=False, **options
        )
    except Exception as error:  # the libraries raise bare Exception, and what their parsers raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        fix = "give the folder a tokenizer.json (AutoTokenizer.save_pretrained writes one)"
        if whole:
            fix = 'name its class in tokenizer_config.json: "tokenizer_class": "PreTrainedTokenizerFast" takes any'
        raise UserError(folder, f"contains no tokenizer that can be read ({first})", fix) from None


def _check_names(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a special token that tokenizer.json lacks: transformers would add it behind the model's vocabulary."""
    path = folder / "tokenizer.json"
    if not settings or not path.is_file():
        return
    import difflib

    from tokenizers import Tokenizer

    try:
        vocabulary = Tokenizer.from_file(str(path)).get_vocab()
    except Exception as error:  # the library raises bare Exception
        raise UserError(path, f"is not a tokenizer ({error})", "fetch or make this file again") from None
    decoder = settings.get("added_tokens_decoder")
    entries = decoder.values() if isinstance(decoder, dict) else ()
    listed = {token.get("content") for token in entries if isinstance(token, dict)}
    for role in USUAL_NAMES:
        name = token_text(settings.get(f"{role}_token"))
        if name is not None and name not in vocabulary and name not in listed:
            near = difflib.get_close_matches(name, vocabulary, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            what = f"{name!r} is not in {path.name}"
            raise UserError(
                f"{folder / 'tokenizer_config.json'}: {role}_token", what, f"name a token of it{hint}"
            )
