"""Other engines as autoregressive peers: transformers with a static cache, and vLLM where it is installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build, companion_trouble, load_arm
from pardec.decoding.registry import DECODERS
from pardec.measure.cell import ArmSpec, out_of_memory, run_cell
from tests.faults import arms
from tests.reference.models import backbone

PROMPTS = [[1, 5, 6, 7], [1, 8]]


@pytest.fixture
def folder(tmp_path):
    return arms.write_model(tmp_path / "m", causal=True)


@pytest.mark.parametrize("settings", [{}, {"eos": "ban"}, {"stop": "eos"}])
def test_a_static_cache_writes_the_same_tokens(settings):
    model, batch = backbone(True), pad_left(PROMPTS, [1, 2], 0)
    ours = build("autoregressive", settings).decode(model, batch, 9)
    theirs = build("transformers_generate", {**settings, "cache": "static"}).decode(model, batch, 9)
    assert torch.equal(ours.tokens, theirs.tokens) and torch.equal(ours.useful, theirs.useful)


class Steps(Observer):
    def __init__(self):
        self.committed, self.final = [], []

    def step(self, committed, final=None):
        self.committed.append(int(torch.as_tensor(committed).sum()))
        self.final.append(final)


@pytest.mark.parametrize("settings", [{}, {"eos": "ban"}, {"stop": "eos"}])
def test_prompt_lookup_of_transformers_writes_the_same_tokens_in_fewer_passes(settings):
    fewer = 0
    for seed in range(6):
        model, batch = backbone(True, seed=seed), pad_left([[5, 6, 7, 8] * 3 + [5, 6]], [1], 0)
        ours = build("autoregressive", settings).decode(model, batch, 24)
        watch = Steps()
        theirs = build("transformers_generate", {**settings, "lookup": 4}).decode(model, batch, 24, watch)
        assert torch.equal(ours.tokens, theirs.tokens) and torch.equal(ours.useful, theirs.useful)
        assert len(watch.final) == theirs.nfe <= ours.nfe and sum(watch.committed) == watch.final[-1]
        assert theirs.token_forwards >= ours.token_forwards
        fewer += theirs.nfe < ours.nfe
    assert fewer


def test_prompt_lookup_of_transformers_says_what_it_cannot_do():
    with pytest.raises(NotImplementedError, match="takes one prompt, not 2"):
        build("transformers_generate", {"lookup": 4}).decode(backbone(True), pad_left(PROMPTS, [1, 2], 0), 4)
    with pytest.raises(Exception, match="temperature 0 and cache: dynamic"):
        build("transformers_generate", {"lookup": 4, "cache": "static"})


@pytest.mark.parametrize("settings", [{}, {"eos": "ban"}, {"stop": "eos"}])
def test_continuous_batching_writes_the_same_tokens(settings):
    """Also for another number of rows, and for rows and lengths beyond the room that was made first."""
    made = build("transformers_continuous", settings)
    ended = set()
    for seed in range(2):
        model = backbone(True, seed=seed)
        for prompts, new_tokens in ((PROMPTS, 9), (PROMPTS[1:], 4), ([*PROMPTS, [1, 3, 4]], 20)):
            batch = pad_left(prompts, list(range(len(prompts))), 0)
            ours = build("autoregressive", settings).decode(model, batch, new_tokens)
            theirs = made.decode(model, batch, new_tokens)
            assert torch.equal(ours.tokens, theirs.tokens) and torch.equal(ours.useful, theirs.useful)
            ended.add(bool((ours.useful < new_tokens).any()))
    # Where ends may be written, some must be: else nothing was shown of them.
    assert (True in ended) == (settings.get("eos") != "ban")


def test_continuous_batching_uses_the_threads_it_is_given():
    """Its passes run in a thread of its own."""
    result = []
    model = backbone(True)
    made = build("transformers_continuous", {})
    made.prepare(model)
    made._twin.model.norm.register_forward_hook(lambda *_: result.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        made.decode(model, pad_left(PROMPTS, [1, 2], 0), 2)
    finally:
        torch.set_num_threads(before)
    assert set(result) == {before + 1}


def test_continuous_batching_as_a_cell(folder):
    spec = arms.spec(
        ArmSpec(folder, "transformers_continuous", {}), reference=ArmSpec(folder, "autoregressive", {})
    )
    facts = run_cell(spec, arms.MeasureSettings(**arms.FAST), 0.0)
    assert (
        facts["status"] == "ok" and facts["outputs"] == facts["reference_outputs"] and facts["work"] is None
    )


def test_a_failure_inside_continuous_batching_is_said(monkeypatch):
    model = backbone(True)
    made = build("transformers_continuous", {})
    made.prepare(model)
    batch = pad_left(PROMPTS, [1, 2], 0)
    made.decode(model, batch, 3)

    def lost(*_: object, **__: object):
        raise MemoryError("out of memory: no page is left")

    monkeypatch.setattr(made._twin.model, "forward", lost)
    with pytest.raises(RuntimeError, match="no page is left") as failed:
        made.decode(model, batch, 3)
    assert out_of_memory(failed.value)


def test_continuous_batching_is_greedy_and_compiles_on_a_gpu_only():
    made = build("transformers_continuous", {})
    assert "temperature" in made.check(made.Settings(temperature=1.0), 5)
    made.engine = "compiled"
    with pytest.raises(NotImplementedError, match="GPU only"):
        made.prepare(backbone(True))


def test_transformers_own_compilation_is_a_gpus(folder):
    made = build("transformers_generate", {"cache": "static"})
    made.engine = "compiled"
    with pytest.raises(NotImplementedError, match="GPU only"):
        made.prepare(backbone(True))


class FakeLLM:
    """Says what it was asked, and writes each prompt's last token on and on; an end where it may."""

    made: list = []

    def __init__(self, **arguments):
        self.arguments = arguments
        FakeLLM.made.append(self)

    def generate(self, prompts, sampling_params, use_tqdm):
        result = []
        for prompt, params in zip(prompts, sampling_params, strict=True):
            last = prompt["prompt_token_ids"][-1]
            stops = params.stop_token_ids and not params.min_tokens
            tokens = [last, last, 2] if stops else [last] * params.max_tokens
            result.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens)]))
        return result


@pytest.fixture
def vllm(monkeypatch):
    FakeLLM.made.clear()
    fake = SimpleNamespace(LLM=FakeLLM, SamplingParams=lambda **arguments: SimpleNamespace(**arguments))
    monkeypatch.setitem(sys.modules, "vllm", fake)
    return fake


def test_without_vllm_a_cell_is_unsupported_and_says_why(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    facts = run_cell(arms.spec(ArmSpec(folder, "vllm", {})), arms.MeasureSettings(**arms.FAST), 0.0)
    assert facts["status"] == "unsupported" and "vLLM is not installed" in facts["reason"]
    assert "envs/vllm.yaml" in facts["reason"] and not facts["samples"]


def test_vllm_gets_our_settings_and_unpadded_prompts(folder, vllm):
    model, decoder, _ = load_arm(folder, "vllm", {"stop": "eos"}, "cpu", "float32")
    decoded = decoder.decode(model, pad_left(PROMPTS, [1, 2], 0), 5)
    (llm,) = FakeLLM.made
    assert llm.arguments["model"] == str(folder) and llm.arguments["dtype"] == "float32"
    assert llm.arguments["enforce_eager"] and not llm.arguments["enable_prefix_caching"]
    assert decoded.tokens.tolist() == [[7, 7, 2, 2, 2], [8, 8, 2, 2, 2]] and decoded.useful.tolist() == [2, 2]
    assert decoded.nfe == 3
    banned = build("vllm", {"eos": "ban"})._sampling(model, 5, 1)
    assert banned.min_tokens == 5 and banned.stop_token_ids == [2] and not banned.ignore_eos
    free = build("vllm", {})._sampling(model, 5, 1)
    assert free.ignore_eos and not free.stop_token_ids and free.min_tokens == 0


def test_vllm_drafts_by_its_own_settings(folder, vllm):
    lookup = {"method": "ngram", "num_speculative_tokens": 7, "prompt_lookup_max": 3}
    model, decoder, _ = load_arm(folder, "vllm", {"speculative": lookup}, "cpu", "float32")
    decoded = decoder.decode(model, pad_left(PROMPTS, [1, 2], 0), 5)
    (llm,) = FakeLLM.made
    assert llm.arguments["speculative_config"] == lookup
    assert (decoded.nfe, decoded.token_forwards) == (0, 0), (
        "the passes are vLLM's, and it did not say how many"
    )
    drafted = build("vllm", {"speculative": {"method": "dflash", "num_speculative_tokens": 15}})
    drafted.companions["draft"] = SimpleNamespace(folder=folder)
    drafted.prepare(model)
    assert FakeLLM.made[-1].arguments["speculative_config"] == {
        "method": "dflash",
        "num_speculative_tokens": 15,
        "model": str(folder),
    }
    build("vllm", {}).prepare(model)
    assert "speculative_config" not in FakeLLM.made[-1].arguments


@pytest.mark.parametrize(
    ("speculative", "says"),
    [
        ({"method": "ngram"}, "num_speculative_tokens"),
        ({"method": "guess", "num_speculative_tokens": 2}, "ngram"),
        ({"method": "dflash", "num_speculative_tokens": 2, "prompt_lookup_max": 3}, "are for method ngram"),
        (
            {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_min": 4, "prompt_lookup_max": 3},
            "above",
        ),
        ({"method": "ngram", "num_speculative_tokens": 2, "tree": 4}, "tree"),
    ],
)
def test_vllms_drafting_is_checked_before_a_job_runs(speculative, says):
    with pytest.raises(ValueError, match=says):
        DECODERS.load("vllm").Settings.model_validate({"speculative": speculative})


def test_vllms_draft_is_a_companion():
    drafted = DECODERS.load("vllm").Settings(speculative={"method": "dflash", "num_speculative_tokens": 15})
    assert "needs a companion 'draft'" in companion_trouble("vllm", drafted, ())[0]
    assert companion_trouble("vllm", drafted, ("draft",)) is None
    assert companion_trouble("vllm", DECODERS.load("vllm").Settings(), ()) is None


def test_a_cell_of_vllm_is_timed_beside_ours(folder, vllm):
    facts = run_cell(
        arms.spec(ArmSpec(folder, "vllm", {}), ArmSpec(folder, "autoregressive", {})),
        arms.MeasureSettings(**arms.FAST), 0.0,
    )  # fmt: skip
    assert facts["status"] == "ok" and facts["samples"] and facts["reference_samples"]
    assert facts["work"] is None, "none of its passes are ours to count"


def test_random_weights_are_in_no_file(vllm):
    with pytest.raises(NotImplementedError, match="from files"):
        build("vllm", {}).prepare(backbone(True))
