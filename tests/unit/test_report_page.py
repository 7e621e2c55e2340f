"""The page: every number has a value, nothing a model wrote becomes markup, answers pick the right rows."""

from __future__ import annotations

import base64
import gzip
import re

import jinja2
import pytest

from pardec.common.errors import UserError
from pardec.common.files import write_jsonl
from pardec.common.folded import fold_json, unfold_json
from pardec.evidence.sentences import text_of
from pardec.evidence.values import stated
from pardec.report import methods
from pardec.report.book import Book
from pardec.report.digest import digest, origin_of
from pardec.report.digits import bare_digits, check_digits
from pardec.report.figures.registry import FIGURES
from pardec.report.outputs import gallery, read_outputs
from pardec.report.packed import fold
from pardec.report.render import TEMPLATES, Material, make_environment, render
from pardec.report.rows import Row, groups_of, load_tables
from pardec.report.svg import embed
from scripts.summarise import summary
from tests import report_fixtures as made

XMLNS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


@pytest.fixture(scope="module")
def material(synthetic_folder):
    folder, frames = synthetic_folder, made.frames_of(synthetic_folder)
    return Material(
        **made.values_of(synthetic_folder),
        tables=load_tables([folder / "tables"]),
        figures={name: folder / f"{name}.svg" for name in FIGURES},
        study=made.STUDY,
        trails=made.trails(frames),
        outputs=made.outputs_of(folder),
        jobs=made.JOBS,
        files=["results/tabulate-1.json", "results/elsewhere.json"],
    )


@pytest.fixture(scope="module")
def page(material):
    return render(material)


def test_every_template_resolves(page):
    assert "{{" not in page.split("<script>")[0].split("<style>")[0]
    sections = re.findall(r'<section id="([a-z]+)"', page)
    assert sections == re.findall(r'<li><a href="#([a-z]+)">', page), "the navigation lists what is there"
    assert {"answer", "steps", "noise", "stability", "workflow", "machine", "rerun"} <= {*sections}
    assert page.count("<figure ") == len(list(FIGURES)) + 1, "and the diagram of the workflow"


def test_every_link_has_a_value(page, material):
    linked = set(re.findall(r'data-v="([^"]+)"', page))
    data = unfold_json(re.search(r'id="trail-data">(.*?)</script>', page)[1])
    assert linked
    assert linked <= set(material.values)
    assert linked == set(data["values"]), "the page carries what it links, and no more"
    assert all(
        record["samples_ms"]
        for path, record in data["records"].items()
        if "grid" in path and "oom" not in path
    )


def test_the_page_answers_first_in_the_studys_words(page, material):
    """One sentence for each question, before everything else; the terminal prints the same ones."""
    words = " ".join(re.sub(r"<[^>]+>", "", page.split('<section id="answer"')[1]).split())
    places = [words.index(entry["question"]) for entry in made.STUDY["experiments"].values()]
    assert places == sorted(places) and places[-1] < words.index("Every comparison") < words.index(
        "Latency against"
    )
    assert "masked-diffusion language model" not in page, "the question is the study's own"
    lines = " ".join(
        " ".join(
            summary({"values": material.values, "answers": material.answers}, material.study, "r.html")
        ).split()
    )
    for name, answer in material.answers.items():
        assert f"{name}: {text_of(answer['pieces'], material.values)}" in lines


def test_every_number_is_a_link(page):
    """No count stands bare: a headline's, a section's, a table's."""
    main = page.split("<main>")[1].split("</main>")[0]
    assert 'data-source="count"' not in main
    assert re.search(
        r'All cells\.</b> Rows: <a class="v" href="#finding/rows/steps" data-v="finding/rows/steps">', main
    )
    assert not re.search(r"<summary>(?:(?!</summary>).)*<a\b", main, re.DOTALL), "a summary is a button"


@pytest.mark.parametrize(
    "words",
    ["has less to gain", "keeps none", "Small models on small tasks", "favours diffusion", "to the letter"],
)
def test_templates_hold_no_conclusion(words):
    assert not [path for path in TEMPLATES.rglob("*.j2") if words in path.read_text(encoding="utf-8")]


def test_stands_alone(page):
    assert len(page.encode()) < 5_000_000
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert "@import" not in page
    assert "url(http" not in page
    assert "default-src 'none'" in page


def test_prompts_and_outputs_are_escaped(page):
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;2 by 2&lt;/b&gt;" in page


def _templates(folder, **changed):
    """A copy of the templates with some files changed."""
    for path in TEMPLATES.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(TEMPLATES)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    for name, text in changed.items():
        path = folder / "sections" / f"{name}.html.j2"
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return folder


def test_planted_digits_fail_and_are_named(material, tmp_path):
    """In text, attributes, tables, captions and as a superscript, all on one page."""
    planted = ["<p>We saw 42 tokens.</p>", "<p title='12 ms'>word</p>", "<td>7</td>"]
    planted += ["<figcaption>Figure 3</figcaption>", "<p>x²³4</p>"]
    folder = _templates(tmp_path, limits="".join(planted))
    (folder / "captions" / "pareto.html.j2").write_text("<b>Up to 9 times faster.</b>", encoding="utf-8")
    with pytest.raises(UserError, match="6 digit") as caught:
        render(material, folder)
    for words in ("saw 42 tokens", "12 ms", "<td> … 7", "Figure 3", "x²³4", "Up to 9 times"):
        assert words in str(caught.value)


def test_missing_value_names_template_and_id(material, tmp_path):
    folder = _templates(tmp_path, limits='{{ value("steps/no/such") }}')
    with pytest.raises(UserError) as caught:
        render(material, folder)
    assert "limits.html.j2" in str(caught.value)
    assert "steps/no/such" in str(caught.value)


def test_missing_config_key_names_template_and_key(material, tmp_path):
    folder = _templates(tmp_path, limits='{{ cfg("measure.nothing") }}')
    with pytest.raises(UserError, match=r"limits\.html\.j2.*measure\.nothing"):
        render(material, folder)


def test_missing_variable_names_template(material, tmp_path):
    with pytest.raises(UserError, match=r"limits\.html\.j2"):
        render(material, _templates(tmp_path, limits="{{ nobody_knows }}"))


def test_a_study_with_one_experiment_has_fewer_sections(material):
    kept = ("cells", "steps", "crossover", "machine")
    tables = {name: material.tables[name] for name in kept}
    small = Material(values=material.values, tables=tables, figures={}, study=material.study)
    page = render(small)
    assert 'id="steps"' in page
    assert 'id="length"' not in page
    assert "<figure" not in page


@pytest.mark.parametrize(
    ("html", "bare"),
    [
        ('<p>a <a data-v="x/y">12</a> b</p>', 0),
        ('<p>a <a data-v="x/y">12</a> 3</p>', 1),
        ('<svg data-values="4"><text>10</text></svg>', 0),
        ("<svg><text>10</text></svg>", 1),
        ("<p>LLaMA 3 and SHA-256, 95 % of float32</p>", 0),
        ("<p>96 %</p>", 1),
        ("<style>a{margin:1px}</style><script>1</script>", 0),
        ('<img alt="3 bars">', 1),
        ('<p data-source="config">5<b>6</b></p>7', 1),
        ('<p><a data-cfg="seed">5</a></p>', 0),
    ],
)
def test_bare_digits(html, bare):
    assert len(bare_digits(html)) == bare


def test_check_names_the_place():
    with pytest.raises(UserError, match="about 15 apples"):
        check_digits("<p>about 15 apples</p>")


def test_templates_are_strict(material):
    environment = make_environment(TEMPLATES, Book({}, {}), material)
    assert environment.undefined is jinja2.StrictUndefined
    assert environment.autoescape is True


def test_digest_packs_and_escapes():
    shared = {"n": 3, "records": ["r"], "source": [], "rule": "x", "command": "</script>"}
    values = {"a/b/c": {**stated("a/b/c", 1, "cycles", None, None), **shared}}
    trails = {"r": {"rule": "x", "samples_ms": [1.23456789], "reference_ms": []}, "unused": {}}
    packed = digest(values, ["a/b/c"], trails)
    assert list(packed["records"]) == ["r"]
    assert packed["records"]["r"]["samples_ms"] == [1.2346]
    assert packed["values"]["a/b/c"]["text"] == "1" and packed["values"]["a/b/c"]["unit"] == "cycle", (
        "the panel prints what the page prints"
    )
    assert "<" not in fold_json(packed)
    assert unfold_json(fold_json(packed)) == packed


def test_embedded_figures_do_not_share_ids(tmp_path):
    text = f'<svg {XMLNS} viewBox="0 0 1 1"><defs><path id="m1"/></defs><g id="t/a/x"><use xlink:href="#m1"/></g>'
    text += '<g id="t/b/x" clip-path="url(#m1)"/></svg>'
    (tmp_path / "f.svg").write_text(text)
    out = embed(tmp_path / "f.svg", "one", 'a "b"', lambda ident: "x, a: 1" if ident == "t/a/x" else None)
    assert 'id="one-m1"' in out
    assert 'href="#one-m1"' in out
    assert "url(#one-m1)" in out
    assert 'data-v="t/a/x"' in out
    assert "t/b/x" not in out, "a mark without a published value is no link"
    assert "a &quot;b&quot;" in out


def test_only_positions_are_shortened_never_text_labels_or_ids(tmp_path):
    ids = ["cells/steps/speculative/temperature~0.125/ratio", "cells/steps/a/latency_ms"]
    marks = "".join(f'<g id="{ident}"><path d="M 1.23456 2.999999 L -0.0001 7"/></g>' for ident in ids)
    ticks = "".join(f'<text x="10.123456">{tick}</text>' for tick in ("0.975", "1.025", "0.005"))
    moved = '<g transform="translate(1.23456 2) scale(0.00125 -0.00125)"/>'
    (tmp_path / "f.svg").write_text(f'<svg {XMLNS} viewBox="0 0 1 1">{marks}{ticks}{moved}</svg>')
    out = embed(tmp_path / "f.svg", "one", "0.12345", lambda ident: "ratio: 0.00123")
    assert all(f'data-v="{ident}"' in out for ident in ids)
    assert re.findall(r"<text[^>]*>([^<]*)<", out) == ["0.975", "1.025", "0.005"]
    assert out.count('aria-label="ratio: 0.00123"') == 2
    assert 'd="M 1.23 3 L 0 7"' in out and 'x="10.12"' in out
    assert "translate(1.23 2) scale(0.00125 -0.00125)" in out


def test_a_file_that_is_no_svg_is_named(tmp_path):
    (tmp_path / "f.svg").write_text("<svg")
    with pytest.raises(UserError, match="is not an SVG"):
        embed(tmp_path / "f.svg", "one", "", str)


def test_outputs_show_few_and_many_steps(tmp_path):
    shown = gallery(read_outputs(made.write_outputs(tmp_path)))
    assert [task["task"] for task in shown] == ["grid"]
    assert [arm.steps for arm, _ in shown[0]["examples"][0]["outputs"]] == [None, 1, 8]
    assert shown[0]["examples"][0]["exact"]


def test_the_tests_of_a_program_are_no_answer_to_be_equal_to(tmp_path):
    row = {"id": "a", "task": "text", "prompt": "def f():", "answer": "assert f()", "text": "    return 1"}
    path = tmp_path / "programs/m/ar/new~8/outputs.jsonl"
    write_jsonl(path, [row])
    assert not gallery(read_outputs([path]))[0]["examples"][0]["exact"]


def test_groups_follow_the_study():
    rows = [Row("t", {"task": name}) for name in ("c", "a", "b", "a")]
    assert [name for name, _ in groups_of(rows, "task", ["b", "a", "unused"])] == ["b", "a", "c"]


def test_methods_tell_what_the_experiments_use():
    assert list(methods.used(made.STUDY, "models")) == ["ar-grid", "mdm-grid"]
    assert list(methods.used(made.STUDY, "arms")) == ["ar", "diffusion"]
    assert dict(methods.flat({"a": {"b": 1, "c": None}, "d": [1, 2], "e": ""})) == {"a.b": 1, "d": "1, 2"}


def test_origin_tells_what_the_records_tell():
    trails = {
        "a": {
            "samples_ms": [],
            "machine": {"cpu": "X"},
            "git": {"commit": "a" * 40, "dirty": True},
            "start": "2026-01-01T10",
        },
        "b": {"samples_ms": [1.0], "machine": {"cpu": "X"}, "git": {"commit": None}, "end": "2026-01-02T10"},
        "score": {"per_prompt": [1]},
    }
    assert origin_of(trails) == {
        "machine": "X",
        "commit": "aaaaaaaaaaaa with uncommitted changes",
        "measured": "2026-01-01, 2026-01-02",
    }
    assert origin_of({}) == {}


def test_marks_are_buttons_that_say_their_value(tmp_path):
    values = {"t/a,b/latency_ms": stated("t/a,b/latency_ms", 3.0, "ms", 2.5, 3.5)}
    book = Book(values, {})
    (tmp_path / "f.svg").write_text(
        f'<svg {XMLNS} viewBox="0 0 1 1"><g id="t/a,b/latency_ms"><title>for viewers</title></g><g id="t/a,b/n"/></svg>'
    )
    out = embed(tmp_path / "f.svg", "one", "", book.draw)
    assert 'aria-label="latency ms, a,b: 3.0 ms, interval 2.5 to 3.5"' in out
    assert 'role="button" tabindex="0"' in out
    assert "for viewers" not in out
    assert list(book.used) == ["t/a,b/latency_ms"]
    assert 'role="group"' in out, "an image would hide its marks from a screen reader"


def test_folded_page_holds_the_page():
    html = "<p>ü &amp; <script>1</script></p>" * 500
    folded = fold(html, "A <title>")
    data = re.search(r'id="folded">([^<]*)<', folded)[1]
    assert gzip.decompress(base64.b64decode(data)).decode() == html
    assert len(folded) < len(html) / 4
    assert "<title>A &lt;title&gt;</title>" in folded
    assert fold(html, "A <title>") == folded


def test_tables_lead_to_their_data(page):
    assert 'href="tables/steps.csv" download' in page
    assert 'href="tables/cells.csv" download' in page, "a table of failed cells is a part of that one"
    assert 'href="figures/pareto.svg" download' in page


def test_scripts_are_one_scope_in_order(page):
    script = page.rpartition("<script>")[2]
    assert script.startswith('(async () => {\n"use strict";')
    assert script.index("const data =") < script.index("const panel =") < script.index("const finder =")
