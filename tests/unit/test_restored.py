"""Published weights: a training of the same recipe takes them, any other trains, and who trained them is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from pardec.common.closure import closure, essence
from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256, write_json
from pardec.data.prepare import prepare
from pardec.evidence.crate import describe, describe_jobs, read_blocks
from pardec.models.load import load_model
from pardec.models.sources import restored
from pardec.models.sources.train import TrainSettings
from pardec.study.plan import Plan
from scripts import train_model
from tests.tiny_study import STUDY

ROOT = Path(__file__).parents[2]
TINY = {"hidden": 16, "layers": 1, "heads": 2, "mlp": 16, "max_positions": 64}
AR = {
    "source": "train",
    "data": "d",
    "size": TINY,
    "steps": 3,
    "batch": 4,
    "objective": {"family": "autoregressive"},
}
DIFFUSION = {
    **AR,
    "objective": {"family": "masked_diffusion", "shift": True},
    "init": "m",
    "positions": {"prompt": 8, "canvas": 8},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tasks = {"copy": {"min_items": 2, "max_items": 4}}
    prepare({"source": "tasks", "tasks": tasks, "train": 40, "heldout": 8}, 0, folder)
    return folder


SCRIPT = str(ROOT / "scripts" / "train_model.py")


def flags(data: Path, out: Path, *words: object, settings: dict = AR, seed: int = 1) -> list[str]:
    made = ["--name", "m", "--settings", json.dumps(settings), "--data", data, "--seed", seed, "--out", out]
    return [SCRIPT, *map(str, [*made, *words])]


def train(data: Path, out: Path, *words: object) -> subprocess.CompletedProcess:
    """Run the rule's script in a process of its own; it ends by printing whether torch was loaded."""
    run = f"import runpy, sys; runpy.run_path({SCRIPT!r}, run_name='__main__'); print('torch' in sys.modules)"
    code = f"import sys; sys.argv = {flags(data, out, *words)!r}; {run}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "m"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", flags(data, out))
        train_model.main()
    return out


@pytest.fixture(scope="module")
def again(data, published, tmp_path_factory):
    """Return (what its training printed, its folder) of the model restored; it lies in `results/m` of a folder."""
    out = tmp_path_factory.mktemp("again") / "results" / "m"
    done = train(data, out, "--published", published)
    assert done.returncode == 0, done.stderr
    return done.stdout, out


def train_here(monkeypatch, capsys, data: Path, out: Path, *words: object, **how) -> str:
    """Run the rule's script in this process; return what it prints."""
    monkeypatch.setattr(sys, "argv", flags(data, out, *words, **how))
    train_model.main()
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def published(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    restored.publish(folder / "weights", model, read_json(model / "provenance.json"), "somebody")
    return folder


def test_trained_weights_are_bfloat16_and_load_in_any_format(model):
    with safe_open(model / "model.safetensors", framework="pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.bfloat16"}  # noqa: SIM118
    assert read_json(model / "config.json")["dtype"] == "bfloat16"
    assert str(next(load_model(model).parameters()).dtype) == "torch.float32"


def test_the_same_recipe_restores_the_same_bytes_without_torch(model, again):
    printed, folder = again
    assert "restored from" in printed and printed.endswith("False\n")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "training.json"):
        assert sha256(folder / name) == sha256(model / name)
    first, second = (read_json(one / "provenance.json") for one in (model, folder))
    origin = second["restored"]
    assert origin["who"] == "somebody" and origin["sha256"] == sha256(model / "model.safetensors")
    for key in ("command", "code_sha256", "machine", "environment", "git", "start", "end"):
        assert origin[key] == first[key]
    assert "restored" not in first and second["recipe"] == first["recipe"]


def test_a_forked_child_trains_the_same_bytes(data, model, tmp_path, monkeypatch, capsys):
    """`model` was trained by the script, which hands over to a server; here it runs in this process."""
    train_here(monkeypatch, capsys, data, tmp_path / "m")
    assert sha256(tmp_path / "m/model.safetensors") == sha256(model / "model.safetensors")


def test_another_recipe_is_trained(data, model, published, tmp_path, monkeypatch, capsys):
    for number, how in enumerate(({"seed": 2}, {"settings": {**AR, "steps": 4}})):
        printed = train_here(
            monkeypatch, capsys, data, tmp_path / str(number), "--published", published, **how
        )
        assert "steps, last loss" in printed
        assert sha256(tmp_path / str(number) / "model.safetensors") != sha256(model / "model.safetensors")


def test_without_a_folder_of_weights_the_model_is_trained_to_the_same_bytes(
    data, model, tmp_path, monkeypatch, capsys
):
    for number, words in enumerate(([], ["--published", tmp_path / "nothing"])):
        assert "steps, last loss" in train_here(monkeypatch, capsys, data, tmp_path / str(number), *words)
        assert sha256(tmp_path / str(number) / "model.safetensors") == sha256(model / "model.safetensors")


def test_what_was_trained_here_is_not_trained_again(data, model, tmp_path, monkeypatch, capsys):
    """Snakemake deletes a model and repeats its job where an input was made again, be it the same bytes."""
    kept, nothing = tmp_path / ".trained", tmp_path / "nothing"
    words = ("--published", nothing, "--kept", kept)
    first, second = tmp_path / "first" / "m", tmp_path / "second" / "m"
    assert "steps, last loss" in train_here(monkeypatch, capsys, data, first, *words)
    assert "restored from" in train_here(monkeypatch, capsys, data, second, *words)
    assert sha256(second / "model.safetensors") == sha256(model / "model.safetensors")
    block = read_json(second / "provenance.json")
    assert block["restored"]["who"] == restored.HERE
    path = restored.publish(tmp_path / "weights", second, block, "the authors")
    assert read_json(path)["trained"]["who"] == "the authors"
    # A training that is asked for takes none of them; nor does another recipe.
    assert "steps, last loss" in train_here(monkeypatch, capsys, data, tmp_path / "anew", "--kept", kept)
    assert "steps, last loss" in train_here(monkeypatch, capsys, data, tmp_path / "other", *words, seed=2)


def test_published_weights_are_those_here_and_then_those_of_the_project(tmp_path, monkeypatch):
    """A study published in a folder of one's own hides no weights of the project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/published/mine/weights").mkdir(parents=True)
    folders = restored.weights_folders("results/published")
    assert folders[:2] == [Path("results/published") / name for name in ("weights", "mine/weights")]
    assert ROOT / "results/published/weights" in folders
    assert restored.weights_folders(tmp_path / "none") == [tmp_path / "none/weights"]


def test_a_restored_model_is_published_with_those_who_trained_it(published, again, tmp_path):
    block = read_json(again[1] / "provenance.json")
    path = restored.publish(tmp_path / "weights", again[1], block, "another")
    assert path.read_bytes() == (published / "weights" / "m.json").read_bytes()


def test_crate_and_list_of_jobs_say_who_trained(model, again, monkeypatch):
    folder = again[1].parents[1]
    monkeypatch.chdir(folder)
    (folder / "scripts").mkdir()
    for name in ("Snakefile", "scripts/train_model.py"):
        shutil.copyfile(ROOT / name, folder / name)
    about = {"name": "n", "description": "d", "license": "MIT", "agent": "a", "engine": "9"}
    for paper, restored_here in ((model, False), (again[1], True)):
        block = read_json(paper / "provenance.json")
        blocks = read_blocks([paper / "provenance.json"])
        (weights,) = describe_jobs(blocks)["weights"]
        assert weights["restored"] is restored_here and weights["sha256"] == sha256(
            model / "model.safetensors"
        )
        assert weights["who"] == ("somebody" if restored_here else None)
        assert weights["command"] == block.get("restored", block)["command"]
        graph = describe(blocks, paper.parent, ["Snakefile"], about)["@graph"]
        facts = {one["name"]: one["value"] for one in graph if one["@type"] == "PropertyValue"}
        assert facts.get("weights_who") == weights["who"]


@pytest.mark.parametrize("damage", ["weights", "lost", "description"])
def test_damaged_publications_end_with_a_message(data, published, tmp_path, damage):
    copy = shutil.copytree(published, tmp_path / "copy")
    weights = copy / "weights" / "m.safetensors"
    if damage == "weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    elif damage == "lost":
        weights.unlink()
    else:
        write_json(copy / "weights" / "m.json", [])
    done = train(data, tmp_path / "m", "--published", copy)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "retrain=true" in done.stderr


def recipe(data: Path, settings: dict = AR, seed: int = 1, **parents: Path) -> str:
    return restored.recipe(TrainSettings.model_validate(settings), seed, data, parents)["sha256"]


def test_a_recipe_knows_bytes_and_no_paths(data, model, tmp_path):
    moved = shutil.copytree(data, tmp_path / "data")
    assert recipe(data) == recipe(moved)
    other = shutil.copytree(model, tmp_path / "m")
    assert recipe(data, DIFFUSION, init=model) == recipe(moved, DIFFUSION, init=other)
    (other / "model.safetensors").write_bytes(b"others")
    assert recipe(data, DIFFUSION, init=model) != recipe(data, DIFFUSION, init=other)
    with open(moved / "train.jsonl", "a", encoding="utf-8") as file:
        file.write("\n")
    assert recipe(data) != recipe(moved)


def essence_of(text: str, folder: Path) -> str:
    (folder / "one.py").write_text(text)
    return essence(folder, ["one.py"])


def test_only_statements_that_training_runs_count(tmp_path):
    families = ("autoregressive", "masked_diffusion", "draft", "renderer")
    run = {
        family: {"settings": {"source": "train"}, "modules": restored.modules(family)} for family in families
    }
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "pardec", copy / "pardec", ignore=shutil.ignore_patterns("__pycache__"))
    codes = {family: restored.code_of(run[family], copy) for family in families}
    assert codes == {family: restored.code_of(run[family]) for family in families}
    assert len(set(codes.values())) > 1

    def changed(path: str, text: str) -> list[str]:
        """Return the families whose code differs once `text` is added to a file of a fresh copy."""
        edited = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        shutil.copytree(copy, edited)
        with open(edited / path, "a", encoding="utf-8") as file:
            file.write(text)
        return [family for family in families if restored.code_of(run[family], edited) != codes[family]]

    objective = "pardec/models/training/objectives/renderer.py"
    assert changed(objective, "\nEDITED = 1\n") == ["renderer"]
    assert changed(objective, '\n# Edited.\n"""Edited too."""\n') == []
    assert changed("pardec/models/training/muon.py", "\nEDITED = 1\n") == list(families)
    assert changed("pardec/models/training/muon.py", "\ndef f(x): ...\n") == list(families)
    typed = essence_of("def f(x: int = 1) -> int:\n    return x\n", tmp_path)
    assert typed == essence_of("def f(x=1):\n    return x\n", tmp_path)
    assert typed != essence_of("def f(x=2):\n    return x\n", tmp_path)
    assert essence_of("a: int = 1\n", tmp_path) != essence_of("a: str = 1\n", tmp_path), "a field of a model"
    assert changed("pardec/decoding/jacobi.py", "\nEDITED = 1\n") == []
    assert changed("pardec/models/registry.py", "\nEDITED = 1\n") == []
    assert "pardec/models/sources/restored.py" not in closure(
        ROOT, restored.TRAININGS["train"], run["draft"]["modules"]
    )


def test_retraining_and_the_folder_are_no_part_of_a_study(tmp_path):
    plain = Plan(STUDY, [], ROOT)
    anew = Plan({**STUDY, "retrain": True}, [], ROOT)
    elsewhere = Plan({**STUDY, "published": str(tmp_path)}, [], ROOT)
    assert plain.published_words() == ["--published", "results/published"]
    assert anew.published_words() == [] and elsewhere.published_words() == ["--published", str(tmp_path)]
    assert plain.study_json() == anew.study_json() == elsewhere.study_json()
    for wrong in ({"retrain": "yes"}, {"published": 3}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Plan({**STUDY, **wrong}, [], ROOT)
