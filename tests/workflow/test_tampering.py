"""A real run: `verify` names whatever is touched."""

import json
import re
import shlex
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pardec.audit import remake
from pardec.audit import verify as audit
from pardec.audit.archive import open_run
from pardec.audit.remake import stages
from pardec.audit.run import LEFT_OUT
from pardec.audit.verify import verify
from pardec.cli.main import app
from pardec.common.files import sha256
from tests.forging import edit_json, forge

pytestmark = pytest.mark.workflow

READ = ("results/study.json", "results/floors.json", "results/ro-crate-metadata.json")
"""Files by which `verify` judges others."""
RECORD = "cells/steps/copy/diffusion-copy/diffusion/steps~4+new~16+batch~1/timing.json"


@pytest.fixture(scope="module")
def copied(project, tmp_path_factory):
    """A copy of the smoke run beside a copy of its code."""
    folder = tmp_path_factory.mktemp("tampered") / "run"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns(".snakemake", ".git"))
    return folder


@pytest.fixture
def run(copied):
    """The copy's results; whatever a test does to the copy is undone afterwards."""
    kept = {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()}
    content = {path: path.read_bytes() for path in kept if "results" in path.relative_to(copied).parts}
    yield copied / "results"
    for path in copied.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()
    for path, before in content.items():
        if not path.is_file() or path.stat().st_mtime_ns != kept[path]:
            path.write_bytes(before)


def faults(results, root=None):
    with open_run(results) as run:
        return {fault.path: fault.why for fault in verify(run, root).faults}


def kind(name: str) -> str:
    """A file's kind: its path with the names of a study's own things left out."""
    for pattern, words in (
        (r"results/(cells|quality)/.*/([^/]+)", r"results/\1/*/\2"),
        (r"results/(data|models)/[^/]+/", r"results/\1/*/"),
        (r"results/(figures|tables|likelihood)/[^.]+", r"results/\1/*"),
        (r"results/workflow/(.*/)?[^/.]+", r"results/workflow/\1*"),
    ):
        name = re.sub(pattern, words, name)
    return name


def flipped(path: Path, share: float = 0.37) -> None:
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)


def test_an_untouched_run_holds(copied, monkeypatch):
    """By hashes and code; test_publishing.py makes all of it again."""
    monkeypatch.setattr(audit, "remake", lambda run, notes, cores: ())
    assert faults(copied / "results", copied) == {}


def test_every_file_of_the_folder_is_checked_or_left_out_on_purpose(copied):
    """Logs are what jobs printed, with times and paths of the machine; archives of other runs are checked apart."""
    results = copied / "results"
    with open_run(results) as run:
        seen = set(run.files())
    on_disk = {path.relative_to(copied).as_posix() for path in results.rglob("*") if path.is_file()}
    assert {name.split("/")[1] for name in on_disk - seen} <= set(LEFT_OUT)
    assert LEFT_OUT == ("published", "logs")


def test_a_flipped_byte_in_any_kind_of_file_is_named_by_hashes_alone(run, monkeypatch):
    """All kinds that lie there: a new kind of artefact is in the sweep as soon as a rule writes it.

    Files that say nothing of others are flipped at once, and so are files that sign themselves: sidecars, and records
    and scores with their provenance inside. What a faulty file says of others does not count.
    """
    monkeypatch.setattr(audit, "remake", lambda run, notes, cores: ())
    kinds = defaultdict(list)
    with open_run(run) as opened:
        for name in opened.files():
            kinds[kind(name)].append(name)
    assert len(kinds) > 40, sorted(kinds)
    chosen = [names[place % len(names)] for place, names in enumerate(kinds.values())]
    with open_run(run) as opened:
        signing = [name for name in chosen if name in opened.origins()]
    sidecars = [name for name in signing if name.endswith("provenance.json")]
    signed = [name for name in signing if name not in sidecars]
    plain = [name for name in chosen if name not in (*signing, *READ)]
    assert len(sidecars) > 5 and len(signed) > 4 and len(plain) > 10
    missed = []
    for names in (sidecars, signed, plain, *([name] for name in READ)):
        before = {name: (run.parent / name).read_bytes() for name in names}
        for name in names:
            flipped(run.parent / name)
        named = faults(run)
        for name, content in before.items():
            (run.parent / name).write_bytes(content)
        missed += [name for name in names if name not in named]
    assert not missed


def test_what_is_made_again_is_what_the_rules_ask_for(run):
    """The arguments that `verify` gives a script are those that its rule gave it."""
    with open_run(run) as opened:
        compared = 0
        for stage in stages(opened):
            block = opened.json(stage.sidecar)
            if block is not None:
                words = shlex.split(block["command"])
                assert words[1] == f"scripts/{stage.script}.py"
                # Claims and ideas are read from the run's own copies.
                words_again = [str(word).replace(f"{run}/workflow/", "") for word in stage.words]
                assert _flags(words_again) == _flags(words[2:]), stage.script
                compared += 1
    assert compared > 20


def _flags(words):
    """Each flag with its arguments, in any order, JSON without spaces; but those that verify takes from the crate."""
    text = "\0".join(map(_compact, words))
    parts = [part.split("\0") for part in re.split(r"(?:^|\0)--", text) if part]
    return sorted((flag, *sorted(given)) for flag, *given in parts if flag not in ("agent", "engine"))


def _compact(word):
    return json.dumps(json.loads(word), separators=(",", ":")) if word.startswith("{") else word


@pytest.mark.parametrize(
    "name", ["pardec/decoding/masked_diffusion.py", "pardec/decoding/speculative/acceptance.py"]
)
def test_a_changed_library_file_is_named(run, name, monkeypatch):
    monkeypatch.setattr(audit, "remake", lambda run, notes, cores: ())
    path = run.parent / name
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"\n# later\n")
        assert name in faults(run, run.parent)
    finally:
        path.write_bytes(before)


@pytest.mark.thorough  # tests/unit/test_cli_verify.py does so on a synthetic run
def test_a_forged_record_is_named_first(run, monkeypatch):
    """Whatever it is signed with: tables and trails were made from other samples."""
    early = ("tabulate", "collect_values", "collect_trails")
    monkeypatch.setattr(remake, "stages", lambda run: [one for one in stages(run) if one.script in early])

    def slower(body):
        for sample in body["samples"]:
            sample["e2e_ms"] *= 1.5

    old = {path: sha256(path) for path in sorted(run.rglob("*")) if path.is_file()}
    edit_json(run / RECORD, slower)
    assert forge(run, old) > 10
    done = CliRunner().invoke(app, ["verify", str(run)])
    assert done.exit_code == 1 and f"First: results/{RECORD}" in done.stdout
    assert "does not follow" in done.stdout and "results/values.json" in done.stdout
