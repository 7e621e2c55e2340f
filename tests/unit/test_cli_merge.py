"""`pardec merge`: a column a machine, and never a number of two."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from pardec.audit.archive import open_run, write_archive
from pardec.audit.merge import material, merge
from pardec.cli.main import app
from pardec.common.errors import UserError

GPUS = ("NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3")


@pytest.fixture(scope="module")
def runs(finished, tmp_path_factory):
    """Return archives of one study from two machines; the second is three times as fast, and one cell fails there."""
    paths = []
    for number, gpu in enumerate(GPUS):
        results = tmp_path_factory.mktemp(f"machine{number}") / "results"
        shutil.copytree(finished, results)
        machine = json.loads((results / "machine.json").read_text())
        (results / "machine.json").write_text(json.dumps(machine | {"device": "cuda", "gpu": {"name": gpu}}))
        frame = pd.read_parquet(results / "tables/cells.parquet")
        for name in ("latency_ms", "latency_low", "latency_high"):
            frame[name] = frame[name] / (1 + 2 * number)
        if number:
            frame.loc[0, "status"] = "oom"
        frame.to_parquet(results / "tables/cells.parquet")
        paths.append(results.parent / "run.tar.zst")
        with open_run(results) as run:
            write_archive(run, paths[-1])
    return paths


def parts_of(paths):
    with open_run(paths[0]) as a, open_run(paths[1]) as b:
        return merge([a, b])


def test_every_number_is_one_runs_own(runs):
    parts = parts_of(runs)
    assert tuple(part.machine for part in parts) == GPUS
    shown = material(parts)
    assert len(shown["cells"]) == len(parts[0].rows) == len(parts[1].rows)
    latency = shown["measures"]["latency_ms"]
    for cell in shown["cells"]:
        for part in parts:
            row = part.rows[cell]
            if row["status"] == "ok":
                ends = f"[{row['latency_low']:.4g}, {row['latency_high']:.4g}]"
                assert part.shown(cell, "latency_ms", latency) == f"{row['latency_ms']:.4g} {ends}"
            else:
                assert part.shown(cell, "latency_ms", latency) == row["status"]


def test_the_report_has_a_column_a_machine_and_the_table_names_it(runs, tmp_path):
    done = CliRunner().invoke(app, ["merge", *map(str, runs), "--out", str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "m/merged.html").read_text()
    heads = re.findall(r'<tr><td>((?:<th scope="col">[^<]*)+)', page)
    assert heads and all(head == "".join(f'<th scope="col">{gpu}' for gpu in GPUS) for head in heads)
    assert ">oom" in page, "a cell that failed on one machine says so there"
    with open(tmp_path / "m/merged.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["machine"] for row in rows} == set(GPUS)
    by = {gpu: {row["cell"]: row for row in rows if row["machine"] == gpu} for gpu in GPUS}
    assert by[GPUS[0]].keys() == by[GPUS[1]].keys() and len(rows) == 2 * len(by[GPUS[0]])
    for id, row in by[GPUS[0]].items():
        if row["latency_ms"]:
            assert float(row["latency_ms"]) == pytest.approx(3 * float(by[GPUS[1]][id]["latency_ms"]))


def test_two_runs_on_like_machines_stay_two(runs):
    with open_run(runs[0]) as a, open_run(runs[0]) as b:
        assert [part.machine for part in merge([a, b])] == [f"{GPUS[0]} (1)", f"{GPUS[0]} (2)"]


def test_another_study_is_refused(runs, tmp_path):
    with open_run(runs[1]) as b:
        shutil.copytree(b.folder, tmp_path / "results")
    study = json.loads((tmp_path / "results/study.json").read_text())
    study["seed"] += 1
    (tmp_path / "results/study.json").write_text(json.dumps(study))
    with (
        open_run(runs[0]) as a,
        open_run(tmp_path / "results") as b,
        pytest.raises(UserError, match="seed differ"),
    ):
        merge([a, b])
    done = CliRunner().invoke(
        app, ["merge", str(runs[0]), str(tmp_path / "results"), "--out", str(tmp_path / "m")]
    )
    assert done.exit_code == 2 and not (tmp_path / "m").exists()


@pytest.mark.parametrize("missing", ["tables/cells.parquet", "machine.json", "study.json"])
def test_a_run_that_lacks_something_is_named(runs, tmp_path, missing):
    with open_run(runs[1]) as b:
        shutil.copytree(b.folder, tmp_path / "results")
    (tmp_path / "results" / missing).unlink()
    with open_run(runs[0]) as a, open_run(tmp_path / "results") as b, pytest.raises(UserError, match=missing):
        merge([a, b])


def test_one_run_is_no_merge(runs):
    with open_run(runs[0]) as a, pytest.raises(UserError, match="two runs"):
        merge([a])
