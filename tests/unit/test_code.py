"""Editing a file that is loaded by name concerns exactly the jobs that load it: every entry of every registry."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pardec.data.registry import SOURCES as DATA_SOURCES
from pardec.data.registry import TASKS
from pardec.decoding.registry import DECODERS
from pardec.decoding.speculative.registry import KINDS
from pardec.models.registry import ARCHITECTURES, ENGINES, FAMILIES, FORMATS, QUANTISATIONS
from pardec.models.registry import SOURCES as MODEL_SOURCES
from pardec.quality.registry import METRICS
from pardec.study.plan import Plan, read_plan

ROOT = Path(__file__).parents[2]
STUDIES = ("default", "paper", "draft", "8b", "8b-shape", "smollm2-drafts", "smollm2-block", "smollm2", "odd")
REGISTRIES = {
    "decoder": DECODERS,
    **KINDS,
    "family": FAMILIES,
    "architecture": ARCHITECTURES,
    "format": FORMATS,
    "engine": ENGINES,
    "quantisation": QUANTISATIONS,
    "model source": MODEL_SOURCES,
    "data source": DATA_SOURCES,
    "task": TASKS,
    "metric": METRICS,
}
BUILDS_ON = {
    ("decoder", "cached_diffusion"): [("decoder", "masked_diffusion")],
    # Its checks undo what training did.
    **{("decoder", name): [("family", "renderer")] for name in ("flash_flood", "table_lookup")},
    ("decoder", "full_passes"): [("decoder", "jacobi")],
    **{
        ("decoder", name): [("decoder", "autoregressive")]
        for name in ("speculative", "transformers_generate", "transformers_continuous", "vllm")
    },
    ("data source", "fractal"): [("data source", "topics")],
    ("family", "renderer"): [("model source", "train")],
    ("model source", "adapt"): [("model source", "train")],
    **{("format", name): [("format", "llama")] for name in ("qwen2", "qwen3", "Dream")},
    # A draft with a head is a draft.
    ("drafter", "markov"): [("drafter", "dflash")],
    ("drafter", "selector"): [("drafter", "dflash"), ("drafter", "markov")],
    ("family", "markov_draft"): [("family", "draft")],
    ("family", "selector_draft"): [("family", "draft")],
    ("family", "consistency"): [("family", "autoregressive")],
    **{
        (kind, f"DFlash{name}DraftModel"): [(kind, "DFlashDraftModel")]
        for kind in ("architecture", "format")
        for name in ("Markov", "2")
    },
}
"""Entries whose files import other entries'."""
SMALL = {"source": "random", "family": "autoregressive", "hidden": 32, "layers": 1, "heads": 2, "mlp": 64}
HUB = {"source": "hub", "repo": "a/b", "revision": "0" * 40}
ODD: dict[str, Any] = {
    "name": "odd",
    "data": {
        "mine": {
            "source": "path",
            "path": str(ROOT / "tests/fixtures/data/wikitext.jsonl"),
            "prompt_words": 8,
        },
        "brackets": {"source": "tasks", "tasks": {"brackets": {}}, "train": 8, "heldout": 8},
    },
    "models": {
        "small": {**SMALL, "vocab_size": 300},
        "four": {**SMALL, "vocab_size": 300, "quantise": "int4"},
        "qwen2": {"source": "random", "shape": "qwen2.5-0.5b"},
        "dream": {"source": "random", "shape": "dream-7b"},
        "unknown": {**HUB},
        "folder": {"source": "path", "path": "set by the fixture"},
    },
    "arms": {
        "ar": {"model": "m", "decoder": "autoregressive"},
        "compiled": {"model": "m", "decoder": "autoregressive", "engine": "compiled"},
        "vllm": {"model": "m", "decoder": "vllm"},
        "continuous": {"model": "m", "decoder": "transformers_continuous"},
        "cached": {"model": "d", "decoder": "cached_diffusion"},
        "ngram": {"model": "m", "decoder": "speculative", "settings": {"drafter": {"name": "ngram"}}},
        "small": {
            "model": "m",
            "decoder": "speculative",
            "companions": {"draft": "m"},
            "settings": {
                "drafter": {"name": "small"},
                "schedule": {"name": "threshold"},
                "acceptance": {"name": "sampled_match"},
                "temperature": 1.0,
            },
        },
    },
    "workloads": {
        name: {
            "data": data,
            "task": "brackets" if data == "brackets" else None,
            "new_tokens": 16,
            "models": {"m": model, "d": "dream"},
            "metrics": metrics,
            "encoder": str(ROOT / "envs"),
            "run_code": True,
        }
        for name, data, model, metrics in (
            ("mine", "mine", "small", ["number", "unit_tests", "encoder_similarity"]),
            ("brackets", "brackets", "four", ["exact"]),
            ("brief", "brackets", "qwen2", ["exact"]),
            ("hub", "mine", "unknown", ["distinct_1", "distinct_3"]),
            ("folder", "mine", "folder", ["number"]),
        )
    },
    "experiments": {
        "steps": {
            "question": "Which files?",
            "grids": [
                {
                    "workloads": ["brackets", "brief", "hub", "folder"],
                    "arms": ["ar", "vllm"],
                    "reference": "ar",
                },
                {"workloads": ["mine"], "arms": ["compiled"], "reference": "compiled"},
                {
                    "workloads": ["mine"],
                    "arms": ["continuous", "cached", "ngram", "small"],
                    "reference": None,
                },
            ],
        }
    },
    "floors": [],
    "likelihood": None,
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Each study's plan, by name."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}')
    ODD["models"]["folder"]["path"] = str(folder)
    return cache(planned)


def planned(study: str) -> Plan:
    if study == "odd":
        return Plan({"seed": 1, "title": "Odd", **ODD}, [], ROOT)
    return read_plan(ROOT, [] if study == "default" else [ROOT / f"studies/{study}.yaml"])


def jobs(plan: Plan) -> list[tuple[str, str]]:
    names = {
        "prepare_data": plan.datasets,
        "train_model": plan.trained_models,
        "adapt_model": plan.adapted_models,
        "fetch_model": plan.fetched_models,
        "time_cell": plan.cells,
        "generate_outputs": plan.outputs,
        "score_cell": plan.outputs,
        "measure_likelihood": plan.likelihood_models,
        "measure_verify_cost": plan.drafted_models,
    }
    return [(script, name) for script, all_of in names.items() for name in all_of]


def uses(plan: Plan, script: str, name: str) -> dict[str, set[str]]:
    """Return entries that a job uses by registry, as a reader of the study would say."""
    used: dict[str, set[str]] = {kind: set() for kind in REGISTRIES}
    study = plan.study

    def run(*models: str) -> None:
        for model in (study.models[one] for one in models):
            if model.source in ("train", "adapt"):
                kind = {"draft": "DFlashDraftModel", "renderer": "FractalRenderer"}
                kind |= {"markov_draft": "DFlashMarkovDraftModel", "selector_draft": "DFlash2DraftModel"}
                config = {"architectures": [kind.get(model.family, "LlamaForCausalLM")]}
            elif model.source == "path":
                config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
            elif getattr(model, "shape", None) or model.source == "random":
                from pardec.models.checkpoints.shapes import shape

                config = shape(model.shape) if model.shape else {"architectures": ["LlamaForCausalLM"]}
            else:
                used["architecture"] |= set(ARCHITECTURES)
                used["format"] |= set(FORMATS)
                continue
            used["architecture"] |= set(config["architectures"])
            by_name = set(config["architectures"]) & set(FORMATS)
            used["format"] |= by_name or {config.get("model_type", "llama")} & set(FORMATS)
            used["quantisation"] |= {model.quantise} if getattr(model, "quantise", None) else set()

    def decode(*sides) -> None:
        for side in sides:
            run(*side.models)
            used["decoder"].add(side.decoder)
            used["engine"] |= {side.engine} - {"eager"}
            if side.decoder == "speculative":
                for kind in KINDS:
                    used[kind] |= {side.settings[kind]["name"]} - {"none"}
            if side.settings.get("plan") == "manager":
                used["decoder"].add(side.settings["manager"])

    if script == "prepare_data":
        source = study.data[name]
        used["data source"].add(source.source)
        used["task"] |= set(source.chosen()) if source.source == "tasks" else set()
    elif script in ("train_model", "adapt_model"):
        used["family"].add(study.models[name].family)
        used["model source"].add(study.models[name].source)
        run(name, *plan.parents(name))
    elif script == "fetch_model":
        used["model source"].add(study.models[name].source)
    elif script == "time_cell":
        decode(*filter(None, (plan.cells[name], plan.cells[name].reference)))
    elif script == "generate_outputs":
        decode(plan.outputs[name])
    elif script == "score_cell":
        work = study.workloads[plan.outputs[name].workload]
        used["metric"] |= set(work.metrics)
        used["task"] |= {work.task} & set(TASKS)
        run(*([work.scorer] if work.scorer else []))
    else:
        run(name)
    if script == "measure_verify_cost":
        drafts = [cell for cell in plan.cells.values() if cell.experiment_kind == "draft" and cell.companions]
        used["engine"] |= {next(cell.engine for cell in drafts if cell.model == name)} - {"eager"}
    for (kind, entry), others in BUILDS_ON.items():
        for other, name in others if entry in used[kind] else ():
            used[other].add(name)
    return used


def file(kind: str, entry: str) -> str:
    return REGISTRIES[kind].module(entry).replace(".", "/") + ".py"


@pytest.mark.parametrize("study", STUDIES)
def test_each_job_depends_on_what_it_loads_by_name_and_on_no_other_entry(plan, study):
    made = plan(study)
    for script, name in jobs(made):
        code = set(made.code(script, name))
        for kind, entries in uses(made, script, name).items():
            all_files = {file(kind, entry) for entry in REGISTRIES[kind]}
            assert code & all_files == {file(kind, entry) for entry in entries}, (script, name, kind)


def test_every_entry_of_every_registry_is_used_by_a_job_above(plan):
    seen = {kind: set() for kind in REGISTRIES}
    for study in STUDIES:
        for script, name in jobs(plan(study)):
            for kind, entries in uses(plan(study), script, name).items():
                seen[kind] |= entries
    unused = {(kind, entry) for kind in REGISTRIES for entry in set(REGISTRIES[kind]) - seen[kind]}
    assert not unused


def test_an_eager_cell_of_plain_weights_does_not_depend_on_what_compiles_or_quantises(plan):
    made = plan("default")
    for cell in made.cells:
        engines = [path for path in made.code("time_cell", cell) if path.startswith("pardec/models/engines/")]
        assert engines == []


def test_a_record_names_the_code_that_planning_follows(plan):
    """Both ask the same functions; a job asks with what stands on its command line and in its models' folders."""
    from pardec.common.closure import closure
    from pardec.decoding.prepared import modules_run
    from pardec.models.checkpoints.configs import modules_of_config

    made = plan("8b-shape")
    for name, cell in made.cells.items():
        sides = [cell, *([cell.reference] if cell.reference else [])]
        modules = [
            module for side in sides for module in modules_run(side.decoder, side.settings, side.engine)
        ]
        for model in (made.study.models[model] for side in sides for model in side.models):
            config = model.config_json() | ({"quantise": model.quantise} if model.quantise else {})
            modules += modules_of_config(config)
        assert made.code("time_cell", name) == closure(ROOT, "scripts/time_cell.py", modules)


def test_digests_change_with_a_file_of_the_closure_alone(plan, monkeypatch):
    """The param that makes a cell stale is a hash of the contents of these files."""
    made, edited = plan("default"), ROOT / "pardec/decoding/speculative/registry.py"
    before = {cell: made.code_digest("time_cell", cell) for cell in made.cells}
    made._code._digests.clear()
    plain = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: plain(path) + (b"# edited" if path == edited else b"")
    )
    changed = {cell for cell in made.cells if made.code_digest("time_cell", cell) != before[cell]}
    made._code._digests.clear()
    drafting = {cell for cell in made.cells if str(edited.relative_to(ROOT)) in made.code("time_cell", cell)}
    assert changed == drafting and 0 < len(changed) < len(made.cells)
