"""Prompts of other people's data: real formats on local files, one clear message for each way to be wrong."""

import json
import shutil
from pathlib import Path

import pytest

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl
from pardec.data.prepare import parse_settings, prepare
from pardec.data.rows import articles, first_exchange, pick

FIXTURES = Path(__file__).parents[1] / "fixtures" / "data"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def build(file, seed=1, **settings):
    return parse_settings({"source": "path", "path": str(file), **settings}).build(seed)


def pairs(prepared):
    return [(row["prompt"], row["answer"]) for row in prepared.heldout]


@pytest.mark.parametrize("file", ["wikitext.jsonl", "wikitext.parquet", "wiki.test.raw"])
def test_wikitext_lines_become_articles(file):
    found = pairs(build(FIXTURES / file, shape="wikitext", prompt_words=12, answer_words=6))
    assert found == [
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
    with pytest.raises(UserError, match="holds no prompt of at most 1 words"):
        build(FIXTURES / "sharegpt.json", most_words=1, **wanted)


def test_chat_roles_are_turns_too():
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert first_exchange(turns) == ("Hi", "Hello")
    assert first_exchange(None) == ("", None)


def test_csv_with_quotes_and_an_answer_field():
    found = pairs(build(FIXTURES / "questions.csv", field="question", answer_field="answer"))
    assert found == [("How much is 2 + 2, please?", "4"), ('Name a "quoted" word', "word")]


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


BAD = {
    "missing.jsonl": (None, "does not exist"),
    "empty.jsonl": (b"", "is empty"),
    "blank.jsonl": (b"\n\n", "holds no prompt"),
    "blank.txt": (b"\n \n\n", "holds no prompt"),
    "nothing.csv": (b"text\n", "holds no prompt"),
    "latin.txt": ("caf\u00e9".encode("latin-1"), r"not UTF-8 text \(byte 3\)"),
    "binary.txt": (b"abc\x00def", "binary"),
    "binary.jsonl": (b"PAR1\x00\x01", "binary"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', r"broken.jsonl:2: is not valid JSON"),
    "list.jsonl": (b'["a"]\n', "is not a JSON object"),
    "object.json": (b'{"text": "a"}', "is not a JSON list"),
    "broken.json": (b"[", "is not valid JSON"),
    "wide.csv": (b"text,b\none,2,3\n", "columns"),
    "broken.csv": (b'text\n"a\n', "is not valid CSV"),
    "damaged.parquet": (b"PAR1 and then not", "not a readable Parquet"),
    "field.jsonl": (b'{"texts": "a"}\n', "has no field 'text'"),
    "number.jsonl": (b'{"text": 3}\n', "holds int, not text"),
    "unknown.xml": (b"<a/>", "unknown format"),
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
    found = parse_settings({**settings, "files": "wanted.json", "field": "ask"}).build(1)
    assert sorted(prompt for prompt, _ in pairs(found)) == ["one?", "two?"]
