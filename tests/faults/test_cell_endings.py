"""However a timed cell ends, its record stands and its row is in the table; bad input writes nothing."""

from __future__ import annotations

import signal
import time

import pytest

from pardec.common.files import write_jsonl
from pardec.evidence.tables.pairs import clean
from pardec.measure.cell import out_of_memory
from tests.faults import arms
from tests.faults.arms import Job


@pytest.fixture
def job(tmp_path, monkeypatch):
    return Job(tmp_path, monkeypatch)


ENDINGS = [
    (arms.CudaOutOfMemory, "oom", "Tried to allocate 2.00 GiB"),
    (arms.HostOutOfMemory, "oom", "memory"),
    (arms.Sleeper, "timeout", "1.5 s"),
    (arms.Stubborn, "timeout", "1.5 s"),
    (arms.Unsupported, "unsupported", "no kernel for this shape"),
    (arms.Broken, "failed", "ZeroDivisionError: one over nothing"),
    (arms.BrokenLate, "failed", "ValueError: the sixth generation"),
]


@pytest.mark.parametrize(("kind", "status", "reason"), ENDINGS, ids=lambda v: getattr(v, "__name__", v))
def test_a_failed_cell_is_a_record_and_a_row(job, kind, status, reason):
    job.register("fake", kind)
    limits = {"timeout_s": 1.5} if status == "timeout" else {}
    assert job.start(decoder="fake", limits=limits) == 0
    record = job.record()
    assert record["status"] == status and reason in record["reason"]
    assert record["reason"].endswith("(in the cell)") and record["samples"] == []
    row = job.row()
    assert (row["cell"], row["status"], row["n"]) == ("steps/t/m/a/w", status, 0)
    assert reason in row["reason"]
    measured = ("latency_ms", "ttft_ms", "tokens_per_s", "nfe", "peak_allocated_mb", "ratio", "mfu")
    assert {row[name] for name in measured} == {None}
    assert row["command"] and row["code_sha256"] and row["record_sha256"]


@pytest.mark.parametrize(("kind", "status", "reason"), ENDINGS, ids=lambda v: getattr(v, "__name__", v))
def test_a_reference_that_fails_fails_the_comparison(job, kind, status, reason):
    """No ratio may be formed with a side that did not finish, and the row still names that side."""
    job.register("fake", kind)
    limits = {"timeout_s": 1.5} if status == "timeout" else {}
    assert job.start(reference={"decoder": "fake"}, limits=limits) == 0
    record = job.record()
    assert record["status"] == status and record["samples"] == record["reference"]["samples"] == []
    row = job.row()
    assert row["status"] == status and row["reference_decoder"] == "fake"
    assert row["reason"].endswith("(in the reference)"), "the row must not blame the cell"
    assert row["ratio"] is row["ratio_low"] is None


DRAFTED = {"drafter": {"name": "small"}}
DFLASH = {"drafter": {"name": "dflash"}}
UNFIT = [
    ({"decoder": "masked_diffusion"}, "unsupported", "causal attention", "cell"),
    ({"prompt_form": "chat"}, "unsupported", "chat template", "cell"),
    ({"prompt_tokens": 10_000}, "unsupported", "ask for shorter prompts", "cell"),
    ({"decoder": "speculative", "settings": DRAFTED, "companions": {"draft": "mdm"}},
     "unsupported", "bidirectional", "cell"),
    ({"decoder": "speculative", "settings": DRAFTED}, "unsupported", "needs a companion", "cell"),
    ({"decoder": "speculative", "settings": DFLASH, "companions": {"draft": "ar"}},
     "unsupported", "its companion is a Backbone", "cell"),
    ({"new_tokens": 1000}, "unsupported", "exceed the 128 positions of the model", "cell"),
]  # fmt: skip


@pytest.mark.parametrize("side", ["cell", "reference"])
@pytest.mark.parametrize(("change", "status", "reason", "where"), UNFIT, ids=lambda v: str(v)[:40])
def test_an_arm_that_cannot_be_loaded_is_a_row_that_names_its_side(job, change, status, reason, where, side):
    if "companions" in change:
        change = change | {
            "companions": {"draft": str(job.folder / "models" / change["companions"]["draft"])}
        }
    if side == "reference" and change.keys() & {"prompt_form", "prompt_tokens", "new_tokens"}:
        pytest.skip("both sides read the same prompts")
    assert (job.start(**change) if side == "cell" else job.start(reference=change)) == 0
    record = job.record()
    assert record["status"] == status and reason in record["reason"] and "Traceback" not in record["reason"]
    assert record["reason"].endswith(f"(in the {where.replace('cell', side)})")
    assert job.row()["status"] == status


def test_memory_that_ends_while_the_reference_is_loaded_is_the_references(job, monkeypatch):
    from pardec.models import load

    real, calls = load.load_model, []

    def second(*args, **rest):
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return real(*args, **rest)

    monkeypatch.setattr(load, "load_model", second)
    assert job.start(reference={}) == 0
    record = job.record()
    assert record["status"] == "oom" and record["reason"].endswith("(in the reference)")


@pytest.mark.parametrize(
    "message",
    ["CUDA out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
     "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate",
     "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"],
)  # fmt: skip
def test_what_libraries_say_of_a_full_memory(message):
    assert out_of_memory(RuntimeError(message)) and not out_of_memory(ValueError(message))
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_a_good_cell_ends_as_a_row_with_measurements(job):
    assert job.start() == 0
    row, samples = job.row(), job.record()["samples"]
    # A row counts the clean samples, and others' load on this machine flags some.
    assert (row["status"], row["reason"], row["n"]) == ("ok", None, len(clean(samples))) and len(samples) == 6
    assert row["latency_low"] <= row["latency_ms"] <= row["latency_high"] and row["nfe"] == 6


def test_a_timeout_ends_at_its_limit(job):
    job.register("fake", arms.Sleeper)
    begin = time.monotonic()
    job.start(decoder="fake", limits={"timeout_s": 0.3})
    assert time.monotonic() - begin < 10, "the sleeping decoder was not interrupted"


@pytest.mark.parametrize("kind", [arms.Fake, arms.Broken, arms.Sleeper], ids=lambda kind: kind.__name__)
def test_no_alarm_is_left_behind(job, kind):
    job.register("fake", kind)
    before = signal.getsignal(signal.SIGALRM)
    job.start(decoder="fake", limits={"timeout_s": 0.3 if kind is arms.Sleeper else 60})
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0) and signal.getsignal(signal.SIGALRM) is before


def no_batch(job):
    return {"batch": -1}, "--cell.batch"


def bad_setting(job):
    return {"settings": {"temperature": -1}}, "temperature"


def unknown_decoder(job):
    return {"decoder": "autoregresive"}, "did you mean 'autoregressive'"


def missing_model(job):
    return {"model": job.folder / "nowhere"}, "nowhere"


BAD = [
    no_batch,
    bad_setting,
    unknown_decoder,
    missing_model,
]


@pytest.mark.parametrize("kept", [None, b'{"an": "old record"}'], ids=["no record yet", "a record before"])
@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_bad_input_is_one_message_and_nothing_lost(job, capsys, spoil, kept):
    if kept is not None:
        job.out.parent.mkdir(parents=True)
        job.out.write_bytes(kept)
    words, output = spoil(job)
    capsys.readouterr()
    assert job.start(**words) == 2
    err = capsys.readouterr().err
    assert err.count("error: ") == 1 and err.count("fix: ") == 1 and output in err
    assert "Traceback" not in err
    if kept is None:
        assert not job.out.exists() and not list(job.out.parent.glob("*"))
    else:
        assert job.out.read_bytes() == kept and len(list(job.out.parent.iterdir())) == 1


def test_bad_input_on_the_reference_side_too(job, capsys):
    assert job.start(reference={"model": job.folder / "nowhere"}) == 2
    assert "nowhere" in capsys.readouterr().err and not job.out.exists()


def cut(name):
    def spoil(job):
        path = job.folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 3])
        return path.name

    return spoil


def no_prompts(job):
    write_jsonl(job.data / "heldout.jsonl", [])
    return "contains no prompt"


def no_weights(job):
    (job.model / "model.safetensors").unlink()
    return "model.safetensors"


DAMAGED = {
    "weights cut": cut("models/ar/model.safetensors"),
    "config cut": cut("models/ar/config.json"),
    "tokenizer cut": cut("models/ar/tokenizer.json"),
    "prompts cut": cut("data/d/heldout.jsonl"),
    "no prompts": no_prompts,
    "no weights": no_weights,
}


@pytest.mark.parametrize("side", ["cell", "reference"])
@pytest.mark.parametrize("spoil", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_fails_its_cell_and_leaves_a_row(job, capsys, spoil, side):
    named = spoil(job)
    other = {"model": str(job.diffusion), "decoder": "masked_diffusion", "settings": {"steps": 2}}
    status = job.start() if side == "cell" else job.start(**other, reference={"model": str(job.model)})
    assert status == 0 and "Traceback" not in capsys.readouterr().err
    record = job.record()
    assert record["status"] == "failed" and named in record["reason"] and record["samples"] == []
    if spoil is not no_prompts and spoil is not DAMAGED["prompts cut"]:
        assert record["reason"].endswith(f"(in the {side})")
    assert (job.row()["status"], job.row()["latency_ms"]) == ("failed", None)


def test_an_interrupt_writes_nothing(job, monkeypatch):
    """Ctrl-C is no result: the cell must run again."""

    def stopped(self, new_tokens):
        raise KeyboardInterrupt

    monkeypatch.setattr(arms.Broken, "misbehave", stopped)
    job.register("fake", arms.Broken)
    with pytest.raises(KeyboardInterrupt):
        job.start(decoder="fake")
    assert not job.out.exists()
