"""What docs/8b.md says of the 8B study: figures as the plan models them, rules and keys that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pardec.measure.roofline import CARDS
from pardec.study.estimate import estimate_cells, estimate_models, estimate_quality
from pardec.study.plan import read_plan

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/8b.md").read_text()
STUDIES = ("8b", "8b-shape", "8b-blocks")


def entries(row: str) -> list[str]:
    """The cells of a row of the section's first table."""
    (line,) = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", SECTION, re.M)
    return [cell.strip() for cell in line.split("|")]


@pytest.fixture(scope="module")
def plans():
    return [read_plan(ROOT, [ROOT / f"studies/{name}.yaml"]) for name in STUDIES]


@pytest.mark.parametrize(
    ("row", "card"), [("hours of one H200", "h200"), ("hours of one A100 80 GB", "a100-80gb")]
)
def test_hours_are_those_of_the_plan(plans, row, card):
    def hours(plan):
        cells = sum(one.seconds for one in estimate_cells(plan, CARDS[card]))
        quality = sum(one.seconds for one in estimate_quality(plan, CARDS[card]))
        return f"{(cells + quality) / 3600:.1f}"

    assert entries(row) == [hours(plan) for plan in plans]


@pytest.mark.parametrize("gigabytes", [24, 48, 80])
def test_what_fits_is_what_the_plan_says(plans, gigabytes):
    def fit(plan):
        cells = [one for one in estimate_cells(plan, CARDS["h200"]) if not one.unknown]
        return f"{sum(one.memory <= gigabytes * 1e9 for one in cells)} of {len(cells)}"

    assert entries(f"cells that fit {gigabytes} GB") == [fit(plan) for plan in plans]


def test_downloads_are_those_of_the_plan(plans):
    sizes = [sum(one.download or 0 for one in estimate_models(plan)) for plan in plans]
    assert entries("weights to download, GB") == [f"{size / 1e9:.0f}" for size in sizes]


def test_every_phase_names_rules_that_exist():
    rules = set(
        re.findall(r"^rule (\w+):", "".join(p.read_text() for p in (ROOT / "rules").glob("*.smk")), re.M)
    )
    phases = SECTION.partition("| phase | rule |")[2]
    rows = [line for line in phases.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 7, "one row a phase of the seed"
    for row in rows:
        named = set(re.findall(r"`([a-z]+_[a-z_]+)`", row))
        assert named and named <= rules, row
