"""A study of a GGUF file, from the file to a record: prompt lookup against our loop and against transformers."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from pardec.common.files import sha256, write_jsonl
from tests import tiny_study
from tests.conftest import Project, copy_project
from tests.reference.checkpoints import write_transformers
from tests.reference.gguf import plain_tokenizer, write_gguf
from tests.tiny_study import overlay

pytestmark = [pytest.mark.workflow, pytest.mark.thorough]

STUDY = overlay() | {
    "data": {"d": {"source": "path", "path": "mine/prompts.jsonl", "field": "prompt"}},
    "models": {"m": {"source": "path", "path": "mine/model.gguf"}},
    "arms": {
        "one": {"model": "ar", "decoder": "autoregressive"},
        "lookup": {
            "model": "ar",
            "decoder": "speculative",
            "settings": {"stop": "length", "block": 4, "drafter": {"name": "ngram"}},
        },
    },
    "workloads": {
        "w": {
            "data": "d",
            "prompt_form": "chat",
            "new_tokens": 12,
            "prompts": 4,
            "models": {"ar": "m"},
            "metrics": ["distinct_2"],
        }
    },
    "experiments": {
        "lookup": {
            "question": "Does it read a GGUF file?",
            "grids": [{"workloads": ["w"], "arms": ["lookup"], "reference": "one", "scored": False}],
        }
    },
}


def test_a_study_of_a_gguf_file_is_measured(tmp_path_factory, monkeypatch):
    folder = copy_project(tmp_path_factory.mktemp("gguf"))
    monkeypatch.chdir(folder)
    os.mkdir("mine")
    hub = write_transformers(
        folder / "hub", "llama", vocab_size=280, intermediate_size=64, max_position_embeddings=256
    )
    weights = {name: one.float().numpy() for name, one in hub.state_dict().items()}
    file = write_gguf(folder / "mine/model.gguf", hub.config, weights, plain_tokenizer(), kind="Q8_0")
    write_jsonl("mine/prompts.jsonl", [{"prompt": f"a text of {k} words, a text of {k}"} for k in range(24)])
    (folder / "mine/mine.yaml").write_text(yaml.safe_dump(STUDY))
    target = next(iter(tiny_study.plan(STUDY, folder).records()))
    Project(folder).snakemake(study=("--configfile", "mine/mine.yaml"), target=target)

    record = json.loads((folder / target).read_text())
    ours, theirs = (
        [output["tokens"] for output in side["outputs"]] for side in (record, record["reference"])
    )
    assert record["status"] == "ok" and ours == theirs
    source = json.loads((folder / "results/models/m/source.json").read_text())
    assert source["gguf"]["sha256"] == sha256(file)
