"""Plan a study's jobs: command-line arguments and priorities for the workflow's rules.

Arguments are plain strings; the rules quote them (`:q`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pardec.common import host
from pardec.measure.supervise import LIMIT_S
from pardec.study.cells import Cell
from pardec.study.files import Files
from pardec.study.kinds import asked_of_tables
from pardec.study.layers import read_study

PAPER = "paper"
"""Name of the study whose run is published for all others."""
MODELS_FIRST = 100_000
"""Priority of models, above that of any cell."""


class Plan(Files):
    """A study as files and command lines."""

    def seed(self, *what: str) -> int:
        """Return the seed of one use, derived from the study's seed."""
        return random.Random(f"{self.study.seed}/{'/'.join(what)}").randrange(2**31)

    # Data and models.

    def data_settings(self, name: str) -> str:
        """Return the settings of a data set as JSON."""
        return as_json(self.study.data[name].model_dump(mode="json"))

    def asked_words(self, name: str) -> list[str]:
        """Return arguments for the model that the prompts of a data set are written for."""
        return words(model=next((f"results/models/{one}" for one in self.asked_models(name)), None))

    def model_settings(self, name: str) -> str:
        """Return the settings of a model as JSON, without its checks."""
        # Changed checks must not cause a new download.
        return as_json(self.study.models[name].model_dump(mode="json", exclude={"verify"}))

    def training_folder(self, name: str) -> str:
        """Return the folder of the data set that a model learns from."""
        return f"results/data/{self.study.models[name].data}"

    def parent_words(self, name: str) -> list[str]:
        """Return arguments for the model that training of `name` starts from, and for its teachers."""
        model = self.study.models[name]
        teachers = {called: f"results/models/{teacher}" for called, teacher in model.teachers.items()}
        return words(init=f"results/models/{model.init}" if model.init else None, teachers=teachers or None)

    def base_folder(self, name: str) -> str:
        """Return the folder of the model that `name` is adapted from."""
        return f"results/models/{self.study.models[name].base}"

    def training_words(self) -> list[str]:
        """Return arguments for the training device.

        Models train on the CPU, so that weights do not depend on the machine's hardware. With `device: cuda` they train
        on the GPU if the job's machine has one.
        """
        return words(device="auto") if self.study.device == "cuda" else []

    def published_words(self) -> list[str]:
        """Return arguments for the folder of published weights; none if every model is to be trained."""
        return words(published=None if self.retrain else self.published)

    def archives(self) -> list[str]:
        """Return the archive of the published run, where there is one: of this study, else of the paper."""
        path = self._of_published("run.tar.zst")
        return self.below([path]) if path else []

    def published_seconds(self) -> Path | None:
        """Return the file with mean seconds by rule of the published run, where there is one."""
        return self._of_published("seconds.json")

    def published_itself(self) -> bool:
        """Return whether the published run is of this study, and not the paper's."""
        path = self.published_seconds()
        return path is not None and path.parent.name == self.study.name

    def _of_published(self, file: str) -> Path | None:
        for folder in [] if self.published is None else [Path(self.published), self.root / self.published]:
            for name in (self.study.name, PAPER):
                if (path := folder / name / file).is_file():
                    return path
        return None

    def archive_words(self) -> list[str]:
        """Return arguments for the archive of the published run."""
        return words(archive=next(iter(self.archives()), None))

    def checks(self, name: str) -> str:
        """Return the checks that a hub model must pass before a cell runs it, as JSON."""
        return as_json(self.study.models[name].verify.model_dump(mode="json"))

    def check_data_words(self, name: str) -> list[str]:
        """Return the command-line words that name the data set of a model's checks."""
        sample = self.study.models[name].verify.sample
        return [] if sample is None else words(data=f"results/data/{sample.data}")

    # Cells and outputs.

    def _arm(self, cell: Cell) -> dict[str, Any]:
        """Return one side of a cell: model, decoder, settings, companions."""
        return {
            "model": f"results/models/{cell.model}",
            "arm": cell.arm,
            "decoder": cell.decoder,
            "settings": cell.settings,
            "companions": {name: f"results/models/{model}" for name, model in cell.companions} or None,
        }

    def _workload(self, cell: Cell) -> dict[str, Any]:
        """Return the cell's prompts, their form, and the output length."""
        work = self.study.workloads[cell.workload]
        return {
            "data": f"results/data/{work.data}",
            "workload": cell.workload,
            "task": work.task,
            "fill": work.fill,
            "prompt_tokens": cell.prompt_tokens,
            "prompt_text": "random" if cell.random_prompts else None,
            "prompt_form": "chat" if work.prompt_form == "chat" else None,
            "new_tokens": cell.new_tokens,
            "seed": self.seed("prompts", cell.workload),
        }

    def _engine(self, cell: Cell) -> dict[str, Any]:
        """Return device, precision, threads and engine."""
        return {name: getattr(cell, name) for name in ("device", "precision", "threads", "engine")}

    def cell_job(self, id: str) -> dict[str, Any]:
        """Return the `CellJob` that `scripts/time_cell.py` reads, without nulls."""
        cell, reference = self.cells[id], self.cells[id].reference
        other = reference and without_nulls(self._arm(reference) | {"quality": self.score(reference)})
        job = {"id": id, "experiment": cell.experiment, **self._arm(cell), "quality": self.score(cell)}
        job |= {"reference": other, "batch": cell.batch, "run": cell.run}
        job |= {"prompt_set": "tuning" if cell.tuning else None, **self._workload(cell), **self._engine(cell)}
        return without_nulls(job | {"measure": (cell.measure or self.study.measure).model_dump(mode="json")})

    def cell_json(self, id: str) -> str:
        """Return the job of a cell as JSON."""
        return as_json(self.cell_job(id))

    def arm_words(self, cell: Cell) -> list[str]:
        """Return the command-line words of a cell's arm."""
        return words(**self._arm(cell))

    def workload_words(self, cell: Cell) -> list[str]:
        """Return the command-line words of a cell's workload."""
        return words(**self._workload(cell))

    def engine_words(self, cell: Cell) -> list[str]:
        """Return the command-line words of a cell's engine, with the time limit of a job."""
        return words(**self._engine(cell), timeout_s=self.job_timeout_s)

    def verify_words(self, model: str) -> list[str]:
        """Return the command-line words of how a target's passes are timed: as in the cells that draft for it."""
        return words(**self._engine(self.drafting[model]))

    def prompts(self, cell: Cell) -> int:
        """Return the number of prompts for scoring quality."""
        return self.study.workloads[cell.workload].prompts

    def metric_words(self, cell: Cell) -> list[str]:
        """Return arguments for scoring a cell's outputs."""
        work = self.study.workloads[cell.workload]
        return words(
            task=work.task,
            metrics=",".join(work.metrics),
            scorer=f"results/models/{work.scorer}" if work.scorer else None,
            **(self._models_run() if work.scorer else {}),
            encoder=work.encoder,
            run_code="yes" if work.run_code else None,
            timeout_s=self.job_timeout_s,
        )

    @property
    def job_timeout_s(self) -> float | None:
        """Return the limit of jobs that are not timed; None where the study has the default."""
        limit = self.study.job_timeout_s
        return None if limit == LIMIT_S else limit

    def _models_run(self) -> dict[str, Any]:
        """Return device and precision of scoring models; None where the study has the default."""
        device, precision = self.study.device, self.study.precision
        return {
            "device": None if device == "cpu" else device,
            "precision": None if precision == "float32" else precision,
        }

    # The study as a whole.

    def device_words(self) -> list[str]:
        """Return the command-line words of device, threads and precision."""
        return words(device=self.study.device, threads=self.study.threads, precision=self.study.precision)

    def likelihood_words(self) -> list[str]:
        """Return the command-line words of the likelihood's measurement."""
        asked = self.study.likelihood
        if asked is None:
            return []
        data = f"results/data/{asked.data}"
        limits = {"timeout_s": self.job_timeout_s, **self._models_run()}
        return words(data=data, prompts=asked.prompts, samples=asked.samples, **limits)

    # The GPU, which serves one job at a time.

    @cached_property
    def gpu(self) -> int:
        """Return the number of GPUs that a job on the study's device takes.

        It is 0 on the CPU, so such jobs may run in parallel. A batch system's profile declares its nodes' GPUs.
        """
        device = self.study.device
        return int(device in ("cuda", "mps") or (device == "auto" and host.may_have_gpu()))

    @property
    def training_gpu(self) -> int:
        """Return the GPUs that a training takes: 1 or 0."""
        return int(self.study.device == "cuda")

    def scoring_gpu(self, output: str) -> int:
        """Return the number of GPUs for scoring `output`: 0 unless its workload has a scorer."""
        return self.gpu if self.study.workloads[self.outputs[output].workload].scorer else 0

    def study_json(self) -> str:
        """Return the study as JSON."""
        return as_json(self.study.model_dump(mode="json"))

    def floors_json(self) -> str:
        """Return the parts of the study that tables read, as JSON."""
        return as_json(asked_of_tables(self.study.model_dump(mode="json")))

    # Order.

    @cached_property
    def _ranks(self) -> dict[str, int]:
        """Return ranks of cells: grouped by model, shuffled within, so that no sweep follows the machine's drift."""
        draw = random.Random(self.study.seed)
        order = sorted(self.cells, key=lambda id: (self.cells[id].model, draw.random()))
        return {id: len(order) - place for place, id in enumerate(order)}

    def priority(self, id: str) -> int:
        """Return a cell's priority among Snakemake's jobs; higher ones run first."""
        return self._ranks[id]

    def model_priority(self, name: str) -> int:
        """Return a model's priority; all models precede all cells, so that timing is not interrupted.

        Models that others depend on come first, then those with parents, then the rest; longer trainings precede
        shorter ones, so that no long job is left alone at the end.
        """
        steps = getattr(self.study.models[name], "steps", 0)
        return (
            MODELS_FIRST
            + 20_000 * min(self._heirs[name], 3)
            + 10_000 * bool(self.parents(name))
            + min(steps, 9_999)
        )

    @cached_property
    def _heirs(self) -> dict[str, int]:
        """Return by model the length of the longest chain of models that depends on it."""
        heirs = dict.fromkeys(self.models, 0)
        for _ in self.models:
            for name in self.models:
                for parent in self.parents(name):
                    heirs[parent] = max(heirs[parent], heirs[name] + 1)
        return heirs


def read_plan(
    root: str | Path, configfiles: Sequence[str | Path] = (), overrides: Iterable[str] = ()
) -> Plan:
    """Return the plan of `root`/config.yaml or of `configfiles` (see `layers`), changed by `key=value` words.

    Raises:
        UserError: a file is missing or the study is wrong.
    """
    config, files = read_study(root, configfiles)
    return Plan(config, files, root, overrides)


def words(**values: Any) -> list[str]:
    """Return command-line arguments, `--<name>` before each value, without nulls; mappings and lists become JSON."""
    listed: list[str] = []
    for name, value in without_nulls(values).items():
        text = as_json(value) if isinstance(value, (dict, list)) else str(value)
        listed += [f"--{name.replace('_', '-')}", text]
    return listed


def without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` without the keys whose value is None."""
    return {key: value for key, value in values.items() if value is not None}


def as_json(value: Any) -> str:
    """Return `value` as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))
