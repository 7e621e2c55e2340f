"""The tokenizer of a GGUF file, as tokenizer.json, tokenizer_config.json and chat_template.jinja.

Byte-level BPE only (`tokenizer.ggml.model` is `gpt2`). The file states tokens, merges and the name of the rule that
cuts a text before the merges; the rule itself is that of the published tokenizers of that name.
"""

from __future__ import annotations

from typing import Any

import tokenizers as hf

from pardec.common.errors import UserError
from pardec.models.gguf.reader import GGUF

CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that are matched whole in a text: special ones, and further ones."""
GPT2, DIGITS, LLAMA3, QWEN2 = "gpt2", "digits", "llama3", "qwen2"
PRE_TOKENIZERS = {
    "default": GPT2,
    "gpt-2": GPT2,
    "gpt2": GPT2,
    "smollm": DIGITS,
    "starcoder": DIGITS,
    "refact": DIGITS,
    "llama-bpe": LLAMA3,
    "llama3": LLAMA3,
    "llama-v3": LLAMA3,
    "qwen2": QWEN2,
    "deepseek-r1-qwen": QWEN2,
}
"""Which rule cuts a text, by `tokenizer.ggml.pre`."""
SPLITS = {
    LLAMA3: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    QWEN2: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""Regular expressions in the published tokenizer.json of Llama 3 and of Qwen2."""


def tokenizer_of(file: GGUF) -> tuple[hf.Tokenizer, dict[str, Any]]:
    """Return the tokenizer, and the content of tokenizer_config.json; its `chat_template` is the file's, or missing.

    Raises:
        UserError: another kind of tokenizer, a rule that is not known, or tokens and merges that contradict each other.
    """
    kind = file.need("tokenizer.ggml.model")
    if kind != "gpt2":
        what = f"has a tokenizer of kind {kind!r}; only byte-level BPE ('gpt2') is read from GGUF files"
        raise UserError(file.path, what, "give the checkpoint in safetensors with its tokenizer.json")
    name = file.get("tokenizer.ggml.pre", "default")
    if name not in PRE_TOKENIZERS:
        what = f"cuts texts by the rule {name!r}, which is not known"
        raise UserError(
            file.path, what, f"known: {', '.join(PRE_TOKENIZERS)}; or give the checkpoint in safetensors"
        )
    tokens = file.need("tokenizer.ggml.tokens")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise UserError(file.path, "names a token twice", "convert the model again")
    merges = [tuple(merge.split(" ")) for merge in file.need("tokenizer.ggml.merges")]
    try:
        model = hf.models.BPE(vocabulary, merges, ignore_merges=PRE_TOKENIZERS[name] == LLAMA3)
    except Exception as error:  # the library raises bare Exception
        raise UserError(
            file.path, f"has tokens and merges that contradict each other ({error})", "convert it again"
        ) from None
    tokenizer = hf.Tokenizer(model)
    _cut(tokenizer, PRE_TOKENIZERS[name])
    tokenizer.decoder = hf.decoders.ByteLevel()
    types = file.get("tokenizer.ggml.token_type", [])
    pairs = list(zip(tokens, types, strict=False))
    whole = {"normalized": False}
    tokenizer.add_special_tokens([hf.AddedToken(token, **whole) for token, kind in pairs if kind == CONTROL])
    tokenizer.add_tokens([hf.AddedToken(token, **whole) for token, kind in pairs if kind == USER_DEFINED])
    named = {
        role: None if (index := file.get(f"tokenizer.ggml.{key}_token_id")) is None else tokens[index]
        for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    _ends(tokenizer, file, named, vocabulary)
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": token for role, token in named.items() if token is not None},
    }
    template = file.get("tokenizer.chat_template")
    return tokenizer, settings if template is None else {**settings, "chat_template": template}


def _cut(tokenizer: hf.Tokenizer, rule: str) -> None:
    if rule in SPLITS:
        split = hf.pre_tokenizers.Split(hf.Regex(SPLITS[rule]), "isolated")
        plain = hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence([split, plain])
    else:
        spaced = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
        digits = [hf.pre_tokenizers.Digits(individual_digits=True)] if rule == DIGITS else []
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence([*digits, spaced])
    if rule == QWEN2:
        tokenizer.normalizer = hf.normalizers.NFC()


def _ends(
    tokenizer: hf.Tokenizer, file: GGUF, named: dict[str, str | None], vocabulary: dict[str, int]
) -> None:
    """Let a text start and end with the tokens that the file asks for."""
    llama3 = PRE_TOKENIZERS.get(file.get("tokenizer.ggml.pre", "default")) == LLAMA3
    first = named["bos"] if file.get("tokenizer.ggml.add_bos_token", llama3) else None
    last = named["eos"] if file.get("tokenizer.ggml.add_eos_token", False) else None
    around = [token for token in (first, last) if token is not None]
    if around:
        single = [token for token in (first, "$A", last) if token is not None]
        ids = [(token, vocabulary[token]) for token in dict.fromkeys(around)]
        tokenizer.post_processor = hf.processors.TemplateProcessing(single=single, special_tokens=ids)
