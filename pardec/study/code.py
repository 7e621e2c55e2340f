"""Find the project files that each job of a study runs: its script, imports, and modules loaded by name.

Modules of decoders, engines and models come from `modules_run` and `modules_of_config`, which the jobs also use for
their provenance.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pardec.common.closure import closure, digest
from pardec.data.registry import SOURCES as DATA_SOURCES
from pardec.data.registry import TASKS
from pardec.decoding.prepared import modules_run
from pardec.models.checkpoints.configs import modules_of, modules_of_config
from pardec.models.checkpoints.shapes import shape
from pardec.models.gguf.reader import is_gguf
from pardec.models.registry import ARCHITECTURES, ENGINES, FAMILIES, FORMATS, QUANTISATIONS
from pardec.models.registry import SOURCES as MODEL_SOURCES
from pardec.quality.registry import METRICS
from pardec.study.cells import Cell, drafting
from pardec.study.schema import Study


class Code:
    """The code of a study's jobs.

    cells, outputs: cells by their id, and by the id of their outputs. root: the folder of the package.
    """

    def __init__(self, study: Study, cells: dict[str, Cell], outputs: dict[str, Cell], root: Path):
        self.study, self.cells, self.outputs, self.root = study, cells, outputs, root
        self._models: dict[str, list[str]] = {}
        self._closures: dict[tuple[str, ...], list[str]] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    def files(self, script: str, name: str = "", modules: Iterable[str] = ()) -> list[str]:
        """Return the project files that a job of `script` runs.

        name: its dataset, model, cell or set of outputs, if it has one. modules: modules loaded by name that the study
        does not imply.
        """
        wanted = (script, *dict.fromkeys([*modules, *self.loaded(script, name)]))
        if wanted not in self._closures:
            self._closures[wanted] = closure(self.root, f"scripts/{script}.py", wanted[1:])
        return self._closures[wanted]

    def digest(self, script: str, name: str = "") -> str:
        """Return one SHA-256 over `files`.

        Most cells run the same sixty files; as inputs, Snakemake would check each file for each of thousands of cells.
        """
        files = tuple(self.files(script, name))
        if files not in self._digests:
            self._digests[files] = digest(self.root, files)
        return self._digests[files]

    def loaded(self, script: str, name: str) -> list[str]:
        """Return dotted names of the modules that a job loads by name."""
        match script:
            case "prepare_data":
                source = self.study.data[name]
                tasks = source.chosen() if source.source == "tasks" else []
                return [DATA_SOURCES.module(source.source), *map(TASKS.module, tasks)]
            case "train_model" | "adapt_model":
                model = self.study.models[name]
                return [FAMILIES.module(model.family), *self.models(name, *parents(self.study, name))]
            case "fetch_model":
                return [MODEL_SOURCES.module(self.study.models[name].source)]
            case "verify_model":
                checks = self.study.models[name].verify
                used = [*checks.examples, *([checks.sample] if checks.sample else [])]
                decoders = [module for one in used for module in modules_run(one.decoder, one.settings)]
                return [*decoders, *self.models(name)]
            case "time_cell":
                cell = self.cells[name]
                return self._sides(cell, *([cell.reference] if cell.reference else []))
            case "generate_outputs":
                return self._sides(self.outputs[name])
            case "score_cell":
                work = self.study.workloads[self.outputs[name].workload]
                scorer = self.models(work.scorer) if work.scorer else []
                task = [TASKS.module(work.task)] if work.task and work.task in TASKS else []
                return [*map(METRICS.module, work.metrics), *task, *scorer]
            case "measure_likelihood":
                return self.models(name)
            case "measure_verify_cost":
                engine = drafting(self.cells.values())[name].engine
                return [*self.models(name), *([] if engine == "eager" else [ENGINES.module(engine)])]
        return []

    def models(self, *names: str) -> list[str]:
        """Return modules loaded by name to run these models: architectures, file formats and quantisation."""
        for name in names:
            if name not in self._models:
                self._models[name] = self._model(name)
        return list(dict.fromkeys(module for name in names for module in self._models[name]))

    def _model(self, name: str) -> list[str]:
        model = self.study.models[name]
        quantised = {"quantise": getattr(model, "quantise", None)}
        if model.source in ("train", "adapt"):
            kind = {"architectures": [FAMILIES.load(model.family).architecture], "model_type": "llama"}
            return modules_of_config(kind)
        if model.source == "random":
            return modules_of_config(model.config_json() | quantised)
        if model.source == "path" and not is_gguf(model.path):
            return modules_of(model.path, **quantised)
        if getattr(model, "shape", None) is not None:
            return modules_of_config(shape(model.shape) | quantised)
        # The config of other models is not here yet, so all architectures and formats count.
        every = [registry.module(entry) for registry in (ARCHITECTURES, FORMATS) for entry in registry]
        return [*every, *([QUANTISATIONS.module(model.quantise)] if model.quantise else [])]

    def _sides(self, *cells: Cell) -> list[str]:
        """Return modules that the arms of `cells` load by name."""
        run = [module for cell in cells for module in modules_run(cell.decoder, cell.settings, cell.engine)]
        return list(dict.fromkeys([*run, *self.models(*(model for cell in cells for model in cell.models))]))


def parents(study: Study, name: str) -> list[str]:
    """Return the models that training of `name` reads: the one that it starts from or adapts, and its teachers."""
    model = study.models[name]
    first = [getattr(model, key, None) for key in ("init", "base")]
    return list(dict.fromkeys([*filter(None, first), *getattr(model, "teachers", {}).values()]))
