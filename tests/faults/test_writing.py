"""Full disks, read-only folders, power loss: an artefact is whole, or not there, and the user reads one sentence."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pardec.audit.archive import open_run, unpack, write_archive
from pardec.audit.verify import verify
from pardec.common import files
from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json, write_text
from pardec.evidence.tables.inputs import read_records
from pardec.models.load import save_model
from tests import factories
from tests.faults import arms

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def job(tmp_path, monkeypatch):
    return arms.Job(tmp_path, monkeypatch)


def only(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(disk):
    """Take all room but a few KiB."""
    handle = os.open(disk / "ballast", os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(handle, b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(handle)


def test_a_record_on_a_full_disk_is_one_message_and_no_file(job, small_disk, capsys):
    fill(small_disk)
    job.out = small_disk / "timing.json"
    assert job.start() == 2
    err = capsys.readouterr().err
    assert "the disk is full" in err and "fix: free some space" in err and "Traceback" not in err
    assert only(small_disk) == ["ballast"]
    (small_disk / "ballast").unlink()
    assert job.start() == 0 and job.record()["status"] == "ok"


def test_an_old_record_outlives_a_full_disk(small_disk):
    write_json(small_disk / "a.json", {"old": 1})
    fill(small_disk)
    with pytest.raises(UserError, match="disk is full"):
        write_json(small_disk / "a.json", {"new": "x" * 50_000})
    assert read_json(small_disk / "a.json") == {"old": 1} and only(small_disk) == ["a.json", "ballast"]


def test_weights_on_a_full_disk_are_told_too(job, small_disk):
    from tests.reference.models import backbone

    fill(small_disk)
    with pytest.raises(UserError, match="disk is full"):
        save_model(backbone(True, max_positions=2048), small_disk / "m")
    assert not [path for path in (small_disk / "m").rglob("*") if path.stat().st_size]


def test_a_file_that_may_not_grow(tmp_path):
    """`ulimit -f`, as batch systems set it."""
    code = (
        "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pardec.common.files import write_json\n"
        "from pardec.jobs import job\n"
        f"with job(): write_json({str(tmp_path / 'a.json')!r}, 'x' * 100000)"
    )
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, preexec_fn=limit
    )
    assert done.returncode == 2 and "largest file allowed" in done.stderr and only(tmp_path) == []


@pytest.fixture
def read_only(tmp_path):
    """A folder that even root cannot write to: a read-only bind of itself, or its mode for anybody else."""
    place = tmp_path / "results"
    place.mkdir()
    (place / "kept.json").write_text("{}")
    if os.getuid():
        place.chmod(0o555)
        yield place
        place.chmod(0o755)
        return
    bound = subprocess.run(["mount", "--bind", str(place), str(place)], capture_output=True, text=True)
    if bound.returncode:
        pytest.skip(f"a folder cannot be made read-only for root here: {bound.stderr.strip()}")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_read_only_folder_is_one_message(job, read_only, capsys):
    job.out = read_only / "cells" / "timing.json"
    assert job.start() == 2
    err = capsys.readouterr().err
    assert "cannot be written" in err and "fix: " in err and "Traceback" not in err
    assert only(read_only) == ["kept.json"]


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UserError, match=r"cannot be written"):
        write_json(tmp_path / "results" / "a.json", {})


def test_every_byte_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    """File flushed, then renamed, then the folder flushed: in any other order a power loss could leave half."""
    order = []
    fsync, replace = os.fsync, os.replace

    def watched(handle):
        order.append("folder" if Path(f"/proc/self/fd/{handle}").resolve().is_dir() else "file")
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", watched)
    monkeypatch.setattr(files.os, "replace", lambda a, b: (order.append("rename"), replace(a, b)))
    write_text(tmp_path / "a.txt", "text")
    assert order == ["file", "rename", "folder"]


def test_a_kill_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    code = (
        "import os, signal; from pardec.common.files import atomic\n"
        f"with atomic({str(tmp_path / 'a.txt')!r}) as path:\n"
        "    path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_text() == "old"
    left = [path for path in tmp_path.iterdir() if path.name != "a.txt"]
    assert all(path.name.startswith(".a.txt.") for path in left), "no name that any reader looks for"


def test_no_file_is_written_past_the_atomic_writer():
    """Library and scripts write through `pardec.common.files`; what writes otherwise is named here with a reason."""
    import re

    allowed = {
        "pardec/common/files.py": "the writer itself",
        "pardec/audit/archive.py": "unpacks into a temporary folder that goes away",
        "pardec/measure/handover.py": "a lock, which holds nothing",
        "pardec/measure/memory.py": "a switch of the kernel",
        "pardec/evidence/rebuild.py": "makes a table's text, which is compared and not kept",
        "pardec/quality/confined.py": "a switch of the kernel",
        "pardec/common/packages.py": "into temporary folders; a wheel whose hash is right is then renamed",
        "pardec/cli/merge.py": "makes a table's text, which the writer then writes",
    }
    writes = re.compile(
        r"""\.write_(text|bytes)\(|open\([^)]*["'](w|a|x|wb|ab|xb)["']|\.to_(csv|parquet)\(|savefig\("""
    )
    result = {}
    for path in [*ROOT.glob("pardec/**/*.py"), *ROOT.glob("scripts/*.py")]:
        name = path.relative_to(ROOT).as_posix()
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if name in allowed or not writes.search(line):
                continue
            near = "\n".join(lines[max(0, number - 25) : number])
            if "atomic(" not in near:
                result[f"{name}:{number}"] = line.strip()
    assert not result


# Power loss: any artefact cut short.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    here = os.getcwd()
    os.chdir(folder)
    try:
        factories.build_all(folder)
    finally:
        os.chdir(here)
    return folder


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_record_cut_short_is_named_by_the_tables(run, tmp_path, monkeypatch, share):
    copy = shutil.copytree(run, tmp_path / "run")
    monkeypatch.chdir(copy)
    victim = next(iter(sorted(Path("results/cells").rglob("timing.json"))))
    cut(victim, share)
    with pytest.raises(UserError, match="is not valid JSON") as given:
        read_records(map(str, Path("results/cells").rglob("timing.json")))
    assert str(victim) in str(given.value) and "run `make all` again" in given.value.fix


@pytest.mark.parametrize("json", [True, False])
def test_whatever_of_a_finished_run_is_cut_short_is_named(finished, tmp_path, json):
    """One file of every folder and kind, all cut in two: `pardec verify` names each. JSON apart, since a file without
    provenance of its own is vouched for by a JSON file."""
    copy = shutil.copytree(finished, tmp_path / "results")
    kinds = {}
    for path in sorted(copy.rglob("*")):
        if path.is_file() and (path.suffix == ".json") == json:
            below = path.relative_to(copy)
            kinds.setdefault((below.parts[0] if len(below.parts) > 1 else below.name, path.suffix), path)
    assert len(kinds) > 7
    for path in kinds.values():
        cut(path, 0.5)
    with open_run(copy) as opened:
        named = {fault.path for fault in verify(opened, None).faults}
    assert {f"results/{path.relative_to(copy).as_posix()}" for path in kinds.values()} <= named


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_weights_cut_short_are_refused(tmp_path, share):
    from pardec.models.load import load_model

    folder = arms.write_model(tmp_path / "m", causal=True)
    cut(folder / "model.safetensors", share)
    with pytest.raises(UserError, match=r"model\.safetensors.*not a whole safetensors file"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_models_small_files_cut_short(job, capsys, name):
    cut(job.model / name, 0.5)
    assert job.start() == 0
    err = capsys.readouterr().err
    assert name in err and "Traceback" not in err
    assert job.record()["status"] == "failed" and name in job.record()["reason"]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_prompts_cut_short(job, capsys, share):
    """Half of the file ends where a line does: only its checksum tells."""
    file = job.data / "heldout.jsonl"
    write_json(job.data / "about.json", {"sha256": {"heldout.jsonl": files.sha256(file)}})
    cut(file, share)
    assert job.start() == 0
    err = capsys.readouterr().err
    assert "heldout.jsonl" in err and "delete the folder" in err and "Traceback" not in err
    record = job.record()
    assert record["status"] == "failed" and "its SHA-256 is not the one in about.json" in record["reason"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.999])
def test_an_archive_cut_short_is_refused(run, tmp_path, share):
    out = tmp_path / "run.tar.zst"
    with open_run(run / "results") as opened:
        write_archive(opened, out)
    (tmp_path / "to").mkdir()
    cut(out, share)
    with pytest.raises(UserError, match="archive"):
        unpack(out, tmp_path / "to")


def test_a_half_written_stray_is_no_part_of_a_run(run, tmp_path, monkeypatch):
    """What a killed job leaves under a temporary name is neither archived nor read."""
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "results/cells/.timing.json.abc123").write_text('{"half":')
    with open_run(copy / "results") as opened:
        assert not [name for name in opened.files() if "abc123" in name]


def test_atomic_passes_a_fault_of_the_body_on(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a"):
        raise ZeroDivisionError
    assert only(tmp_path) == []


@pytest.mark.parametrize("decoder", ["autoregressive", "transformers_generate"])
def test_logits_that_are_no_numbers_fail_the_cell(tmp_path, monkeypatch, decoder):
    from safetensors.torch import load_file, save_file

    job = arms.Job(tmp_path, monkeypatch)
    weights = load_file(job.model / "model.safetensors")
    name = next(name for name in weights if "norm" in name)
    weights[name] = torch.from_numpy(np.full(weights[name].shape, np.nan, np.float32))
    save_file(weights, job.model / "model.safetensors")
    assert job.start(decoder=decoder) == 0
    record = job.record()
    assert record["status"] == "failed" and "logits are NaN" in record["reason"] and not record["samples"]
    assert record["reason"].endswith("(in the cell)") and job.row()["n"] == 0


@pytest.mark.parametrize("decoder", ["autoregressive", "transformers_generate"])
def test_a_reference_whose_logits_are_no_numbers(tmp_path, monkeypatch, decoder):
    """Also where the passes are another library's, and none of ours is seen."""
    job = arms.Job(tmp_path, monkeypatch)
    spoilt = arms.write_model(tmp_path / "models" / "nan", causal=True)
    data = bytearray((spoilt / "model.safetensors").read_bytes())
    data[-4:] = np.float32("nan").tobytes()
    (spoilt / "model.safetensors").write_bytes(data)
    assert job.start(reference={"model": spoilt, "decoder": decoder}) == 0
    assert job.record()["status"] == "failed"
    assert job.record()["reason"].endswith("(in the reference)") and job.row()["ratio"] is None
