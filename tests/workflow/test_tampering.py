"""Whatever is touched in a real run, `verify` names it; and what no check of this kind can see is said so."""

import re
import shutil
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pardec.audit.archive import open_run
from pardec.audit.run import LEFT_OUT
from pardec.audit.verify import verify
from pardec.cli.main import app
from pardec.common.files import sha256
from pardec.evidence.tables.files import write_table
from tests.forging import edit_json, forge, rebuild

pytestmark = pytest.mark.workflow

RECORD = "cells/steps/copy/diffusion-copy/diffusion/steps~4+new~16+batch~1/timing.json"
OTHER = "cells/steps/copy/diffusion-copy/diffusion/steps~16+new~16+batch~1/timing.json"
CELL = RECORD.removeprefix("cells/").removesuffix("/timing.json")


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


def test_an_untouched_run_holds(copied):
    assert faults(copied / "results", copied) == {}


def test_every_file_of_the_folder_is_checked_or_left_out_on_purpose(copied):
    """Logs are what jobs printed, with times and paths of the machine; archives of other runs are checked apart."""
    results = copied / "results"
    with open_run(results) as run:
        seen = set(run.files())
    on_disk = {path.relative_to(copied).as_posix() for path in results.rglob("*") if path.is_file()}
    assert {name.split("/")[1] for name in on_disk - seen} <= set(LEFT_OUT)
    assert LEFT_OUT == ("published", "logs")


def test_a_flipped_byte_in_any_kind_of_file_is_named(run):
    """All kinds that lie there: a new kind of artefact is in the sweep as soon as a rule writes it."""
    kinds = defaultdict(list)
    with open_run(run) as opened:
        for name in opened.files():
            kinds[kind(name)].append(name)
    assert len(kinds) > 40, sorted(kinds)
    missed = {}
    for place, names in enumerate(kinds.values()):
        path = run.parent / names[place % len(names)]
        before = path.read_bytes()
        flipped(path)
        found = faults(run)
        path.write_bytes(before)
        if path.relative_to(run.parent).as_posix() not in found:
            missed[names[0]] = found
    assert not missed


def test_the_command_fails_and_names_the_lowest_file_first(run):
    text = (run / RECORD).read_text()
    (run / RECORD).write_text(text.replace('"e2e_ms": ', '"e2e_ms": 1', 1))
    done = CliRunner().invoke(app, ["verify", str(run)])
    assert done.exit_code == 1 and f"First: results/{RECORD}" in done.stdout


@pytest.mark.parametrize(
    "name", [RECORD, "values.json", "claims.json", "tables/cells.csv", "figures/pareto.svg", "machine.json"]
)
def test_a_lost_file_is_named(run, name):
    (run / name).unlink()
    assert f"results/{name}" in faults(run)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (RECORD, OTHER),
        ("figures/pareto.png", "figures/noise.png"),
        ("models/ar-copy/model.safetensors", "models/diffusion-copy/model.safetensors"),
        ("tables/steps.csv", "tables/batch.csv"),
        *[
            (f"quality/copy/ar-copy/ar/new~16/{name}", f"quality/copy/ar-copy/ar-transformers/new~16/{name}")
            for name in ("score.json", "outputs.provenance.json")
        ],
    ],
)
def test_two_files_swapped_are_both_named(run, first, second):
    one, two = (run / first).read_bytes(), (run / second).read_bytes()
    assert one != two
    (run / first).write_bytes(two), (run / second).write_bytes(one)
    assert {f"results/{first}", f"results/{second}"} <= faults(run).keys()


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_one_number_of_a_table_is_named(run, end):
    path = run / f"tables/cells.{end}"
    frame = pd.read_csv(path, keep_default_na=False) if end == "csv" else pd.read_parquet(path)
    place = frame.index[frame["cell"] == CELL][0]
    frame.loc[place, "latency_ms"] = float(frame.loc[place, "latency_ms"]) * 1.001
    frame.to_csv(path, index=False, lineterminator="\n") if end == "csv" else frame.to_parquet(
        path, index=False
    )
    assert f"results/tables/cells.{end}" in faults(run)


@pytest.mark.parametrize("name", ["pardec/decoding/masked_diffusion.py", "scripts/time_cell.py"])
def test_a_changed_library_file_is_named(run, name):
    path = run.parent / name
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"\n# later\n")
        assert name in faults(run, run.parent)
    finally:
        path.write_bytes(before)


# Forged with care: the file and every hash of it that anything in the run tells.


def hashes(results):
    return {path: sha256(path) for path in sorted(results.rglob("*")) if path.is_file()}


def slower(body):
    for sample in body["samples"]:
        sample["e2e_ms"] *= 1.5


def test_a_record_with_its_own_hash_forged_is_named(run):
    edit_json(run / RECORD, slower)
    assert "gives another SHA-256" in faults(run)[f"results/{RECORD}"]


def test_a_record_with_all_hashes_forged_leaves_tables_that_do_not_follow(run):
    old = hashes(run)
    edit_json(run / RECORD, slower)
    assert forge(run, old) > 10
    found = faults(run)
    assert f"results/{RECORD}" not in found, "no hash gives it away any more"
    for name in ("cells", "steps", "samples"):
        assert "does not follow" in found[f"results/tables/{name}.parquet"]
    assert {"results/trails.json", "results/values.json"} <= found.keys()


def test_a_table_with_all_hashes_forged_does_not_follow_from_its_records(run):
    paths, old = [run / f"tables/crossover.{end}" for end in ("csv", "parquet")], hashes(run)
    frame = pd.read_parquet(paths[1])
    frame["ratio"] = frame["ratio"] * 2
    write_table(frame, *paths)
    forge(run, old)
    assert all(
        "does not follow" in faults(run)[f"results/tables/crossover.{end}"] for end in ("csv", "parquet")
    )


def better_value(body):
    body["values"][f"cells/{CELL}/ratio"]["value"] *= 2


def better_claim(body):
    claim = next(c for c in body["claims"] if c["verdict"] in ("contradicted", "not testable here"))
    claim["verdict"] = "reproduced"


@pytest.mark.parametrize(("name", "change"), [("values.json", better_value), ("claims.json", better_claim)])
def test_values_and_claims_with_all_hashes_forged_do_not_follow(run, name, change):
    old = hashes(run)
    edit_json(run / name, change)
    forge(run, old)
    assert "does not follow" in faults(run)[f"results/{name}"]


def test_a_number_printed_in_the_report_with_all_hashes_forged_is_named(run):
    path = run / "report.html"
    old, text = hashes(run), path.read_text()
    match = re.search(r'data-v="[^"]*ratio"[^>]*>(\d)', text)
    digit = str((int(match[1]) + 1) % 10)
    path.write_text(text[: match.start(1)] + digit + text[match.end(1) :])
    forge(run, old)
    assert faults(run)["results/report.html"].startswith("prints")


def test_what_cannot_be_seen_a_whole_run_forged_from_a_raw_record_up(run):
    """A forger who makes everything above anew leaves a consistent run: only a second run tells (docs/evidence.md)."""
    old = hashes(run)
    edit_json(run / RECORD, slower)
    rebuild(run.parent)
    forge(run, old)
    # The page was rendered of other values, and a forger would render it again as well.
    assert faults(run).keys() <= {"results/report.html"}
