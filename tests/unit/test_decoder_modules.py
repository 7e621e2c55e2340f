"""What a decoder loads by name is in the code of the jobs that run it, and nothing else is."""

import subprocess
import sys
from pathlib import Path

import pytest

from pardec.common.closure import closure
from pardec.common.errors import UserError
from pardec.decoding.prepared import modules_run
from pardec.decoding.registry import DECODERS
from pardec.decoding.speculative.registry import KINDS, OPTIONAL
from pardec.models.registry import ENGINES

ROOT = Path(__file__).parents[2]
BESIDE = {"residual": {"temperature": 1.0}, "sampled_match": {"temperature": 1.0}}
BESIDE["rounds"] = {"temperature": 1.0, "acceptance": {"name": "residual"}}
"""Settings that a strategy needs beside itself."""


def files(decoder, settings=None, engine="eager"):
    modules = modules_run(decoder, settings or {}, engine)
    return set(closure(ROOT, "scripts/time_cell.py", modules))


def path(module):
    return f"{module.replace('.', '/')}.py"


@pytest.mark.parametrize("name", list(DECODERS))
def test_a_decoders_own_file_is_in_its_code(name):
    assert path(DECODERS.module(name)) in files(name)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, entries in KINDS.items() for name in entries]
)
def test_a_strategys_file_is_in_the_code_of_what_uses_it_and_of_nothing_else(kind, name):
    used = files("speculative", {kind: {"name": name}} | BESIDE.get(name, {}))
    assert path(KINDS[kind].module(name)) in used
    assert path(KINDS[kind].module(name)) not in files("autoregressive")


def test_a_kind_that_is_not_used_is_not_in_the_code():
    used = files("speculative")
    assert {kind for kind in KINDS if f"pardec/decoding/speculative/{kind}s.py" not in used} >= set(OPTIONAL)


def test_a_manager_is_in_the_code_of_a_flood_that_plans():
    planned = {manager: files("flash_flood", {"plan": "manager", "manager": manager}) for manager in
               ("autoregressive", "jacobi")}  # fmt: skip
    assert "pardec/decoding/jacobi.py" in planned["jacobi"] - planned["autoregressive"]
    assert "pardec/decoding/jacobi.py" not in files("flash_flood") | files("table_lookup")


def test_an_engine_is_in_the_code_of_arms_that_run_on_it_only():
    for engine in ENGINES:
        file = path(ENGINES.module(engine))
        assert file in files("autoregressive", engine=engine) - files("autoregressive")


def test_a_refused_setting_is_named():
    with pytest.raises(UserError, match="decoder autoregressive: steps"):
        modules_run("autoregressive", {"steps": 3})


def test_settings_are_read_without_heavy_modules_and_decoding_does_not_know_measuring():
    code = (
        "import sys\n"
        "from pardec.decoding.registry import DECODERS\n"
        "for name in DECODERS: DECODERS.load(name).check(DECODERS.load(name).Settings(), 8)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'transformers', 'pandas')"
        " or m.startswith('pardec.measure')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
