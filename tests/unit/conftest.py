"""Fixtures that several files of unit tests share."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import re
import shutil
from pathlib import Path

import pytest

from pardec.common.files import atomic, read_json, sha256
from tests.conftest import once


@pytest.fixture(scope="session")
def sound_checkpoint(tmp_path_factory):
    from pardec.data.tokenizers import byte_tokenizer
    from pardec.models.load import save_model
    from tests.reference.models import backbone

    folder = tmp_path_factory.mktemp("sound")
    save_model(backbone(True, vocab_size=300), folder)
    byte_tokenizer().save(folder / "tokenizer.json")
    return folder


@pytest.fixture
def brought(sound_checkpoint, tmp_path):
    """A copy of a sound checkpoint, to be spoilt."""
    return shutil.copytree(sound_checkpoint, tmp_path / "brought")


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """The folder in which all processes keep what scripts left, see `remembered`."""
    return once(tmp_path_factory, "remembered", lambda folder: None)


def hashed(path: Path, known: dict = {}) -> str:  # noqa: B006
    """A file's hash, computed again only where the file was written again."""
    stat = path.stat()
    key = str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns
    if key not in known:
        known[key] = sha256(path)
    return known[key]


def asked(path: Path) -> str:
    """What a file asks, without the job that wrote it."""
    return repr(sorted((key, part) for key, part in read_json(path).items() if key != "provenance"))


@pytest.fixture
def remembered(memory, monkeypatch):
    """A script that is run again on equal files leaves what it left before: most tests disturb one file of many.

    All runs in this process; test_published.py and the workflow's tests use several."""
    from pardec.audit import remake

    monkeypatch.setattr(remake, "_executor", lambda cores: remake._Here())
    run_script = remake.run_script

    def run(script, words, record=False):
        if record:
            return run_script(script, words, record)
        papers = {"collect_values": "tables", "judge_claims": "tables", "judge_ideas": "tables"}.get(
            script, ""
        )
        everything = script in ("collect_jobs", "describe_run")
        # Those that come earlier or later by chance are none of these scripts' inputs, which are named one by one.
        unread = {"tables", "figures"} if script in ("tabulate", "draw_figure") else set()
        if not everything:
            unread |= {"jobs.txt", "papers.txt"}
        seen = []
        for link in sorted(Path("results").iterdir()):
            for path in sorted(link.resolve().rglob("*")) if link.is_dir() else [link]:
                is_paper = path.name.endswith("provenance.json")
                if unread & set(path.parts) and f"results/{path.parent.name}/{path.name}" not in words:
                    continue
                if path.is_file() and (not is_paper or everything or (papers and papers in path.parts)):
                    told = hashed(path) if everything or path.name != "floors.json" else asked(path)
                    seen.append((re.sub(r".*results/", "", str(path)), told))
        # Claims and ideas are read from the run's own copies, whose folder is another in each test.
        given = [
            (re.sub(r".*results/", "", word), hashed(Path(word))) if word.startswith("/") else word
            for word in words
        ]
        key = repr((script, given, seen)).encode()
        kept = memory / hashlib.sha256(key).hexdigest()
        if not kept.is_file():
            before = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*") if path.is_file()}
            wrong = run_script(script, words)
            made = [
                p for p in Path("results").rglob("*") if p.is_file() and p.stat().st_mtime_ns != before.get(p)
            ]
            files = {path: path.read_bytes() for path in made if not path.is_symlink()}
            with atomic(kept) as part:
                part.write_bytes(pickle.dumps((wrong, files)))
            return wrong
        wrong, files = pickle.loads(kept.read_bytes())
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
        return wrong

    monkeypatch.setattr(remake, "run_script", run)


@pytest.fixture
def results(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "results")


@pytest.fixture(scope="session")
def slower_run(made_run, tmp_path_factory):
    """The results of the same run with one record of longer latencies, and values, claims and ideas made anew from it.

    Made once by whichever process asks first; nobody changes them."""
    from tests.finished_run import SLOWER, shifted

    def make(folder):
        assert shifted(made_run, folder, f"cells/{SLOWER}/", 1.5) == [SLOWER]

    return once(tmp_path_factory, "slower", make) / "results"


@pytest.fixture
def by_hashes(monkeypatch):
    """Nothing is made again: what hashes alone can say."""
    from pardec.audit import verify

    monkeypatch.setattr(verify, "remake", lambda run, notes, cores: ())


@pytest.fixture(scope="session")
def draft_run(tmp_path_factory):
    """A synthetic run of the drafting experiment on disk: its folder, tables, values and published rows.

    Made once by whichever process asks first; nobody changes the folder."""
    from pardec.common.files import write_json
    from pardec.evidence.values import collect, publish
    from tests import draft_factories as made

    def make(folder):
        with contextlib.chdir(folder):
            frames = made.build(folder, made.experiment())
            values = collect(["results/tables"])["values"]
            published = {name: table.rows for name, table in publish(["results/tables"]).items()}
            write_json("results/values.json", {"values": values}, indent=None)
            (folder / "made.pickle").write_bytes(pickle.dumps((frames, values, published)))

    folder = once(tmp_path_factory, "draft", make)
    return folder, *pickle.loads((folder / "made.pickle").read_bytes())
