"""Fast-dLLM v2 and SDAR: logits and generation against a float64 forward pass of our own, blocks counted from the first
token of the text."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.decoding.batching import pad_left
from pardec.decoding.block_columns import Blocks
from pardec.decoding.block_diffusion import BlockDiffusion
from pardec.models.architectures.block_prompts import prompt_block
from pardec.models.checkpoints.configs import read_config
from pardec.models.checkpoints.shapes import shape
from pardec.models.checkpoints.sizes import info_of_settings
from pardec.models.load import load_model
from pardec.study.plan import read_plan
from tests.reference import qwen
from tests.reference.checkpoints import WORDS, write_transformers

ROOT = Path(__file__).parents[2]
MASK = 3
KINDS = {"Fast_dLLM_Qwen": (8, True), "sdar": (4, False)}
"""Tokens of a block, and whether logits predict the next position."""


@pytest.fixture(scope="module", params=KINDS)
def published(request, tmp_path_factory):
    """Its name, our model, its weights under their published names, and its config.json."""
    folder = tmp_path_factory.mktemp("model")
    theirs = write_transformers(folder, request.param)
    return request.param, load_model(folder), theirs.state_dict(), read_json(folder / "config.json")


def test_facts_are_those_of_the_format(published):
    name, model, _, config = published
    block, shift = KINDS[name]
    info = model.info
    assert (info.attention, info.mask_id, info.shift) == ("block_causal", MASK, shift)
    assert prompt_block(info) == block == config.get("bd_size", config.get("block_size"))
    assert info.eos_id == 2


@torch.no_grad()
def test_logits_are_those_of_a_float64_forward(published):
    """Rows of two lengths in one padded pass: prompt and masks, in blocks from each row's first token on."""
    name, model, weights, config = published
    block, _ = KINDS[name]
    draw = torch.Generator().manual_seed(1)
    rows = [torch.randint(4, WORDS, (length,), generator=draw).tolist() for length in (13, 6)]
    prompts = pad_left(rows, None, 0)
    laid = Blocks(prompts, prompts.pad, None, block, 7, MASK)
    width = laid.canvas.shape[1]
    cache = model.new_cache(2, width)
    ours = model(laid.canvas, cache=cache, layout=laid.layout(0, width))
    for row, left in enumerate(prompts.pad.tolist()):
        expected = qwen.logits(weights, config, laid.canvas[row, left:].tolist(), block)
        torch.testing.assert_close(ours[row, left:].double(), expected, rtol=2e-4, atol=2e-4)
    causal = qwen.logits(weights, config, rows[0], 1)
    assert not torch.allclose(ours[0, :13].double(), causal, rtol=0.01, atol=0.01)  # the check could fail


def slowly(weights, config, block, shift, prompt, new_tokens, settings):
    """The published loop in plain Python, row by row, without a cache: prompt and block anew in each pass."""
    text, passes = list(prompt), 0
    written = len(prompt) // block * block
    while written < len(prompt) + new_tokens:
        text += [MASK] * (written + block - len(text))
        asked = [k for k in range(written, written + block) if k < len(prompt) + new_tokens]
        while any(text[k] == MASK for k in asked):
            logits = qwen.logits(weights, config, text, block)
            logits[:, MASK] = -math.inf
            passes += 1
            lines = {k: logits[max(k - shift, 0)] for k in asked if text[k] == MASK}
            part = settings.get("sub_block", block)
            lines = {
                k: line
                for k, line in lines.items()
                if (k - written) // part == (min(lines) - written) // part
            }
            doubt = {k: 1 - line.softmax(-1).max().item() for k, line in lines.items()}
            order = sorted(doubt, key=lambda k: (doubt[k], k))
            count = sum(1 - doubt[k] > settings.get("threshold", 1) for k in order)
            for k in order[: max(count, settings.get("share", 1))]:
                text[k] = int(lines[k].argmax())
        written += block
    return text[len(prompt) : len(prompt) + new_tokens], passes


@effort(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=11), min_size=1, max_size=3),
    settings=st.sampled_from([{"share": 2}, {"threshold": 0.3}, {"threshold": 0.3, "sub_block": 2}]),
    cache=st.booleans(),
)
def test_generation_is_the_published_loop(published, prompts, settings, cache):
    """In padded batches too, whose rows begin at different places of a block."""
    name, model, weights, config = published
    decoder = BlockDiffusion(BlockDiffusion.Settings(**settings, cache=cache))
    made = decoder.decode(model, pad_left(prompts, None, 0), 9)
    slow = [slowly(weights, config, *KINDS[name], prompt, 9, settings) for prompt in prompts]
    assert made.tokens.tolist() == [tokens for tokens, _ in slow]
    assert made.nfe == max(passes for _, passes in slow)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bd_size": 0}, "bd_size"),
        ({"bd_size": "8"}, "bd_size"),
        ({"mask_token_id": None}, "mask_token_id"),
        ({"mask_token_id": WORDS}, "mask_token_id"),
        ({"use_sliding_window": True}, "use_sliding_window"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, changes, words):
    write_transformers(tmp_path, "Fast_dLLM_Qwen")
    path = tmp_path / "config.json"
    write_json(path, read_json(path) | changes)
    with pytest.raises(UserError, match=words):
        load_model(tmp_path)


def test_the_study_of_published_models_is_planned():
    """Each arm gets the attention that its decoder needs, before anything is downloaded."""
    plan = read_plan(ROOT, [ROOT / "studies/8b-blocks.yaml"])
    decoders = {plan.study.arms[cell.arm].decoder for cell in plan.cells.values()}
    assert decoders == {"autoregressive", "block_diffusion"}
    facts = {name: info_of_settings(model) for name, model in plan.study.models.items()}
    assert {name: prompt_block(info) for name, info in facts.items()} == {
        "qwen2.5-7b-instruct": None,
        "fast-dllm-v2-7b": 32,
        "qwen3-8b": None,
        "sdar-8b": 4,
    }


def test_published_files_that_name_no_mask_have_the_published_one():
    """The config.json on the hub names the block of Fast-dLLM v2 and neither of SDAR's."""
    fast, sdar = shape("fast-dllm-v2-7b"), shape("sdar-8b")
    assert "mask_token_id" not in fast
    for key in ("block_size", "mask_token_id"):
        del sdar[key]
    facts = [read_config(values, "config.json").info() for values in (fast, sdar)]
    assert [(info.mask_id, prompt_block(info)) for info in facts] == [(151_665, 32), (151_669, 4)]
