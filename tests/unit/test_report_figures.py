"""Figures: all draw, whatever failed; the same bytes twice; marks name their values; text stays text."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from pardec.common.errors import UserError
from pardec.evidence.tables.registry import TABLES
from pardec.report.figures.base import drawn, save, speaker, spoken
from pardec.report.figures.choice import ALWAYS, OF_KIND, figures_for
from pardec.report.figures.pareto import front
from pardec.report.figures.registry import FIGURES
from pardec.report.figures.style import LOOKS
from pardec.report.render import TEMPLATES, has_marks
from pardec.report.rows import Row, load_tables, lower_is_better, measure, variants
from pardec.report.svg import titled
from tests import report_fixtures as made

NAMES = list(FIGURES)


@pytest.fixture(scope="module")
def values(synthetic_folder):
    return made.values_of(synthetic_folder)["values"]


@pytest.fixture(scope="module")
def tables(synthetic_folder):
    return load_tables([synthetic_folder / "tables"])


@pytest.fixture(scope="module")
def svgs(synthetic_folder):
    return {name: (synthetic_folder / f"{name}.svg").read_text(encoding="utf-8") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_describes_itself(name):
    figure = FIGURES.load(name)
    assert figure.name == name
    assert figure.tables
    assert not re.search(r"\d", figure.alt), "words only: numbers belong to values"
    assert (TEMPLATES / figure.caption).is_file()


@pytest.mark.parametrize("name", ["answers", "memory_heatmap", "pareto"])
def test_same_bytes_twice(name, tables, svgs, tmp_path):
    """Of dots with intervals, fields with words, and lines with marks; `verify` makes every figure of a run again."""
    paths = tmp_path / "a.svg", tmp_path / "a.png"
    save(FIGURES.load(name), tables, *paths)
    assert paths[0].read_bytes() == svgs[name].encode()
    assert b"tIME" not in paths[1].read_bytes(), "a picture bears no date"
    with Image.open(paths[1]) as picture:
        assert picture.mode == "P" and picture.text["Description"] == FIGURES.load(name).alt
        white = picture.convert("RGB").getpixel((0, 0))
    assert white == (255, 255, 255), "the palette has the colour of the paper"


@pytest.mark.parametrize("name", NAMES)
def test_marks_name_published_values(name, svgs, values):
    marks = {ident for ident in re.findall(r'\bid="([^"]*/[^"]*)"', svgs[name])}
    assert marks, "a figure without marks"
    assert marks <= set(values)
    listed = set(re.findall(r"<rdf:li>([^<]*)</rdf:li>", svgs[name]))
    assert marks == listed, "the metadata lists what is drawn"


@pytest.mark.parametrize("name", NAMES)
def test_text_is_text_and_bears_no_date(name, svgs):
    assert "<text" in svgs[name]
    assert "<dc:date>" not in svgs[name]


@pytest.mark.parametrize("name", NAMES)
def test_draws_when_every_cell_failed(name, tables):
    kept = ("steps", "batch", "new_tokens", "prompt_tokens", "pass")
    broken = {table: [_failed(row, kept) for row in rows] for table, rows in tables.items()}
    assert FIGURES.load(name).draw(broken).axes


def _failed(row, kept):
    lost = {column: None for column, value in row.items() if isinstance(value, float) and column not in kept}
    return Row(row.table, {**row, **lost, **({"status": "oom"} if "status" in row else {})})


@pytest.mark.parametrize("name", ["latency_vs_steps", "throughput_by_batch", "memory_heatmap", "pareto"])
def test_failed_cells_are_shown(name, svgs):
    words = {"latency_vs_steps": "timeout", "pareto": "timeout"}.get(name, "oom")
    assert f">{words}<" in svgs[name] or f"({words})" in svgs[name]


def test_failed_gate_is_hollow(tables):
    canvas = FIGURES.load("latency_vs_steps").draw(tables)
    lines = [line for axes in canvas.axes for line in axes.lines if line.get_gid()]
    faces = {line.get_gid(): line.get_markerfacecolor() for line in lines}
    judged = [
        row for row in tables["steps"] if row["decoder"] == "masked_diffusion" and row["status"] == "ok"
    ]
    assert judged
    for row in judged:
        assert (faces[row.id("latency_ms")] == "#ffffff") == (row["gate"] is False)


def test_missing_table_is_named(tables):
    with pytest.raises(UserError, match="noise"):
        FIGURES.load("noise").draw({name: rows for name, rows in tables.items() if name != "noise"})


def test_drawn_lists_each_value_once(tables):
    ids = drawn(FIGURES.load("pareto").draw(tables))
    assert len(ids) == len(set(ids)) > 10


def test_front_minds_the_direction_of_the_metric():
    points = [(1.0, 0.5), (2.0, 0.9), (3.0, 0.7), (4.0, 0.95)]
    assert front(points, lower=False) == [(1.0, 0.5), (2.0, 0.9), (4.0, 0.95)]
    assert front(points, lower=True) == [(1.0, 0.5)]


def test_direction_is_the_metrics_own_whatever_its_name():
    """`invalid` is better when lower, though nothing in its name says so: the front and the axis follow."""
    rows = [
        Row("steps", {"key": k, "task": "t", "decoder": "masked_diffusion", "arm": "d", "steps": 2, "status": "ok",
                      "latency_ms": x, "quality": q, "quality_metric": "invalid", "quality_better": "lower"})
        for k, x, q in (("a", 1.0, 0.5), ("b", 2.0, 0.1))
    ]  # fmt: skip
    assert lower_is_better(rows[0])
    (axes,) = FIGURES.load("pareto").draw({"steps": rows}).axes
    assert axes.yaxis_inverted() and "up is better" in axes.get_ylabel()


def test_tables_are_read_with_their_own_types(tmp_path):
    """A workload called 001 stays text, a text that reads true stays text, and a flag is a flag."""
    for end in (".csv", ".parquet"):
        row = {"key": "k", "task": "001", "arm": "true", "gate": False, "batch": 4, "latency_ms": None}
        frame = made.filled("steps", [row])
        frame = frame.astype(TABLES.load("steps").dtypes)
        path = tmp_path / f"steps{end}"
        frame.to_csv(path, index=False) if end == ".csv" else frame.to_parquet(path, index=False)
        (read,) = load_tables([path])["steps"]
        assert [read[c] for c in ("task", "arm", "gate", "batch", "latency_ms")] == [
            "001",
            "true",
            False,
            4,
            None,
        ]


def test_interval_and_unit_come_from_the_columns_description():
    row = Row(
        "steps", {"key": "k", "latency_ms": 2.0, "latency_low": 1.0, "latency_high": 4.0, "tokens_per_s": 9.0}
    )
    assert measure(row, "latency_ms").spread == (1.0, 2.0)
    assert measure(row, "tokens_per_s").spread == (0.0, 0.0)
    assert not measure(row, "quality")
    rate = Row("flood", {"key": "k", "characters_per_s": 7.5})
    assert spoken(rate, "k", "characters_per_s").endswith(": 7.50 characters/s")


def test_labels_of_the_study_name_the_arms():
    def cell(name, label, role="cell"):
        return Row("steps", {"decoder": "autoregressive", "arm": name, "label": label, "role": role})

    rows = [cell("ar-stop", "stops at the end"), cell("ar", None, "reference"), cell("ar-too", None)]
    assert variants(rows) == {
        ("autoregressive", "ar"): ("autoregressive", 0),
        ("autoregressive", "ar-too"): ("autoregressive, ar-too", 1),
        ("autoregressive", "ar-stop"): ("stops at the end", 2),
    }


def test_unreadable_table_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        load_tables([tmp_path / "nowhere.csv"])


@pytest.mark.parametrize("name", ["pareto", "quality_vs_steps"])
def test_says_where_quality_was_not_measured(name, tables):
    steps = [Row("steps", {**row, "quality": None}) for row in tables["steps"]]
    canvas = FIGURES.load(name).draw({**tables, "steps": steps})
    assert all("no quality measured" in [words.get_text() for words in axes.texts] for axes in canvas.axes)


def test_planning_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from pardec.report.figures.registry import FIGURES\n"
        "print([FIGURES.load(name).tables for name in FIGURES])\n"
        "print(sorted({'matplotlib', 'pandas', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_marks_tell_their_values_in_any_viewer(name, svgs):
    marks = re.findall(r'<g id="[^"]*/[^"]*">\s*(<title>[^<]+</title>)?', svgs[name])
    assert marks
    assert all(marks), "a mark without a title"
    assert "nan" not in " ".join(marks).lower()


def test_title_has_name_value_unit_and_interval():
    row = Row("steps", {"key": "a/b<", "latency_ms": 3.21, "latency_low": 3.0, "latency_high": 3.5})
    marks = '<g id="cells/a/b&lt;/latency_ms"><path/></g><g id="cells/gone/latency_ms"/><g id="axes_1"/>'
    content = f'<svg xmlns="http://www.w3.org/2000/svg">{marks}</svg>'.encode()
    svg = titled(content, speaker({"steps": [row]})).decode()
    assert "<title>latency, a, b&lt;: 3.21 ms [3, 3.50]</title>" in svg
    assert svg.count("<title>") == 1


@pytest.mark.parametrize("sign", ["color", "marker", "hatch"])
def test_no_two_decoders_look_alike(sign):
    signs = [look[sign] for look in LOOKS.values()]
    assert len(set(signs)) == len(signs)


def test_labels_of_marks_that_all_but_coincide_give_way_sideways():
    from pardec.report.figures.pareto import LABEL, _shifts

    rows = [
        Row("steps", {"latency_ms": x, "latency_low": x, "latency_high": x}) for x in (1.0, 10.0, 10.0, 9.9)
    ]
    one, two, three, four = _shifts(rows, span=3.0)
    assert one == 0 and two == pytest.approx(-LABEL / 2)
    assert three > four > -LABEL and _shifts(rows[:1], span=0.0) == [0]


def _cell(experiment, kind, steps=None, reference="ar", arm="a"):
    return SimpleNamespace(
        experiment=experiment,
        experiment_kind=kind,
        workload="t",
        arm=arm,
        settings={"steps": steps},
        reference=reference,
    )


def test_a_study_draws_only_what_it_has_data_for():
    """Six cells of arms alone draw paired ratios and no sweep, growth, noise or drafting."""
    arms = [_cell("try", "comparison", arm=f"arm-{number}") for number in range(6)]
    assert figures_for(arms) == ["answers", "ratios", *ALWAYS]
    assert figures_for([_cell("s", "steps", 8), _cell("s", "steps", 8, arm="b")]) == [
        "answers",
        "ratios",
        *ALWAYS,
    ]
    swept = figures_for([_cell("s", "steps", 8), _cell("s", "steps", 4), _cell("n", "noise", reference=None)])
    assert swept == ["answers", "pareto", "latency_vs_steps", "quality_vs_steps", "noise", *ALWAYS]
    everything = {name for names in OF_KIND.values() for name in names} | {"answers", "ratios", *ALWAYS}
    assert everything == set(FIGURES), "every figure is drawn for some study"


def test_a_figure_without_a_mark_is_known(tmp_path):
    """The page leaves it out: an axis with the words that nothing was measured answers nothing."""
    empty, drawn = tmp_path / "empty.svg", tmp_path / "drawn.svg"
    empty.write_text('<svg><g id="axes_1"><use xlink:href="#a/b"/></g></svg>')
    drawn.write_text('<svg><g id="axes_1"/><g id="cells/steps/t/m/a/new~8/ratio"/></svg>')
    assert has_marks(drawn) and not has_marks(empty)


def test_arms_alone_are_dots_named_by_their_labels():
    def arm(name, label, ratio, gate):
        content = {"key": name, "experiment": "try", "experiment_kind": "comparison", "task": "t", "arm": name,
                   "label": label, "decoder": "speculative", "status": "ok", "ratio": ratio, "ratio_low": ratio * 0.9,
                   "ratio_high": ratio * 1.2, "gate": gate}  # fmt: skip
        return Row("cells", content)

    rows = [arm("d16", "drafts of 16", 1.6, True), arm("j", "Jacobi", 0.8, None)]
    (axes,) = FIGURES.load("ratios").draw({"cells": rows}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["t, Jacobi", "t, drafts of 16"]
    faces = {line.get_gid(): line.get_markerfacecolor() for line in axes.lines if line.get_gid()}
    assert faces["cells/j/ratio"] == "#ffffff" != faces["cells/d16/ratio"]
    assert "steps" not in " ".join(label.get_text() for label in axes.get_yticklabels())
