"""Chat templates of foreign checkpoints: where they stand, what they write, and what they may not do."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pardec.common.errors import UserError
from pardec.data.chat import load_chat
from pardec.data.tokenizers import load_tokenizer

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


def write(folder, template=None, file=None, **more):
    specials = ["<|startoftext|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_special_tokens([*specials, "<|mdm_mask|>"])
    tokenizer.add_tokens(sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|startoftext|>", "eos_token": {"content": "<|endoftext|>"}, **more}
    config |= {} if template is None else {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if file is not None:
        (folder / "chat_template.jinja").write_text(file)
    return folder


@pytest.mark.parametrize("place", ["config", "list", "file"])
def test_a_template_is_found_wherever_it_stands(tmp_path, place):
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": LLAMA}]
    form = {"config": {"template": LLAMA}, "list": {"template": named}, "file": {"file": LLAMA}}[place]
    text = load_chat(write(tmp_path, **form)).render(ASKED)
    assert text == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nWhat is 2 + 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_the_same_as_transformers_writes(tmp_path):
    from transformers import PreTrainedTokenizerFast

    write(tmp_path, LLAMA)
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"),
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
    )
    turns = [*ASKED, {"role": "assistant", "content": "4"}, {"role": "user", "content": "And 3 + 3?"}]
    for template in (LLAMA, CHATML):
        write(tmp_path, template)
        expected = theirs.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=True
        )
        assert load_chat(tmp_path).render(turns) == expected


def test_special_tokens_of_a_template_are_one_token_each(tmp_path):
    write(tmp_path, LLAMA)
    tokenizer = load_tokenizer(tmp_path)
    ids = tokenizer.encode_chat(load_chat(tmp_path), ASKED)
    assert ids[0] == tokenizer.bos_id == 0 and ids.count(0) == 1
    assert ids.count(2) == 1 and ids.count(3) == ids.count(4) == 2
    assert tokenizer.mask_id == 5


def test_a_text_ends_with_its_turn(tmp_path):
    tokenizer = load_tokenizer(write(tmp_path))
    four, five = tokenizer.encode("45")
    assert tokenizer.end_ids == {1, 2}
    assert tokenizer.decode([four, 2, five, 1]) == tokenizer.decode([four, 1, five]) == "4"


def test_a_checkpoint_without_a_template_has_none(tmp_path):
    assert load_chat(write(tmp_path)) is None


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for %}", "is no Jinja template"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "cannot write these messages"),
        ("{{ messages.append(1) }}", "cannot write these messages"),
        (CHATML, "refuses these messages: no such role"),
    ],
)
def test_a_template_that_is_wrong_or_does_what_it_may_not(tmp_path, template, said):
    with pytest.raises(UserError, match=said):
        load_chat(write(tmp_path, template)).render([{"role": "tool", "content": "x"}])
