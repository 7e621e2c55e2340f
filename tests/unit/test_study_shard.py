"""Shards of a study: together they are the study, and no cell is timed twice."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.study.layers import read_study
from pardec.study.plan import Plan, read_plan
from pardec.study.shard import Shard
from tests.tiny_study import ROOT, overlay, plan

CELLS = st.dictionaries(st.text("ab/é𝄞", max_size=5), st.sampled_from("abcde"), max_size=60)


@given(CELLS, st.integers(1, 12))
def test_every_cell_is_in_exactly_one_part(cells, of):
    parts = [Shard(number, of).of_cells(cells, cells.get) for number in range(1, of + 1)]
    assert Counter(id for part in parts for id in part) == Counter(dict.fromkeys(cells, 1))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    order = list(cells)
    assert all(part == sorted(part, key=order.index) for part in parts)


@given(CELLS, st.integers(1, 12))
def test_few_models_are_made_twice(cells, of):
    """At each of the of-1 borders between parts at most one model is split."""
    made = [{cells[id] for id in Shard(n, of).of_cells(cells, cells.get)} for n in range(1, of + 1)]
    assert sum(map(len, made)) <= len(set(cells.values())) + of - 1


@pytest.mark.parametrize(
    "message", ["0/8", "9/8", "2", 2, "a/b", "2/8/1", "-1/4", "1/0", None, [1, 8], "2/8 ", "1e0/2"]
)
def test_what_is_no_part_is_refused(message):
    with pytest.raises(UserError, match="shard"):
        Shard.parse(message)


@pytest.mark.parametrize("of", [1, 3, 8])
def test_the_plans_of_all_parts_make_up_the_plan(of):
    whole = plan(overlay())
    parts = [plan(overlay() | {"shard": f"{n}/{of}"}) for n in range(1, of + 1)]
    assert Counter(id for part in parts for id in part.cells) == Counter(dict.fromkeys(whole.cells, 1))
    for part in parts:
        for id in part.cells:
            # The same job, to the letter: what one part made, the whole study need not make again.
            assert part.cell_job(id) == whole.cell_job(id)
            assert set(part.cell_models(id)) <= {f for name in part.models for f in part.model_files(name)}


def test_a_job_told_to_a_cluster_is_the_job_it_was():
    """Through Snakemake's own writer and reader, which cuts wildcards at commas and takes quotes away."""
    from snakemake.target_jobs import parse_target_jobs_cli_args
    from snakemake_interface_executor_plugins.utils import TargetSpec, encode_target_jobs_cli_args

    whole = read_plan(ROOT)
    for name, values in [("cell", whole.cells), ("output_set", whole.outputs), ("model", whole.models)]:
        for id in values:
            [reported] = encode_target_jobs_cli_args([TargetSpec("some_rule", {name: id})])
            [read] = parse_target_jobs_cli_args([reported])
            assert read.wildcards_dict == {name: id}


def test_the_workflow_runs_the_job_that_it_is_told(tmp_path):
    """A job as a cluster's node is told of it: Snakemake finds the cell, and misses only what other jobs make."""
    import subprocess
    import sys

    for name in ("pardec", "scripts", "rules", "report", "profiles", "envs", "Snakefile", "config.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(overlay()))
    reported = "time_cell:cell=steps/w/m-diffusion/many/steps~4+new~16+batch~1"
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--configfile", "tiny.yaml"]
    command += ["--allowed-rules", "time_cell", "--target-jobs", reported]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    message = done.stdout + done.stderr
    assert "Missing input files for rule time_cell" in message, message
    assert "results/cells/steps/w/m-diffusion/many/steps~4+new~16+batch~1/timing.json" in message


def test_the_projects_own_study_in_eight(tmp_path):
    config, _ = read_study(ROOT)
    whole = Plan(config, [], ROOT)
    parts = [Plan(config, [], ROOT, [f"shard={n}/8"]) for n in range(1, 9)]
    assert sorted(id for part in parts for id in part.cells) == sorted(whole.cells)
