"""Render the report: one self-contained HTML page from values, tables, figures and text.

Templates contain text and layout only. Every digit comes through `Book`, and the finished page is checked for others.
"""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pardec.common.errors import UserError
from pardec.common.folded import fold_json
from pardec.evidence.answers import in_order
from pardec.evidence.tables.registry import TABLES
from pardec.report import claims, grids, ideas, methods, stages
from pardec.report.book import Book
from pardec.report.digest import digest, origin_of
from pardec.report.digits import check_digits
from pardec.report.figures.registry import FIGURES
from pardec.report.outputs import gallery, read_outputs
from pardec.report.rows import Tables, arm, columns_of, groups_of, reading_order, task
from pardec.report.svg import embed

TEMPLATES = Path(__file__).resolve().parents[2] / "report"
PAGE = "page.html.j2"
STYLES = ("style.css", "tools.css", "print.css")
SCRIPTS = ("data", "panel", "marks", "tables", "search", "page")
"""Files of `report/js`, in order; they share one scope."""
SECTIONS = ("steps", "batch", "length", "grid", "flood", "draft", "block", "noise")
"""Sections of the page that show one kind of experiment each, with its name."""
LIMIT_BYTES = 5_000_000
"""Size above which a page is slow to open; it is written nevertheless, as the only report of a finished study."""


class Compiled(jinja2.BytecodeCache):
    """Templates that this process has compiled, by name and content, for its next page."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


@dataclass
class Material:
    """Inputs of a page.

    values, answers: from values.json. claims, verdicts, trails: content of JSON files. figures: SVG files by name.
    study: resolved configuration. outputs: paths of output files to quote. origin: facts of the run for the first page,
    each with its source. jobs: jobs and stages of the run. published: content of comparison.json. files: paths of all
    inputs, which place the page in the diagram.
    """

    values: dict[str, dict]
    tables: Tables
    figures: dict[str, Path]
    study: dict[str, Any]
    answers: dict[str, dict] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, Any] = field(default_factory=dict)
    trails: dict[str, dict] = field(default_factory=dict)
    outputs: list[Path] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


def render(material: Material, templates: Path = TEMPLATES, page: str = PAGE) -> str:
    """Return the page as HTML.

    Raises:
        UserError: a value, config key or variable of a template is missing (names template and id), or the page has a
            digit without a source.
    """
    book = Book(material.values, material.study)
    environment = make_environment(templates, book, material)
    try:
        html = environment.get_template(page).render()
    except jinja2.TemplateError as error:
        raise UserError(
            _where(error, templates), str(error), "correct the template, or publish what it asks for"
        ) from error
    check_digits(html)
    packed = digest(material.values, list(book.used), material.trails)
    data = fold_json({**packed, "config": book.keys, "stages": stages.pack(material.jobs)})
    html = html.replace(
        "<!--trail-data-->", f'<script type="application/octet-stream" id="trail-data">{data}</script>', 1
    )
    return html


def make_environment(templates: Path, book: Book, material: Material) -> jinja2.Environment:
    """Return the template environment; its globals are the templates' only access to data."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates), bytecode_cache=COMPILED, undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.do"],
    )  # fmt: skip
    environment.globals |= {
        "value": _with_template(book.value),
        "cell": _with_template(lambda row, column, **how: book.value(row.id(column), **how)),
        "known": book.known,
        "cfg": _with_template(book.cfg),
        "raw": Book.raw,
        "rows": functools.cache(lambda name: reading_order(material.tables.get(name, []))),
        "groups": lambda rows, column: groups_of(rows, column, list(material.study.get("workloads") or ())),
        "present": lambda need: _present(need, material),
        "jobs": material.jobs,
        "published": material.published,
        "diagram": lambda: stages.diagram(material.jobs, material.files),
        "has": lambda name: bool(material.tables.get(name)),
        "figure": lambda name: _figure(name, material, book),
        "drawn": functools.cache(lambda name: name in material.figures and has_marks(material.figures[name])),
        "caption": lambda name: FIGURES.load(name).caption,
        "arm_words": arm,
        "task_words": task,
        "columns_of": columns_of,
        "description_of": lambda name: TABLES.load(name).description,
        "questions": questions(material),
        "gallery": lambda: gallery(read_outputs(material.outputs)),
        "study": material.study,
        "origin": {**origin_of(material.trails), **material.origin},
        "grids": grids,
        "judged": material.claims,
        "verdicts": material.verdicts,
        "idea_words": ideas.STATUSES,
        "claims_of": claims,
        "methods": methods,
        "style": lambda: Markup("".join(_text(templates / name) for name in STYLES)),
        "script": lambda: Markup(_one_scope(_text(templates / "js" / f"{name}.js") for name in SCRIPTS)),
    }
    environment.tests["startswith"] = lambda text, start: str(text).startswith(start)
    return environment


def questions(material: Material) -> list[dict[str, Any]]:
    """Return each experiment of the study with its question, its answer, and its section on the page if any."""
    asked = material.study.get("experiments") or {}
    listed = []
    for name, answer in in_order(material.answers, material.study).items():
        kind = answer["kind"]
        section = kind if kind in SECTIONS and material.tables.get(kind) else None
        question = (asked.get(name) or {}).get("question") or ""
        listed.append({"id": name, "question": question, "pieces": answer["pieces"], "section": section})
    return listed


def _present(need: str | None, material: Material) -> bool:
    """Return whether a section has material: a table with rows, claims, outputs, or jobs."""
    if need is None:
        return True
    if need == "outputs":
        return bool(gallery(read_outputs(material.outputs)))
    if need == "published":
        return bool(material.published.get("values"))
    if need in ("claims", "jobs"):
        return bool(getattr(material, need))
    return bool(material.tables.get(need))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _one_scope(scripts: Iterable[str]) -> str:
    return f'(async () => {{\n"use strict";\n{"".join(scripts)}document.documentElement.dataset.ready = "";\n}})();'


def _with_template(ask: Any) -> Any:
    """Return `ask` with the calling template passed as `where`."""

    @jinja2.pass_context
    def wrapped(context: jinja2.runtime.Context, *args: Any, **how: Any) -> Markup:
        return ask(*args, where=f"report/{context.name}", **how)

    return wrapped


def has_marks(svg: Path) -> bool:
    """Return whether a figure draws a value: the marks of values have their ids, which contain slashes."""
    return re.search(r'\sid="[^"]*/[^"]*"', svg.read_text("utf-8")) is not None


def _figure(name: str, material: Material, book: Book) -> Markup:
    if name not in material.figures:
        raise UserError(
            f"figure {name!r}", "was not given", f"pass results/figures/{name}.svg with --figures"
        )
    return embed(material.figures[name], name, FIGURES.load(name).alt, book.draw)


def _where(error: jinja2.TemplateError, templates: Path) -> str:
    """Return the innermost template line behind an error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(templates):
            return f"report/{Path(frame.filename).relative_to(templates)}:{frame.lineno}"
    return f"report/{getattr(error, 'name', None) or 'template'}"
