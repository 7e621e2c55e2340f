"""The pins, in every place that states them."""

import re
import runpy
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WRITE = runpy.run_path(str(ROOT / "scripts/write_environment.py"))
PINS = WRITE["pins"]()
HASHED = re.sub(r"\s*\\\n\s+", " ", (ROOT / "requirements.txt").read_text())


def test_every_requirement_is_pinned():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", pin) for pin in PINS), PINS
    assert len({normal(pin.split("==")[0]) for pin in PINS}) == len(PINS)


def test_every_file_but_torchs_is_known_by_its_hash():
    """pip refuses a file of another hash, and a list with and without hashes."""
    lines = [line for line in HASHED.splitlines() if line and line[0] != "#"]
    assert len(lines) == len(PINS) - 1
    for line in lines:
        assert re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line), line[:100]
    assert not any(re.match(r"(torch|triton|nvidia-(?!ml-py))", line) for line in lines)
    torch = [line for line in (ROOT / "envs/torch.txt").read_text().splitlines() if line[0] != "#"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert torch == [name for name in wanted if name.startswith("torch")] == [PINS[-1]]


def test_the_makefile_installs_by_hash():
    text = (ROOT / "Makefile").read_text()
    assert "--require-hashes -r requirements.txt" in text and "-r envs/torch.txt" in text


def test_conda_says_the_same_with_python_3_13():
    text = (ROOT / "envs/pardec.yaml").read_text()
    assert text == WRITE["environment"](), "run `make docs`"
    environment = yaml.safe_load(text)
    assert "python=3.13" in environment["dependencies"]
    assert environment["dependencies"][-1]["pip"] == PINS


def test_every_dependency_of_the_package_is_among_the_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    names = {normal(re.split(r"[=<>]", pin)[0]) for pin in PINS}
    for wanted in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        assert normal(re.split(r"[=<>]", wanted)[0]) in names, wanted


def normal(name):
    return name.lower().replace("_", "-")
