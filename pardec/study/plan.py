"""What the workflow's rules ask of a study: which files, which command line, which code each job depends on."""

from __future__ import annotations

import json
import random
import shlex
from functools import cached_property
from typing import Any

from pardec.study.cells import Cell
from pardec.study.files import Files
from pardec.study.kinds import asked_of_tables

MODELS_FIRST = 100_000
"""Priority above that of any cell."""


class Plan(Files):
    """A study as files and commands."""

    def seed(self, *what: str) -> int:
        """A seed of its own for each use, derived from the study's."""
        return random.Random(f"{self.study.seed}/{'/'.join(what)}").randrange(2**31)

    def data_args(self, name: str) -> str:
        settings = self.study.data[name].model_dump(mode="json")
        return flags(name=name, settings=settings, seed=self.seed("data", name), out=f"results/data/{name}")

    def model_args(self, name: str) -> str:
        model = self.study.models[name]
        extra = {}
        if name in self.trained_models:
            extra = {"data": f"results/data/{model.data}"}
            if model.init:
                extra["init"] = f"results/models/{model.init}"
            if model.teachers:
                extra["teachers"] = {
                    called: f"results/models/{teacher}" for called, teacher in model.teachers.items()
                }
        # A changed check asks for no new download.
        settings = model.model_dump(mode="json", exclude={"verify"})
        return flags(
            name=name, settings=settings, **extra, seed=self.seed("model", name), out=f"results/models/{name}"
        )

    def verify_args(self, name: str) -> str:
        checks = self.study.models[name].verify
        data = {} if checks.sample is None else {"data": f"results/data/{checks.sample.data}"}
        return flags(
            model=f"results/models/{name}",
            checks=checks.model_dump(mode="json"),
            **data,
            seed=self.seed("verify", name),
            device=self.study.device,
            precision=self.study.precision,
        )

    def machine_args(self) -> str:
        return flags(device=self.study.device, threads=self.study.threads, precision=self.study.precision)

    def _side_args(self, cell: Cell) -> dict[str, Any]:
        return {
            "model": f"results/models/{cell.model}",
            "arm": cell.arm,
            "decoder": cell.decoder,
            "settings": cell.settings,
            "companions": {name: f"results/models/{model}" for name, model in cell.companions} or None,
        }

    def _shape_args(self, cell: Cell) -> dict[str, Any]:
        work = self.study.workloads[cell.workload]
        shape = {"data": f"results/data/{work.data}", "workload": cell.workload, "task": work.task}
        shape |= {"prompt-tokens": cell.prompt_tokens, "new-tokens": cell.new_tokens, "fill": work.fill}
        shape |= {"prompt-text": "random" if cell.random_prompts else None}
        shape |= {"prompt-form": "chat" if work.prompt_form == "chat" else None}
        shape |= {key: getattr(cell, key) for key in ("device", "precision", "threads", "engine")}
        return shape | {"seed": self.seed("prompts", cell.workload)}

    def cell_args(self, id: str) -> str:
        return flags(cell=self.cell_job(id))

    def cell_job(self, id: str) -> dict[str, Any]:
        """What `scripts/time_cell.py` reads as a `CellJob`; what is at its default is left out."""
        cell = self.cells[id]
        reference = cell.reference
        shape = {key.replace("-", "_"): value for key, value in self._shape_args(cell).items()}
        job = {"id": id, "experiment": cell.experiment, **self._side_args(cell), "quality": self.score(cell)}
        job["reference"] = reference and without_nulls(
            self._side_args(reference) | {"quality": self.score(reference)}
        )
        job |= {
            "batch": cell.batch,
            "run": cell.run,
            "prompt_set": "tuning" if cell.tuning else None,
            **shape,
        }
        return without_nulls(job | {"measure": (cell.measure or self.study.measure).model_dump(mode="json")})

    def output_args(self, id: str) -> str:
        cell = self.outputs[id]
        prompts = self.study.workloads[cell.workload].prompts
        return flags(**self._side_args(cell), **self._shape_args(cell), prompts=prompts)

    def score_args(self, id: str) -> str:
        cell = self.outputs[id]
        work = self.study.workloads[cell.workload]
        scorer = f"results/models/{work.scorer}" if work.scorer else None
        allowed = "yes" if work.run_code else None
        return flags(
            task=work.task,
            metrics=",".join(work.metrics),
            scorer=scorer,
            encoder=work.encoder,
            run_code=allowed,
        )

    def likelihood_args(self, name: str) -> str:
        wanted = self.study.likelihood
        return flags(
            model=f"results/models/{name}",
            data=f"results/data/{wanted.data}",
            prompts=wanted.prompts,
            samples=wanted.samples,
            seed=self.seed("likelihood", name),
        )

    def verify_cost_args(self, name: str) -> str:
        chosen = {key: getattr(self.study, key) for key in ("device", "threads", "precision")}
        return flags(model=f"results/models/{name}", seed=self.seed("verify_cost", name), **chosen)

    def study_args(self) -> str:
        return flags(study=self.study.model_dump(mode="json"))

    def floor_args(self) -> str:
        """What tables ask of the study."""
        return flags(study=asked_of_tables(self.study.model_dump(mode="json")))

    # Order.

    @cached_property
    def _ranks(self) -> dict[str, int]:
        """Cells of one model together, in a seeded order within: a drifting machine does not follow the sweep."""
        draw = random.Random(self.study.seed)
        order = sorted(self.cells, key=lambda id: (self.cells[id].model, draw.random()))
        return {id: len(order) - place for place, id in enumerate(order)}

    def priority(self, id: str) -> int:
        return self._ranks[id]

    def model_priority(self, name: str) -> int:
        """All models before any cell, so that what is timed is timed in one go; first those that others wait for, then
        those that waited, last those that stand alone, and among equals those of most steps: what starts late ends
        late, beside an idle core."""
        steps = getattr(self.study.models[name], "steps", 0)
        return (
            MODELS_FIRST
            + 20_000 * min(self._heirs[name], 3)
            + 10_000 * bool(self.parents(name))
            + min(steps, 9_999)
        )

    @cached_property
    def _heirs(self) -> dict[str, int]:
        """How long a chain of models waits for each."""
        found = dict.fromkeys(self.models, 0)
        for _ in self.models:
            for name in self.models:
                for parent in self.parents(name):
                    found[parent] = max(found[parent], found[name] + 1)
        return found


def without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def flags(**values: Any) -> str:
    """Command-line flags, quoted for a shell; null values are left out, mappings become JSON."""
    words = []
    for key, value in values.items():
        if value is None:
            continue
        text = json.dumps(value, separators=(",", ":")) if isinstance(value, (dict, list)) else str(value)
        words += [f"--{key.replace('_', '-')}", text]
    return shlex.join(words)
