"""Read a study and check it against the schema; messages give a mistake's place, allowed values and a suggestion."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from pardec.common.errors import UserError
from pardec.decoding.registry import drafts
from pardec.study.cells import Cell, expand, missing
from pardec.study.checks import SECTIONS, Problem, problems, repeated_keys
from pardec.study.schema import Study

MOST = 20
"""Most mistakes that one message lists."""
Files = Sequence[str | Path | Mapping[str, Any]]
"""Sources of a configuration, the strongest last: files, and values of the command line."""


def load_study(config: Mapping[str, Any], files: Files = ()) -> tuple[Study, dict[str, Cell]]:
    """Returns the study and its cells.

    config: the merged configuration; a section's entry set to null by an overlay is removed. files: used only to
    locate mistakes.

    Raises:
        UserError: one message that lists every mistake, each with file, line and key.
    """
    config = _plain(config)
    _refuse([problem for file in files if not isinstance(file, Mapping) for problem in repeated_keys(file)])
    try:
        # JSON mode is strict on numbers and strings, and accepts lists for tuples.
        study = Study.model_validate_json(json.dumps(config, default=str))
    except ValidationError as error:
        listed = _explain(error, config, list(files))
    else:
        listed = []
    _refuse(listed)
    try:
        check_names(study)
        cells = expand(study)
    except UserError as error:
        key = error.where.partition(":")[0].partition(" ")[0]
        raise UserError(place(key.split("."), list(files), error.where), error.what, error.fix) from None
    listed = problems(study, cells.values())
    _refuse([replace(one, where=place(one.where.split("."), list(files))) for one in listed])
    return study, cells


def _refuse(listed: list[Problem]) -> None:
    """Raise one error for all problems, if there are any."""
    if not listed:
        return
    if len(listed) == 1:
        raise UserError(listed[0].where, listed[0].what, listed[0].fix)
    lines = [f"\n  {one.where}: {one.what} (fix: {one.fix})" for one in listed[:MOST]]
    lines += [f"\n  and {len(listed) - MOST} more"] if len(listed) > MOST else []
    raise UserError("study", f"{len(listed)} mistakes{''.join(lines)}", "correct these keys and run again")


def command_line(entries: Iterable[str]) -> dict[str, Any]:
    """Returns the values of `--config key=value ...`, parsed as YAML.

    Raises:
        UserError: a value is not YAML.
    """
    values: dict[str, Any] = {}
    for entry in entries:
        key, _, text = entry.partition("=")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--config: {key}", f"is not YAML ({error})", "quote the value") from None
    return values


def lay_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` overlaid by `over`: mappings merge, other values are replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = lay_over(below, value) if both else value
    return merged


def without_replaced(config: Mapping[str, Any], files: Iterable[str | Path | Mapping]) -> dict[str, Any]:
    """Return `config` without what a file's `replace` drops: these sections as the files below it fill them.

    config: the merged configuration. files: where it came from, the lowest first.
    """
    merged = dict(config)
    layers = [_read(file) for file in files if not isinstance(file, Mapping)]
    for number, layer in enumerate(layers):
        for section in layer.get("replace") or []:
            merged.pop(section, None)
            for above in layers[number:]:
                if section in above:
                    merged = lay_over(merged, {section: above[section]})
    return merged


def _read(file: str | Path) -> dict[str, Any]:
    """Returns a study file's content; {} if it is unreadable, which is reported elsewhere."""
    try:
        body = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return body if isinstance(body, dict) else {}


def _plain(config: Mapping[str, Any]) -> dict:
    """Returns a copy without entries that an overlay removed by null."""
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
    for name, model in study.models.items():
        data, init = getattr(model, "data", None), getattr(model, "init", None)
        if isinstance(data, str) and data not in study.data:
            raise missing(f"models.{name}.data", "dataset", data, study.data)
        if isinstance(init, str) and init not in study.models:
            raise missing(f"models.{name}.init", "model", init, study.models)
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
                "set one init to null",
            )
        if current not in seen and current in study.models:
            seen.add(current)
            waiting += _parents(study, current)


def _parents(study: Study, name: str) -> list[str]:
    model = study.models[name]
    init, teachers = getattr(model, "init", None), getattr(model, "teachers", {})
    return [*([init] if isinstance(init, str) else []), *teachers.values()]


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
    """Returns pydantic's location without its tags for unions: the steps that exist in the config, and the last one."""
    path, node = [], config
    for place, step in enumerate(loc):
        last = place == len(loc) - 1
        if (isinstance(node, Mapping) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        ):
            path.append(str(step))
            node = node[step]
        elif last and step != "[key]":
            path.append(str(step))
    return path


def _words(fault: dict, path: list[str], config: dict) -> tuple[str, str]:
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
    """Returns the keys that the schema allows at `path`."""
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
    """Returns the member of a union that matches `node`; annotations and null are unwrapped."""
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


def place(path: list[str], files: list, shown: str | None = None) -> str:
    """Returns `file:line: key.path` of the strongest source with the key, else of the deepest partial match."""
    shown = shown or ".".join(path) or "study"
    best: tuple[int, str] | None = None
    for file in files:
        if isinstance(file, Mapping):
            if _has(file, path):
                return f"--config: {shown}"
            continue
        depth, line = _find(Path(file), path)
        if depth and (best is None or depth >= best[0]):
            best = (depth, f"{file}:{line}")
    if best is None:
        return f"config: {shown}"
    return f"{best[1]}: {shown}"


def _has(config: Any, path: list[str]) -> bool:
    """Returns whether `config`, the values of the command line, reaches `path` or a scalar on the way to it."""
    for step in path:
        if isinstance(config, Mapping) and step in config:
            config = config[step]
        elif isinstance(config, list) and step.isdigit() and int(step) < len(config):
            config = config[int(step)]
        else:
            return not isinstance(config, (Mapping, list))
    return True


def _find(file: Path, path: list[str]) -> tuple[int, int]:
    """Returns how many steps of `path` a YAML file has, and the line of the last of them."""
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return 0, 0
    depth, line = 0, 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
        else:
            break
        depth += 1
    return depth, line
