"""Prompts through a checkpoint's chat template: from a study's key to the tokens that an arm gets."""

from __future__ import annotations

from copy import deepcopy

import pytest

from pardec.common.errors import UserError
from pardec.data.load import load_tokenizer
from pardec.decoding.prepared import load_arm
from pardec.models.load import save_model
from tests import tiny_study
from tests.faults import arms
from tests.reference.models import backbone
from tests.unit.test_data_foreign import ASKED, CHATML, write

ROWS = [{"id": f"p{k}", "task": "t", "prompt": f"What is {k} + 2?", "answer": "4"} for k in range(4)]
THINKS = CHATML.replace("assistant\\n'", "assistant\\n' ~ ('' if enable_thinking else '<think></think>')")


def made(folder, template=CHATML):
    folder.mkdir()
    save_model(backbone(True, vocab_size=300, max_positions=512), folder)
    return write(folder, template)


def studied(grid=(), **workload):
    over = deepcopy(tiny_study.overlay())
    over["workloads"]["w"] |= workload
    # Checkpoints that may bring a template, which the tiny study's own have not.
    hub = {"source": "hub", "repo": "a/b", "revision": "0" * 40}
    over["models"] |= {"m-ar": {**hub, "shape": "llama-3-8b"}, "m-diffusion": {**hub, "shape": "llada-8b"}}
    over["experiments"]["steps"]["grids"][0] |= dict(grid)
    return tiny_study.plan(over)


def test_an_arm_gets_the_conversation(tmp_path):
    folder = made(tmp_path / "m")
    _, _, encode = load_arm(folder, "autoregressive", {}, "cpu", "float32", prompt_form="chat")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    turn = [{"role": "user", "content": "What is 3 + 2?"}]
    assert encode(ROWS, None)[3] == tokenizer.encode_chat(turn)
    _, _, plain = load_arm(folder, "autoregressive", {}, "cpu", "float32")
    assert plain(ROWS, None)[3] == tokenizer.encode_prompt("What is 3 + 2?") != encode(ROWS, None)[3]


def test_models_that_can_think_aloud_do_not(tmp_path):
    assert load_tokenizer(made(tmp_path / "m", THINKS)).render_chat(ASKED).endswith("<think></think>")


def test_a_checkpoint_without_a_template_is_named(tmp_path):
    with pytest.raises(UserError, match=r"(?s)m: has no chat template.*set prompt_form"):
        load_arm(made(tmp_path / "m", None), "autoregressive", {}, "cpu", "float32", prompt_form="chat")


def test_a_cell_is_timed_on_conversations(tmp_path):
    arm = arms.ArmSpec(made(tmp_path / "m"), "autoregressive", {})
    tokenizer = load_tokenizer(tmp_path / "m")
    lengths = {
        form: arms.run(arm, prompts=ROWS, prompt_form=form)["prompt_length"]["min"]
        for form in ("plain", "chat")
    }
    turn = [{"role": "user", "content": ROWS[0]["prompt"]}]
    assert lengths["plain"] == len(tokenizer.encode_prompt(ROWS[0]["prompt"]))
    assert lengths["chat"] == len(tokenizer.encode_chat(turn)) > lengths["plain"]


def test_every_command_says_chat_and_only_where_the_study_does():
    plan = studied(prompt_form="chat")
    assert all(plan.cell_job(id)["prompt_form"] == "chat" for id in plan.cells)
    words = [plan.workload_words(cell) for cell in plan.outputs.values()]
    assert all(line[line.index("--prompt-form") + 1] == "chat" for line in words)
    assert all("prompt_form" not in studied().cell_job(id) for id in plan.cells)


def test_a_conversation_is_not_cut():
    with pytest.raises(
        UserError, match=r"(?s)grids\.0\.prompt_tokens.*prompt_form is chat.*leave prompt_tokens"
    ):
        studied({"prompt_tokens": [32]}, prompt_form="chat")
