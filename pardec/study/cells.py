"""Expand a study into cells. Each cell is one configuration with one timing job and one record."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pardec.common.errors import UserError
from pardec.decoding.prepared import companion_trouble
from pardec.decoding.registry import DECODERS
from pardec.measure.settings import MeasureSettings
from pardec.study import paths
from pardec.study.kinds import kind_of
from pardec.study.schema import Grid, Study


@dataclass(frozen=True)
class Cell:
    """One configuration. Lengths are in tokens; `prompt_tokens` None leaves prompts unchanged."""

    experiment: str
    experiment_kind: str
    """Kind of tables, figures and sections that show it."""
    workload: str
    arm: str
    model: str
    decoder: str
    settings: dict[str, Any]
    swept: tuple[tuple[str, Any], ...]
    """Swept settings and their values, in the study's order: the words of the cell's path."""
    engine: str
    precision: str
    device: str
    threads: int
    batch: int
    prompt_tokens: int | None
    new_tokens: int
    random_prompts: bool = False
    """Whether prompts are replaced by random tokens of the same lengths."""
    companions: tuple[tuple[str, str], ...] = ()
    """Further models that the decoder runs: the decoder's name for each, and the study's."""
    measure: MeasureSettings | None = None
    """Settings of timing."""
    run: int | None = None
    """Number of the run, if the configuration is run several times."""
    tuning: bool = False
    """Whether its prompts are those reserved for choosing settings."""
    scored: bool = True
    """Whether its outputs are scored."""
    reference: Cell | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Return every model that the cell runs, the main one first."""
        return tuple(dict.fromkeys([self.model, *(model for _, model in self.companions)]))

    @property
    def output_words(self) -> str:
        """Return the settings that affect outputs: all but batch and experiment, since decoding is batch-invariant."""
        listed = paths.words(self.swept)
        if self.prompt_tokens is not None:
            listed.append(paths.word("prompt", self.prompt_tokens))
        if self.random_prompts:
            listed.append(paths.word("prompts", "random"))
        return paths.join([*listed, paths.word("new", self.new_tokens)])

    @property
    def output_id(self) -> str:
        """Return the id of its outputs, which cells of other batches and experiments share."""
        return f"{self.workload}/{self.model}/{self.arm}/{self.output_words}"

    @property
    def id(self) -> str:
        """Return its id, a readable path below results/cells."""
        listed = [self.output_id, paths.word("batch", self.batch)]
        if self.run is not None:
            listed += [paths.word("against", self.reference.arm)] if self.reference else []
            listed.append(paths.word("run", self.run))
        if self.tuning:
            listed.append(paths.word("prompts", "tuning"))
        return f"{self.experiment}/{paths.join(listed)}"


def expand(study: Study) -> dict[str, Cell]:
    """Return all cells of a study by id, in the study's order.

    Raises:
        UserError: a name that no section defines, settings that a decoder refuses, two cells with one id.
    """
    cells: dict[str, Cell] = {}
    for name, experiment in study.experiments.items():
        for number, grid in enumerate(experiment.grids):
            where = f"experiments.{name}.grids.{number}"
            for cell in _grid_cells(study, name, grid, where):
                known = cells.setdefault(cell.id, cell)
                if known != cell:
                    differ = ", ".join(
                        f.name for f in fields(Cell) if getattr(known, f.name) != getattr(cell, f.name)
                    )
                    raise UserError(
                        where,
                        f"defines {cell.id} a second time, with other values of {differ}",
                        "let the grids of one experiment share no cell, or give them the same settings",
                    )
    return cells


def _grid_cells(study: Study, name: str, grid: Grid, where: str) -> Iterator[Cell]:
    for workload, arm, batch, prompt, new, random in itertools.product(
        grid.workloads, grid.arms, grid.batch, grid.prompt_tokens, grid.new_tokens, grid.random_prompts
    ):
        shape = {"batch": batch, "prompt_tokens": prompt, "new_tokens": new}
        reference = None
        if grid.reference is not None:
            reference = _cell(study, name, workload, grid.reference, {}, shape, f"{where}.reference")
            reference = replace(reference, scored=grid.scored)
            if reference.engine != _arm(study, arm, where).engine:
                raise UserError(
                    f"{where}: arms.{arm}.engine is {study.arms[arm].engine}, its reference's is {reference.engine}",
                    "both sides of a ratio run on one engine",
                    "name an arm on the same engine as the reference of this grid",
                )
        settings = type(_arm(study, arm, where).settings)
        measure = _measured(study, grid, where)
        lists = {key: values for key, values in grid.sweep.items() if key in settings.model_fields}
        runs: Sequence[int | None] = grid.runs or [None]
        for values, run in itertools.product(itertools.product(*lists.values()), runs):
            plain = _cell(study, name, workload, arm, dict(zip(lists, values, strict=True)), shape, where)
            plain = replace(plain, scored=grid.scored)
            cell = replace(plain, random_prompts=random, measure=measure, run=run, tuning=grid.tuning)
            itself = reference is not None and cell.output_id == reference.output_id
            yield cell if itself else replace(cell, reference=reference or plain)


def _arm(study: Study, name: str, where: str) -> Any:
    if name not in study.arms:
        raise missing(where, "arm", name, study.arms)
    return study.arms[name]


def _cell(
    study: Study, experiment: str, workload: str, arm: str, swept: dict, shape: dict, where: str
) -> Cell:
    if workload not in study.workloads:
        raise missing(f"{where}.workloads", "workload", workload, study.workloads)
    work, chosen = study.workloads[workload], _arm(study, arm, where)
    if chosen.model not in work.models:
        raise missing(
            f"{where}: workloads.{workload}.models (arm {arm!r})", "role", chosen.model, work.models
        )
    for called, role in chosen.companions.items():
        if role not in work.models:
            place = f"{where}: arms.{arm}.companions.{called} (workload {workload!r})"
            raise missing(place, "role", role, work.models)
    if work.prompt_form == "chat" and shape["prompt_tokens"] is not None:
        raise UserError(
            f"{where.removesuffix('.reference')}.prompt_tokens",
            f"cannot cut the prompts of workload {workload!r}: its prompt_form is chat, and a template stays whole",
            "leave prompt_tokens out of this grid",
        )
    new_tokens = shape["new_tokens"] or work.new_tokens
    settings = _validated(chosen, swept, f"{where}.sweep")
    trouble = DECODERS.load(chosen.decoder).check(settings, new_tokens)
    if trouble:
        place = f"{where} (workload {workload!r}, arm {arm!r})"
        raise UserError(place, trouble, "change the sweep, the arm's settings or new_tokens")
    try:
        paths.words(swept.items())
    except ValueError as error:
        raise UserError(f"{where}.sweep", str(error), "sweep less, and set the rest in an arm") from None
    wrong = companion_trouble(chosen.decoder, settings, chosen.companions)
    if wrong:
        raise UserError(f"arms.{arm}.companions", *wrong)
    return Cell(
        experiment=experiment,
        experiment_kind=kind_of(experiment, study.experiments[experiment].kind),
        workload=workload,
        arm=arm,
        model=work.models[chosen.model],
        companions=tuple((called, work.models[role]) for called, role in chosen.companions.items()),
        decoder=chosen.decoder,
        settings=settings.model_dump(),
        swept=tuple(swept.items()),
        engine=chosen.engine,
        precision=study.precision,
        device=study.device,
        threads=study.threads,
        batch=shape["batch"],
        prompt_tokens=shape["prompt_tokens"],
        new_tokens=new_tokens,
    )


def _measured(study: Study, grid: Grid, where: str) -> MeasureSettings:
    """Return the study's settings of timing with this grid's changes."""
    from pydantic import ValidationError

    try:
        return MeasureSettings.model_validate({**study.measure.model_dump(), **grid.measure})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{where}.measure.{key}", f"{first['msg']}, not {first['input']!r}", "correct this value"
        ) from None


def _validated(arm: Any, swept: dict, where: str) -> Any:
    from pydantic import ValidationError

    try:
        return type(arm.settings).model_validate({**arm.settings.model_dump(), **swept})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{where}.{key}", f"{first['msg']}, not {first['input']!r}", "correct this value"
        ) from None


def missing(where: str, kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that a section does not define."""
    import difflib

    near = difflib.get_close_matches(name, list(known), 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(
        where, f"there is no {kind} {name!r}", f"{hint}known: {', '.join(sorted(known)) or 'none'}"
    )


def drafting(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return by target the first of the cells of kind `draft` that runs it with a draft."""
    first: dict[str, Cell] = {}
    for cell in cells:
        if cell.experiment_kind == "draft" and cell.companions:
            first.setdefault(cell.model, cell)
    return first
