"""The smoke study through the real workflow: what a run promises."""

import json
import math
import shlex

import pandas as pd
import pytest

from pardec.common.files import sha256
from pardec.evidence.provenance import content
from tests.report_constants import PROMISED

pytestmark = pytest.mark.workflow

OPEN_ENDED = ("draft", "flood")
"""Experiments whose decoders stop at the end of what they write, and whose outputs are not all scored."""
CRATE = "ro-crate-metadata.json"


def test_every_promised_file_is_there(project):
    for name in (
        "report.html",
        "values.json",
        "values.tex",
        "machine.json",
        "warmup.json",
        "study.json",
        "claims.json",
        CRATE,
    ):
        assert project.path(f"results/{name}").stat().st_size > 0, name
    for table in ("cells", "steps", "batch", "length", "memory", "noise", "machine"):
        csv = pd.read_csv(project.path(f"results/tables/{table}.csv"))
        assert len(csv) == len(pd.read_parquet(project.path(f"results/tables/{table}.parquet"))) > 0
    for figure in (
        "pareto",
        "latency_vs_steps",
        "throughput_by_batch",
        "memory_heatmap",
        "quality_vs_steps",
        "noise",
    ):
        assert project.path(f"results/figures/{figure}.svg").stat().st_size > 0
        assert project.path(f"results/figures/{figure}.png").stat().st_size > 0


def test_every_artefact_says_where_it_came_from(project):
    """Its own provenance or a file beside it, whose hashes are those of the files."""
    results = project.path("results")
    made = [
        path
        for path in results.rglob("*")
        if path.is_file() and not {"logs", "lists", "published"} & set(path.parts)
    ]
    papers = [path for path in made if path.name.endswith("provenance.json")]
    subject = [results / "machine.json", results / "warmup.json", *results.rglob("timing.json")]
    subject += [
        *results.rglob("score.json"),
        *results.glob("likelihood/*.json"),
        *results.glob("verify_cost/*.json"),
    ]
    message = {path.relative_to(project.folder).as_posix() for path in papers}
    for path in [*papers, *subject]:
        body = json.loads(path.read_text())
        block = body.get("provenance", body)
        assert block["rule"] and block["command"].startswith("python scripts/"), path
        assert block["end"] >= block["start"] and block["environment"]["packages_sha256"]
        assert block["machine"]["cpu"] and len(block["code_sha256"]) == 64
        assert block["outputs"], path
        for entry in [*block["inputs"], *block["outputs"]]:
            file = project.path(entry["path"])
            if "content_sha256" in entry:
                assert file == path and entry["content_sha256"] == content(body)
            else:
                assert entry["sha256"] == sha256(file), (path, entry["path"])
        message |= {entry["path"] for entry in block["outputs"]}
    unsaid = {path.relative_to(project.folder).as_posix() for path in made} - message
    assert not unsaid


def test_the_crate_tells_of_every_job(project):
    crate = json.loads(project.path("results/ro-crate-metadata.json").read_text())
    jobs = [entity for entity in crate["@graph"] if entity["@id"].startswith("#job/")]
    timed = [job for job in jobs if job["instrument"]["@id"] == "workflow/scripts/time_cell.py"]
    assert len(timed) == len(records(project))
    assert project.path("results/workflow/Snakefile").read_text() == project.path("Snakefile").read_text()


def test_says_at_the_end_where_the_report_is(project):
    assert "open results/report.html" in project.output


def test_one_row_a_cell_with_the_promised_columns(project):
    steps = pd.read_csv(project.path("results/tables/steps.csv"))
    assert set(PROMISED) <= set(steps.columns)
    assert steps["record"].is_unique
    assert (steps["status"] == "ok").all()
    assert {"autoregressive", "transformers_generate", "masked_diffusion"} == set(steps["decoder"])
    sure = steps[steps["latency_low"].notna()]  # a disturbed machine may leave a cell too few clean samples
    assert len(sure) and (sure["latency_low"] <= sure["latency_ms"]).all()
    assert (sure["latency_ms"] <= sure["latency_high"]).all()
    assert steps["peak_allocated_mb"].gt(0).all() and steps["quality"].notna().all()
    masked = steps[steps["decoder"] == "masked_diffusion"]
    assert (masked["nfe"] == masked["steps"]).all()


def records(project):
    return [json.loads(path.read_text()) for path in project.path("results/cells").rglob("timing.json")]


def test_a_record_keeps_samples_state_and_trail(project):
    for record in records(project):
        assert record["status"] == "ok" and len(record["samples"]) >= 6
        assert record["launch"] == "forked" and record["ready_s"] > 0
        assert record["stop"]["reason"] in ("precise", "budget", "maximum")
        trail = record["provenance"]
        words = shlex.split(trail["command"])
        limits = json.loads(words[words.index("--cell") + 1])["measure"]
        missing = limits["warmup_passes"] + 1 - len(record["warmup_ms"])  # one more beside the reference
        assert missing == 0 or (missing > 0 and sum(record["warmup_ms"]) >= 1e3 * limits["warmup_s"])
        assert trail["rule"] == "time_cell" and trail["command"].startswith(
            "python scripts/time_cell.py --cell"
        )
        assert len(trail["code_sha256"]) == 64 and all(len(item["sha256"]) == 64 for item in trail["inputs"])
        assert "pardec/measure/cell.py" in trail["code"] and trail["machine"]["cpu"]
        for sample in record["samples"] if record["cell"]["experiment"] not in OPEN_ENDED else ():
            assert sum(sample["committed"]) == pytest.approx(record["cell"]["new_tokens"])
            assert sample["canvas"] == record["cell"]["batch"] * record["cell"]["new_tokens"]
            assert 0 < sample["first_ms"] <= sample["commit_ms"][-1] <= sample["e2e_ms"]


def test_both_sides_of_a_ratio_share_process_prompts_and_length(project):
    paired = [record for record in records(project) if record["reference"]]
    assert paired
    for record in paired:
        mine, other = record["samples"], record["reference"]["samples"]
        assert [s["prompts"] for s in mine] == [s["prompts"] for s in other]
        if record["cell"]["experiment"] not in OPEN_ENDED:
            assert {s["canvas"] for s in mine} == {s["canvas"] for s in other}
        assert all({a["order"], b["order"]} == {0, 1} for a, b in zip(mine, other, strict=True))


def test_timed_outputs_are_the_scored_outputs(project):
    for record in records(project):
        if record["cell"]["quality"] is None:
            assert record["cell"]["experiment"] in OPEN_ENDED
            continue
        scored = project.path(record["cell"]["quality"]).with_name("outputs.jsonl").read_text().splitlines()
        by_id = {row["id"]: row["tokens"] for row in map(json.loads, scored)}
        shared = [output for output in record["outputs"] if output["prompt"] in by_id]
        assert shared, record["cell"]["id"]
        assert all(by_id[output["prompt"]] == output["tokens"] for output in shared), record["cell"]["id"]


def test_transformers_writes_the_same_greedy_tokens(project):
    ours = project.path("results/quality/copy/ar-copy/ar/new~16/outputs.jsonl")
    theirs = project.path("results/quality/copy/ar-copy/ar-transformers/new~16/outputs.jsonl")
    tokens = [
        [json.loads(line)["tokens"] for line in path.read_text().splitlines()] for path in (ours, theirs)
    ]
    assert tokens[0] == tokens[1] and len(tokens[0]) == 16


def test_values_follow_from_tables(project):
    values = json.loads(project.path("results/values.json").read_text())["values"]
    steps = pd.read_parquet(project.path("results/tables/steps.parquet"))
    checked = 0
    for row in steps.to_dict("records"):
        value = values[f"cells/{row['key']}/latency_ms"]  # a view publishes no number again
        assert math.isclose(value["value"], row["latency_ms"]) and value["n"] >= 1
        assert value["records"] and value["command"] and value["source"][0]["sha256"]
        checked += 1
    assert checked == len(steps)


def test_claims_are_judged_where_the_study_has_their_experiment(project):
    judged = {c["id"]: c for c in json.loads(project.path("results/claims.json").read_text())["claims"]}
    values = json.loads(project.path("results/values.json").read_text())["values"]
    assert len(judged) == 43
    waiting = {ident for ident, claim in judged.items() if claim["verdict"] == "not run yet"}
    # The study has every experiment, but too little of some for a judge to say anything.
    assert not any(ident.startswith("004.") for ident in waiting)
    assert not waiting & {"000.1", "001.3", "003.9"}
    assert all(ident in values for claim in judged.values() for ident in claim["evidence"])
    # Random prompts are paired with real ones, unless a busy machine flagged the samples of an interval.
    few = "too few prompts were timed without a flag" in (judged["004.5"]["reason"] or "")
    assert judged["004.5"]["parts"] or few
