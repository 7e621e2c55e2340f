"""Tokenizers of checkpoints: the ids, conversations and texts that transformers makes of the same folder."""

from __future__ import annotations

import json
from itertools import product

import pytest
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from pardec.common.errors import UserError
from pardec.data.encoding import encode_prompts
from pardec.data.ends import read_ends
from pardec.data.load import load_tokenizer
from pardec.models.load import load_model, save_model
from tests.reference.models import backbone

LLAMA = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim"
    " + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{%- for message in messages %}{%- if message.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('no such role') }}{%- endif %}\n"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
ASKED = [{"role": "user", "content": " What is 2 + 2? "}]
TEXTS = [
    "hi",
    " hi",
    "Hello, world! How's it going?",
    "  two  spaces\tand a tab\n\nlines\r\n ",
    "",
    "café naïve \u00e9 e\u0301 \ufb01",
    "日本語 text, mixed \U0001f600 emoji",
    "a <s> b </s> c [CLS] <|eot_id|>",
    "x" * 60,
    "1234 5,678.90 -3",
]


def write(folder, template=None, file=None, **more):
    """A checkpoint's tokenizer in `folder`: one token a byte, with the special tokens of Llama 3 and LLaDA."""
    specials = ["<|startoftext|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_special_tokens([*specials, "<|mdm_mask|>"])
    tokenizer.add_tokens(sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        **more,
    }
    config |= {} if template is None else {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if file is not None:
        (folder / "chat_template.jinja").write_text(file)
    return folder


def learned(kind):
    """A trained tokenizer of one kind, as its authors build them."""
    specials = ["<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "<|eot_id|>", "<mask>"]
    corpus = [*TEXTS, "hello world, how is it going with the other words"] * 3
    tokenizer = Tokenizer(
        {
            "byte_level": models.BPE(),
            "metaspace_bpe": models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
            "unigram": models.Unigram(),
            "word_piece": models.WordPiece(unk_token="<unk>"),
            "word_level": models.WordLevel(unk_token="<unk>"),
        }[kind]
    )
    common = {"special_tokens": specials, "show_progress": False}
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    if kind == "byte_level":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **common
        )
    elif kind in ("metaspace_bpe", "unigram"):
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        replace, strip = decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)
        parts = [replace, decoders.ByteFallback(), decoders.Fuse(), strip]
        tokenizer.decoder = decoders.Sequence(parts) if kind == "metaspace_bpe" else decoders.Metaspace()
        common["special_tokens"] = specials + (alphabet if kind == "metaspace_bpe" else [])
        trainer = (
            trainers.BpeTrainer(vocab_size=500, **common)
            if kind == "metaspace_bpe"
            else trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", **common)
        )
    elif kind == "word_piece":
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=200, **common)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(**common)
    tokenizer.train_from_iterator(corpus, trainer)
    if kind == "metaspace_bpe":  # in such vocabularies bytes are ordinary tokens
        body = json.loads(tokenizer.to_str())
        body["added_tokens"] = [token for token in body["added_tokens"] if token["content"] in specials]
        tokenizer = Tokenizer.from_str(json.dumps(body))
    if kind == "word_piece":
        pairs = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, pairs)
    return tokenizer


KINDS = ["byte_level", "metaspace_bpe", "unigram", "word_piece", "word_level"]
NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
SETTINGS = [
    {},
    {"add_bos_token": False},
    {"add_bos_token": True},
    {"add_bos_token": True, "add_eos_token": True},
    {"bos_token": None},
    {"clean_up_tokenization_spaces": True},
    {"additional_special_tokens": ["<|eot_id|>", "[SEP]"]},
]


def saved(folder, kind, version, settings):
    """The folder that transformers 4 or 5 leaves of such a tokenizer."""
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **NAMED, **settings}
    tokenizer = learned(kind)
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    if version == 4:
        listed = tokenizer.get_added_tokens_decoder()
        settings["added_tokens_decoder"] = {
            str(index): {
                "content": token.content,
                "lstrip": False,
                "normalized": token.normalized,
                "rstrip": False,
                "single_word": False,
                "special": token.special,
            }
            for index, token in listed.items()
        }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    if version == 5:
        import transformers

        transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "version"), product(KINDS, [4, 5]))
def test_ids_and_texts_are_those_of_transformers(tmp_path, kind, version):
    import transformers

    for number, settings in enumerate(SETTINGS):
        folder = tmp_path / str(number)
        folder.mkdir()
        saved(folder, kind, version, settings | {"chat_template": LLAMA.replace("bos_token", "''")})
        theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
        for text in TEXTS:
            assert ours.encode_prompt(text) == theirs(text, truncation=False, padding=False)["input_ids"]
            bare = theirs(text, add_special_tokens=False, truncation=False, padding=False)["input_ids"]
            assert ours.encode(text) == bare
            turns = [{"role": "user", "content": text}]
            chat = theirs.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
            assert ours.encode_chat(turns) == chat
            assert len(ours.encode("word " * 20)) >= 20
            kept = [index for index in bare if index not in ours.end_ids]
            assert ours.decode(kept) == theirs.decode(kept, skip_special_tokens=True)
        assert ours.vocab_size == len(theirs)
        specials = (theirs.bos_token_id, theirs.eos_token_id, theirs.mask_token_id)
        assert (ours.bos_id, ours.eos_id, ours.mask_id) == specials


@pytest.mark.parametrize("kind", KINDS)
def test_a_continuation_reads_as_it_does_behind_its_prompt(tmp_path, kind):
    tokenizer = load_tokenizer(saved(tmp_path, kind, 5, {}))
    whole = tokenizer.encode("hello world, how is it going")
    for cut in range(1, len(whole)):
        text = tokenizer.decode(whole[:cut]) + tokenizer.decode(whole[cut:], prompt=whole[:cut])
        assert text == tokenizer.decode(whole)


def test_a_character_that_prompt_and_output_share_is_whole(tmp_path):
    tokenizer = load_tokenizer(saved(tmp_path, "metaspace_bpe", 5, {}))
    ids = [tokenizer.theirs.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in "€x".encode()]
    assert tokenizer.decode(ids[2:], prompt=[*tokenizer.encode("hello"), *ids[:2]]) == "€x"


def test_an_answer_is_encoded_as_it_reads_behind_its_prompt(tmp_path):
    tokenizer = load_tokenizer(saved(tmp_path, "metaspace_bpe", 5, {"add_bos_token": True}))
    prompt, answer = tokenizer.encode_pair("hello world", " how is it", end=True)
    assert [*prompt, *answer] == [*tokenizer.encode_prompt("hello world how is it"), tokenizer.eos_id]
    spaced, words = tokenizer.encode_pair("hello ", "world", end=False)
    assert [*spaced, *words] == tokenizer.encode_prompt("hello world")
    assert spaced == tokenizer.encode_prompt("hello")


def test_an_answer_that_shares_a_token_with_its_prompt_is_encoded_by_itself(tmp_path):
    tokenizer = load_tokenizer(saved(tmp_path, "byte_level", 5, {}))
    prompt, answer = tokenizer.encode_pair("hello wor", "ld", end=False)
    assert [*prompt, *answer] != tokenizer.encode("hello world")
    assert tokenizer.decode([*prompt, *answer]) == "hello world"


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "Qwen2Tokenizer", "DreamTokenizer"])
def test_a_vocabulary_and_merges_make_a_tokenizer(tmp_path, name):
    whole = learned("byte_level")
    whole.model.save(str(tmp_path))
    settings = {"tokenizer_class": name, **NAMED, "unk_token": None, "add_bos_token": False}
    if name == "DreamTokenizer":
        settings["auto_map"] = {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "Dream", "eos_token_id": 2}))
    tokenizer = load_tokenizer(tmp_path)
    text = "hello world, how is it going"
    assert tokenizer.encode_prompt(text) == whole.encode(text).ids
    assert (tokenizer.eos_id, tokenizer.mask_id) == (2, 6)
    assert load_tokenizer(tmp_path / "tokenizer.json").encode(text) == tokenizer.encode(text)


def test_a_tokenizer_of_a_checkpoints_own_code_is_refused(tmp_path):
    settings = {"tokenizer_class": "Odd", "auto_map": {"AutoTokenizer": ["odd.Odd", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    (tmp_path / "odd.py").write_text("raise SystemExit('run')")
    with pytest.raises(UserError, match=r"(?s)contains no tokenizer that can be read.*tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_a_class_that_does_not_fit_the_file_is_named(tmp_path):
    saved(tmp_path, "byte_level", 4, {"tokenizer_class": "T5Tokenizer"})
    with pytest.raises(UserError, match=r"(?s)contains no tokenizer.*tokenizer_class"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["LlamaTokenizer", "GPT2Tokenizer", "GemmaTokenizer", "RobertaTokenizer"])
@pytest.mark.parametrize("kind", ["byte_level", "metaspace_bpe"])
def test_classes_of_transformers_are_used_where_they_are_named(tmp_path, name, kind):
    import transformers

    saved(tmp_path, kind, 4, {"tokenizer_class": name, "add_bos_token": True})
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)
    for text in TEXTS:
        assert ours.encode_prompt(text) == theirs(text, truncation=False, padding=False)["input_ids"]


@pytest.mark.parametrize("place", ["config", "list", "file"])
def test_a_template_is_found_wherever_it_is(tmp_path, place):
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": LLAMA}]
    form = {"config": {"template": LLAMA}, "list": {"template": named}, "file": {"file": LLAMA}}[place]
    tokenizer = load_tokenizer(write(tmp_path, **form))
    text = tokenizer.render_chat(ASKED)
    assert text == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nWhat is 2 + 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    ids = tokenizer.encode_chat(ASKED)
    assert ids.count(0) == ids.count(2) == 1 and ids.count(3) == ids.count(4) == 2


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}", "a<é'b"),
        ("{{ messages[0].content | tojson }}", '"a<é\'b"'),
        ("{{ messages[0].content | tojson(ensure_ascii=True) }}", '"a<\\u00e9\'b"'),
        ("{{ messages[0].content | tojson(ensure_ascii=False) }}", '"a<é\'b"'),
        ("{{ messages | tojson(indent=1) }}", '[\n {\n  "role": "user",\n  "content": "a<é\'b"\n }\n]'),
        ("{{ strftime_now('%%') }}", "%"),
        (
            "{% set box = namespace(n=0) %}{% for m in messages %}{% set box.n = 1 %}{% endfor %}{{ box.n }}",
            "1",
        ),
        ("{% for m in messages %}{% break %}{% endfor %}{{ dict(a=1).a }}", "1"),
        ("{{ tools is none }}{{ pad_token is defined }}", "TrueFalse"),
    ],
)
def test_templates_have_what_the_renderer_of_transformers_has(tmp_path, template, text):
    import transformers

    folder = write(tmp_path, template)
    turns = [{"role": "user", "content": "a<é'b"}]
    theirs = transformers.AutoTokenizer.from_pretrained(folder, config=transformers.PretrainedConfig())
    assert load_tokenizer(folder).render_chat(turns) == text
    assert theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == text


@pytest.mark.parametrize(
    "content", ["ab", ["a", "b"], [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]]
)
def test_parts_of_a_content_are_joined(tmp_path, content):
    tokenizer = load_tokenizer(write(tmp_path, "{{ messages[0].content | trim }}"))
    assert tokenizer.render_chat([{"role": "user", "content": content}]) == "ab"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "is not a Jinja template"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "cannot write these messages"),
        ("{{ messages.append(1) }}", "cannot write these messages"),
        ("{{ messages[0].content + 1 }}", "cannot write these messages"),
        (CHATML, "cannot write these messages .no such role"),
    ],
)
def test_a_template_that_is_wrong_or_does_what_it_may_not(tmp_path, template, message):
    with pytest.raises(UserError, match=message):
        load_tokenizer(write(tmp_path, template)).render_chat([{"role": "tool", "content": "x"}])


def test_a_start_token_that_the_template_writes_comes_once(tmp_path):
    """A rendered chat holds its special tokens; encoding it must not add another start (vLLM's issue 27486)."""
    tokenizer = load_tokenizer(write(tmp_path, LLAMA, add_bos_token=True))
    assert tokenizer.encode_chat(ASKED).count(0) == 1


def test_special_tokens_around_a_prompt_are_known_by_their_place(tmp_path):
    tokenizer = load_tokenizer(saved(tmp_path, "word_piece", 5, {}))
    starts = tokenizer.start_ids
    assert starts == [tokenizer.theirs.convert_tokens_to_ids("[CLS]")]
    rows = [{"id": "a", "prompt": "hello world, how is it going", "answer": "hello"}]
    (cut,) = encode_prompts(tokenizer, rows, 4)
    assert cut[:1] == starts and len(cut) == 4
    (random,) = encode_prompts(tokenizer, rows, 6, 1)
    assert random[:1] == starts and not set(random[1:]) & tokenizer.special_ids


def test_text_ends_where_the_tokenizer_ends_though_generation_config_forgets_it(tmp_path):
    """As chandra-ocr-2 came: generation_config lists another end only (mlx-vlm's pull request 2112)."""
    saved(tmp_path, "byte_level", 5, {"eos_token": "<|eot_id|>"})
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    assert read_ends(tmp_path) == {2, 5}


def test_a_checkpoint_without_a_template_has_none(tmp_path):
    with pytest.raises(UserError, match=r"(?s)has no chat template.*prompt_form"):
        load_tokenizer(write(tmp_path)).encode_chat(ASKED)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("kind", ["byte_level", "unigram"])
def test_one_set_of_ends(tmp_path, version, kind):
    """config.json, generation_config.json, the tokenizer's end, names of turn ends and the template's turn end."""
    template = "{% for m in messages %}{{ m.content }}[SEP]\n{% endfor %}"
    saved(tmp_path, kind, version, {"chat_template": template, "eos_token": "</s>"})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": [9, -1]}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [10, 11]}))
    assert read_ends(tmp_path) == {9, 10, 11, 2, 4, 5}
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.end_ids == {9, 10, 11, 2, 4, 5}
    word = tokenizer.encode("hello")
    assert all(tokenizer.decode([*word, end, *word]) == "hello" for end in tokenizer.end_ids)


def test_an_end_in_the_map_of_special_tokens(tmp_path):
    saved(tmp_path, "byte_level", 4, {})
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "[SEP]"}}))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.eos_id == 4 and read_ends(tmp_path) == tokenizer.end_ids == {4, 5}


@pytest.mark.parametrize("config_ends", [2, [9, 2], None])
@pytest.mark.parametrize("version", [4, 5])
def test_a_model_stops_where_its_text_ends(tmp_path, config_ends, version):
    save_model(backbone(True, vocab_size=600), tmp_path)
    body = json.loads((tmp_path / "config.json").read_text()) | {"eos_token_id": config_ends}
    saved(tmp_path, "byte_level", version, {"chat_template": CHATML})
    (tmp_path / "config.json").write_text(json.dumps(body))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    assert set(load_model(tmp_path).info.ends) == load_tokenizer(tmp_path).end_ids


def test_ends_without_a_tokenizer_or_with_null(tmp_path):
    assert read_ends(tmp_path) == frozenset()
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": None}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 7}))
    assert read_ends(tmp_path) == {7}
