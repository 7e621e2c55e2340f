import ast
import sys
from pathlib import Path

import pytest

from pardec.common.closure import _files_of, _remembered, closure, digest, imports

ROOT = Path(__file__).parents[2]


def forget():
    """As a new process begins."""
    for kept in (imports, _files_of, _remembered):
        kept.cache_clear()


@pytest.fixture
def tree(tmp_path):
    forget()
    files = {
        "pardec/__init__.py": "",
        "pardec/a/__init__.py": "",
        "pardec/a/one.py": "from pardec.b import two\n",
        "pardec/b/__init__.py": "",
        "pardec/b/two.py": "def f():\n    import pardec.b.three.thing\n",
        "pardec/b/three.py": "import numpy\nfrom . import four\nfrom .four import x\n",
        "pardec/b/four.py": "x = 1",
        "pardec/b/by_name.py": "",
        "pardec/b/unused.py": "",
        "scripts/job.py": "import os\nfrom pardec.a.one import f\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_follows_nested_relative_and_parent_imports(tree):
    assert closure(tree, "scripts/job.py") == [
        "pardec/__init__.py",
        "pardec/a/__init__.py",
        "pardec/a/one.py",
        "pardec/b/__init__.py",
        "pardec/b/four.py",
        "pardec/b/three.py",
        "pardec/b/two.py",
        "scripts/job.py",
    ]


def test_modules_loaded_by_name_are_added(tree):
    result = closure(tree, "scripts/job.py", ["pardec.b.by_name"])
    assert "pardec/b/by_name.py" in result and "pardec/b/unused.py" not in result


def test_digest_follows_content_only(tree):
    files = closure(tree, "scripts/job.py")
    before = digest(tree, files)
    (tree / "pardec/b/four.py").touch()
    assert digest(tree, files) == before
    (tree / "pardec/b/four.py").write_text("x = 2")
    assert digest(tree, files) != before


def test_timing_depends_on_its_decoder_only():
    forget()
    plain = closure(ROOT, "scripts/time_cell.py")
    assert not any("masked_diffusion" in path or "autoregressive" in path for path in plain)
    masked = closure(ROOT, "scripts/time_cell.py", ["pardec.decoding.masked_diffusion"])
    assert "pardec/decoding/masked_diffusion.py" in masked
    assert "pardec/decoding/autoregressive.py" not in masked
    assert not any(path.startswith(("pardec/study/", "pardec/report/")) for path in masked)


def test_what_an_earlier_process_read_is_not_parsed_again_and_a_changed_file_is(tree, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = closure(tree, "scripts/job.py")
    forget()
    monkeypatch.setattr(ast, "parse", refused)
    assert closure(tree, "scripts/job.py") == before
    monkeypatch.undo()
    (tree / "pardec/b/four.py").write_text("from pardec.b import unused")
    forget()
    assert set(closure(tree, "scripts/job.py")) - set(before) == {"pardec/b/unused.py"}


def refused(*_args, **_kwargs):
    raise AssertionError("parsed again")
