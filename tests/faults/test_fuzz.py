"""Random and half-right inputs: whatever is read is accepted for what it is, or refused with one message.

PARDEC_FUZZ says how many inputs in all; `make test-faults` asks for 100,000.
"""

from __future__ import annotations

import copy
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pardec.audit.archive import MANIFEST, unpack
from pardec.common.errors import UserError
from pardec.data.local import read_rows
from pardec.data.prepare import prepare
from pardec.data.prompts import load_prompts
from pardec.evidence.tables.inputs import Inputs, check_record, read_source
from pardec.evidence.tables.registry import TABLES
from pardec.study.load import load_study
from tests import factories
from tests.tiny_study import paper

ROOT = Path(__file__).parents[2]
TOTAL = int(os.environ.get("PARDEC_FUZZ", "2000"))
CONFIG = paper()
SMALL = {
    "name": "s",
    "title": "t",
    "seed": 1,
    "data": {"d": {"source": "tasks", "tasks": {"copy": {}}, "train": 8, "heldout": 4}},
    "models": {
        "m": {"source": "random", "family": "autoregressive", "vocab_size": 64, "hidden": 32, "layers": 1}
        | {"heads": 2, "kv_heads": 2, "mlp": 48}
    },
    "arms": {"a": {"model": "ar", "decoder": "autoregressive"}},
    "workloads": {
        "w": {"data": "d", "task": "copy", "new_tokens": 8, "models": {"ar": "m"}, "metrics": ["exact"]}
    },
    "experiments": {
        "e": {"question": "q", "grids": [{"workloads": ["w"], "arms": ["a"], "reference": None}]}
    },
}


def share(part):
    """Return settings of one test: its part of all inputs, no deadline on a busy machine."""
    return settings(
        max_examples=max(10, round(TOTAL * part)),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["../x", "a/b", "{x}", "'", "$(x)", "", "nan", "1e9", "\ud800", "\0", "copy", "results"]),
)
anything = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(node, path=()):
    """Every place of a nested value."""
    yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def changed(node, path, how, value):
    """A copy of `node` with something done at `path`."""
    if not path:
        return value
    node = copy.copy(node)
    key, *rest = path
    if rest:
        node[key] = changed(node[key], rest, how, value)
    elif how == "remove":
        del node[key]
    elif how == "rename" and isinstance(node, dict):
        node[str(value)[:10]] = node.pop(key)
    elif how == "wrap":
        node[key] = [node[key]]
    else:
        node[key] = value
    return node


def spoilt(base):
    """`base` with one to three changes."""
    change = st.tuples(st.integers(0, 10**6), st.sampled_from(["set", "remove", "rename", "wrap"]), anything)

    def apply(changes):
        node = base
        for number, how, value in changes:
            result = list(places(node))[1:] or [()]
            node = changed(node, result[number % len(result)], how, value)
        return node

    return st.lists(change, min_size=1, max_size=3).map(apply)


def one_message(error: UserError) -> None:
    """What a user reads: where, what, how to mend it; short enough to read."""
    text = str(error)
    assert error.where and error.what and error.fix and "Traceback" not in text and len(text) < 20_000


# Studies.


def study_or_message(config):
    try:
        study, cells = load_study(config)
    except UserError as error:
        one_message(error)
        return
    # Accepted: then it means what it says, and its cells have paths that stay below the results.
    again, _ = load_study(json.loads(study.model_dump_json()))
    assert again == study
    for id in cells:
        parts = Path(id).parts
        assert ".." not in parts and not Path(id).is_absolute() and "\0" not in id and len(parts) == 5
    assert study.seed >= 0 and study.threads >= 1


@share(0.4)
@given(spoilt(SMALL))
def test_a_small_study(config):
    study_or_message(config)


@share(0.01)
@given(spoilt(CONFIG))
def test_the_projects_study(config):
    study_or_message(config)


@share(0.05)
@given(anything)
def test_anything_as_a_study(value):
    study_or_message(value if isinstance(value, dict) else {"data": value})


# Prompt files.


def file_of(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


rows = st.lists(
    st.dictionaries(st.sampled_from(["text", "id", "x"]), anything, max_size=3) | anything, max_size=4
)


def jsonl(values):
    return "\n".join(json.dumps(value) for value in values).encode()


@share(0.2)
@given(
    st.sampled_from([".jsonl", ".json", ".csv", ".txt", ".parquet"]),
    st.one_of(st.binary(max_size=200), rows.map(jsonl), rows.map(lambda v: json.dumps(v).encode())),
)
def test_prompt_files(folder, kind, data):
    path = file_of(folder, f"prompts{kind}", data)
    try:
        result = read_rows(path)
    except UserError as error:
        one_message(error)
        return
    assert all(isinstance(row, dict) for row in result)


@share(0.03)
@given(rows.map(jsonl) | rows.map(jsonl).map(lambda data: b'{"text": "whole"}\n' + data))
def test_prepared_prompts(folder, data):
    path = file_of(folder, "source.jsonl", data)
    try:
        prepare({"source": "path", "path": str(path), "field": "text"}, 1, folder / "out")
    except UserError as error:
        one_message(error)
        return
    for row in load_prompts(folder / "out", 3, 1):
        assert isinstance(row["prompt"], str) and row["prompt"].strip()


@share(0.1)
@given(st.binary(max_size=100) | rows.map(jsonl))
def test_held_out_records(folder, data):
    path = file_of(folder, "heldout.jsonl", data)
    path.with_name("about.json").unlink(missing_ok=True)
    try:
        result = load_prompts(path, 4, 1)
    except UserError as error:
        one_message(error)
        return
    assert result and all(isinstance(row, dict) and "prompt" in row for row in result)


# Records.

CELL = factories.cell("steps", "grid", 4)
RECORD = json.loads(json.dumps(factories.record(CELL, factories.cell("steps", "grid", None), n=6)))


@share(0.15)
@given(spoilt(RECORD) | anything)
def test_records(folder, body):
    path = file_of(folder, "timing.json", json.dumps(body).encode())
    try:
        record = check_record(read_source(path))
    except UserError as error:
        one_message(error)
        return
    assert record.body["status"] != "ok" or record.body["samples"]


@share(0.01)
@given(spoilt(RECORD))
def test_tables_of_records(folder, body):
    """A record that the check lets through makes a row, or one message."""
    path = file_of(folder, "timing.json", json.dumps(body).encode())
    try:
        TABLES.load("cells").make(Inputs(records=(check_record(read_source(path)),)))
    except UserError as error:
        one_message(error)


# Archives.


def packed(members, tail=b""):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return zstandard.ZstdCompressor(level=1).compress(raw.getvalue()) + tail


MANIFEST_OF_ONE = {"schema": 1, "files": {"results/a": {"sha256": "0" * 64, "bytes": 1}}}
names = st.sampled_from(
    ["results/a", "results/../b", "/abs", "results/b/c", "results", "x", "results//a", "results/a/"]
)
archives = st.one_of(
    st.binary(max_size=120),
    st.binary(max_size=120).map(zstandard.ZstdCompressor(level=1).compress),
    st.builds(
        lambda manifest, members: packed([(MANIFEST, json.dumps(manifest).encode()), *members]),
        spoilt(MANIFEST_OF_ONE) | anything,
        st.lists(st.tuples(names, st.binary(max_size=4)), max_size=3),
    ),
)


@share(0.05)
@given(archives)
def test_archives(folder, data):
    import shutil

    inside = folder / "deep" / "inside"
    shutil.rmtree(folder / "deep", ignore_errors=True)
    inside.mkdir(parents=True)
    path = file_of(folder, "run.tar.zst", data)
    try:
        differences = unpack(path, inside)
    except UserError as error:
        one_message(error)
    else:
        kept = [result for result in inside.rglob("*") if result.is_file()]
        named = {name for name, _ in differences}
        for result in kept:
            name = result.relative_to(inside).as_posix()
            assert name.startswith("results/") and (name in named or len(result.read_bytes()) >= 0)
    assert [result.name for result in (folder / "deep").iterdir()] == ["inside"]
