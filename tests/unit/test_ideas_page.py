"""Verdicts on drafting ideas of several published runs, side by side."""

from __future__ import annotations

import re
from pathlib import Path

from pardec.audit import ideas_page
from pardec.audit.publish import ARCHIVE
from pardec.common.files import sha256

ROOT = Path(__file__).parents[2]


def idea(name: str, status: str, sentence: str = "") -> dict:
    return {"id": name, "title": name.title(), "status": status, "sentence": sentence}


def test_a_row_for_each_idea_and_a_column_for_each_run_that_tried_one(tmp_path, monkeypatch):
    runs = {
        "other": [
            idea("tree", "validated", "Faster: throughput is 1.2 × [1.1, 1.3] that of arm draft; more.")
        ],
        "paper": [idea("tree", "rejected"), idea("eos", "equivalent")],
        "without": [idea("tree", "proposed")],
    }
    for name in runs:
        (tmp_path / name).mkdir()
        (tmp_path / name / ARCHIVE).write_text(name)
    monkeypatch.setattr(
        ideas_page,
        "_verdicts",
        lambda path: (f"Study {path.parent.name}", {one["id"]: one for one in runs[path.parent.name]}),
    )
    archives = ideas_page.published_with_ideas(tmp_path)
    assert [path.parent.name for path in archives] == ["paper", "other"]
    rows = [line for line in ideas_page.ideas_page(archives).splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| idea", "| Tree", "| Eos"]
    assert rows[1].endswith(
        "| [validated](../results/published/other/report.html#idea-tree): 1.2 × [1.1, 1.3] that of arm draft |"
    )
    assert rows[2].endswith("report.html#idea-eos) | – |")


def test_the_committed_page_is_of_the_published_archives():
    text = (ROOT / "docs/ideas.md").read_text(encoding="utf-8")
    listed = re.findall(r"`([\w-]+)`, archive ([0-9a-f]{12})", text)
    assert listed and listed[0][0] == "paper"
    for study, digest in listed:
        archive = ROOT / "results/published" / study / ARCHIVE
        assert sha256(archive).startswith(digest), f"{study} was published again: run `make docs`"
