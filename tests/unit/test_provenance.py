"""What a result says of where it came from."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pardec.common import host
from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256, write_json
from pardec.evidence.provenance import (
    content,
    flags,
    git_state,
    now,
    provenance,
    sealed,
    self_hash,
    sidecar,
    signed,
)

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scripts/tabulate.py")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sidecar_hashes_what_was_read_and_written(here):
    for name in ("in.json", "out.csv", "out.parquet"):
        (here / name).write_text(name)
    begin = now()
    argv = [SCRIPT, "--table", "noise", "--out-csv", "out.csv"]
    more = {"modules": ["pardec.evidence.tables.views"], "wildcards": {"table": "noise"}}
    paths = ["out.csv", "out.parquet"]
    block = provenance(argv, begin, ["in.json", here / "in.json"], outputs=paths, **more)
    write_json(sidecar(paths[0]), signed(block))
    block = read_json("out.provenance.json")
    assert block["inputs"] == [{"path": "in.json", "sha256": sha256("in.json")}]
    assert block["outputs"] == [{"path": name, "sha256": sha256(name)} for name in ("out.csv", "out.parquet")]
    assert block["rule"] == "tabulate" and block["wildcards"] == {"table": "noise"}
    assert block["params"] == {"table": "noise", "out-csv": "out.csv"}
    assert block["command"] == "python scripts/tabulate.py --table noise --out-csv out.csv"
    assert {"scripts/tabulate.py", "pardec/evidence/tables/views.py"} <= set(block["code"])
    assert begin == block["start"] <= block["end"] and block["seed"] is None
    assert block["self_sha256"] == self_hash(block) != self_hash(block | {"rule": "tabulat"})
    assert block["machine"]["cpu"] and block["machine"]["cores"] and block["machine"]["memory_gb"] > 0


def test_the_commit_is_named_and_changes_to_tracked_files(here):
    def git(*words):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        return subprocess.run(
            ["git", *who, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert git_state(here) == {"commit": None, "dirty": None}
    git("init", "-q")
    assert git_state(here) == {"commit": None, "dirty": None}
    (here / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    (here / "untracked").write_text("1")
    clean = {"commit": git("rev-parse", "HEAD"), "dirty": False}
    assert git_state(here) == clean
    (here / "file").write_text("2")
    assert git_state(here) == clean | {"dirty": True}
    git("checkout", "-q", "--detach", "-f")
    assert git_state(here) == clean


def test_a_script_of_another_project_is_refused(here):
    with pytest.raises(UserError, match="runs the code of"):
        provenance([str(here / "tabulate.py")], now(), [])


def test_a_body_states_the_hash_of_all_but_its_provenance(here):
    body = {"a": (1, 2.5), 3: "é", "provenance": {"rule": "r"}}
    written = sealed("x.json", body)
    write_json("x.json", written)
    read = read_json("x.json")
    stated = read["provenance"]["outputs"]
    assert stated == [{"path": "x.json", "content_sha256": content(read)}]
    assert content(read | {"provenance": {"rule": "other"}}) == content(read)
    assert content(read | {"a": [1, 2.6]}) != content(read)
    assert body["provenance"] == {"rule": "r"}, "the caller's body must not change"


def test_flags_are_read_as_typed():
    words = ["--a", "1", "--many", "x", "y", "--on", "--json", '{"b": NaN}', "--eq=v", "--broken", "{b"]
    assert flags(words) == {
        "a": "1",
        "many": ["x", "y"],
        "on": True,
        "json": {"b": "NaN"},
        "eq": "v",
        "broken": "{b",
    }


def test_a_sidecar_stands_beside_its_file():
    assert sidecar("results/tables/steps.csv") == Path("results/tables/steps.provenance.json")


def test_packages_are_those_that_are_installed():
    outcome = host.packages()
    for name in ("torch", "numpy", "snakemake"):
        assert outcome[name] == metadata.version(name)
    environment = host.environment()
    assert environment["packages_sha256"] == host.fingerprint(outcome) and environment["packages"] == len(
        outcome
    )
    assert host.fingerprint({**outcome, "numpy": "0"}) != host.fingerprint(outcome)


def test_saying_where_a_result_came_from_loads_nothing_heavy():
    code = (
        "import sys, json, pardec.evidence.provenance\n"
        "print(json.dumps([n for n in ('torch', 'pandas', 'rocrate', 'importlib.metadata') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout) == []


def test_the_driver_is_read_from_its_own_words(here, monkeypatch):
    for words, version in (
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 21:39:15 UTC 2024",
            "560.35.03",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build",
            "570.124.06",
        ),
        ("", None),
    ):
        (here / "version").write_text(words)
        monkeypatch.setattr(host, "DRIVER", str(here / "version"))
        assert host.driver() == version
