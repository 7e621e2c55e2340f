"""Read a study and check it against the schema; messages give a mistake's place, allowed values and a suggestion."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pardec.common.errors import UserError
from pardec.decoding.registry import drafts
from pardec.study.cells import Cell, expand, missing
from pardec.study.checks import SECTIONS, Problem, problems
from pardec.study.layers import Source, place
from pardec.study.schema import Study
from pardec.study.yaml_faults import yaml_faults

MOST = 20
"""Most mistakes that one message lists."""


def load_study(config: Mapping[str, Any], files: Sequence[Source] = ()) -> tuple[Study, dict[str, Cell]]:
    """Return the study and its cells.

    config: the merged configuration; a section's entry set to null by an overlay is removed. files: where it came from,
    the strongest last; used only to locate mistakes.

    Raises:
        UserError: one message that lists every mistake, each with file, line and key.
    """
    config = _plain(config)
    refuse([problem for file in files if not isinstance(file, Mapping) for problem in yaml_faults(file)])
    try:
        # JSON mode is strict on numbers and strings, and accepts lists for tuples.
        study = Study.model_validate_json(json.dumps(config, default=str))
    except ValidationError as error:
        listed = _explain(error, config, list(files))
    else:
        listed = []
    refuse(listed)
    try:
        check_names(study)
        cells = expand(study)
    except UserError as error:
        key = error.where.partition(":")[0].partition(" ")[0]
        raise UserError(place(key.split("."), list(files), error.where), error.what, error.fix) from None
    listed = problems(study, cells.values())
    refuse([replace(one, where=place(one.where.split("."), list(files))) for one in listed])
    return study, cells


def refuse(listed: list[Problem]) -> None:
    """Raise one error for all problems, if there are any."""
    if not listed:
        return
    if len(listed) == 1:
        raise UserError(listed[0].where, listed[0].what, listed[0].fix)
    lines = [f"\n  {one.where}: {one.what} (fix: {one.fix})" for one in listed[:MOST]]
    lines += [f"\n  and {len(listed) - MOST} more"] if len(listed) > MOST else []
    raise UserError("study", f"{len(listed)} mistakes{''.join(lines)}", "correct these keys and run again")


def _plain(config: Mapping[str, Any]) -> dict:
    """Return a copy without entries that an overlay removed by null."""
    copy = {key: value for key, value in config.items()}
    for section in SECTIONS:
        if isinstance(copy.get(section), Mapping):
            copy[section] = {name: entry for name, entry in copy[section].items() if entry is not None}
    return copy


def check_names(study: Study) -> None:
    """Raise UserError if a section uses a name that no section defines."""
    for name, work in study.workloads.items():
        where = f"workloads.{name}"
        if work.data not in study.data:
            raise missing(f"{where}.data", "dataset", work.data, study.data)
        for role, model in work.models.items():
            if model not in study.models:
                raise missing(f"{where}.models.{role}", "model", model, study.models)
        if work.scorer is not None and work.scorer not in study.models:
            raise missing(f"{where}.scorer", "model", work.scorer, study.models)
        tasks = getattr(study.data[work.data], "tasks", None)
        if tasks is not None:
            known = [task for task in type(tasks).model_fields if getattr(tasks, task) is not None]
            if work.task not in known:
                raise missing(f"{where}.task", "task", str(work.task), known)
    for name, source in study.data.items():
        asked = getattr(source, "model", None)
        if asked is not None and asked not in study.models:
            raise missing(f"data.{name}.model", "model", asked, study.models)
    for name, model in study.models.items():
        data = getattr(model, "data", None)
        if isinstance(data, str) and data not in study.data:
            raise missing(f"models.{name}.data", "dataset", data, study.data)
        for key in ("init", "base"):
            if isinstance(one := getattr(model, key, None), str) and one not in study.models:
                raise missing(f"models.{name}.{key}", "model", one, study.models)
        for called, teacher in getattr(model, "teachers", {}).items():
            if teacher not in study.models:
                raise missing(f"models.{name}.teachers.{called}", "model", teacher, study.models)
        _refuse_circle(study, name)
    for number, floor in enumerate(study.floors):
        if floor.workload not in study.workloads:
            raise missing(f"floors.{number}.workload", "workload", floor.workload, study.workloads)
        if floor.arm not in study.arms:
            raise missing(f"floors.{number}.arm", "arm", floor.arm, study.arms)
        known = [*study.workloads[floor.workload].metrics]
        if drafts(study.arms[floor.arm].decoder):
            known.append("tau")
        if floor.metric not in known:
            raise missing(f"floors.{number}.metric", "metric", floor.metric, known)
    if study.likelihood is not None:
        if study.likelihood.data not in study.data:
            raise missing("likelihood.data", "dataset", study.likelihood.data, study.data)
        for name in study.likelihood.models:
            if name not in study.models:
                raise missing("likelihood.models", "model", name, study.models)


def _refuse_circle(study: Study, name: str) -> None:
    seen: set[str] = set()
    waiting = _parents(study, name)
    while waiting:
        current = waiting.pop()
        if current == name:
            raise UserError(
                f"models.{name}",
                "models start from or learn from one another in a circle",
                "let one of them start from another model, or from none",
            )
        if current not in seen and current in study.models:
            seen.add(current)
            waiting += _parents(study, current)


def _parents(study: Study, name: str) -> list[str]:
    model = study.models[name]
    first = [getattr(model, key, None) for key in ("init", "base")]
    asked = getattr(study.data.get(getattr(model, "data", "")), "model", None)
    read = (*first, *getattr(model, "teachers", {}).values(), asked)
    return [one for one in read if isinstance(one, str)]


def _explain(error: ValidationError, config: dict, files: list) -> list[Problem]:
    listed = []
    for fault in error.errors():
        path = _real_path(fault["loc"], config)
        if fault["type"] == "union_tag_invalid":
            path.append(fault["ctx"]["discriminator"].strip("'"))
        what, fix = _words(fault, path, config)
        listed.append(Problem(place(path, files), what, fix))
    return listed


def _real_path(loc: tuple, config: Any) -> list[str]:
    """Return pydantic's location without its tags for unions: the steps that exist in the config, and the last one."""
    path, node = [], config
    for number, step in enumerate(loc):
        last = number == len(loc) - 1
        if (isinstance(node, Mapping) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        ):
            path.append(str(step))
            node = node[step]
        elif last and step != "[key]":
            path.append(str(step))
    return path


def _words(fault: Mapping[str, Any], path: list[str], config: dict) -> tuple[str, str]:
    kind, given = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        known = _allowed_keys(path[:-1], config)
        near = difflib.get_close_matches(path[-1], known, 1)
        return "is not a known key", (
            f"did you mean {near[0]!r}? " if near else ""
        ) + f"allowed: {', '.join(known)}"
    if kind == "missing":
        return "is missing", "add this key"
    if kind in ("union_tag_invalid", "literal_error"):
        allowed = fault.get("ctx", {}).get("expected_tags") or fault.get("ctx", {}).get("expected") or ""
        value = fault.get("ctx", {}).get("tag", given)
        names = [word.strip(" '\"") for word in str(allowed).replace(" or ", ",").split(",")]
        near = difflib.get_close_matches(str(value), names, 1)
        return f"is {value!r}", (
            f"did you mean {near[0]!r}? " if near else ""
        ) + f"allowed: {', '.join(names)}"
    if kind == "union_tag_not_found":
        key = fault["ctx"]["discriminator"].strip("'")
        return f"lacks the key {key}", f"say which kind it is with {key}"
    shown = repr(given) if len(repr(given)) < 80 else f"{repr(given)[:77]}..."
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"is {shown}", message.removeprefix("value error, ")


def _allowed_keys(path: list[str], config: dict) -> list[str]:
    """Return the keys that the schema allows at `path`."""
    model: Any = Study
    node: Any = config
    for step in path:
        node = node[int(step)] if isinstance(node, list) else node[step]
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[step].annotation
        else:
            model = get_args(model)[-1]
        model = _pick(model, node)
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _pick(model: Any, node: Any) -> Any:
    """Return the member of a union that matches `node`; annotations and null are unwrapped."""
    if get_origin(model) is Annotated:
        return _pick(get_args(model)[0], node)
    if get_origin(model) not in (Union, types.UnionType):
        return model
    members = [member for member in get_args(model) if member is not type(None)]
    if len(members) == 1 or not isinstance(node, Mapping):
        return _pick(members[0], node)
    for member in members:
        for key in ("source", "decoder"):
            field = member.model_fields.get(key)
            if field is not None and node.get(key) in get_args(field.annotation):
                return member
    return members[0]
