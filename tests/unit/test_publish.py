"""What is published still is what the code and the study make; the appendix says how to test each claim."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pardec.audit import publish as publishing
from pardec.audit.publish import ARCHIVE, stale
from pardec.audit.run import Run
from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.models.sources import restored
from pardec.study.plan import Plan, read_plan
from tests.tiny_study import STUDY

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results/published"
WEIGHTS = PUBLISHED / restored.WEIGHTS


def recipes(plan: Plan) -> dict[str, tuple[dict, int]]:
    """Return settings and seed of each model that a study trains."""
    models = plan.study.models
    return {
        name: (models[name].model_dump(mode="json"), plan.seed("model", name)) for name in plan.trained_models
    }


@pytest.mark.skipif(
    not (PUBLISHED / "paper" / ARCHIVE).is_file(), reason="nothing is published yet: make paper publish"
)
def test_the_published_recipes_are_those_of_the_code_and_of_the_paper_study():
    wrong = stale(WEIGHTS, recipes(read_plan(ROOT, ["studies/paper.yaml"])))
    assert not wrong, "\n".join(["run `make paper`, then `make publish`:", *wrong])


@pytest.mark.skipif(
    not (PUBLISHED / "smollm2-drafts" / restored.WEIGHTS).is_dir(),
    reason="no weights of this study are published",
)
def test_the_published_weights_of_the_real_models_draft_are_those_of_its_study():
    wrong = stale(
        PUBLISHED / "smollm2-drafts" / restored.WEIGHTS,
        recipes(read_plan(ROOT, ["studies/smollm2-drafts.yaml"])),
    )
    assert not wrong, "\n".join(
        ["run `make smollm2-drafts`, then `pardec publish results --study smollm2-drafts`:", *wrong]
    )


def test_recipes_that_no_longer_match_are_named(tmp_path):
    plan = Plan(STUDY, [], ROOT)
    wanted = recipes(plan)
    for name, (settings, seed) in wanted.items():
        modules = restored.modules(settings["objective"]["family"])
        recipe = {"settings": settings, "seed": seed, "modules": modules}
        recipe["code_sha256"] = restored.code_of(recipe)
        write_json(tmp_path / f"{name}.json", {"recipe": recipe})
    assert stale(tmp_path, wanted) == []

    first, second = sorted(wanted)[:2]
    other = read_json(tmp_path / f"{first}.json")
    other["recipe"]["code_sha256"] = "0"
    write_json(tmp_path / f"{first}.json", other)
    (tmp_path / f"{second}.json").unlink()
    write_json(tmp_path / "gone.json", {"recipe": {}})
    words = stale(tmp_path, wanted)
    assert len(words) == 3
    for name, why in ((first, "code"), (second, "not published"), ("gone", "no such model")):
        assert any(word.startswith(name) and why in word for word in words)
    settings, seed = wanted[first]
    assert any("other settings" in word for word in stale(tmp_path, {**wanted, first: (settings, seed + 1)}))


def test_a_study_can_be_run_by_some_of_its_experiments():
    whole = read_plan(ROOT)
    part = read_plan(ROOT, [], ["only=[steps]"])
    assert (
        {cell.experiment for cell in part.cells.values()}
        == {"steps"}
        < {c.experiment for c in whole.cells.values()}
    )
    assert set(part.cells) < set(whole.cells) and set(part.study.experiments) == {"steps"}
    with pytest.raises(UserError, match="only"):
        read_plan(ROOT, [], ["only=[nothing]"])


def origin(rule: str) -> SimpleNamespace:
    return SimpleNamespace(block={"rule": rule})


def test_weights_that_were_fetched_are_named_and_not_published(tmp_path, monkeypatch):
    """Nor does publishing another study than the paper remove the paper's weights."""
    results, to = tmp_path / "results", tmp_path / "published"
    fetched, made = results / "models/fetched", results / "models/made"
    for folder in (fetched, made):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        write_json(folder / "source.json", {})
    (to / "weights").mkdir(parents=True)
    (to / "weights/of-the-paper.safetensors").write_bytes(b"kept")
    for name in [*publishing.NEEDED, "machine"]:
        write_json(results / f"{name}.json", {"name": "smollm2", "jobs": []})
    write_json(results / "ro-crate-metadata.json", {"@graph": []})
    (results / "report.html").write_text("page")
    origins = {
        "results/models/fetched/provenance.json": origin("fetch_model"),
        "results/data/d/provenance.json": origin("prepare_data"),
    }
    monkeypatch.setattr(Run, "origins", lambda self: origins)
    monkeypatch.setattr(publishing, "appendix", lambda run: "claims")
    monkeypatch.setattr(publishing, "write_archive", lambda run, out, apart, level: kept.append(apart))
    kept: list[list[str]] = []
    publishing.publish_run(Run(results, "a run"), to)
    assert kept == [["results/models/fetched/model.safetensors"]]
    assert (to / "weights/of-the-paper.safetensors").is_file()
    assert {path.name for path in (to / "smollm2").iterdir()} == {"report.html", "claims.md", "seconds.json"}

    # What is derived from an archive elsewhere says nothing of how long the run took.
    write_json(
        results / "jobs.json", {"jobs": [{"rule": "tabulate", "start": "2026-01-01", "end": "2026-01-02"}]}
    )
    publishing.publish_run(Run(results, "a run"), to, derived=True)
    assert read_json(to / "smollm2/seconds.json") == {}
    publishing.publish_run(Run(results, "a run"), to)
    assert read_json(to / "smollm2/seconds.json") == {"tabulate": 86400}


def test_another_study_publishes_the_models_that_the_paper_does_not_have(tmp_path, monkeypatch):
    """A training of either recipe then takes those weights."""
    results, to = tmp_path / "results", tmp_path / "published"
    origins = {}
    for name in ("shared", "own"):
        folder = results / "models" / name
        folder.mkdir(parents=True)
        for file in ("config.json", "training.json", "tokenizer.json", "model.safetensors"):
            (folder / file).write_text("{}" if file.endswith("json") else name)
        recipe = {"sha256": name, "modules": [], "settings": {"source": "train"}}
        recipe["code_sha256"] = restored.code_of(recipe)
        recipe["data"] = {"tokenizer.json": restored.sha256(folder / "tokenizer.json")}
        block = {"rule": "train_model", "recipe": recipe}
        origins[f"results/models/{name}/provenance.json"] = SimpleNamespace(block=block)
    for name in [*publishing.NEEDED, "machine"]:
        write_json(results / f"{name}.json", {"name": "smollm2", "jobs": []})
    write_json(results / "ro-crate-metadata.json", {"@graph": []})
    (results / "report.html").write_text("page")
    monkeypatch.setattr(Run, "origins", lambda self: origins)
    monkeypatch.setattr(publishing, "appendix", lambda run: "claims")
    monkeypatch.setattr(
        publishing, "write_archive", lambda run, out, apart, level: kept.append(sorted(apart))
    )
    kept: list[list[str]] = []
    shared = origins["results/models/shared/provenance.json"].block
    restored.publish(to / "weights", results / "models/shared", shared, "the authors")
    (to / "smollm2/weights").mkdir(parents=True)
    (to / "smollm2/weights/gone.json").write_text("{}")

    publishing.publish_run(Run(results, "a run"), to)
    assert {path.name for path in (to / "smollm2/weights").iterdir()} == {"own.json", "own.safetensors"}
    assert {path.stem for path in (to / "weights").iterdir()} == {"shared"}
    assert kept == [[f"results/models/{name}/model.safetensors" for name in ("own", "shared")]]
    for name, study in (("own", "smollm2/weights"), ("shared", "weights")):
        assert restored.find(restored.weights_folders(to), {"sha256": name}) == to / study / f"{name}.json"
