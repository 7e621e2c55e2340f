"""The model card and the data card of a study, from its keys and from what the code says of tasks and objectives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pardec.common.files import read_json
from pardec.data.registry import SOURCES, TASKS
from pardec.study.plan import Plan

POINTS = 8
"""Points of a training curve that a card shows."""


def model_card(
    plan: Plan,
    measured: Iterable[Mapping[str, str]] = (),
    run: str = "",
    others: Iterable[Mapping[str, Any]] = (),
) -> str:
    """Return the card of the models that the study trains.

    measured: rows of table `models` of a finished run: each floor and the value that a model reached. run: its name.
    others: models of other studies whose weights are published, see `published_models`.
    """
    models = {name: plan.study.models[name] for name in plan.trained_models}
    objectives = {one.objective.family: first_line(type(one.objective)) for one in models.values()}
    floors = {(floor.workload, floor.arm, floor.metric): floor.value for floor in plan.study.floors}
    works = {
        name: work
        for name, work in plan.study.workloads.items()
        if not models.keys().isdisjoint(work.models.values())
    }
    return _filled(
        "model-card",
        study=plan.study,
        models=models,
        objectives=objectives,
        works=works,
        floors=floors,
        measured=list(measured),
        run=run,
        others=list(others),
    )


def published_models(folder: Path) -> list[dict[str, Any]]:
    """Return what a card says of each model with weights below a study's folder in `folder`, the folder of what is
    published: the weights of models that the paper study does not train."""
    found = []
    for path in sorted(folder.glob("*/weights/*.json")):
        body = read_json(path)
        recipe, training = body["recipe"]["settings"], body["training"]
        curve = training["loss"]
        chosen = sorted({round(number * (len(curve) - 1) / (POINTS - 1)) for number in range(POINTS)})
        parents = [recipe.get("base"), *(recipe.get("teachers") or {}).values()]
        found.append(
            {
                "name": body["model"],
                "study": path.parts[-3],
                "source": recipe["source"],
                "family": recipe["objective"]["family"],
                "learns_from": [one for one in parents if one],
                "settings": {**recipe["objective"], **{key: recipe[key] for key in ("steps", "batch")}},
                "parameters": training["parameters"],
                "megabytes": path.with_suffix(".safetensors").stat().st_size / 1e6,
                "cpu_minutes": training["cpu_s"] / 60,
                "machine": (body["trained"].get("machine") or {}).get("cpu") or "an unknown machine",
                "curve": [curve[index] for index in chosen],
            }
        )
    return found


def data_card(plan: Plan) -> str:
    """Return the card of the data that the study makes."""
    data = {name: plan.study.data[name] for name in plan.own_datasets}
    sources = {name: first_line(SOURCES.load(one.source)) for name, one in data.items()}
    tasks = {
        name: {task: getattr(one.tasks, task).model_dump() for task in one.chosen()}
        if one.source == "tasks"
        else {}
        for name, one in data.items()
    }
    about = {task: first_line(TASKS.load(task)) for chosen in tasks.values() for task in chosen}
    users = {
        name: [work for work, body in plan.study.workloads.items() if body.data == name] for name in data
    }
    return _filled(
        "data-card", study=plan.study, data=data, sources=sources, tasks=tasks, about=about, users=users
    )


def first_line(kind: Any) -> str:
    """Return the first sentence of a docstring."""
    text = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."


def _filled(name: str, **material: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pardec.study"), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["settings"] = settings
    return environment.get_template(f"{name}.md.j2").render(**material)


HIDDEN = ("source", "tasks")


def settings(values: Mapping[str, Any]) -> str:
    """Return settings as `key value` pairs, without nulls and the keys that the card shows elsewhere."""
    shown = {key: value for key, value in values.items() if key not in HIDDEN and value not in (None, (), [])}
    return ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in shown.items()) or "defaults"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"({len(value)})" if len(value) > 8 else " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
