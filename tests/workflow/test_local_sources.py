"""Files that the user brings are followed by their bytes, whatever their names, sizes and times say."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from pardec.common.files import sha256, write_jsonl
from tests import tiny_study
from tests.conftest import Project, copy_project
from tests.faults.arms import prompts, write_model
from tests.tiny_study import overlay

pytestmark = [pytest.mark.workflow, pytest.mark.thorough]

STUDY = overlay() | {
    "data": {"d": {"source": "path", "path": "mine/prompts.jsonl", "field": "prompt", "answer_field": "answer"}},
    "models": {"m": {"source": "path", "path": "mine/model"}},
    "arms": {"one": {"model": "ar", "decoder": "autoregressive"}},
    "workloads": {
        "w": {"data": "d", "new_tokens": 8, "prompts": 4, "models": {"ar": "m"}, "metrics": ["exact"]}
    },
    "experiments": {
        "noise": {
            "question": "Are they followed?",
            "grids": [{"workloads": ["w"], "arms": ["one"], "reference": None}],
        }
    },
}  # fmt: skip
CONFIG = ("--configfile", "mine/mine.yaml")
BY_TIME = ("--max-checksum-file-size", "1")
"""All files are then larger than those whose content Snakemake compares."""


class Local(Project):
    """A study of the user's own model and prompts."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        mine = folder / "mine"
        write_model(mine / "model", causal=True)
        write_jsonl(mine / "prompts.jsonl", prompts(24))
        (mine / "mine.yaml").write_text(yaml.safe_dump(STUDY))
        self.record = next(iter(tiny_study.plan(STUDY, folder).records()))

    def timed(self, *args):
        return self.snakemake(*args, study=CONFIG, target=self.record)

    def plans(self, *args) -> set[str]:
        done = self.timed("-n", "--quiet", "host", *args)
        return set(re.findall(r"^rule (\w+):", done.stdout + done.stderr, re.M))


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("local"))
    here = os.getcwd()
    os.chdir(folder)
    try:
        local = Local(folder)
    finally:
        os.chdir(here)
    local.timed()
    assert local.plans() == set()
    return local


def other_bytes(path: Path) -> bytes:
    """As many bytes, the last of them another; still a whole file of its kind."""
    content = bytearray(path.read_bytes())
    content[-8 if path.suffix == ".safetensors" else content.rindex(b"a")] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    "name, how",
    [
        ("model/model.safetensors", "in place"),
        ("model/model.safetensors", "by a hard link"),
        ("model/tokenizer.json", "anew, with the old times"),
        ("prompts.jsonl", "anew, with the old times"),
    ],
)
def test_other_bytes_under_the_same_name_rerun_what_depends_on_them(local, name, how, tmp_path):
    path = local.path("mine") / name
    kept, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    record = json.loads(local.path(local.record).read_text())
    changed = other_bytes(path)
    try:
        if how == "by a hard link":
            os.link(path, local.path("mine") / "another name")
            (local.path("mine") / "another name").write_bytes(changed)
        elif how == "in place":
            path.write_bytes(changed)
        else:
            path.unlink()
            path.write_bytes(changed)
            os.utime(path, ns=times)
        fetch = "fetch_prompts" if name == "prompts.jsonl" else "fetch_model"
        assert local.plans(*BY_TIME) == {fetch, "time_cell"}
        # What was measured is still there, and is what the record says.
        entries = record["provenance"]["inputs"]
        assert entries and all(sha256(local.path(entry["path"])) == entry["sha256"] for entry in entries)
    finally:
        path.write_bytes(kept)
        (local.path("mine") / "another name").unlink(missing_ok=True)
    assert local.plans(*BY_TIME) == set()


def test_new_times_alone_rerun_nothing(local):
    for path in local.path("mine").rglob("*"):
        os.utime(path)
    assert local.plans(*BY_TIME) == set()


def test_a_record_measured_again_says_the_new_bytes(local):
    weights = local.path("mine/model/model.safetensors")
    weights.write_bytes(other_bytes(weights))
    local.timed()
    inputs = json.loads(local.path(local.record).read_text())["provenance"]["inputs"]
    assert sha256(weights) in {entry["sha256"] for entry in inputs}
