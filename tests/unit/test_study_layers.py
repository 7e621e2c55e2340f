"""Files of a study: what lies beneath which, and what is said of one that is wrong."""

from pathlib import Path

import pytest
import yaml

from pardec.common.errors import UserError
from pardec.study.layers import read_study
from pardec.study.plan import read_plan
from tests.tiny_study import ROOT, overlay


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(
        tmp_path,
        config="include: [base/a.yaml, base/b.yaml]\nname: default\nmodels: {own: 1}\n",
        base__a="models: {a: {x: 1, y: 1}}\nlist: [1, 2]\n",
        base__b="include: [a.yaml]\nmodels: {a: {y: 2}}\nlist: [3]\n",
    )


def test_includes_lie_beneath_and_each_is_read_once(folder):
    config, files = read_study(folder)
    assert config == {"name": "default", "models": {"a": {"x": 1, "y": 2}, "own": 1}, "list": [3]}
    assert files == ["base/a.yaml", "base/b.yaml", "config.yaml"]


def test_a_file_without_includes_changes_the_default_study(folder):
    write(folder, mine="models: {own: 2}\n")
    config, files = read_study(folder, ["mine.yaml"])
    assert config["models"]["own"] == 2 and "a" in config["models"]
    assert files[-2:] == ["config.yaml", "mine.yaml"]


@pytest.mark.parametrize("include", ["[]", "[../base/a.yaml]"])
def test_a_file_with_includes_has_nothing_of_the_default_study(folder, include):
    write(folder, studies__mine=f"include: {include}\nname: mine\n", more="threads: 2\n")
    config, files = read_study(folder, [folder / "studies/mine.yaml", "more.yaml"])
    assert config["name"] == "mine" and "own" not in config.get("models", {}) and config["threads"] == 2
    assert "config.yaml" not in files and files[-2:] == ["studies/mine.yaml", "more.yaml"]


def test_the_default_study_named_on_the_command_line_is_the_default_study(folder):
    assert read_study(folder, ["config.yaml"]) == read_study(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\ninclude: [base/c.yaml]\n", ["mine.yaml:2: include", "base/c.yaml does not exist"]),
        ("include: base/a.yaml\n", ["mine.yaml:1: include", "list files"]),
        ("include: [1]\n", ["mine.yaml:1: include", "list files"]),
        ("include: [mine.yaml]\n", ["mine.yaml:1: include", "includes itself"]),
        ("include: [round.yaml]\n", ["round.yaml:1: include", "mine.yaml includes itself"]),
        ("include: [base]\n", ["mine.yaml:1: include", "base does not exist"]),
        ("- 1\n", ["mine.yaml", "contains no keys"]),
        ("a: [\n", ["mine.yaml", "is not a YAML file"]),
    ],
)
def test_a_wrong_file_gets_one_clear_message(folder, text, words):
    write(folder, mine=text, round="include: [mine.yaml]\n")
    with pytest.raises(UserError) as caught:
        read_study(folder, ["mine.yaml"])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_mistake_is_placed_in_the_file_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = overlay()
    models = {"models": whole.pop("models")}
    models["models"]["m-ar"]["stesp"] = 3
    write(tmp_path, models=models, mine=whole | {"include": ["models.yaml"]}, changes="threads: 0\n")
    with pytest.raises(UserError) as caught:
        read_plan(ROOT, ["mine.yaml", "changes.yaml"])
    line = Path("models.yaml").read_text().splitlines().index("    stesp: 3") + 1
    assert f"models.yaml:{line}: models.m-ar.stesp" in str(caught.value)
    assert "changes.yaml:1: threads" in str(caught.value)
    with pytest.raises(UserError, match="--config: threads"):
        read_plan(ROOT, [ROOT / "studies/paper.yaml"], ["threads=0"])
