"""The pins, in every place that states them."""

import re
import runpy
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PINS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]


def test_every_requirement_is_pinned():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", pin) for pin in PINS), PINS
    assert "torch==2.13.0" in PINS


def test_conda_says_the_same_with_python_3_13():
    text = (ROOT / "envs/pardec.yaml").read_text()
    write = runpy.run_path(str(ROOT / "scripts/write_environment.py"))
    assert text == write["environment"]((ROOT / "requirements.txt").read_text()), "run `make docs`"
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
