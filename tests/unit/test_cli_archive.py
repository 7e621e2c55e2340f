"""An archive is the run, byte for byte, twice the same; what is unsafe is never unpacked."""

import io
import json
import os
import shutil
import tarfile

import pytest
import zstandard
from typer.testing import CliRunner

from pardec.audit.archive import MANIFEST, open_run, unpack
from pardec.cli.main import app
from pardec.common.errors import UserError

pytestmark = pytest.mark.usefixtures("remembered")


@pytest.fixture(scope="module")
def results(finished):
    return finished


@pytest.fixture(scope="module")
def packed(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run.tar.zst"
    done = CliRunner().invoke(app, ["archive", str(results), str(out)])
    assert done.exit_code == 0, done.output
    return out


def test_the_same_run_gives_the_same_bytes(results, packed, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    for path in (tmp_path / "results").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    again = tmp_path / "again.tar.zst"
    assert CliRunner().invoke(app, ["archive", str(tmp_path / "results"), str(again)]).exit_code == 0
    assert again.read_bytes() == packed.read_bytes()


def test_it_holds_every_file_and_says_of_what_run(results, packed):
    with open_run(packed) as run:
        assert run.damaged == () and run.archived
        here = {path.relative_to(results) for path in results.rglob("*") if path.is_file()}
        assert {path.relative_to(run.folder) for path in run.folder.rglob("*") if path.is_file()} == here
        assert all((run.folder / name).read_bytes() == (results / name).read_bytes() for name in here)
    manifest = read(packed)[0]
    assert manifest["study"]["name"] == "synthetic" and manifest["machine"]["cpu"] == "test"
    assert {"commit": "0" * 40, "dirty": False} in manifest["git"]
    assert list(manifest["files"]) == sorted(manifest["files"])


def test_logs_other_archives_and_hidden_files_stay_out(results, packed, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    for name in ("logs/a.log", "published/old.tar.zst", ".hidden"):
        (tmp_path / "results" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "results" / name).write_text("x")
    out = tmp_path / "results/published/new.tar.zst"
    assert CliRunner().invoke(app, ["archive", str(tmp_path / "results"), str(out)]).exit_code == 0
    assert out.read_bytes() == packed.read_bytes()


def test_verify_and_compare_read_it(results, packed):
    done = CliRunner().invoke(app, ["verify", str(packed)])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["compare", str(packed), str(results), "--strict"])
    assert done.exit_code == 0 and " 0 differ" in done.stdout, done.output


def test_a_file_changed_inside_is_named(packed, tmp_path, by_hashes):
    name = "results/figures/pareto.provenance.json"  # nothing else tells this file's hash
    manifest, files = read(packed)
    changed = files[name].replace(b'"end": "20', b'"end": "19')
    assert changed != files[name]
    files[name] = changed
    out = write(tmp_path, manifest, files.items())
    done = CliRunner().invoke(app, ["verify", str(out)])
    assert done.exit_code == 1 and f"First: {name}" in done.stdout
    done = CliRunner().invoke(app, ["compare", str(out), str(packed)])
    assert done.exit_code == 2 and name in done.stderr


def test_a_file_more_or_less_is_named(packed, tmp_path):
    manifest, files = read(packed)
    gone = files.pop("results/study.json")
    out = write(tmp_path, manifest, [*files.items(), ("results/foreign.json", gone)])
    with open_run(out) as run:
        assert [name for name, _ in run.damaged] == ["results/foreign.json", "results/study.json"]
        assert not (run.folder / "foreign.json").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "results/../../escape",
        "/tmp/escape",
        "results",
        "elsewhere/x",
        "results//x",
        "results\\..\\x",
    ],
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    manifest = {"schema": 1, "files": {name: {"sha256": "", "bytes": 1}}}
    out, to = write(tmp_path, manifest, [(name, b"x")]), tmp_path / "to"
    to.mkdir()
    with pytest.raises(UserError, match="outside of results"):
        unpack(out, to)
    assert not list(to.rglob("*")) and not (tmp_path / "escape").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("results/link")
    member.type, member.linkname = kind, "/etc/passwd"
    out = write(tmp_path, {"schema": 1, "files": {}}, [(member, b"")])
    (tmp_path / "to").mkdir()
    with pytest.raises(UserError, match="link or no plain file"):
        unpack(out, tmp_path / "to")


def test_a_name_that_comes_twice_is_refused(packed, tmp_path):
    manifest, files = read(packed)
    with (
        pytest.raises(UserError, match="twice"),
        open_run(
            write(tmp_path, manifest, [*files.items(), ("results/study.json", files["results/study.json"])])
        ),
    ):
        pass


@pytest.mark.parametrize("harm", ["cut", "flip", "text", "no manifest", "other schema"])
def test_a_damaged_archive_is_one_message(packed, tmp_path, harm):
    content = packed.read_bytes()
    bad = tmp_path / "bad.tar.zst"
    if harm == "no manifest":
        bad = write(tmp_path, None, [("results/x", b"x")])
    elif harm == "other schema":
        bad = write(tmp_path, {"schema": 99, "files": {}}, [])
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        bad.write_bytes({"cut": content[:middle], "flip": flipped, "text": b"hello"}[harm])
    done = CliRunner().invoke(app, ["verify", str(bad)])
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and "fix: " in done.stderr, done.output


@pytest.mark.parametrize("arguments", [["x.zip"], ["{results}/inside.tar.zst"], ["a", "b", "c"]])
def test_a_wrong_name_is_one_message(results, arguments):
    words = [word.format(results=results) for word in arguments]
    done = CliRunner().invoke(app, ["archive", *([] if len(words) == 3 else [str(results)]), *words])
    assert done.exit_code == 2 and done.stderr.startswith("error: "), done.output


def test_a_link_in_the_results_is_not_archived(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    (tmp_path / "results/link.json").symlink_to("/etc/hostname")
    done = CliRunner().invoke(app, ["archive", str(tmp_path / "results"), str(tmp_path / "x.tar.zst")])
    assert done.exit_code == 2 and "link" in done.stderr and not (tmp_path / "x.tar.zst").exists()


def read(path):
    """Return (manifest, {name: bytes}) of an archive, by the tar library alone."""
    with tarfile.open(fileobj=io.BytesIO(zstandard.decompress(path.read_bytes(), 1 << 28))) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}
    return json.loads(files.pop(MANIFEST)), files


def write(folder, manifest, entries):
    """An archive of any content."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as tar:
        if manifest is not None:
            entries = [(MANIFEST, json.dumps(manifest).encode()), *entries]
        for name, content in entries:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    out = folder / "made.tar.zst"
    out.write_bytes(zstandard.compress(body.getvalue()))
    return out
