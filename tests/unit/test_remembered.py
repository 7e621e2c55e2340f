import json

import pytest

from pardec.common.remembered import MOST, Remembered


def refuse():
    raise AssertionError("made anew")


def test_what_one_process_made_the_next_one_reads(tmp_path):
    path = tmp_path / "cache" / "known.json"
    first = Remembered(path)
    assert first.get("a", lambda: ["x", "y"]) == ["x", "y"] == first.get("a", refuse)
    first.save()
    assert Remembered(path).get("a", refuse) == ["x", "y"]
    assert [file.name for file in path.parent.iterdir()] == ["known.json"]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[" * 100_000,
        b'{"a": ["x"',
        b"\xff\xfe",
        b"[]",
        b'{"a": "x"}',
        b'{"a": [1]}',
        b'{"a": ["x"], "b": null}',
    ],
)
def test_a_damaged_file_is_made_anew(tmp_path, damage):
    path = tmp_path / "known.json"
    path.write_bytes(damage)
    again = Remembered(path)
    assert again.get("a", lambda: ["z"]) == ["z"]
    again.save()
    assert json.loads(path.read_text()) == {"a": ["z"]}


def test_nothing_is_written_where_nothing_is_new_or_may_be(tmp_path, monkeypatch):
    path = tmp_path / "known.json"
    Remembered(path).save()
    assert not path.exists()


def test_a_folder_that_cannot_be_made_costs_only_the_memory(tmp_path):
    (tmp_path / "file").write_text("in the way")
    kept = Remembered(tmp_path / "file" / "known.json")
    assert kept.get("a", lambda: ["x"]) == ["x"]
    kept.save()
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_file_that_grew_too_large_is_begun_anew(tmp_path):
    path = tmp_path / "known.json"
    path.write_text(json.dumps({str(number): [] for number in range(MOST + 1)}))
    assert Remembered(path).known == {}
