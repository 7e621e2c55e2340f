"""Prompts of other people's data: real formats on local files, one clear message for each way to be wrong."""

import gzip
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl
from pardec.data.fields import first_exchange, pick
from pardec.data.prepare import parse_settings, prepare, remarks
from pardec.data.rows import articles

FIXTURES = Path(__file__).parents[1] / "fixtures" / "data"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def build(file, seed=1, **settings):
    return parse_settings({"source": "path", "path": str(file), **settings}).build(seed)


def pairs(prepared):
    return [(row["prompt"], row["answer"]) for row in prepared.heldout]


@pytest.mark.parametrize("file", ["wikitext.jsonl", "wikitext.parquet", "wiki.test.raw"])
def test_wikitext_lines_become_articles(file):
    result = pairs(build(FIXTURES / file, shape="wikitext", prompt_words=12, answer_words=6))
    assert result == [
        ("The Lighthouse of Port Arrow is a round stone tower on the", " northern coast of the island ."),
        ("The Grey Field Vole is a small rodent of wet meadows .", " It eats grass , roots and"),
    ]


def test_wikitext_headings_go_and_its_escapes_are_undone():
    lines = [json.loads(line)["text"] for line in (FIXTURES / "wikitext.jsonl").read_text().splitlines()]
    lighthouse, vole = articles(lines)
    assert "12.5 miles" in lighthouse and "well-known" in lighthouse and "14,302" in lighthouse
    assert "=" not in lighthouse + vole and vole.startswith("The Grey Field Vole")


@pytest.mark.parametrize("file", ["sharegpt.json", "sharegpt.parquet"])
def test_sharegpt_gives_the_first_human_turn_and_its_answer(file):
    prepared = build(FIXTURES / file, shape="conversation", field="conversations")
    assert pairs(prepared) == [
        ("What is a lighthouse for?", "It warns ships of rocks and shows them where they are."),
        ("Write a list of three fruits.\nOne a line.", "apple\npear\nplum"),
        ("Is seven prime?", None),
    ]
    assert prepared.facts["text"]["empty_or_repeated"] == 1 and prepared.ends


def test_prompts_of_too_many_words_are_left_out():
    wanted = {"shape": "conversation", "field": "conversations"}
    prepared = build(FIXTURES / "sharegpt.json", most_words=5, **wanted)
    assert [prompt for prompt, _ in pairs(prepared)] == ["What is a lighthouse for?", "Is seven prime?"]
    assert prepared.facts["text"]["too_long"] == 1 and prepared.facts["text"]["empty_or_repeated"] == 1
    with pytest.raises(UserError, match="contains no prompt of at most 1 words"):
        build(FIXTURES / "sharegpt.json", most_words=1, **wanted)


def test_chat_roles_are_turns_too():
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert first_exchange(turns) == ("Hi", "Hello")
    assert first_exchange(None) == ("", None)


def test_csv_with_quotes_and_an_answer_field():
    result = pairs(build(FIXTURES / "questions.csv", field="question", answer_field="answer"))
    assert result == [("How much is 2 + 2, please?", "4"), ('Name a "quoted" word', "word")]


def test_plain_text_gives_a_prompt_a_paragraph(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\r\n\r\nthree\n\n\n\nthree\n".encode())
    assert pairs(build(tmp_path / "a.txt")) == [("one\ntwo", None), ("three", None)]


def test_a_dotted_field_enters_nested_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"messages": [{"content": "deep"}]}\n')
    assert pairs(build(tmp_path / "a.jsonl", field="messages.0.content")) == [("deep", None)]


def test_limit_and_share_split_by_hash(tmp_path):
    rows = [json.dumps({"text": f"prompt {i}"}) for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    prepared = build(tmp_path / "a.jsonl", heldout_share=0.5, limit=8)
    held, train = {p for p, _ in pairs(prepared)}, {row["prompt"] for row in prepared.train}
    assert (len(held), len(train)) == (8, 20) and not held & train
    smaller = {p for p, _ in pairs(build(tmp_path / "a.jsonl", heldout_share=0.5, limit=5))}
    assert smaller < held
    assert held != {p for p, _ in pairs(build(tmp_path / "a.jsonl", seed=2, heldout_share=0.5, limit=8))}


def test_a_folder_of_foreign_data_has_no_tokenizer(tmp_path):
    about = prepare(
        {"source": "path", "path": str(FIXTURES / "questions.csv"), "field": "question"}, 1, tmp_path
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["about.json", "heldout.jsonl", "train.jsonl"]
    assert about["lengths"]["unit"] == "characters" and len(read_jsonl(tmp_path / "heldout.jsonl")) == 2


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
BAD = {
    "missing.jsonl": (None, "does not exist"),
    "empty.jsonl": (b"", "is empty"),
    "blank.jsonl": (b"\n\n", "contains no prompt"),
    "blank.txt": (b"\n \n\n", "contains no prompt"),
    "nothing.csv": (b"text\n", "contains no prompt"),
    "latin.txt": ("caf\u00e9".encode("latin-1"), r"not UTF-8 text \(byte 3\)"),
    "binary.txt": (b"abc\x00def", "binary"),
    "binary.jsonl": (b"PAR1\x00\x01", "binary"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', r"broken.jsonl:2: is not valid JSON"),
    "list.jsonl": (b'["a"]\n', "is not a JSON object"),
    "object.json": (b'{"text": "a"}', "is not a JSON list"),
    "squad.json": (b'{"version": 1, "data": [{"text": "a"}]}', r"is not a JSON list.*\n.*under 'data'"),
    "broken.json": (b"[", "is not valid JSON"),
    "wide.csv": (b"text,b\none,2,3\n", "columns"),
    "broken.csv": (b'text\n"a\n', "is not valid CSV"),
    "damaged.parquet": (b"PAR1 and then not", "not a readable Parquet"),
    "field.jsonl": (b'{"texts": "a"}\n', "has no field 'text'"),
    "number.jsonl": (b'{"text": 3}\n', "contains int, not text"),
    "unknown.xml": (b"<a/>", "unknown format"),
    "list2.jsonl": (b'{"text": ["a"]}\n', r"contains list, not text.*\n.*text\.0"),
    "flag.jsonl": (b'{"text": true}\n', "contains bool, not text"),
    "twice.csv": (b"text,text\na,b\n", "names 'text' twice"),
    "twice.jsonl": (b'{"text": "a"}\n{"text": "a", "text": "b"}\n', "twice.jsonl:2: names 'text' twice"),
    "twice.json": (b'[{"text": "a", "text": "b"}]', "names 'text' twice"),
    "wide.txt": ("\ufefftext".encode("utf-16"), "UTF-16"),
    "cut.jsonl.gz": (gzip.compress(b'{"text": "a"}\n')[:-9], "not a whole gzip file"),
    "pointer.jsonl": (LFS, "pointer of Git LFS"),
    "pointer.txt": (LFS, "pointer of Git LFS"),
    "pointer.parquet": (LFS, "pointer of Git LFS"),
    "lines.txt": (b'{"text": "a"}\n\n{"text": "b"}\n', "contains JSON Lines, not plain text"),
    "parquet.csv": (b"PAR1 and so on", r"is a Parquet file\n.*end in .parquet"),
    "parquet.json": (b"PAR1 and so on", "is a Parquet file"),
    "page.csv": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "is an HTML page"),
    "page.txt": (b"\n<html lang='en'><body>Sign in</body></html>", "is an HTML page"),
    "broken2.json": (b'{"text": "a"}\n{"text": \n', r"broken2.json:2: is not valid JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_bad_file_gives_one_clear_message(name, tmp_path):
    content, message = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        build(tmp_path / name)
    assert name in str(error.value) and "fix:" in str(error.value)


def test_a_truncated_parquet_is_told(tmp_path):
    whole = (FIXTURES / "wikitext.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a readable Parquet"):
        build(tmp_path / "a.parquet")


def test_a_missing_field_names_the_nearest():
    with pytest.raises(UserError, match=r"did you mean 'question'.*answer"):
        build(FIXTURES / "questions.csv", field="qestion")
    with pytest.raises(UserError, match="nothing to look into"):
        pick({"a": 1}, "a.b", "here")


ROW = b'{"text": "one"}'
OTHER = b'{"text": "two"}'
READ = {
    "capitals.JSONL": ROW + b"\n" + OTHER,
    "lines.json": ROW + b"\n" + OTHER + b"\n",
    "spaced.json": b"\n" + ROW + b"\n\n" + OTHER + b"\n",
    "other.ndjson": b"\xef\xbb\xbf" + ROW + b"\r\n\r\n" + OTHER + b"\r\n",
    "marks.jsonl": b"\xef\xbb\xbf" + ROW + b"\n\xef\xbb\xbf" + OTHER + b"\n",  # two files joined
    "marks.csv": b"\xef\xbb\xbf\xef\xbb\xbftext,b\r\none,1\r\n\xef\xbb\xbftwo,2\r\n",  # written twice with a mark
    "marks.tsv": b"\xef\xbb\xbftext\tb\none\t1\ntwo\t2\n",
    "marks.json": b'\xef\xbb\xbf[{"\xef\xbb\xbftext": "one"}, {"\\ufefftext": "two"}]',  # of such a table
    "marks.txt": b"\xef\xbb\xbfone\n\n\xef\xbb\xbftwo\n",
    "marks.jsonl.gz": gzip.compress(b"\xef\xbb\xbf" + ROW + b"\n" + OTHER),
    "spread.json": json.dumps({"text": "one"}, indent=1).encode() + b"\n" + OTHER + b"\n",
    "list.jsonl": b"[\n" + ROW + b",\n" + OTHER + b"]",
    "list.JSON": b"[" + ROW + b", " + OTHER + b"]",
    "packed.jsonl.gz": gzip.compress(ROW + b"\n\n" + OTHER),
    "packed.csv.GZ": gzip.compress(b"\xef\xbb\xbftext,id\r\none,1\r\n\r\ntwo,2\r\n"),
    "tabs.tsv": b"text\tid\none\t1\ntwo\t2\n",
    "semicolons.csv": b"\xef\xbb\xbftext;id\r\none;1\r\ntwo;2\r\n",
    "quoted.csv": b'"text","id"\n"one","1"\n"two","2, or ""two"""\n',
    "packed.jsonl": gzip.compress(ROW + b"\n" + OTHER),
    "unpacked.jsonl.gz": ROW + b"\n" + OTHER,
    "twice.csv.gz": gzip.compress(gzip.compress(b"text\none\ntwo\n")),
    "tabs.csv": b"text\tid\none\t1\ntwo\t2\n",
    "bars.csv": b"text|id\none|1\ntwo|2\n",
    "quoted2.csv": b'"id, or name";text\n1;one\n2;two\n',
    "braces.txt": b"one\n\ntwo\n",
    "blank.csv": b"text\n\none\ntwo\n\n",
}


@pytest.mark.parametrize("name", READ)
def test_files_are_read_however_they_are_called_and_packed(name, tmp_path):
    (tmp_path / name).write_bytes(READ[name])
    assert sorted(pairs(build(tmp_path / name))) == [("one", None), ("two", None)]


def test_decimal_numbers_of_a_parquet_file_are_answers(tmp_path):
    import pyarrow
    from pyarrow import parquet

    answers = [Decimal("1.50"), None]
    parquet.write_table(pyarrow.table({"text": ["one", "two"], "a": answers}), tmp_path / "a.parquet")
    assert sorted(pairs(build(tmp_path / "a.parquet", answer_field="a"))) == [("one", "1.50"), ("two", None)]


def test_a_parquet_file_with_one_column_twice_is_refused(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_arrays([["a"], ["b"]], ["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="names 'text' twice"):
        build(tmp_path / "a.parquet")


def test_a_home_folder_is_expanded_and_a_folder_is_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.jsonl").write_bytes(ROW)
    assert pairs(build("~/a.jsonl")) == [("one", None)]
    with pytest.raises(UserError, match="is a folder"):
        build(tmp_path)


def write_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize(
    ("field", "answer", "expected"),
    [
        ("a", {"a": {"answer_start": [3], "text": ["yes", "no"]}}, r"contains dict.*\n.*a\.text\.0"),
        ("a", {"a": [["yes"]]}, r"contains list.*\n.*a\.0\.0"),
        ("a", {"a": True}, r"contains bool"),
        ("a", {"a": {"n": 3}}, r"contains dict, not text.*\n.*name a field that contains text"),
        ("a.text.0", {"a": {"text": ["yes", "no"]}}, "yes"),
        ("a.text[1]", {"a": {"text": ["yes", "no"]}}, "no"),
        ("a.-1.value", {"a": [{"value": "first"}, {"value": "last"}]}, "last"),
        ("a.text.0", {"a": json.dumps({"text": ["yes"]})}, "yes"),
        ("a.b", {"a.b": "a key with a dot"}, "a key with a dot"),
        ("a.text.0", {"a": {"text": []}}, None),
        ("a", {"a": float("nan")}, None),
        ("a", {"a": None}, None),
        ("a", {"a": float("inf")}, "contains an infinite number"),
        ("a", {"a": [{"type": "output_text", "text": "in "}, {"type": "text", "text": "two"}]}, "in two"),
        ("a", {"a": ""}, None),
        ("a", {"a": " \n"}, None),
        ("a", {"a": '["yes"]'}, '["yes"]'),  # JSON may be the answer
        ("a", {"a": 72}, "72"),
        ("a", {"a": 0.5}, "0.5"),
        ("a", {"a": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]}, "in parts"),
    ],
)
def test_answers_are_texts_or_null_or_refused_with_the_path(tmp_path, field, answer, expected):
    file = write_lines(tmp_path / "a.jsonl", [{"text": "one", **answer}])
    if isinstance(expected, str) and "contains" in expected:
        with pytest.raises(UserError, match=f"(?s){expected}"):
            build(file, answer_field=field)
    else:
        assert pairs(build(file, answer_field=field)) == [("one", expected)]


def test_an_empty_cell_of_a_csv_file_is_no_answer(tmp_path):
    (tmp_path / "a.csv").write_text("text,a\none,\ntwo,yes\n")
    assert sorted(pairs(build(tmp_path / "a.csv", answer_field="a"))) == [("one", None), ("two", "yes")]


def test_rows_that_lack_a_field_are_skipped_counted_and_reported(tmp_path):
    rows = [{"text": f"t{k}", "a": "x"} for k in range(5)] + [{"other": 1}, {"text": "bare"}]
    settings = {"source": "path", "path": str(write_lines(tmp_path / "a.jsonl", rows)), "answer_field": "a"}
    about = prepare(settings, 1, tmp_path / "out", "mine")
    assert about["text"]["rows_without_text"] == 1 and about["text"]["rows_without_a"] == 1
    assert about["counts"]["heldout"]["all"] == 6
    assert remarks(about) == [
        "mine: 1 of 7 rows have no 'text' and were skipped",
        "mine: 1 of 7 rows have no 'a'",
    ]


def test_conversations_in_the_forms_they_come_in(tmp_path):
    turns = [{"role": "system", "content": "s"}, {"role": "User", "content": "Hi"}]
    answer = {
        "role": "assistant",
        "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
    }
    asked = [{"type": "text", "text": "H"}, {"type": "text", "text": "o"}]
    rows = [
        {"conversations": [*turns, answer]},
        {"conversations": json.dumps([{"from": "human", "value": "Hey"}, {"from": "gpt", "value": "Yes"}])},
        {"conversations": [{"role": "user", "content": asked}, {"role": "assistant", "content": None}]},
        {"conversations": [{"role": "prompter", "content": "Oh"}]},
        {
            "conversations": {"role": ["user", "assistant"], "content": ["Ah", "So"]}
        },  # as datasets has lists of objects
        {"conversations": [{"speaker": "user", "text": "Eh"}, {"speaker": "assistant", "text": "No"}]},
        {"conversations": None},
        {"conversation": "no"},
        {"conversations": "[{cut"},
        {"conversations": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
    ]
    prepared = build(write_lines(tmp_path / "a.jsonl", rows), shape="conversation", field="conversations")
    assert sorted(pairs(prepared)) == [
        ("Ah", "So"),
        ("Eh", "No"),
        ("Hey", "Yes"),
        ("Hi", "Hello"),
        ("Ho", None),
        ("Oh", None),
    ]
    assert prepared.facts["text"]["rows_without_conversations"] == 3


@pytest.mark.parametrize("turns", ["a text", {"role": "user"}, [{"role": "user", "content": {"text": "x"}}]])
def test_what_is_no_conversation_is_refused(tmp_path, turns):
    file = write_lines(tmp_path / "a.jsonl", [{"conversations": turns}])
    with pytest.raises(UserError, match="row 1, field 'conversations': contains"):
        build(file, shape="conversation", field="conversations")


def test_a_conversation_within_an_object_is_named(tmp_path):
    rows = [{"c": {"messages": [{"role": "user", "content": "Hi"}]}}]
    with pytest.raises(UserError, match=r"contains dict.*\n.*name the list in it: c\.messages"):
        build(write_lines(tmp_path / "a.jsonl", rows), shape="conversation", field="c")


def test_a_prompt_again_with_another_answer_is_counted_and_reported(tmp_path):
    rows = [{"text": "q", "a": answer} for answer in ("1", "2", "1", None)]
    settings = {"source": "path", "path": str(write_lines(tmp_path / "a.jsonl", rows)), "answer_field": "a"}
    about = prepare(settings, 1, tmp_path / "out", "mine")
    assert about["text"]["repeated_with_another_answer"] == 1
    assert remarks(about) == ["mine: 1 rows repeat a prompt with another answer; the first one counts"]
    assert [row["answer"] for row in read_jsonl(tmp_path / "out" / "heldout.jsonl")] == ["1"]


def test_bytes_of_a_parquet_file_are_text_where_they_are_utf8(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": [b"one", "é".encode()]}), tmp_path / "a.parquet")
    assert sorted(pairs(build(tmp_path / "a.parquet"))) == [("one", None), ("é", None)]
    parquet.write_table(pyarrow.table({"text": [b"\xff"]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match="contains bytes, not text"):
        build(tmp_path / "b.parquet")


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A folder laid out as a data set on the hub, and a cache of its own."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "wiki"
    (folder / "data").mkdir(parents=True)
    shutil.copy(FIXTURES / "wikitext.parquet", folder / "data" / "test-00000-of-00001.parquet")
    return folder


def test_a_hub_layout_is_read_through_datasets(hub_folder):
    hub = {"source": "hub", "dataset": str(hub_folder), "revision": COMMIT, "shape": "wikitext"}
    prepared = parse_settings({**hub, "prompt_words": 5}).build(1)
    assert [prompt for prompt, _ in pairs(prepared)] == [
        "The Lighthouse of Port Arrow",
        "The Grey Field Vole is",
    ]
    assert prepared.facts["text"]["revision"] == COMMIT and prepared.tokenizer is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "train"}, "cannot be loaded.*train"),
        ({"field": "txt"}, "did you mean 'text'"),
        ({"dataset": "./no/such/folder"}, "does not exist"),
        ({"revision": "main"}, "revision"),
        ({"revision": COMMIT[:39]}, "revision"),
    ],
)
def test_hub_mistakes_are_told(hub_folder, change, message):
    settings = {"source": "hub", "dataset": str(hub_folder), "revision": COMMIT, **change}
    with pytest.raises(UserError, match=message):
        parse_settings(settings).build(1)


def test_one_file_of_a_hub_data_set_that_holds_others(tmp_path):
    (tmp_path / "wanted.json").write_text(json.dumps([{"ask": "one?"}, {"ask": "two?"}]))
    (tmp_path / "other.json").write_text(json.dumps([{"something": {"else": 1}}]))
    settings = {"source": "hub", "dataset": str(tmp_path), "split": "train", "revision": COMMIT}
    result = parse_settings({**settings, "files": "wanted.json", "field": "ask"}).build(1)
    assert sorted(prompt for prompt, _ in pairs(result)) == ["one?", "two?"]
