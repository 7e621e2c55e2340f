"""Faults seen in published harnesses of this field, each tried on the path that a real cell takes.

Counts and clocks are here; what becomes of them in tables is in test_table_faults.py.
"""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch
from pydantic import ValidationError

from pardec.data.tokenizers import TextTokenizer
from pardec.decoding.batching import pad_left
from pardec.decoding.registry import DECODERS
from pardec.evidence.tables.inputs import check_record, read_source
from pardec.measure import cell as harness
from pardec.measure import sampling
from pardec.measure.cell import ArmSpec
from pardec.measure.clock import CudaClock, HostClock, MpsClock, clock_for
from pardec.measure.settings import MeasureSettings
from pardec.models.load import load_model
from tests.faults import arms

NEW = 6
ARMS = [
    ("autoregressive", True, {}),
    ("transformers_generate", True, {}),
    ("masked_diffusion", False, {"steps": 3}),
    ("masked_diffusion", False, {"steps": 4, "block": 3}),
]
each_arm = pytest.mark.parametrize(("decoder", "causal", "settings"), ARMS, ids=lambda value: str(value))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {causal: arms.write_model(folder / str(causal), causal) for causal in (True, False)}


@pytest.fixture
def register(monkeypatch):
    def add(kind):
        monkeypatch.setitem(DECODERS.entries, "fake", f"{kind.__module__}:{kind.__name__}")

    return add


ROWS = {"prompts": arms.prompts(5), "batch": 5, "new_tokens": 12}


def tokens_of(facts) -> dict[str, list[int]]:
    return {output["prompt"]: output["tokens"] for output in facts["outputs"]}


def before_end(tokens: list[int], eos: int) -> int:
    return tokens.index(eos) if eos in tokens else len(tokens)


# Prompt tokens counted as output.


@each_arm
def test_prompt_tokens_are_not_output(models, decoder, causal, settings):
    arm = ArmSpec(models[causal], decoder, settings)
    short, long = (
        arms.run(arm, prompts=arms.prompts(4, (length,)), batch=2, new_tokens=NEW) for length in (2, 40)
    )
    assert long["prompt_length"]["min"] == 41 and short["prompt_length"]["max"] == 3
    for facts in (short, long):
        for sample in facts["samples"]:
            assert sample["canvas"] == 2 * NEW and sample["useful"] <= 2 * NEW
            assert sum(sample["committed"]) == NEW
        assert {len(tokens) for tokens in tokens_of(facts).values()} == {NEW}


# Throughput to the end token on one side and over the full canvas on the other; tokens of the last row only.


@pytest.fixture(scope="module")
def ending(models, tmp_path_factory):
    """Return models whose end token is one that they do write, with the useful tokens of their rows counted by hand."""
    folder, made = tmp_path_factory.mktemp("ending"), {}
    for causal, name in ((True, "autoregressive"), (False, "masked_diffusion")):
        plain = tokens_of(arms.run(ArmSpec(models[causal], name, {}), **ROWS))
        counts = {eos: [before_end(plain[f"p{k}"], eos) for k in range(5)] for eos in range(3, 23)}
        # Rows must differ, and no row alone may stand for all of them.
        telling = [eos for eos, row in counts.items() if sum(row) > max(row) and sum(row) / 5 not in row]
        assert telling, "the random model writes the same in every row"
        eos = max(telling, key=lambda eos: len(set(counts[eos])))
        made[causal] = ArmSpec(arms.write_model(folder / name, causal, eos), name, {}), counts[eos]
    return made


def test_both_sides_count_useful_and_canvas_tokens_alike(ending):
    (reference, reference_counts), (arm, counts) = ending[True], ending[False]
    facts = arms.run(arm, reference, **ROWS)
    for samples, by_hand in ((facts["samples"], counts), (facts["reference_samples"], reference_counts)):
        for sample in samples:
            assert sample["useful"] == sum(by_hand) and sample["canvas"] == 5 * 12
    # Neither side stopped at its end token: the same number of positions was written on both.
    assert {sample["nfe"] for sample in facts["reference_samples"]} == {12}
    assert {sum(sample["committed"]) for sample in facts["samples"]} == {12}


def test_stopping_at_the_end_changes_passes_and_not_the_count(ending):
    arm, counts = ending[True]
    stopped = ArmSpec(arm.model, arm.decoder, {"stop": "eos"})
    for sample in arms.run(stopped, **ROWS)["samples"]:
        assert sample["useful"] == sum(counts)


def test_tokens_of_every_row_count(ending):
    for arm, counts in ending.values():
        for sample in arms.run(arm, **ROWS)["samples"]:
            # Rows are walked in a drawn order: whichever came last, it alone gives another sum.
            assert sample["useful"] == sum(counts) not in {5 * count for count in counts} | set(counts)


# The wall clock of the day around a loop that tokenises.


def test_tokenising_is_over_when_the_clock_starts(models, monkeypatch):
    running, seen = [], []

    def watched(clock, run):
        def inside(watch):
            running.append(True)
            try:
                return run(watch)
            finally:
                running.pop()

        return timed(clock, inside)

    def encode(self, text):
        seen.append(bool(running))
        return plain(self, text)

    timed, plain = sampling.timed, TextTokenizer.encode
    monkeypatch.setattr(sampling, "timed", watched)
    monkeypatch.setattr(TextTokenizer, "encode", encode)
    arms.run(ArmSpec(models[False], "masked_diffusion", {}), ArmSpec(models[True], "autoregressive", {}))
    assert len(seen) == 2 * 4 and not any(seen)


def test_a_step_of_the_wall_clock_moves_no_timing(models, monkeypatch):
    """time.time() may be set back while a cell runs; durations come from a clock that cannot be."""
    started, calls = time.time(), []

    def stepping():
        calls.append(1)
        return started - 3600 * len(calls)

    monkeypatch.setattr(time, "time", stepping)
    for sample in arms.run(ArmSpec(models[True], "autoregressive", {}))["samples"]:
        stamps = [0.0, *sample["commit_ms"], sample["e2e_ms"]]
        assert stamps == sorted(stamps) and 0 < sample["e2e_ms"] <= sample["host_ms"] < 10_000


# No warm-up.


def test_the_first_slow_generations_are_no_samples(models, register):
    register(arms.Cold)
    cold = ArmSpec(models[True], "fake", {})
    plain = ArmSpec(models[True], "autoregressive", {})
    slow_ms = arms.Cold.SLEEP * 1e3
    mine = arms.run(cold, limits={"warmup_passes": 3})
    other = arms.run(plain, cold, limits={"warmup_passes": 3})
    sides = ((mine["warmup_ms"], mine["samples"]), (other["reference_warmup_ms"], other["reference_samples"]))
    for warmup, samples in sides:
        assert len(warmup) == 4 and min(warmup[:3]) >= slow_ms
        assert median(sample["e2e_ms"] for sample in samples) < slow_ms / 2


def test_warm_up_cannot_be_switched_off():
    with pytest.raises(ValidationError, match="warmup_passes"):
        MeasureSettings(warmup_passes=0)


# No synchronisation.


def test_work_still_queued_on_the_device_is_timed(models, register, monkeypatch):
    device = arms.FakeDevice()
    clock = HostClock(device.now, device.now)
    clock.synchronize = device.synchronize
    monkeypatch.setattr(harness, "clock_for", lambda name: clock)
    monkeypatch.setattr(arms.Launched, "device", device, raising=False)
    register(arms.Launched)
    facts = arms.run(ArmSpec(models[True], "fake", {}))
    for sample in facts["samples"]:
        assert 7 <= sample["host_ms"] < 7.1, "neither lost, nor left over from the generation before"


def test_each_kind_of_device_waits_for_itself(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for name, kind in (("cuda", CudaClock), ("cuda:1", CudaClock), ("mps", MpsClock)):
        clock = clock_for(name)
        assert type(clock) is kind
        clock.synchronize()
    assert waited == ["cuda", "cuda", "mps"] and type(clock_for("cpu")) is HostClock


# Compilation silently switched off.


def test_a_compiled_engine_that_cannot_be_had_is_unsupported_not_eager(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    job = arms.Job(tmp_path, monkeypatch)
    assert job.start(engine="compiled") == 0
    body = check_record(read_source(job.out)).body
    assert body["status"] == "unsupported" and "no C++ compiler" in body["reason"] and not body["samples"]
    assert body["cell"]["engine"] == "compiled"
    assert job.start(engine="eager") == 0
    assert check_record(read_source(job.out)).body["cell"]["engine"] == "eager"


def test_a_study_cannot_ask_for_an_engine_that_is_none():
    from pydantic import TypeAdapter

    from pardec.study.schema import Arm

    arm = {"model": "m", "decoder": "autoregressive", "settings": {}}
    assert TypeAdapter(Arm).validate_python(arm).engine == "eager"
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Arm).validate_python({**arm, "engine": "quick"})
    assert [error["loc"][-1] for error in refused.value.errors()] == ["engine"]


# An unoptimised or batch-1-only baseline.


@each_arm
def test_a_batch_takes_no_more_passes_than_one_prompt(models, decoder, causal, settings):
    arm = ArmSpec(models[causal], decoder, settings)
    one, four = (arms.run(arm, batch=batch) for batch in (1, 4))
    for name in ("nfe", "token_forwards"):
        assert {s[name] for s in one["samples"]} == {s[name] for s in four["samples"]}, name
    assert {len(sample["prompts"]) for sample in four["samples"]} == {4}
    if one["work"] is not None:
        # Counted at the model's own door, not by the decoder.
        assert one["work"]["forwards"] == four["work"]["forwards"] == one["samples"][0]["nfe"]
        assert four["work"]["flops_per_output"] == pytest.approx(4 * one["work"]["flops_per_output"])


def test_the_baseline_decodes_the_same_batch_in_one_go(models):
    reference = ArmSpec(models[True], "autoregressive", {})
    facts = arms.run(ArmSpec(models[False], "masked_diffusion", {}), reference, batch=4)
    for mine, other in zip(facts["samples"], facts["reference_samples"], strict=True):
        assert mine["prompts"] == other["prompts"] and len(other["prompts"]) == 4
        assert mine["canvas"] == other["canvas"] == 4 * NEW and other["nfe"] == NEW


@pytest.mark.parametrize("decoder", ["autoregressive", "transformers_generate"])
def test_the_baseline_keeps_its_cache(models, decoder):
    """Recomputing the whole prefix for every token would forward 4 + 5 + ... + 9 positions instead."""
    facts = arms.run(ArmSpec(models[True], decoder, {}))
    assert {sample["token_forwards"] for sample in facts["samples"]} == {4 + NEW - 1}
    if decoder == "autoregressive":
        assert facts["memory"]["cache_mb"] > 0


# The attention mask dropped, so that padding on the left changes logits.


@pytest.mark.parametrize("causal", [True, False])
def test_left_padding_changes_no_logit(models, causal):
    model = load_model(models[causal])
    rows = [[1, 5, 9], [1, 7, 4, 4, 8, 20, 13], [1, 6]]
    batch = pad_left(rows, None, model.info.pad_id)
    padded = model(batch.tokens, pad=batch.pad)
    unmasked = model(batch.tokens)
    for k, row in enumerate(rows):
        alone = model(torch.tensor([row]))[0]
        torch.testing.assert_close(padded[k, -len(row) :], alone, atol=1e-4, rtol=1e-4)
        if len(row) < 7:
            assert not torch.allclose(unmasked[k, -len(row) :], alone, atol=1e-2), "the mask matters here"


# Accuracy that moves with the batch size.

SAMPLED = [("autoregressive", True, {"temperature": 1.5}), ("masked_diffusion", False, {"temperature": 1.5})]
RULES = [
    ("masked_diffusion", False, {"steps": 6, "threshold": 0.7}),
    ("masked_diffusion", False, {"cfg_scale": 0.5}),
]


@pytest.mark.parametrize(("decoder", "causal", "settings"), [*ARMS, *SAMPLED, *RULES], ids=str)
def test_outputs_do_not_move_with_the_batch(models, decoder, causal, settings):
    arm = ArmSpec(models[causal], decoder, settings)
    mixed = {"prompts": arms.prompts(5, (2, 9, 4)), "new_tokens": NEW}
    one = tokens_of(arms.run(arm, batch=1, **mixed))
    assert len(one) == 5 and len(set(map(tuple, one.values()))) > 1
    for batch in (2, 3, 5):
        assert tokens_of(arms.run(arm, batch=batch, **mixed)) == one, batch


# Acceptance lengths off by one.

COUNTS = [
    ("autoregressive", True, {}, [1] * 6, 6),
    ("transformers_generate", True, {}, [1] * 6, 6),
    ("masked_diffusion", False, {"steps": 1}, [6], 1),
    ("masked_diffusion", False, {"steps": 3}, [2, 2, 2], 3),
    ("masked_diffusion", False, {"steps": 4}, [2, 2, 1, 1], 4),
    ("masked_diffusion", False, {"steps": 6}, [1] * 6, 6),
    ("masked_diffusion", False, {"steps": 4, "block": 3}, [2, 1, 2, 1], 4),
    ("masked_diffusion", False, {"steps": 3, "cfg_scale": 1.0}, [2, 2, 2], 6),
    ("masked_diffusion", False, {"steps": 6, "threshold": 0.0}, [6], 1),
]


@pytest.mark.parametrize(("decoder", "causal", "settings", "committed", "nfe"), COUNTS, ids=str)
def test_tokens_per_forward_is_exact(
    models, tmp_path, monkeypatch, decoder, causal, settings, committed, nfe
):
    job = arms.Job(tmp_path, monkeypatch)
    assert job.start(settings=settings, decoder=decoder, model=str(models[causal])) == 0
    record = job.record()
    for sample in record["samples"]:
        assert sample["committed"] == committed and sample["nfe"] == nfe
        assert len(sample["commit_ms"]) == len(committed)
        assert sample["first_tokens"] == committed[0]
    row = job.row()
    assert row["nfe"] == nfe and row["tokens_per_forward"] == NEW / nfe
