"""The diagram of the workflow: a layered drawing without overlap, from the jobs that were; and the README's."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.evidence.crate import describe_jobs, in_order
from pardec.report import stages
from pardec.report.diagram import BOX, Box, draw, places_of, reduced, rows_of, stretched
from tests import report_fixtures as made

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw_from):
    size = draw_from(st.integers(1, 9))
    return {
        f"n{i}": [f"n{j}" for j in sorted(draw_from(st.sets(st.integers(0, i - 1), max_size=3)))] if i else []
        for i in range(size)
    }


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_nothing_overlaps_and_all_flows_down(after):
    graph = stretched(reduced(after))
    places = places_of(rows_of(graph))
    assert {node for node in places if isinstance(node, str)} == set(after)
    for (one, (x, y)), (other, (other_x, other_y)) in itertools.combinations(places.items(), 2):
        boxes = sum(isinstance(node, str) for node in (one, other))
        assert y != other_y or abs(x - other_x) > boxes * BOX[0] / 2
    assert all(places[low][1] + BOX[1] < places[high][1] for low, high in graph.edges)
    assert places_of(rows_of(stretched(reduced(after)))) == places


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_reduction_keeps_what_can_be_reached(after):
    graph = networkx.DiGraph([(other, name) for name, near in after.items() for other in near])
    graph.add_nodes_from(after)
    kept = reduced(after)
    assert all(networkx.ancestors(kept, name) == networkx.ancestors(graph, name) for name in after)
    assert kept.number_of_edges() <= graph.number_of_edges()


def test_reduction_drops_the_short_cut_and_the_way_back():
    kept = reduced({"a": ["c"], "b": ["a"], "c": ["a", "b"]})
    assert set(kept.edges) == {("a", "b"), ("b", "c")}


def test_drawing_is_well_formed_and_as_large_as_its_boxes():
    text = draw(
        {"a<b": [], "c": ["a<b"]},
        [Box("a<b", "2 jobs", {"data-stage": 'a"'}), Box("c")],
        {"xmlns": SVG[1:-1]},
    )
    root = ET.fromstring(text)
    assert [node.text for node in root.iter(f"{SVG}text")] == ["a<b", "2 jobs", "c"]
    assert len(list(root.iter(f"{SVG}rect"))) == 2
    assert len(root.findall(f".//{SVG}path[@class='flow']")) == 1
    assert float(root.get("viewBox").split()[2]) > BOX[0]


def block(rule, reads, writes, start=0, end=1):
    return {
        "rule": rule,
        "command": f"python scripts/{rule}.py --out {writes[0]}",
        "inputs": [{"path": path} for path in reads],
        "outputs": [{"path": path} for path in writes],
        "start": f"2026-01-01T00:00:{start:02}+00:00",
        "end": f"2026-01-01T00:00:{end:02}+00:00",
    }


def test_jobs_make_stages():
    blocks = [block("b", ["x", "elsewhere"], ["y"]), block("b", ["y"], ["z"]), block("a", [], ["x"], 3, 7)]
    result = describe_jobs(blocks)
    assert result["stages"] == [
        {"rule": "a", "script": "scripts/a.py", "after": []},
        {"rule": "b", "script": "scripts/b.py", "after": ["a"]},
    ]
    assert [job["rule"] for job in result["jobs"]] == ["b", "b", "a"]
    assert stages.pack(result)["a"]["jobs"] == [["x", 4.0]]


def test_what_was_derived_from_the_records_later_has_its_time_and_code_apart():
    old, new = (
        {"git": {"commit": commit, "dirty": dirty}} for commit, dirty in (("a1", False), ("b2", True))
    )
    blocks = [
        {**block("time_cell", [], ["x"], 1, 2), **old},
        {**block("time_cell", [], ["y"], 0, 1), **old},
        {**block("tabulate", ["x", "y"], ["z"], 30, 31), **new},
    ]
    second = "2026-01-01T00:00:{:02}+00:00".format
    assert describe_jobs(blocks)["made"] == {
        "measured": {"start": second(0), "end": second(2), "commits": ["a1"]},
        "derived": {"start": second(30), "end": second(31), "commits": ["b2 and changes"]},
    }
    assert describe_jobs(blocks[:2])["made"]["derived"] is None


def test_rules_that_feed_each_other_still_have_an_order():
    order = in_order({"a": {"b"}, "b": {"a"}, "c": {"a", "b"}})
    assert sorted(order) == ["a", "b", "c"] and order[-1] == "c"


def test_page_stands_below_the_makers_of_what_it_reads():
    graph = stages.graph(made.JOBS, ["results/time_cell-0.json", "templates/page.html.j2"])
    assert graph["render_report"] == ["time_cell"]
    svg = str(stages.diagram(made.JOBS, ["results/tabulate-0.json"]))
    assert re.findall(r'data-stage="(\w+)".*?class="below"[^>]*>([^<]*)<', svg) == [
        ("prepare_data", "1 job"),
        ("train_model", "2 jobs"),
        ("time_cell", "5 jobs"),
        ("tabulate", "3 jobs"),
    ]


DOT = (
    'digraph {\n\t0[label = "all"];\n\t1[label = "b"];\n\t2[label = "a"];\n\t1 -> 0\n\t2 -> 1\n\t1 -> 1\n}\n'
)


def test_rulegraph_reads_what_snakemake_prints():
    from draw_rulegraph import rulegraph

    root = ET.fromstring(rulegraph(DOT))
    assert [node.text for node in root.iter(f"{SVG}text")] == ["a", "b"]
    assert rulegraph(DOT) == rulegraph(DOT)
    with pytest.raises(UserError, match="contains no rule"):
        rulegraph("digraph {}")


def test_the_readmes_rulegraph_is_the_workflows():
    from draw_rulegraph import ask_snakemake, rulegraph

    drawn = (ROOT / "docs/images/rulegraph.svg").read_text(encoding="utf-8")
    assert drawn == rulegraph(ask_snakemake()), "run `make docs`"
    assert "images/rulegraph.svg" in (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
