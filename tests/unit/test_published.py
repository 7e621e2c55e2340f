"""A run beside the published one: what counts as reproduced, the line, the page, and what verify makes of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest

from pardec.audit import remake
from pardec.audit.agreement import DIFFERS, NOT_COMPARABLE, Pair, agree, kind
from pardec.audit.archive import open_run, write_archive
from pardec.audit.compare import compare
from pardec.audit.published import MEASURED, line, outcome
from pardec.audit.run import Run
from pardec.audit.verify import verify
from pardec.common.files import read_json, sha256, write_json
from pardec.evidence.provenance import signed
from tests.finished_run import bring_workflow, make_above

ARCHIVE = "results/published/paper/run.tar.zst"
BENEATH = (
    "record_study", "tabulate", "collect_values", "collect_trails", "judge_claims", "judge_ideas",
)  # fmt: skip
"""The scripts whose files the comparison leaves as they are."""


def held(archive, results, but=BENEATH):
    """Return what the comparison's script writes, and the page, for a run with this archive beside it."""
    folder = results.parent
    target = folder / ARCHIVE
    if archive is not None:
        target.parent.mkdir(parents=True)
        shutil.copyfile(archive, target)
        write_json(
            results / "comparison.json",
            {"archive": {"path": ARCHIVE, "sha256": Run(results, "").sha(ARCHIVE)}},
        )
    bring_workflow(folder)
    make_above(folder, but)
    return read_json(results / "comparison.json"), (results / "report.html").read_text()


@pytest.fixture(scope="module")
def archive(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "run.tar.zst"
    with open_run(finished) as run:
        write_archive(run, path)
    return path


@pytest.fixture(scope="module")
def slower(slower_run, archive, tmp_path_factory):
    """Return (results, comparison, page) of a run one of whose cells takes half as long again."""
    results = shutil.copytree(slower_run, tmp_path_factory.mktemp("slower") / "results")
    return results, *held(archive, results)


def test_without_a_published_run_line_and_page_say_so_or_nothing(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "results")
    body, page = held(None, tmp_path / "results", (*BENEATH, "draw_figure", "describe_run"))
    assert body["archive"] is None and "Nothing is published" in body["line"]
    assert 'id="published"' not in page


def test_a_run_reproduces_itself(finished):
    with open_run(finished) as run:
        of = outcome(compare(run, run, times=False))
    assert of.reproduced and not of.differ and of.slower.value == 1
    ids = [one.id for one in of.reproduced]
    assert not any(ident.endswith("/latency_ms") for ident in ids), "absolute times are not compared"
    assert {"quality", "ratio"} <= set(MEASURED) and any(ident.endswith("/ratio") for ident in ids)


def test_slower_cells_differ_by_their_ratios_and_the_line_counts_them(slower):
    _, body, _ = slower
    counts = {
        name: body["values"][f"published/{name}"]["value"] for name in ("reproduced", "differ", "compared")
    }
    assert counts["differ"] > 0 and counts["reproduced"] + counts["differ"] == counts["compared"]
    numbers = [int(word.replace(",", "")) for word in re.findall(r"[\d,]*\d(?![\d.]* times)", body["line"])]
    assert numbers[:3] == [counts["reproduced"], counts["compared"], counts["differ"]]
    assert len(body["rows"]) == min(counts["differ"], 40)
    assert all(not row["id"].endswith("_ms") for row in body["rows"])
    changes = [abs(body["values"][row["change"]]["value"]) for row in body["rows"]]
    assert max(changes) > 10


def test_what_cannot_be_seen_a_run_made_anew_from_an_invented_record(slower):
    """A forger who makes everything above anew leaves a consistent run: only a second run shows it."""
    with open_run(slower[0]) as run:
        assert not verify(run, None).faults


def test_the_page_lists_what_differs_and_verify_makes_it_again(slower, monkeypatch):
    results, body, page = slower
    stages = remake.stages
    monkeypatch.setattr(
        remake, "stages", lambda run: [one for one in stages(run) if one.script not in BENEATH]
    )
    section = page.split('id="published"')[1].split("</section>")[0]
    for row in body["rows"]:
        assert f'data-v="{row["published"]}"' in section and row["id"] in section
    assert 'href="published/paper/report.html"' in section
    forged = json.loads((results / "comparison.json").read_text())
    forged["values"]["published/differ"] |= {"value": 0, "text": "0"}
    write_json(results / "comparison.json", forged)
    sidecar = results / "comparison.provenance.json"
    block = {key: entry for key, entry in read_json(sidecar).items() if key != "self_sha256"}
    block["outputs"] = [{"path": "results/comparison.json", "sha256": sha256(results / "comparison.json")}]
    write_json(sidecar, signed(block))
    with open_run(results) as run:
        faults = {fault.path: fault.why for fault in verify(run, None).faults}
    assert "published/differ" in faults["results/comparison.json"]


@pytest.mark.parametrize(("n", "verdict"), [(8, NOT_COMPARABLE), (9, DIFFERS)])
def test_qualities_of_another_number_of_prompts_are_not_compared(n, verdict):
    ident = "quality/grid/ar-grid/ar/new~32/exact/value"
    sides = [{"id": ident, "value": value, "unit": "", "n": n} for value, n in ((0.5, 9), (0.75, n))]
    assert kind(ident, sides[0]) == "quality"
    assert agree(Pair(ident, *sides, times=False)).verdict == verdict


def test_the_line_knows_faster_machines_and_nothing_in_common(finished):
    with open_run(finished) as run:
        of = outcome(compare(run, run, times=False))
    assert line(of).endswith("(this machine: as fast)")
    for factor, words in ((1.3, "1.3 times slower"), (0.5, "2 times faster")):
        assert words in line(replace(of, slower=replace(of.slower, value=factor)))
    empty = type(of)([], [], of.rest, None)
    assert line(empty).startswith("No value")
