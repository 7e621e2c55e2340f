"""`make gpu-check`, small and on the pretended device: every part runs, and the page says what was reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import fast_dllm, gpu_check, gpu_run
from benchmarks.gpu_check import FULL, PARTS, is_wait, random_models
from benchmarks.gpu_parts import forced, parity
from benchmarks.gpu_run import Part, Run, Size
from pardec.common.files import read_json
from pardec.decoding.batching import pad_left
from pardec.decoding.cached_diffusion import CachedDiffusion
from pardec.measure import machine
from pardec.models.checkpoints.configs import read_config
from pardec.models.load import save_model
from pardec.models.sources.random import RandomSettings, fetch
from tests.faults import arms
from tests.reference.card import pretended_card
from tests.reference.drafts import draft_model
from tests.reference.models import backbone

ROOT = Path(__file__).parents[2]
SMALL = Size(
    {},
    prompt=4,
    new=8,
    precision="float32",
    cases=("ar", "diffusion", "cached", "draft"),
    engines=("eager",),
    limits={"warmup_passes": 1, "min_samples": 5, "max_samples": 5, "energy_s": 0},
)


def small_models(folder):
    models = {"ar": True, "diffusion": False}
    made = {name: arms.write_model(folder / name, causal) for name, causal in models.items()}
    save_model(draft_model(backbone(True, max_positions=128)), folder / "draft")
    return made | {"target": made["ar"], "small-ar": made["ar"], "draft": folder / "draft"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    models = small_models(folder)
    with pytest.MonkeyPatch.context() as patch, pretended_card() as card:

        @contextmanager
        def waits():
            before = card.waits.total()
            yield lambda: card.waits.total() - before

        patch.setattr(machine, "MATMUL_SIDE", 8)
        patch.setattr(
            gpu_run, "forget_graphs", lambda: None
        )  # there are none, and collecting garbage takes longer
        run = Run("cuda", SMALL, models, waits, folder / "out", seconds=900.0)
        run.run(PARTS, apart=False)
    return folder / "out", {one.target: one for one in run.checks}, run


def test_every_part_runs_and_is_judged(made):
    _, checks, run = made
    seconds = {name.removeprefix("seconds ") for name in run.records if name.startswith("seconds ")}
    assert seconds == {part.name for part in PARTS}
    assert checks["decoders write the CPU's tokens in float32"].met, checks
    assert checks["fewer host waits than passes where none is needed"].met
    assert checks["small cells end ok"].met, checks["small cells end ok"].reached
    for label in ("ar, autoregressive", "diffusion, cached_diffusion", "target, speculative"):
        assert checks[f"{label}, eager runs"].met, checks
    assert checks["vLLM"].met is None and "unsupported" in checks["vLLM"].reached


def test_records_hold_rates_and_memory(made):
    rates = made[2].records["ar autoregressive eager"]["rates"]
    assert rates["tokens_per_s"] > 0 and rates["mbu"] > 0 and rates["mfu"] > 0 and rates["cache_mb"] > 0


def test_forced_drafts_are_accepted(made):
    samples = made[2].records["target speculative eager"]["samples"]
    assert max(cycle["accepted"] for cycle in samples[0]["cycles"]) > 1


def test_page_and_archive_hold_the_table(made):
    out, checks, _ = made
    text = (out / "index.html").read_text()
    assert all(word in text for word in ("reached", "not measured", "all within 900 seconds"))
    body = json.loads((out / "check.json").read_text())
    assert len(body["checks"]) == len(checks)
    with tarfile.open(out / "records.tar.gz") as tar:
        assert set(tar.getnames()) == {"check.json", "index.html"}


def quick(out, parts, seconds=60.0):
    run = Run("cpu", SMALL, {}, None, out, seconds)
    run.run(parts, apart=True)
    return {one.target: one for one in run.checks}, run


def test_a_part_that_fails_dies_or_hangs_is_a_line_and_stops_no_other(tmp_path):
    """As an error of the device, a crash and a graph that never compiles do."""

    def slow(run):
        run.check("before", "kept", True)
        time.sleep(60)

    def last(run):
        run.record("facts", [1])
        run.check("<b>", "x", True)

    checks, run = quick(
        tmp_path,
        [
            Part("broken", lambda run: 1 / 0, 0.8),
            Part("dead", lambda run: os._exit(3), 0.8),
            Part("slow", slow, 0.8),
            Part("last", last, 57.6),
        ],
    )
    assert "ZeroDivisionError" in checks["broken"].reached
    assert "code 3" in checks["dead"].reached
    assert checks["before"].met and "over" in checks["slow"].reached
    assert [checks[name].met for name in ("broken", "dead", "slow", "<b>")] == [False, False, False, True]
    assert run.records["facts"] == [1]
    assert "&lt;b&gt;" in (tmp_path / "index.html").read_text()


def test_a_part_without_time_is_skipped_and_says_so():
    run = Run("cpu", SMALL, {}, None, seconds=1.0)
    long, late = Part("long", lambda run: time.sleep(0.85), 1.0), Part("late", lambda run: 1 / 0, 1.0)
    run.run([long, late], apart=False)
    checks = {one.target: one for one in run.checks}
    assert checks["late"].met is None and "skipped" in checks["late"].reached


def test_a_cell_without_time_is_skipped():
    run = Run("cpu", SMALL, {}, None, seconds=5.0)
    assert run.cell("x", "ar", "autoregressive", {})["status"] == "skipped"


def test_everything_known_so_far_is_on_disk_when_the_run_is_killed(tmp_path):
    def dies(run):
        with tarfile.open(tmp_path / "records.tar.gz") as tar:
            kept = json.load(tar.extractfile("check.json"))
        run.check("archived before", str(len(kept["checks"])), len(kept["checks"]) == 1)

    checks, _ = quick(
        tmp_path, [Part("one", lambda run: run.check("first", "x", True), 20), Part("two", dies, 40)]
    )
    assert checks["archived before"].met
    assert {path.name for path in tmp_path.iterdir()} == {"check.json", "index.html", "records.tar.gz"}


def test_the_shares_of_the_parts_are_eight_minutes():
    assert sum(part.seconds for part in PARTS) == gpu_check.SECONDS == 480


def test_a_wait_is_told_from_what_torch_says_of_the_mode_itself():
    assert is_wait("called a synchronizing CUDA operation (Triggered internally at CUDAFunctions.cpp:149.)")
    mode = "Synchronization debug mode is a prototype feature and does not yet detect all synchronizing operations"
    assert not is_wait(mode)


def test_what_an_environment_lacks_is_named_at_once():
    """The first line of a machine without network, before anything is imported."""
    code = "import sys; sys.modules['pydantic'] = None; import benchmarks.gpu_check"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "lacks pydantic" in done.stderr and done.returncode == 1


@pytest.mark.thorough  # a process of its own
def test_the_process_that_forks_never_asks_the_driver(tmp_path):
    """A fork of a process that has asked how many devices there are cannot use any."""
    code = f"""
        import pathlib, torch
        asked = []
        for name in ("is_available", "device_count", "_lazy_init"):
            setattr(torch.cuda, name, lambda *_, name=name: asked.append(name))
        torch._C._cuda_getDeviceCount = lambda: asked.append("count")
        torch._C._cuda_getCurrentRawStream = None  # what importing the compiler looks for where there is CUDA
        import benchmarks.gpu_check as check
        check.random_models(check.FULL, pathlib.Path({str(tmp_path)!r}))
        check.Run("cuda", check.FULL, {{}}, check.warned_waits, pathlib.Path({str(tmp_path)!r})).save()
        print(asked)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_engines_may_part_at_near_ties_alone(tmp_path):
    run = Run("cpu", SMALL, small_models(tmp_path), None)
    right = run.cell("cell", "ar", "autoregressive", {})["outputs"]
    wrong = [
        row | {"tokens": [*row["tokens"][:2], (row["tokens"][2] + 1) % 5, *row["tokens"][3:]]}
        for row in right
    ]
    parity(run, {"eager": {"outputs": right}, "compiled": {"outputs": right}})
    assert run.checks[-1].met and run.records["parity"] == []
    parity(run, {"eager": {"outputs": right}, "compiled": {"outputs": wrong}})
    assert run.checks[-1].met is False, "another token is far behind the best"
    assert {one["at"] for one in run.records["parity"]} == {2}


@pytest.mark.thorough  # compiles
def test_the_compiled_parts_run_too(tmp_path):
    ar = {"source": "random", "vocab_size": 300, "hidden": 64, "layers": 2, "heads": 2, "mlp": 64}
    shapes = {
        "ar": ar | {"family": "autoregressive"},
        "ar-int8": ar | {"family": "autoregressive", "quantise": "int8"},
        "diffusion": ar | {"family": "masked_diffusion", "mask_id": 3},
    }
    made = {name: tmp_path / name for name in shapes}
    for name, settings in shapes.items():
        fetch(RandomSettings(**settings), made[name], 7)
    size = Size({}, 4, 8, "bfloat16", limits=SMALL.limits, columns=256)
    run = Run("cpu", size, made, None, tmp_path / "out", 900.0)
    wanted = {"attention", "autoregressive", "diffusion", "quantised"}
    run.run([part for part in PARTS if part.name in wanted], apart=False)
    checks = {one.target: one for one in run.checks}
    for engine in ("eager", "compiled"):
        assert checks[f"ar, autoregressive, {engine} runs"].met, checks
        assert "times as fast" in checks[f"dual cache, {engine}, ahead of Fast-dLLM's loop"].reached
    assert checks["ar, autoregressive, compiled: graphs recorded and none skipped"].met
    assert checks["engines part only at near-ties in 16 bits"].met
    assert checks["masked attention of compiled passes is that of plain products"].met, checks
    assert "times as fast" in checks["a step behind 256 columns beats torch's masked kernel"].reached
    assert "times" in checks["ar-int8: faster than 16-bit weights"].reached


@pytest.mark.parametrize("rows", [1, 2])
def test_fast_dllms_loop_writes_what_our_dual_cache_writes(rows):
    """So the ratio is of one task: same passes, same commits."""
    model = backbone(causal=False, scale=3.0)
    decoder = CachedDiffusion(CachedDiffusion.Settings(steps=6, block=4, cache="dual"))
    batch = pad_left([[1, 5, 9], [1, 7, 8]][:rows], None, 0)
    ours, its = decoder.decode(model, batch, 12), fast_dllm.decode(model, batch, 12, 4, 6)
    assert its.tokens.tolist() == ours.tokens.tolist()
    assert (its.nfe, its.token_forwards) == (ours.nfe, ours.token_forwards)


def test_the_models_of_a_whole_run_need_no_download_and_fit_each_other(tmp_path):
    made = random_models(FULL, tmp_path)
    infos = {
        name: read_config(read_json(path / "config.json"), "config.json").info()
        for name, path in made.items()
    }
    needed = {"ar", "ar-int8", "ar-int4", "target", "small-ar"}
    assert all(infos[name].attention == "causal" for name in needed)
    assert infos["diffusion"].attention == "bidirectional"
    assert infos["ar"].parameters > 7e9 < infos["diffusion"].parameters
    assert (infos["draft"].hidden, infos["draft"].vocab_size) == (
        infos["target"].hidden,
        infos["target"].vocab_size,
    )
    room = FULL.prompt + FULL.new + 64
    assert all(info.max_positions >= room for info in infos.values())
    assert all((path / "tokenizer.json").is_file() for name, path in made.items() if name != "draft")


def test_forcing_ends_with_its_block():
    from pardec.decoding.speculative.acceptance import Match

    before = Match.decide
    with forced(3):
        assert Match.decide is not before
    assert Match.decide is before
