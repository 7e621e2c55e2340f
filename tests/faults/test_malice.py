"""Inputs that mean harm: code in checkpoints and archives, words that a shell or a browser would run."""

from __future__ import annotations

import io
import json
import os
import pickle
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard
from snakemake.utils import format as snakemake_format

from pardec.audit.archive import MANIFEST, unpack
from pardec.common.errors import UserError
from pardec.data.local import read_rows
from pardec.data.prepare import prepare
from pardec.models.load import load_model
from pardec.models.sources import path as path_source
from pardec.study.load import load_study
from pardec.study.plan import Plan, words
from tests.faults import arms
from tests.tiny_study import paper

ROOT = Path(__file__).parents[2]


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /tmp/pardec-was-run",)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_a_pickled_checkpoint_is_refused_unread(tmp_path, suffix):
    folder = arms.write_model(tmp_path / "m", causal=True)
    (folder / "model.safetensors").unlink()
    (folder / f"pytorch_model{suffix}").write_bytes(pickle.dumps(Bomb()))
    settings = path_source.PathSettings(source="path", path=str(folder))
    for load in (lambda: load_model(folder), lambda: path_source.fetch(settings, tmp_path / "out", 0)):
        with pytest.raises(UserError, match="pickle"):
            load()
    assert not Path("/tmp/pardec-was-run").exists() and not (tmp_path / "out").exists()


def test_a_pickle_under_a_good_name_is_refused_unread(tmp_path):
    folder = arms.write_model(tmp_path / "m", causal=True)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="safetensors"):
        load_model(folder)
    assert not Path("/tmp/pardec-was-run").exists()


@pytest.mark.parametrize("name", ["../../evil.safetensors", "/etc/passwd", "a/../../evil.safetensors"])
def test_an_index_cannot_name_shards_outside_of_its_folder(tmp_path, name):
    folder = arms.write_model(tmp_path / "m", causal=True)
    (folder / "model.safetensors").rename(tmp_path / "evil.safetensors")
    index = {"weight_map": {"w": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="outside"):
        load_model(folder)


def archive(path, members, manifest=None):
    """An archive with a manifest that vouches for every member, as a liar would write it."""
    import hashlib

    files = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data, _ in members
    }
    text = json.dumps(manifest or {"schema": 1, "files": files}).encode()
    with (
        open(path, "wb") as raw,
        zstandard.ZstdCompressor().stream_writer(raw) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for name, data, kind in [(MANIFEST, text, tarfile.REGTYPE), *members]:
            member = tarfile.TarInfo(name)
            member.size, member.type = (len(data) if kind == tarfile.REGTYPE else 0), kind
            member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            tar.addfile(member, io.BytesIO(data))
    return path


PLAIN = tarfile.REGTYPE
EVIL = {
    "up": [("results/../../evil", b"x", PLAIN)],
    "absolute": [("/tmp/pardec-evil", b"x", PLAIN)],
    "elsewhere": [("pardec/common/files.py", b"x", PLAIN)],
    "backslash": [("results\\..\\..\\evil", b"x", PLAIN)],
    "symbolic link": [("results/a", b"", tarfile.SYMTYPE)],
    "hard link": [("results/a", b"", tarfile.LNKTYPE)],
    "device": [("results/a", b"", tarfile.CHRTYPE)],
    "twice": [("results/a", b"x", PLAIN), ("results/a", b"x", PLAIN)],
    "a file as a folder": [("results/a", b"x", PLAIN), ("results/a/b", b"x", PLAIN)],
    "dots": [("results/./a", b"x", PLAIN)],
}


@pytest.mark.parametrize("how", EVIL)
def test_an_archive_that_reaches_out_is_refused(tmp_path, how):
    (tmp_path / "deep/to").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    path = archive(tmp_path / "run.tar.zst", EVIL[how])
    with pytest.raises(UserError):
        unpack(path, tmp_path / "deep/to")
    outside = [p for p in tmp_path.rglob("*") if not p.is_relative_to(tmp_path / "deep/to") and p != path]
    assert sorted([*outside, tmp_path / "deep/to"]) == before and not Path("/tmp/pardec-evil").exists()


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path):
    files = {"results/a": {"sha256": "0" * 64, "bytes": 1 << 60}}
    path = archive(tmp_path / "run.tar.zst", [("results/a", b"x", PLAIN)], {"schema": 1, "files": files})
    (tmp_path / "to").mkdir()
    with pytest.raises(UserError, match="more than the disk holds"):
        unpack(path, tmp_path / "to")


# Words for a shell.

NASTY = [
    "'; touch EVIL #",
    "$(touch EVIL)",
    "`touch EVIL`",
    "a\nb; touch EVIL",
    "|| touch EVIL",
    "{wildcards.cell}",
    "-o /etc/passwd",
    "x'\"\\",
    "\u2028&& touch EVIL",
]


@pytest.mark.parametrize("word", NASTY)
def test_words_of_a_study_reach_a_shell_quoted(tmp_path, word):
    line = shlex.join(words(settings={"path": word, "deep": [word]}, name=word))
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    seen = done.stdout.split("\0")
    assert json.loads(seen[1]) == {"path": word, "deep": [word]} and seen[3] == word
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", NASTY)
@pytest.mark.parametrize("section", ["data", "models", "arms", "workloads", "experiments"])
def test_names_that_become_paths_hold_plain_letters(section, word):
    config = paper()
    entry = next(iter(config[section].values()))
    config[section][word] = entry
    with pytest.raises(UserError):
        load_study(config)


def test_a_whole_plan_of_a_nasty_study_runs_nothing_in_a_shell(tmp_path, monkeypatch):
    config = paper()
    config["title"] = "; ".join(NASTY)
    for entry in (*config["arms"].values(), *config["workloads"].values()):
        entry["label"] = NASTY[0]
    plan = Plan(config, [], ROOT)
    monkeypatch.chdir(tmp_path)
    for line in (
        [plan.study_json()],
        [plan.floors_json()],
        *([plan.cell_json(id)] for id in [*plan.cells][:5]),
    ):
        # As Snakemake's formatter quotes what a rule marks with `:q`.
        quoted = snakemake_format("{line:q}", line=line)
        message = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {quoted}"], check=True, capture_output=True, text=True
        )
        assert message.stdout.split("\0")[:-1] == line
    assert list(tmp_path.iterdir()) == []


def test_every_word_of_a_rule_is_quoted():
    """A rule's command may hold inputs, outputs, logs, wildcards and params, each marked `:q`; nothing of the config
    itself."""
    import re

    allowed = re.compile(r"\{((input|output|log)(\.\w+)?|(wildcards|params)\.\w+|VALUES|REPORT):q\}")
    for file in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]:
        text = file.read_text()
        for command in re.findall(r'shell:\s*((?:"[^"]*"\s*)+)|shell\(("[^"]*")\)', text):
            for hole in re.findall(r"\{[^{}]*\}", "".join(command)):
                assert allowed.fullmatch(hole), f"{file.name}: {hole}"


# Prompt files.


def local(path, **more):
    return {"source": "path", "path": str(path), "field": "text", **more}


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b"\x00\x01\x02" * 100, "is a binary file"),
        ("a.txt", b"fine\n\n\xff\xfe broken", "is not UTF-8 text"),
        ("a.csv", b"text\n\xc3\x28", "is not UTF-8 text"),
        ("a.jsonl", b'{"text": "\\ud800"}', "surrogate"),
        ("a.jsonl", b"[" * 100_000, "is not valid JSON"),
        ("a.json", b'[{"text":' * 50_000, "is not valid JSON"),
        ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}", ""),
        ("a.parquet", b"PAR1 no table PAR1", "is not a readable Parquet file"),
        ("a.jsonl", b'{"text": {"a": 1}}', "text"),
        ("a.jsonl", b'{"text": NaN}', "text"),
    ],
)
def test_a_damaged_prompt_file_is_one_message(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as given:
        prepare(local(tmp_path / name), 1, tmp_path / "out")
    assert says in str(given.value) and len(str(given.value)) < 1000
    assert not (tmp_path / "out").exists()


def test_a_huge_prompt_file_is_read_within_bounds(tmp_path):
    """120 MB of one prompt a line, and one prompt of 20 MB."""
    with open(tmp_path / "a.jsonl", "w") as file:
        file.write(json.dumps({"text": "x" * 20_000_000}) + "\n")
        line = json.dumps({"text": "word " * 2000}) + "\n"
        for _ in range(10_000):
            file.write(line)
    assert len(read_rows(tmp_path / "a.jsonl")) == 10_001


@pytest.mark.parametrize("text", ["<script>evil()</script>", "</script><img src=x onerror=alert(1)>", "<!--"])
def test_words_inside_the_pages_data_cannot_leave_it(text):
    """Prose is escaped by the template engine (tests/unit/test_report_page.py, and in a browser tests/browser)."""
    from pardec.common.folded import fold_json

    assert "<" not in fold_json({"prompt": text})
