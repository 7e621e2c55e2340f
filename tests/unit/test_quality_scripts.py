"""The scripts of data and scores, as a person types them: files written, one clear message, exit status 2."""

import json
from pathlib import Path

import pytest

from pardec.common.files import read_json, read_jsonl, sha256, write_jsonl
from tests.script import run_script

ROOT = Path(__file__).parents[2]


def test_data_made_by_one_script_is_scored_by_the_other(tmp_path):
    settings = json.dumps({"source": "tasks", "tasks": {"copy": {}}, "train": 30, "heldout": 10})
    done = run_script(
        "prepare_data", "--name", "c", "--settings", settings, "--seed", 1, "--out", tmp_path / "c"
    )
    assert done.returncode == 0 and "10 held-out" in done.stdout
    rows = read_jsonl(tmp_path / "c" / "heldout.jsonl")
    outputs = [{**row, "tokens": [], "text": row["answer"] if i else "x"} for i, row in enumerate(rows)]
    write_jsonl(tmp_path / "outputs.jsonl", outputs)
    files = ("--outputs", tmp_path / "outputs.jsonl", "--out", tmp_path / "score.json")
    done = run_script("score_cell", *files, "--task", "copy", "--metrics", "exact,tokens,chrf")
    assert done.returncode == 0 and "exact 0.900" in done.stdout, done.stderr
    score = read_json(tmp_path / "score.json")
    assert score["metrics"]["exact"]["value"] == 0.9 and score["main"] == "exact"
    assert score["prompts"] == [row["id"] for row in rows]
    path = tmp_path / "outputs.jsonl"
    assert (
        score["inputs"] == [{"path": str(path), "sha256": sha256(path)}]
        and score["provenance"]["rule"] == "score_cell"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{", "--settings: is not valid JSON"),
        ('{"source": "path", "path": "no/such/file.jsonl"}', "no/such/file.jsonl: does not exist"),
        ('{"source": "tasks", "tasks": {"sortt": {}}}', "tasks.sortt"),
    ],
)
def test_bad_settings_exit_with_one_message(settings, message, tmp_path):
    done = run_script(
        "prepare_data", "--name", "x", "--settings", settings, "--seed", 1, "--out", tmp_path / "x"
    )
    assert done.returncode == 2 and message in done.stderr and "fix:" in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (None, ["--metrics", "exact"], "does not exist"),
        ([], ["--metrics", "exact"], "contains no output"),
        ([{"id": "a"}], ["--metrics", "exact"], "record 1: lacks task"),
        ([{}], ["--metrics", "exact"], "record 1: lacks id"),
        ("good", ["--metrics", "exat"], "did you mean 'exact'"),
        ("good", ["--metrics", "exact", "--task", "sort"], "is of task 'copy'"),
    ],
)
def test_bad_outputs_exit_with_one_message(rows, arguments, message, tmp_path):
    path = tmp_path / "outputs.jsonl"
    good = [{"id": "a", "task": "copy", "prompt": "copy a =", "answer": "a", "tokens": [4], "text": "a"}]
    if rows is not None:
        write_jsonl(path, good if rows == "good" else rows)
    done = run_script("score_cell", "--outputs", path, *arguments, "--out", tmp_path / "score.json")
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not (tmp_path / "score.json").exists()
