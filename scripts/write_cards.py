"""Write the model card and the data card of the embedded models and data."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from pardec.audit.archive import open_run
from pardec.common.files import write_text
from pardec.jobs import job
from pardec.study.cards import data_card, model_card, published_models
from pardec.study.plan import read_plan

ROOT = Path(__file__).resolve().parents[1]
TABLE = "results/tables/models.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run", type=Path, help="a folder of results or an archive; by default the published run"
    )
    options = parser.parse_args()
    with job():
        plan = read_plan(ROOT, [ROOT / "studies/paper.yaml"])
        published = ROOT / "results/published/paper/run.tar.zst"
        run = options.run or (published if published.is_file() else None)
        measured = read_floors(run) if run else []
        others = published_models(ROOT / "results/published")
        name = f"`{run.name}`" if run else ""
        write_text(ROOT / "docs/model-card.md", model_card(plan, measured, name, others))
        write_text(ROOT / "docs/data-card.md", data_card(plan))


def read_floors(path: Path) -> list[dict[str, str]]:
    """Return the rows of a run's table `models`; numbers have the three digits that a card needs."""
    with open_run(path) as run, open(run.file(TABLE), encoding="utf-8", newline="") as lines:
        return [{name: short(text) for name, text in row.items()} for row in csv.DictReader(lines)]


def short(text: str) -> str:
    """Return a number with three significant digits, and any other text unchanged."""
    try:
        return f"{float(text):.3g}"
    except ValueError:
        return text


if __name__ == "__main__":
    main()
