"""Map a study to files: its models, data sets and records, and the inputs of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pardec.common.contents import Contents
from pardec.common.errors import UserError
from pardec.models.gguf.reader import is_gguf
from pardec.models.sources.folder import taken
from pardec.models.sources.random import tokenizer_files
from pardec.study.cells import Cell, drafting
from pardec.study.code import Code, parents
from pardec.study.command_line import command_line
from pardec.study.layers import lay_over, place
from pardec.study.load import load_study
from pardec.study.shard import Shard

PUBLISHED = "results/published"
"""Folder of the published run and its weights, below the project's folder."""
OWN_SOURCES = ("tasks", "topics", "fractal", "functions")
"""Data sources that generate data, and therefore have a tokenizer and training records."""


class Files:
    """Inputs, outputs and code of each job of a study.

    config: the merged configuration; its `shard`, such as "2/8", keeps that part of the cells; `retrain: true` trains
    every model anew; `published` is the folder of the published run, null for none; `only` lists the experiments to
    run. files: its sources, the weakest first.
    root: the project's folder. overrides: `key=value` words of the command line's `--config`.

    Raises:
        UserError: the study is wrong; see `load_study`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        files: Iterable[str | Path],
        root: str | Path,
        overrides: Iterable[str] = (),
    ):
        typed = command_line(overrides)
        self.sources = list(files)
        sources = [*self.sources, typed]
        whole = lay_over(config, typed)
        part = whole.pop("shard", None)
        self.shard = None if part is None else Shard.parse(part)
        self.retrain, self.published = _published(whole)
        _keep_only(whole)
        self.study, self.cells = load_study(whole, sources)
        if self.shard is not None:
            mine = self.shard.of_cells(self.cells, lambda id: self.cells[id].model)
            self.cells = {id: self.cells[id] for id in mine}
        self.root = Path(root)
        sides = [side for cell in self.cells.values() for side in (cell, cell.reference) if side is not None]
        self.outputs = {cell.output_id: cell for cell in sides if cell.scored}
        self._contents = Contents(".snakemake/contents.json")
        self._code = Code(self.study, self.cells, self.outputs, self.root)
        self._refuse_missing(sources)

    def _refuse_missing(self, sources: list) -> None:
        """Raise an error for a missing local dataset or checkpoint, before any job runs."""
        used = [("data", name, self.study.data[name]) for name in self.datasets]
        used += [("models", name, self.study.models[name]) for name in self.models]
        for section, name, entry in used:
            path = getattr(entry, "path", None)
            if path is not None and not Path(path).exists():
                where = place([section, name, "path"], sources)
                raise UserError(
                    where, f"{path} does not exist", "correct the path; it is taken from this folder"
                )

    # Requirements of the study: only models and data that a cell uses are made.

    @cached_property
    def models(self) -> list[str]:
        """Return the models that cells run, that score, whose likelihood is measured, and their parents."""
        likelihood = self.study.likelihood.models if self.study.likelihood else []
        scorers = [self.study.workloads[cell.workload].scorer for cell in self.cells.values()]
        needed: dict[str, None] = {}
        sides = [side for cell in self.cells.values() for side in (cell, cell.reference) if side is not None]
        waiting = [*(name for side in sides for name in side.models), *filter(None, scorers), *likelihood]
        read = dict.fromkeys(self.study.workloads[side.workload].data for side in sides)
        waiting += [name for data in read for name in self.asked_models(data)]
        while waiting:
            name = waiting.pop(0)
            if name not in needed:
                needed[name] = None
                waiting += self.parents(name)
                data = getattr(self.study.models[name], "data", None)
                waiting += self.asked_models(data) if data else []
        return list(needed)

    @cached_property
    def datasets(self) -> list[str]:
        """Return the data sets that the study uses."""
        names = [self.study.workloads[cell.workload].data for cell in self.cells.values()]
        names += [self.study.models[name].data for name in (*self.trained_models, *self.adapted_models)]
        likelihood = self.study.likelihood
        names += [likelihood.data] if likelihood and self.likelihood_models else []
        samples = [self.study.models[name].verify.sample for name in self.verified_models]
        names += [sample.data for sample in samples if sample is not None]
        return list(dict.fromkeys(names))

    @cached_property
    def trained_models(self) -> list[str]:
        """Return the models that the study trains."""
        return [name for name in self.models if self.study.models[name].source == "train"]

    @cached_property
    def adapted_models(self) -> list[str]:
        """Return the models that the study makes from others by an adapter."""
        return [name for name in self.models if self.study.models[name].source == "adapt"]

    @cached_property
    def fetched_models(self) -> list[str]:
        """Return the models that come from elsewhere."""
        made = {*self.trained_models, *self.adapted_models}
        return [name for name in self.models if name not in made]

    @cached_property
    def own_datasets(self) -> list[str]:
        """Return the data sets whose tokenizer is made here."""
        return [name for name in self.datasets if self.study.data[name].source in OWN_SOURCES]

    @cached_property
    def foreign_datasets(self) -> list[str]:
        """Return the data sets that models read with their own tokenizers."""
        return [name for name in self.datasets if name not in self.own_datasets]

    @cached_property
    def likelihood_models(self) -> list[str]:
        """Return the models whose likelihood of held-out text is measured."""
        return list(self.study.likelihood.models) if self.study.likelihood else []

    @cached_property
    def drafted_models(self) -> list[str]:
        """Return the targets that cells of experiments of kind `draft` run with a draft."""
        return list(self.drafting)

    @cached_property
    def drafting(self) -> dict[str, Cell]:
        """Return the cell by which each target's passes are timed."""
        return drafting(self.cells.values())

    @cached_property
    def verified_models(self) -> list[str]:
        """Return the models that must reproduce their authors' results before any cell runs them."""
        return [name for name in self.models if getattr(self.study.models[name], "verify", None) is not None]

    @staticmethod
    def pattern(names: Iterable[str]) -> str:
        """Return a wildcard constraint that matches exactly `names`; without names it matches nothing."""
        return "|".join(map(re.escape, names)) or "(?!)"

    # Files.

    def data_files(self, name: str) -> list[str]:
        """Return the files of a data set."""
        files = ["about.json", "train.jsonl", "heldout.jsonl"]
        files += ["tokenizer.json"] if name in self.own_datasets else []
        return [f"results/data/{name}/{file}" for file in files]

    def data_source_files(self, name: str) -> list[str]:
        """Return the user's file that a dataset is read from."""
        return _given(self.study.data[name])

    def asked_models(self, name: str) -> list[str]:
        """Return the model that the prompts of a data set are written for, if any."""
        asked = getattr(self.study.data[name], "model", None)
        return [asked] if asked else []

    def asked_files(self, name: str) -> list[str]:
        """Return the files of that model."""
        return [path for asked in self.asked_models(name) for path in self.model_files(asked)]

    def model_files(self, name: str) -> list[str]:
        """Return the files that determine a model's results; records of its training are left out."""
        trained = ["config.json", "model.safetensors", "tokenizer.json"]
        files = trained if name in self.trained_models else ["config.json", "source.json"]
        return [f"results/models/{name}/{file}" for file in files]

    def verified(self, name: str) -> list[str]:
        """Return the file that confirms a model's checks; [] for a model without checks."""
        return [f"results/models/{name}/verified.json"] if name in self.verified_models else []

    def verified_data(self, name: str) -> list[str]:
        """Return the files of the data set that a model's checks read."""
        sample = self.study.models[name].verify.sample
        return self.data_files(sample.data) if sample is not None else []

    def model_source_files(self, name: str) -> list[str]:
        """Return the user's files that a model is copied from."""
        model = self.study.models[name]
        folder = model.source == "path" and not is_gguf(model.path)
        files: list = taken(Path(model.path)) if folder else _given(model)
        tokenizer = getattr(model, "tokenizer", None)
        files += tokenizer_files(Path(tokenizer)).values() if tokenizer else []
        return list(map(str, files))

    def encoder_files(self, id: str) -> list[str]:
        """Return the files of the user's encoder that scores a set of outputs."""
        encoder = self.study.workloads[self.outputs[id].workload].encoder
        return sorted(str(path) for path in Path(encoder).rglob("*") if path.is_file()) if encoder else []

    def content(self, files: Iterable[str]) -> str:
        """Return a hash of the content of files that the workflow does not make; it covers a file's absence too.

        As a param it makes outputs of other bytes stale, even if Snakemake compares times only (above
        `max-checksum-file-size`).
        """
        return self._contents.digest(path for path in files if Path(path).exists())

    def training_data(self, name: str) -> list[str]:
        """Return the files of the data set that a model learns from."""
        return self.data_files(self.study.models[name].data)

    def parents(self, name: str) -> list[str]:
        """Return the models that training of `name` reads."""
        return parents(self.study, name)

    def parent_models(self, name: str) -> list[str]:
        """Return the files of the models that training of this one reads."""
        return [path for parent in self.parents(name) for path in self.model_files(parent)]

    @staticmethod
    def record(cell: str) -> str:
        """Return the path of a cell's record."""
        return f"results/cells/{cell}/timing.json"

    def score(self, cell: Cell) -> str | None:
        """Return the path of a cell's score; None if its outputs are not scored."""
        return f"results/quality/{cell.output_id}/score.json" if cell.output_id in self.outputs else None

    def records(self, experiments: Iterable[str] | None = None) -> list[str]:
        """Return the records of these experiments; None: of all."""
        chosen = None if experiments is None else set(experiments)
        return [
            self.record(id) for id, cell in self.cells.items() if chosen is None or cell.experiment in chosen
        ]

    def _prompts(self, cell: Cell) -> list[str]:
        data = self.study.workloads[cell.workload].data
        return [f"results/data/{data}/heldout.jsonl"]

    def cell_models(self, id: str) -> list[str]:
        """Return files of the model and companions of a cell's arm."""
        return self._run_by(self.cells[id])

    def reference_models(self, id: str) -> list[str]:
        """Return files of the model and companions of a cell's reference."""
        reference = self.cells[id].reference
        return [] if reference is None else self._run_by(reference)

    def cell_prompts(self, id: str) -> list[str]:
        """Return the files of a cell's prompts."""
        return self._prompts(self.cells[id])

    def output_model(self, id: str) -> list[str]:
        """Return the files of the models that write these outputs."""
        return self._run_by(self.outputs[id])

    def _run_by(self, cell: Cell) -> list[str]:
        return [path for name in cell.models for path in [*self.model_files(name), *self.verified(name)]]

    def output_prompts(self, id: str) -> list[str]:
        """Return the files of the prompts of these outputs."""
        return self._prompts(self.outputs[id])

    def scorer_files(self, id: str) -> list[str]:
        """Return the files of the model that scores these outputs; [] without one."""
        scorer = self.study.workloads[self.outputs[id].workload].scorer
        return self.model_files(scorer) if scorer else []

    def likelihood_data(self) -> list[str]:
        """Return the files of the data set whose likelihood is measured."""
        return self.data_files(self.study.likelihood.data) if self.study.likelihood else []

    # Code: scripts, their imports, and modules loaded by name.

    def code(self, script: str, name: str = "", modules: Iterable[str] = ()) -> list[str]:
        """See `pardec.study.code.Code.files`."""
        return self._code.files(script, name, modules)

    def code_digest(self, script: str, name: str) -> str:
        """See `pardec.study.code.Code.digest`."""
        return self._code.digest(script, name)

    def templates(self) -> list[str]:
        """Return the report's templates, styles and scripts."""
        folder = self.root / "report"
        return sorted(path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())

    def workflow_files(self) -> list[str]:
        """Return the workflow's files, the Snakefile first: rules and scripts."""
        patterns = ("Snakefile", "rules/*.smk", "scripts/*.py")
        return self.below(path for pattern in patterns for path in sorted(self.root.glob(pattern)))

    def claims_files(self) -> list[str]:
        """Return the study's files of claims."""
        return [self._beside(path) for path in self.study.claims]

    def ideas_file(self) -> str:
        """Return the study's file of drafting ideas."""
        return self._beside(self.study.ideas)

    def _beside(self, path: str) -> str:
        """Return the path of a study's file: in the working directory, else in the project."""
        return path if Path(path).exists() or not (self.root / path).exists() else str(self.root / path)

    def below(self, paths: Iterable[str | Path]) -> list[str]:
        """Return each path once; paths within the project's folder are relative to it."""
        full = (self.root / path for path in paths)
        short = (path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in full)
        return list(dict.fromkeys(path.as_posix() for path in short))


def _given(settings: Any) -> list[str]:
    """Return the user's file that settings name: a data set, a GGUF file, a wheel."""
    given = getattr(settings, "path", None) or getattr(settings, "wheel", None)
    return [] if given is None else [str(given)]


def _published(config: dict[str, Any]) -> tuple[bool, str | None]:
    """Remove and return `retrain` and `published` of a configuration: how a study is run, and no part of it.

    Raises:
        UserError: a key has another type.
    """
    retrain, folder = config.pop("retrain", False), config.pop("published", PUBLISHED)
    if not isinstance(retrain, bool):
        raise UserError("--config: retrain", f"is {retrain!r}", "give true or false")
    if folder is not None and not isinstance(folder, str):
        raise UserError("--config: published", f"is {folder!r}", "give a folder, or null")
    return retrain, folder and os.path.expanduser(folder)


def _keep_only(config: dict[str, Any]) -> None:
    """Remove `only` from a configuration, and the experiments that it does not name.

    Raises:
        UserError: it is no list of experiments.
    """
    only = config.pop("only", None)
    if only is None:
        return
    wanted = [only] if isinstance(only, str) else only
    known = config.get("experiments") or {}
    if not isinstance(wanted, list) or not wanted or not set(map(str, wanted)) <= set(known):
        raise UserError("--config: only", f"is {only!r}", f"list experiments: {', '.join(known)}")
    config["experiments"] = {name: known[name] for name in known if name in wanted}
