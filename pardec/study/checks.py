"""Check that a study's requests can be met, as far as known before any job runs. Imports little."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.common.macros import macro_name
from pardec.data.registry import TASKS
from pardec.decoding.registry import DECODERS
from pardec.models.architectures.config import BackboneConfig, ModelInfo
from pardec.models.checkpoints.configs import read_config
from pardec.models.checkpoints.shapes import shape
from pardec.models.checkpoints.sizes import info_of_model
from pardec.quality.registry import METRICS
from pardec.quality.task_scores import TaskScore
from pardec.study.cells import Cell
from pardec.study.schema import Study

SECTIONS = ("data", "models", "arms", "workloads", "experiments")
"""Sections of a study with entries by name."""
TRANSFORMERS = ("transformers_generate", "transformers_continuous")
"""Decoders that need the model in transformers' format, which only backbones have here."""
RENDERING = ("flash_flood", "table_lookup")
"""Decoders that render a plan, which need a model trained for it."""
MOST_READ = 10_000_000
"""Bytes of a local file up to which its prompts are counted before any job runs."""
DRAFTS = ("draft", "markov_draft", "selector_draft")
"""Families of block drafts, which another model verifies."""
HEADS = {"markov": "markov_draft", "selector": "selector_draft"}
"""Drafters that run what a draft has beside its layers, and the family that has it."""


@dataclass(frozen=True)
class Problem:
    """A mistake in a study. where: the key, with dots between its parts; then what is wrong, and the fix."""

    where: str
    what: str
    fix: str


def problems(study: Study, cells: Iterable[Cell]) -> list[Problem]:
    """Return every problem that would make a job fail, each once, in the study's order."""
    sides = [side for cell in cells for side in (cell, cell.reference) if side is not None]
    facts = cache(lambda name: _facts(study, name))
    listed = [
        *_names(study),
        *_samples(study),
        *_sweeps(study),
        *_batches(study),
        *_metrics(study, facts, {side.workload for side in sides}),
        *_models(study, facts, sides),
        *_bases(study, facts),
        *_engines(study, sides),
        *_selectors(study),
        *_drafters(study, sides),
        *_lengths(study, facts, sides),
        *_templates(study, sides),
    ]
    return list(dict.fromkeys(listed))


def _facts(study: Study, name: str) -> ModelInfo | None:
    try:
        return info_of_model(study.models, name)
    except UserError:
        return None  # fetch_model reports what is wrong with it


def _is_backbone(settings: Any) -> bool:
    """Return whether a model is a plain decoder-only backbone; true if only its download can show it."""
    try:
        if settings.source == "random":
            values = settings.config_json()
        elif settings.source == "path":
            values = read_json(Path(settings.path).expanduser() / "config.json")
        elif settings.source in ("hub", "package") and settings.shape is not None:
            values = shape(settings.shape)
        else:
            return getattr(settings, "family", None) not in ("renderer", *DRAFTS)
        return isinstance(read_config(values, "config.json"), BackboneConfig)
    except UserError:
        return True


def _engines(study: Study, sides: list[Cell]) -> Iterator[Problem]:
    for arm, decoder in dict.fromkeys((side.arm, side.decoder) for side in sides if side.engine == "packed"):
        if study.device not in ("cpu", "auto"):
            what, fix = (
                f"is for CPUs, and the study's device is {study.device}",
                "leave engine out, or set device: cpu",
            )
        elif decoder == "vllm":
            what, fix = "is not for vllm, which runs models itself", "leave engine out"
        elif study.precision == "float16":
            what, fix = "has no float16, the study's precision", "set precision: float32 or bfloat16"
        else:
            continue
        yield Problem(f"arms.{arm}.engine", f"packed {what}", fix)


def _names(study: Study) -> Iterator[Problem]:
    for section in SECTIONS:
        lower: dict[str, str] = {}
        macros: dict[str, str] = {}
        for name in getattr(study, section):
            first = lower.setdefault(name.lower(), name)
            twin = macros.setdefault(macro_name(name.lower()), name)
            if first != name:
                yield Problem(
                    f"{section}.{name}",
                    f"differs from {first!r} in case alone",
                    "rename one: some file systems, and the ids of values, take them for one",
                )
            elif twin != name:
                yield Problem(
                    f"{section}.{name}",
                    f"has the LaTeX macro of {twin!r}, \\{macro_name(name)}: macros are of letters only",
                    "rename one",
                )


def _grids(study: Study) -> Iterator[tuple[str, Any]]:
    for name, experiment in study.experiments.items():
        for number, grid in enumerate(experiment.grids):
            yield f"experiments.{name}.grids.{number}", grid


def _samples(study: Study) -> Iterator[Problem]:
    plain = study.measure.model_dump()
    asked = [("measure", {}), *((f"{where}.measure", grid.measure) for where, grid in _grids(study))]
    for where, changes in asked:
        merged = {**plain, **changes}
        least, most = merged["min_samples"], merged["max_samples"]
        if (not where.startswith("experiments") or changes) and least > most:
            key = "max_samples" if "max_samples" in changes else "min_samples"
            yield Problem(
                f"{where}.{key}", f"min_samples is {least}, above max_samples, {most}", "exchange them"
            )
        budget, limit = merged["budget_s"], merged["timeout_s"]
        if (not where.startswith("experiments") or changes) and budget >= limit:
            key = "timeout_s" if "timeout_s" in changes else "budget_s"
            what = f"budget_s is {budget:g}, not below timeout_s, {limit:g}: a cell would be ended while it is sampled"
            yield Problem(f"{where}.{key}", what, "raise timeout_s, or lower budget_s")


def _sweeps(study: Study) -> Iterator[Problem]:
    for where, grid in _grids(study):
        known = {key for arm in grid.arms for key in type(study.arms[arm].settings).model_fields}
        for key in grid.sweep:
            if key not in known:
                near = difflib.get_close_matches(key, sorted(known), 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                what = "is a setting of none of the grid's arms"
                yield Problem(
                    f"{where}.sweep.{key}", what, f"{hint}known: {', '.join(sorted(known)) or 'none'}"
                )


def _heldout(study: Study, name: str) -> int | None:
    """Return the number of held-out records of a local file that can be read at once; None of others."""
    data = study.data[name]
    try:
        if data.source != "path" or Path(data.path).stat().st_size > MOST_READ:
            return None
        return len(data.build(study.seed).heldout)
    except (OSError, UserError):
        return None  # prepare_data reports what is wrong with it


def _batches(study: Study) -> Iterator[Problem]:
    counted = cache(lambda name: _heldout(study, name))
    for where, grid in _grids(study):
        most = grid.measure.get("prompts", study.measure.prompts)
        limit, key = most, "measure.prompts"
        for name in grid.workloads:
            data = study.workloads[name].data
            heldout = getattr(study.data[data], "heldout", None) or getattr(study.data[data], "limit", None)
            if max(grid.batch) > 1:
                heldout = counted(data) or heldout
            if isinstance(heldout, int) and heldout < limit:
                limit, key = heldout, f"the held-out records of data.{data}"
        for number, batch in enumerate(grid.batch):
            if batch > limit:
                what = f"is {batch}, more than there are different prompts: {key} gives {limit}"
                yield Problem(f"{where}.batch.{number}", what, f"lower it, or raise {key}")


def _metrics(study: Study, facts: Callable[[str], ModelInfo | None], used: set[str]) -> Iterator[Problem]:
    for name, work in study.workloads.items():
        if name not in used:
            continue
        data, where = study.data[work.data], f"workloads.{name}"
        scores = _task_scores(data, work.task)
        for number, called in enumerate(work.metrics):
            metric, key = METRICS.load(called), f"{where}.metrics.{number}"
            if "answer" in metric.needs and not _has_answers(data):
                what = f"{called} needs answers, and data.{work.data} has none"
                yield Problem(key, what, "name its answer_field, or drop this metric")
            elif issubclass(metric, TaskScore) and called not in scores:
                what = f"{called} is not a score of task {work.task or getattr(data, 'task', None)!r}"
                yield Problem(key, what, f"it has: {', '.join(sorted(scores))}")
            if "scorer" in metric.needs and work.scorer is None:
                fix = f"set {where}.scorer to an autoregressive model, or drop this metric"
                yield Problem(key, f"{called} needs a scorer", fix)
            if "encoder" in metric.needs and work.encoder is None:
                fix = f"set {where}.encoder to the folder of a local encoder, or drop this metric"
                yield Problem(key, f"{called} needs an encoder", fix)
        if work.scorer is not None:
            known = facts(work.scorer)
            if known is not None and known.attention != "causal":
                what = (
                    f"{work.scorer!r} has {known.attention} attention, and a scorer reads from left to right"
                )
                yield Problem(f"{where}.scorer", what, "name an autoregressive model")
        if work.encoder is not None and not Path(work.encoder).is_dir():
            yield Problem(f"{where}.encoder", f"there is no folder {work.encoder}", "correct the path")


def _has_answers(data: Any) -> bool:
    if not hasattr(data, "answer_field"):
        return True
    cut = data.prompt_words is not None
    return data.answer_field is not None or cut or data.shape == "conversation"


def _task_scores(data: Any, task: str | None) -> set[str]:
    """Return the scores that every task of the data gives; data without a built-in task has right or wrong outputs."""
    if getattr(data, "tasks", None) is not None:
        names = [task] if task else list(data.chosen())
    else:
        name = task or getattr(data, "task", None)
        names = [name] if name in TASKS else []
    given = [set(TASKS.load(name)().score("0", "0", "0")) for name in names if name in TASKS]
    return set.intersection(*given) if given else {"exact"}


def _models(study: Study, facts: Callable[[str], ModelInfo | None], sides: list[Cell]) -> Iterator[Problem]:
    for name in dict.fromkeys(model for side in sides for model in side.models):
        how = getattr(study.models[name], "quantise", None)
        if how and not _is_backbone(study.models[name]):
            what = f"is {how}, and this model has no quantised form"
            yield Problem(f"models.{name}.quantise", what, "leave it out for this model")
    for side in sides:
        decoder, known = DECODERS.load(side.decoder), facts(side.model)
        where, model = f"arms.{side.arm}.decoder", f"model {side.model!r} of workload {side.workload!r}"
        family = getattr(study.models[side.model], "family", None)
        renders = side.decoder in RENDERING
        if family in DRAFTS:
            yield Problem(
                f"arms.{side.arm}.model",
                f"{model} is a draft, which decodes nothing by itself",
                "name its target",
            )
        elif family is not None and renders != (family == "renderer"):
            need = "needs a renderer" if renders else "cannot run a renderer"
            yield Problem(
                where, f"{side.decoder} {need}; {model} is of family {family}", "change model or decoder"
            )
        elif known is not None and known.attention != decoder.needs:
            what = f"{side.decoder} needs {decoder.needs} attention; {model} has {known.attention}"
            yield Problem(where, what, "change the arm's model or its decoder")
        elif side.decoder in TRANSFORMERS and not _is_backbone(study.models[side.model]):
            what = f"{side.decoder} has no form of {model} in transformers"
            yield Problem(where, what, "decode it with autoregressive")


def _bases(study: Study, facts: Callable[[str], ModelInfo | None]) -> Iterator[Problem]:
    """What an adapter cannot be added to."""
    for name, model in study.models.items():
        if model.source != "adapt":
            continue
        base, known = study.models[model.base], facts(model.base)
        family, how = getattr(base, "family", None), getattr(base, "quantise", None)
        fix = "name a causal model of the study that is trained or downloaded"
        if how:
            what, fix = f"is quantised to {how}", f"name it without models.{model.base}.quantise"
        elif base.source == "random":
            what = "is drawn from a seed and has no file of weights"
        elif family in DRAFTS:
            what = "is a draft"
        elif known is not None and known.attention != "causal":
            what = f"has {known.attention} attention"
        elif not _is_backbone(base):
            what = "is no Llama-style model"
        else:
            continue
        yield Problem(f"models.{name}.base", f"{model.base!r} {what}, and cannot be adapted", fix)


def _selectors(study: Study) -> Iterator[Problem]:
    """What a selector cannot be trained for. A Markov head's tables have the same names and another meaning."""
    for name, model in study.models.items():
        if getattr(model, "family", None) != "selector_draft" or getattr(model, "source", None) != "train":
            continue
        first = model.init
        family = None if first is None else getattr(study.models[first], "family", None)
        if first is None or family not in (None, "draft", "selector_draft"):
            what = "is missing" if first is None else f"is {first!r}, of family {family}"
            yield Problem(
                f"models.{name}.init",
                f"{what}: a selector needs a finished draft",
                "name a model of family draft",
            )


def _drafters(study: Study, sides: list[Cell]) -> Iterator[Problem]:
    for side in sides:
        drafter = (side.settings.get("drafter") or {}).get("name")
        draft = dict(side.companions).get("draft")
        family = getattr(study.models.get(draft or ""), "family", None)
        if drafter in HEADS and family is not None and family != HEADS[drafter]:
            yield Problem(
                f"arms.{side.arm}.settings.drafter",
                f"{drafter} needs a draft of family {HEADS[drafter]}, and {draft!r} is of family {family}",
                "give workloads such a draft, or set drafter: {name: dflash}",
            )


def _lengths(study: Study, facts: Callable[[str], ModelInfo | None], sides: list[Cell]) -> Iterator[Problem]:
    for side in sides:
        known = facts(side.model)
        prompt = side.prompt_tokens or 1
        if known is None or prompt + side.new_tokens <= known.max_positions:
            continue
        if getattr(study.models[side.model], "family", None) == "renderer":
            continue  # its roots and characters are not positions of a backbone
        where = next(
            (
                f"{place}.new_tokens"
                for place, grid in _grids(study)
                if place.split(".")[1] == side.experiment
                and side.workload in grid.workloads
                and side.new_tokens in grid.new_tokens
            ),
            f"workloads.{side.workload}.new_tokens",
        )
        asked = f"{prompt} prompt and {side.new_tokens} new tokens"
        what = f"{asked} exceed the {known.max_positions} positions of {side.model!r}"
        yield Problem(where, what, "ask for less, or name a model of more positions")


def _templates(study: Study, sides: list[Cell]) -> Iterator[Problem]:
    for name, model in dict.fromkeys((side.workload, side.model) for side in sides):
        settings = study.models[model]
        while settings.source == "adapt":
            settings = study.models[settings.base]
        if study.workloads[name].prompt_form != "chat" or settings.source in ("hub", "package"):
            continue
        if settings.source != "path" or not _has_template(Path(settings.path).expanduser()):
            what = f"is chat, and model {model!r} brings no chat template"
            yield Problem(f"workloads.{name}.prompt_form", what, "use plain, or a model with a template")


def _has_template(folder: Path) -> bool:
    if (
        not folder.is_dir()
        or (folder / "chat_template.jinja").is_file()
        or (folder / "chat_template.json").is_file()
    ):
        return True  # a missing folder is reported as another problem
    try:
        return bool(read_json(folder / "tokenizer_config.json").get("chat_template"))
    except (UserError, AttributeError):
        return False
