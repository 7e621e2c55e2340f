"""Generate the reference of keys and the JSON schema from the study's models."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import types
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from pardec.common.settings import Settings
from pardec.study.schema import Study

HEAD = """# Keys of a study

Generated from the schema by `make docs`; do not edit. The default study is `config.yaml`. A file given with
`--configfile` is a study of its own if it has the key `include`; its files lie beneath it, such as those of
`studies/base/`. A file without that key lies over the default study, and single keys are changed with `--config`. What
lies over another file merges mappings, replaces lists, and removes an entry of `data`, `models`, `arms`, `workloads` or
`experiments` by setting it to null.
"""


def json_schema() -> str:
    """Return the JSON schema (draft 2020-12) of a study."""
    schema = Study.model_json_schema(schema_generator=_Documented)
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


class _Documented(GenerateJsonSchema):
    """Schema generator that describes each key by the text below it in the source."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        schema_of_model = super().model_schema(schema)
        for name, entry in schema_of_model.get("properties", {}).items():
            if meaning := _meaning(schema["cls"], name):
                entry.setdefault("description", meaning)
        return schema_of_model


def _meaning(model: type[BaseModel], name: str) -> str:
    """Return the meaning of a key of `model`: its description, or the text below its last declaration."""
    if described := model.model_fields[name].description:
        return described
    return next((texts[name] for kind in model.__mro__ if name in (texts := _texts_below(kind))), "")


@cache
def _texts_below(kind: type) -> dict[str, str]:
    """Return the texts below the annotated names of a class in its source; {} for a class without source."""
    if not issubclass(kind, Settings) or kind is Settings:
        return {}
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # made at run time
        return {}
    (made,) = ast.parse(textwrap.dedent(source)).body
    return {
        first.target.id: inspect.cleandoc(second.value.value)
        for first, second in pairwise(made.body if isinstance(made, ast.ClassDef) else ())
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name)
        if isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant)
        if isinstance(second.value.value, str)
    }


def reference() -> str:
    """Return the reference of keys as Markdown: one table per section, in the order of the schema.

    Keys shared by all kinds of an entry are listed once, before the kinds.
    """
    parts = [HEAD]
    waiting: list[tuple[str, str, type[BaseModel], set[str]]] = [("", "", Study, set())]
    seen: set[type[BaseModel]] = set()
    while waiting:
        path, kind, model, key = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        rows = {name: row for name, row in _rows(model).items() if name not in key}
        if rows or not key:
            parts.append(_section(path, kind, model.__doc__ or "", rows))
        for name, field in model.model_fields.items():
            inner = _models(field.annotation)
            shared = _shared([below for _, below in inner])
            place = f"{path}.{name}{inner[0][0] if inner else ''}".lstrip(".")
            if shared:
                parts.append(_section(place, kind, "Keys of every kind.", shared))
            for _, below in inner:
                waiting.append((place, _kind(below) or kind, below, set(shared)))
    return "\n".join(parts)


def _kind(model: type[BaseModel]) -> str:
    """Return the key that distinguishes a model in its union, as `source: path`."""
    literals = ((key, _literal(model, key)) for key in ("source", "decoder", "family", "name"))
    return next((f"{key}: {value}" for key, value in literals if value), "")


def _shared(models: list[type[BaseModel]]) -> dict[str, str]:
    """Return the rows shared by several models, and the row of the key that distinguishes them."""
    if len(models) < 2:
        return {}
    rows = [_rows(model) for model in models]
    same = {name: row for name, row in rows[0].items() if all(other.get(name) == row for other in rows)}
    key = _kind(models[0]).partition(":")[0]
    values = ", ".join(f"`{_literal(model, key)}`" for model in models)
    return {key: f"| `{key}` | {values} | required | Which kind it is. |", **same} if same else {}


def _rows(model: type[BaseModel]) -> dict[str, str]:
    """Return the table's row of each key."""
    rows = {}
    for name, field in model.model_fields.items():
        meaning = _first_paragraph(_meaning(model, name))
        cells = (f"`{name}`", _type(field.annotation, field), _default(field), meaning)
        rows[name] = "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
    return rows


def _section(path: str, kind: str, about: str, rows: dict[str, str]) -> str:
    title = f"`{path}`" if path else "Top level"
    paragraph = f"\n{_first_paragraph(about)}\n" if about and "Settings" not in about[:20] else ""
    head = f"## {title}{f' with `{kind}`' if kind else ''}"
    return (
        "\n".join(
            [head, paragraph, "| key | value | default | meaning |", "|---|---|---|---|", *rows.values()]
        )
        + "\n"
    )


def _literal(model: type[BaseModel], key: str) -> str | None:
    field = model.model_fields.get(key)
    values = (
        get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()
    )
    return str(values[0]) if len(values) == 1 else None


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split())


def _models(annotation: Any) -> list[tuple[str, type[BaseModel]]]:
    """Return the models inside an annotation, each with the path to it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [("", annotation)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return [(f".<name>{place}", model) for place, model in _models(arguments[1])]
    if origin is list:
        return [(f"[]{place}", model) for place, model in _models(arguments[0])]
    if origin is Annotated:
        return _models(arguments[0])
    if origin in (Union, types.UnionType):
        return [pair for argument in arguments for pair in _models(argument)]
    return []


def _type(annotation: Any, field: FieldInfo | None = None) -> str:
    bounds = _bounds(field.metadata) if field is not None else ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        extra = _bounds(arguments[1:])
        inner = [
            meta
            for argument in arguments[1:]
            if isinstance(argument, FieldInfo)
            for meta in argument.metadata
        ]
        return _type(arguments[0]) + (extra or _bounds(inner)) + bounds
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return f"mapping of names to {_type(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin in (Union, types.UnionType):
        kinds = [_type(argument) for argument in arguments if argument is not type(None)]
        shown = "see below" if any(_models(argument) for argument in arguments) else " or ".join(kinds)
        return shown + bounds + (" or null" if type(None) in arguments else "")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    names = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any"}
    return names.get(annotation, str(annotation)) + bounds


def _bounds(metadata: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [
        f"{sign} {getattr(item, name):g}"
        for item in metadata
        for name, sign in signs.items()
        if getattr(item, name, None) is not None
    ]
    return f" {', '.join(bounds)}" if bounds else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as below"
    return f"`{json.dumps(value, ensure_ascii=False)}`"
