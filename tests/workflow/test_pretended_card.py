"""The smoke study's jobs on a pretended card: no tensor left on the wrong device, and the tokens of the CPU's run."""

import shlex
import sys
import time
from contextlib import contextmanager

import pytest

from pardec.common.files import read_json, read_jsonl
from pardec.measure.job import read_job
from scripts import generate_outputs, time_cell
from tests.reference.card import pretended_card

pytestmark = pytest.mark.workflow
ELSEWHERE = {"transformers_continuous", "vllm"}
"""Decoders whose engine is a thread or a process of its own, where no mode of this thread holds."""


def timing_jobs(folder):
    """Return {what runs: (cell, record)} of all timing jobs, each arm once alone and once in a batch."""
    jobs = {}
    for path in sorted((folder / "results" / "cells").rglob("timing.json")):
        record = read_json(path)
        command = shlex.split(record["provenance"]["command"])
        cell = read_job(command[command.index("--cell") + 1])
        if cell.decoder not in ELSEWHERE and cell.engine == "eager" and record["status"] == "ok":
            jobs[cell.arm, cell.batch > 1] = cell, record
    return jobs


@contextmanager
def card(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pretended_card() as cuda:
        yield cuda


def test_timing_jobs_keep_to_the_device(project, monkeypatch):
    jobs = timing_jobs(project.folder)
    assert len({cell.decoder for cell, _ in jobs.values()}) >= 5
    quick = {"warmup_passes": 1, "min_samples": 2, "max_samples": 2, "energy_s": 0.0}
    with card(project.folder, monkeypatch) as cuda:
        for cell, record in jobs.values():
            cuda.waits.clear()
            measure = cell.measure.model_copy(update=quick)
            monkeypatch.setenv("PARDEC_STARTED", str(time.time()))
            facts = time_cell.measured(
                cell.model_copy(update={"device": "cuda", "measure": measure, "reference": None})
            )
            assert facts["status"] == "ok", (cell.id, facts["reason"])
            assert facts["device"]["name"] == "cuda" and facts["clock"] == "cuda_event"
            assert cuda.waits["copied to the device"] > 0, "nothing ran there"
            right = {output["prompt"]: output["tokens"] for output in record["outputs"]}
            mine = {output["prompt"]: output["tokens"] for output in facts["outputs"]}
            shared = right.keys() & mine.keys()
            assert shared and all(right[prompt] == mine[prompt] for prompt in shared), cell.id


def test_output_jobs_keep_to_the_device(project, monkeypatch):
    decoders, last = set(), {}
    for path in sorted((project.folder / "results" / "quality").rglob("outputs.provenance.json")):
        last[path.parts[-3]] = path  # one of each arm
    with card(project.folder, monkeypatch) as cuda:
        for path in last.values():
            command = shlex.split(read_json(path)["command"])
            monkeypatch.setattr(sys, "argv", command[1:])
            args = generate_outputs.arguments()
            rows = read_jsonl(path.with_name("outputs.jsonl"))
            if args.decoder in ELSEWHERE or args.engine != "eager" or "status" in rows[0]:
                continue
            decoders.add(args.decoder)
            args.device = "cuda"
            cuda.waits.clear()
            made = generate_outputs.written(args)
            assert [row["tokens"] for row in made] == [row["tokens"] for row in rows], path
            assert cuda.waits["copied to the device"] > 0, "nothing ran there"
    assert len(decoders) >= 4
