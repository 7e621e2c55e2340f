"""Figures: all draw, whatever failed; the same bytes twice; marks name their values; text stays text."""

from __future__ import annotations

import re
import subprocess
import sys

import pandas
import pytest

from pardec.common.errors import UserError
from pardec.report.figures.base import drawn, save, speaker
from pardec.report.figures.pareto import front
from pardec.report.figures.registry import FIGURES
from pardec.report.figures.style import LOOKS
from pardec.report.frames import LOWER_IS_BETTER, load_tables, lower_is_better, measure, unit_of, variants
from pardec.report.render import TEMPLATES
from pardec.report.svg import titled
from tests import report_fixtures as made

NAMES = list(FIGURES)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    made.write_tables(folder, made.tables())
    return load_tables([folder])


@pytest.fixture(scope="module")
def svgs(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    for name in NAMES:
        save(FIGURES.load(name), frames, folder / f"{name}.svg", folder / f"{name}.png")
    return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_describes_itself(name):
    figure = FIGURES.load(name)
    assert figure.name == name
    assert figure.tables
    assert not re.search(r"\d", figure.alt), "words only: numbers belong to values"
    assert (TEMPLATES / figure.caption).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_same_bytes_twice(name, frames, svgs, tmp_path):
    paths = [(tmp_path / f"{turn}.svg", tmp_path / f"{turn}.png") for turn in (1, 2)]
    for svg, png in paths:
        save(FIGURES.load(name), frames, svg, png)
    assert paths[0][0].read_bytes() == paths[1][0].read_bytes() == svgs[name].encode()
    assert paths[0][1].read_bytes() == paths[1][1].read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_marks_name_published_values(name, svgs):
    values = made.values(made.tables())["values"]
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
@pytest.mark.parametrize("status", ["oom", "timeout"])
def test_draws_when_every_cell_failed(name, status, frames, tmp_path):
    broken = {}
    for table, frame in frames.items():
        frame = frame.copy()
        if "status" in frame:
            frame["status"] = status
        for column in frame.select_dtypes("number"):
            if column not in ("steps", "batch", "new_tokens", "prompt_tokens", "pass"):
                frame[column] = None
        broken[table] = frame
    save(FIGURES.load(name), broken, tmp_path / "a.svg", tmp_path / "a.png")
    assert (tmp_path / "a.svg").stat().st_size > 1000


@pytest.mark.parametrize("name", ["latency_vs_steps", "throughput_by_batch", "memory_heatmap", "pareto"])
def test_failed_cells_are_shown(name, svgs):
    words = {"latency_vs_steps": "timeout", "pareto": "timeout"}.get(name, "oom")
    assert f">{words}<" in svgs[name] or f"({words})" in svgs[name]


def test_failed_gate_is_hollow(frames):
    canvas = FIGURES.load("latency_vs_steps").draw(frames)
    faces = {
        line.get_gid(): line.get_markerfacecolor()
        for axes in canvas.axes
        for line in axes.lines
        if line.get_gid()
    }
    steps = frames["steps"]
    judged = steps[(steps.decoder == "masked_diffusion") & (steps.status == "ok")]
    for _, row in judged.iterrows():
        hollow = faces[f"steps/{row['key']}/latency_ms"] == "#ffffff"
        assert hollow == (str(row["gate"]) == "False")


def test_missing_table_is_named(frames):
    with pytest.raises(UserError, match="noise"):
        FIGURES.load("noise").draw({name: frame for name, frame in frames.items() if name != "noise"})


def test_drawn_lists_each_value_once(frames):
    found = drawn(FIGURES.load("pareto").draw(frames))
    assert len(found) == len(set(found)) > 10


def test_front_minds_the_direction_of_the_metric():
    points = [(1.0, 0.5), (2.0, 0.9), (3.0, 0.7), (4.0, 0.95)]
    assert front(points, lower=False) == [(1.0, 0.5), (2.0, 0.9), (4.0, 0.95)]
    assert front(points, lower=True) == [(1.0, 0.5)]


def test_direction_of_metrics():
    assert all(lower_is_better(name) for name in ("scorer_nll", *LOWER_IS_BETTER))
    assert not lower_is_better("exact")


def test_interval_is_found_with_or_without_the_unit():
    assert measure({"latency_ms": 2.0, "latency_low": 1.0, "latency_high": 4.0}, "latency_ms").spread == (
        1.0,
        2.0,
    )
    assert measure({"quality": 0.5, "quality_low": 0.4, "quality_high": 0.5}, "quality").spread == (
        pytest.approx(0.1),
        0.0,
    )
    assert not measure({"latency_ms": None}, "latency_ms")


def test_reference_bears_the_plain_name():
    rows = [
        {"decoder": "autoregressive", "arm": "ar-stop", "role": "cell"},
        {"decoder": "autoregressive", "arm": "ar", "role": "reference"},
    ]
    assert variants(rows) == {
        ("autoregressive", "ar"): ("autoregressive", 0),
        ("autoregressive", "ar-stop"): ("autoregressive, ar-stop", 1),
    }


def test_unreadable_table_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        load_tables([tmp_path / "nowhere.csv"])


@pytest.mark.parametrize("name", NAMES)
def test_draws_from_empty_tables(name, frames, tmp_path):
    empty = {table: frame.iloc[:0] for table, frame in frames.items()}
    save(FIGURES.load(name), empty, tmp_path / "a.svg", tmp_path / "a.png")
    assert "no finished cell" in (tmp_path / "a.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["pareto", "quality_vs_steps"])
def test_says_where_quality_was_not_measured(name, frames, tmp_path):
    steps = frames["steps"].copy()
    steps["quality"] = None
    save(FIGURES.load(name), {**frames, "steps": steps}, tmp_path / "a.svg", tmp_path / "a.png")
    assert "no quality measured" in (tmp_path / "a.svg").read_text(encoding="utf-8")


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
    frame = pandas.DataFrame([{"key": "a/b<", "latency_ms": 3.21, "latency_low": 3.0, "latency_high": 3.5}])
    marks = '<g id="steps/a/b&lt;/latency_ms"><path/></g><g id="steps/gone/latency_ms"/><g id="axes_1"/>'
    content = f'<svg xmlns="http://www.w3.org/2000/svg">{marks}</svg>'.encode()
    svg = titled(content, speaker({"steps": frame})).decode()
    assert "<title>latency, a, b&lt;: 3.21 ms [3, 3.50]</title>" in svg
    assert svg.count("<title>") == 1


@pytest.mark.parametrize(
    ("column", "unit"),
    [("latency_ms", "ms"), ("tokens_per_s", "tokens/s"), ("canvas_tokens_per_s", "tokens/s"), ("started_s", "s"),
     ("peak_allocated_mb", "MB"), ("ratio", ""), ("steps", "")],
)  # fmt: skip
def test_units_of_columns(column, unit):
    assert unit_of(column) == unit


@pytest.mark.parametrize("sign", ["color", "marker", "hatch"])
def test_no_two_decoders_look_alike(sign):
    signs = [look[sign] for look in LOOKS.values()]
    assert len(set(signs)) == len(signs)


def test_labels_of_marks_that_all_but_coincide_give_way_sideways():
    from pardec.report.figures.pareto import LABEL, _shifts

    rows = [{"latency_ms": x, "latency_low": x, "latency_high": x} for x in (1.0, 10.0, 10.0, 9.9)]
    one, two, three, four = _shifts(rows, span=3.0)
    assert one == 0 and two == pytest.approx(-LABEL / 2)
    assert three > four > -LABEL and _shifts(rows[:1], span=0.0) == [0]
