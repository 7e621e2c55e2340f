"""The cards of the embedded models and data."""

import re
import runpy
from pathlib import Path

import pytest

from pardec.study.cards import data_card, first_line, model_card
from pardec.study.plan import read_plan

ROOT = Path(__file__).parents[2]
QUALITY = re.compile(r"## Measured quality.*?(?=\n## )", re.S)


@pytest.fixture(scope="module")
def plan():
    return read_plan(ROOT, [ROOT / "studies/paper.yaml"])


def test_the_cards_are_those_of_the_paper_study(plan):
    """Measured quality apart: it is that of the published run when `make docs` ran."""
    written = (ROOT / "docs/model-card.md").read_text()
    assert QUALITY.sub("", written) == QUALITY.sub("", model_card(plan)), "run `make docs`"
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


def test_a_docstrings_first_sentence():
    class Documented:
        """Two lines make
        one sentence. Another.

        More."""

    assert first_line(Documented) == "Two lines make one sentence."
