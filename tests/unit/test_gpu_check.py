"""`make gpu-check`, small and on the pretended device: every part runs, and the page says what was reached."""

from __future__ import annotations

import json
import tarfile
from contextlib import contextmanager

import pytest

from benchmarks import gpu_check
from benchmarks.gpu_check import Run, Size, check, forced
from benchmarks.gpu_page import Check, page
from pardec.common.files import read_json
from pardec.measure import machine
from pardec.models.checkpoints.configs import read_config
from pardec.models.load import save_model
from tests.faults import arms
from tests.reference.card import pretended_card
from tests.reference.drafts import draft_model
from tests.reference.models import backbone

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
        run = Run("cuda", SMALL, models, waits)
        checks = check(run, folder / "out")
    return folder / "out", {one.target: one for one in checks}, run


def test_every_part_runs_and_is_judged(made):
    _, checks, run = made
    seconds = {name.removeprefix("seconds ") for name in run.records if name.startswith("seconds ")}
    assert seconds == {"machine", *gpu_check.PARTS}
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
    assert all(word in text for word in ("reached", "not measured", "all within eight minutes"))
    body = json.loads((out / "check.json").read_text())
    assert len(body["checks"]) == len(checks)
    with tarfile.open(out / "records.tar.gz") as tar:
        assert set(tar.getnames()) == {"check.json", "index.html"}


def test_a_part_that_fails_or_finds_no_time_is_a_line_and_stops_no_other(monkeypatch):
    run = Run("cpu", SMALL, {}, None)
    run.part("broken", lambda: 1 / 0)
    monkeypatch.setattr(gpu_check, "BUDGET_S", 1.0)
    run.part("late", lambda: pytest.fail("ran"))
    assert [(one.target, one.met) for one in run.checks] == [("broken", False), ("late", None)]
    assert "ZeroDivisionError" in run.checks[0].reached
    run.checks.append(Check("<b>", "x", True))
    assert "&lt;b&gt;" in page(run.checks, run.records) and "not reached" in page(run.checks, run.records)


def test_the_models_of_a_whole_run_need_no_download_and_fit_each_other(tmp_path):
    made = gpu_check.random_models(gpu_check.FULL, tmp_path)
    infos = {
        name: read_config(read_json(path / "config.json"), "config.json").info()
        for name, path in made.items()
    }
    needed = {"ar", "target", "small-ar"}
    assert all(infos[name].attention == "causal" for name in needed)
    assert infos["diffusion"].attention == "bidirectional"
    assert infos["ar"].parameters > 7e9 < infos["diffusion"].parameters
    assert (infos["draft"].hidden, infos["draft"].vocab_size) == (
        infos["target"].hidden,
        infos["target"].vocab_size,
    )
    room = gpu_check.FULL.prompt + gpu_check.FULL.new + 64
    assert all(info.max_positions >= room for info in infos.values())
    assert all((path / "tokenizer.json").is_file() for name, path in made.items() if name != "draft")


def test_forcing_ends_with_its_block():
    from pardec.decoding.speculative.acceptance import Match

    before = Match.decide
    with forced(3):
        assert Match.decide is not before
    assert Match.decide is before
