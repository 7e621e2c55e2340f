"""The cards of the embedded models and data."""

import re
import runpy
from pathlib import Path

import pytest

from pardec.common.files import write_json
from pardec.study.cards import data_card, first_line, model_card, published_models
from pardec.study.plan import read_plan

ROOT = Path(__file__).parents[2]
QUALITY = re.compile(r"## Measured quality.*?(?=\n## )", re.S)


@pytest.fixture(scope="module")
def plan():
    return read_plan(ROOT, [ROOT / "studies/paper.yaml"])


def test_the_cards_are_those_of_the_paper_study(plan):
    """Measured quality apart: it is that of the published run when `make docs` ran."""
    written = (ROOT / "docs/model-card.md").read_text()
    card = model_card(plan, others=published_models(ROOT / "results/published"))
    assert QUALITY.sub("", written) == QUALITY.sub("", card), "run `make docs`"
    assert (ROOT / "docs/data-card.md").read_text() == data_card(plan), "run `make docs`"


def test_every_model_and_data_set_has_a_line(plan):
    models, data = model_card(plan), data_card(plan)
    assert all(f"| `{name}` |" in models for name in plan.trained_models)
    assert all(f"### `{name}`" in data for name in plan.own_datasets)


def test_measured_quality_comes_from_a_runs_table(plan, tmp_path):
    columns = "key,model,metric,floor,value,value_low,value_high,n,met"
    table = tmp_path / "results/tables/models.csv"
    table.parent.mkdir(parents=True)
    table.write_text(f"{columns}\ngrid-ar-exact,ar-grid,exact,0.95,0.968749999,0.84,0.99,32,True\n")
    read = runpy.run_path(str(ROOT / "scripts/write_cards.py"))["read_floors"]
    card = model_card(plan, read(tmp_path / "results"), "`run.tar.zst`")
    assert "| grid-ar-exact | ar-grid | exact | 0.95 | 0.969 | 0.84 to 0.99 | 32 | True |" in card
    assert "No run is archived" not in card and "No run is archived" in model_card(plan)


def test_a_model_of_another_study_has_its_training_curve(plan, tmp_path):
    weights = tmp_path / "mine/weights"
    weights.mkdir(parents=True)
    (weights / "adapted.safetensors").write_bytes(b"0" * 1_500_000)
    settings = {
        "source": "adapt",
        "base": "big",
        "objective": {"family": "block_diffusion", "blocks": [1, 4]},
    }
    training = {
        "parameters": 1234567,
        "cpu_s": 120.0,
        "loss": [[step, 9 - step / 100] for step in range(1, 101)],
    }
    body = {"model": "adapted", "trained": {"machine": {"cpu": "a CPU"}}, "training": training}
    body["recipe"] = {"settings": {**settings, "steps": 100, "batch": 8}}
    write_json(weights / "adapted.json", body)
    card = model_card(plan, others=published_models(tmp_path))
    assert "| `adapted` | `mine` | adapter for block diffusion | big | 1,234,567 | 1.5 MB | 2 minutes" in card
    assert "`adapted`: family block_diffusion, blocks 1 4, steps 100, batch 8." in card
    assert (
        "| step | 1 | 15 | 29 | 43 | 58 | 72 | 86 | 100 |\n|---|---|---|---|---|---|---|---|---|\n| loss | 8.99 |"
        in card
    )
    assert "Models of other studies" not in model_card(plan)


def test_a_docstrings_first_sentence():
    class Documented:
        """Two lines make
        one sentence. Another.

        More."""

    assert first_line(Documented) == "Two lines make one sentence."
