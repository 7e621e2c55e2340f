"""The page's notebook of ideas: every idea says what it is, did and why, and prints no number without a value."""

from __future__ import annotations

import re

import pytest

from pardec.evidence.verdicts import judge_ideas
from pardec.report.figures.base import drawn
from pardec.report.figures.registry import FIGURES
from pardec.report.render import Material, render
from pardec.report.rows import load_tables
from tests import draft_factories
from tests import report_fixtures as made
from tests.draft_factories import IDEAS

DRAWN = ("draft_speedup", "tau_by_position", "tau_vs_speed", "cycle_profile", "schedule", "verify_cost")


@pytest.fixture(scope="module")
def section(synthetic_folder):
    folder, frames = synthetic_folder, made.frames_of(synthetic_folder)
    read = load_tables([folder / "tables"])
    values = made.values_of(synthetic_folder)["values"]
    ideas = frames["ideas"]
    material = Material(
        values=values,
        tables=read,
        figures={name: folder / f"{name}.svg" for name in DRAWN},
        study=made.STUDY,
        verdicts=judge_ideas(ideas.astype(object).where(ideas.notna(), None).to_dict("records"), values),
    )
    html = render(material)
    begin = html.index('<section id="draft"')
    return html[begin : html.index("</section>", begin)]


def test_every_idea_has_its_entry(section):
    for idea in IDEAS:
        entry = section[section.index(f'id="idea-{idea.id}"') :]
        entry = entry[: entry.index("</article>")]
        for words in ("What it is.", "What it should do.", "What it did.", "Why."):
            assert words in entry, idea.id


def test_the_plain_answer_comes_first(section):
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section))
    assert words.index("hold up") < words.index("The plain draft runs at")
    assert re.search(r"Per-cycle profile and Tree verification hold up", words)
    assert not re.search(r" 1 (hold up|make|are|lack|were) ", words)


def test_a_fallback_is_told(section):
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", section))
    assert "eos-aware on grid: it proposed nothing in a share of" in words


def test_figures_of_the_section_are_there(section):
    assert all(f'id="figure-{name}"' in section for name in DRAWN)


def test_tau_against_speed_shows_every_idea_beside_the_plain_draft(synthetic_folder):
    """Ideas are timed against the plain draft, not against sequential decoding; controls are of no interest there."""
    frames = made.frames_of(synthetic_folder)
    tables = {name: made.typed(name, frames[name]) for name in ("draft", "ideas")}
    ids = drawn(FIGURES.load("tau_vs_speed").draw(tables))
    rows = {row.id("ratio"): row for row in tables["draft"]}
    seen = {(rows[ident]["task"], rows[ident]["arm"]) for ident in ids}
    ideas = {"ewma", "tree", "seed-gated", "seed-sparse", "tree-lite", "eos-aware"}
    for task in draft_factories.TAU:
        assert {(task, arm) for arm in (*ideas, "draft")} <= seen
    assert not any(arm.endswith("-off") for _, arm in seen)


def test_a_study_without_the_experiment_has_no_section(tmp_path, synthetic_folder):
    frames = made.frames_of(synthetic_folder)
    frames = {name: frame for name, frame in frames.items() if name not in draft_factories.TABLES}
    made.write_tables(tmp_path / "tables", frames)
    read = load_tables([tmp_path / "tables"])
    values = made.values_of(synthetic_folder)
    page = render(Material(**values, tables=read, figures={}, study=made.STUDY))
    assert 'id="draft"' not in page
    # The workflow writes the tables of an absent experiment all the same: empty ones.
    empty = {name: made.filled(name, []) for name in draft_factories.TABLES}
    made.write_tables(tmp_path / "tables", empty)
    read = load_tables([tmp_path / "tables"])
    page = render(Material(**values, tables=read, figures={}, study=made.STUDY))
    assert 'id="draft"' not in page


def test_a_target_and_outputs_that_failed_are_on_the_page_with_their_reason(tmp_path, synthetic_folder):
    frames = made.frames_of(synthetic_folder)
    lost = {"status": "failed", "reason": "its process was ended by SIGKILL"}
    for table, name in (
        ("verify_cost", {"model": "ar-lost"}),
        ("likelihood", {"model": "mdm-lost"}),
        ("quality", {"task": "t", "model": "m", "arm": "arm-lost", "words": "w", "metric": "exact"}),
    ):
        rows = frames[table].astype(object).where(frames[table].notna(), None).to_dict("records")
        frames[table] = made.filled(table, [*rows, {**name, **lost, "key": "lost"}])
    made.write_tables(tmp_path / "tables", frames)
    read = load_tables([tmp_path / "tables"])
    values = made.values_of(synthetic_folder)  # the rows that were lost have none
    page = render(Material(**values, tables=read, figures={}, study=made.STUDY))
    section = page[page.index('<section id="troubled"') :]
    section = section[: section.index("</section>")]
    for title, name in (
        ("Outputs without a score", "arm-lost"),
        ("Models without a likelihood", "mdm-lost"),
        ("Targets whose passes were not timed", "ar-lost"),
    ):
        table = section[section.index(title) :]
        assert name in table[: table.index("</table>")] and "SIGKILL" in table[: table.index("</table>")]
    figure = FIGURES.load("verify_cost").draw({"verify_cost": read["verify_cost"]})
    assert drawn(figure) and not any("lost" in ident for ident in drawn(figure))


def test_outputs_that_part_are_told_with_how_close_a_call_it_was(section):
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section))
    table = words[words.index("Where outputs first differ from sequential decoding") :]
    assert "seed-sparse" in table and "tree" not in table
