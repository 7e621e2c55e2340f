"""What a study may say, and what is said of one that is wrong."""

import copy
import json
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from pardec.common.errors import UserError
from pardec.study.command_line import command_line
from pardec.study.layers import lay_over, read_study
from pardec.study.load import load_study
from pardec.study.plan import Plan, read_plan, words
from pardec.study.reference import json_schema, reference

ROOT = Path(__file__).parents[2]
PAPER, FILES = read_study(ROOT, [ROOT / "studies/paper.yaml"])


@pytest.fixture(scope="module")
def default():
    return PAPER


@pytest.fixture
def config(default):
    return copy.deepcopy(default)


def put(config, path, value):
    *way, last = path
    for step in way:
        config = config[step]
    config[last] = value


def message(config):
    with pytest.raises(UserError) as caught:
        load_study(config, FILES)
    return str(caught.value)


def test_every_study_of_the_project_is_valid():
    others = {ROOT / f"studies/{name}.yaml" for name in ("claims", "ideas")}
    studies = sorted(set((ROOT / "studies").glob("*.yaml")) - others)
    assert studies
    for path in studies:
        load_study(*read_study(ROOT, [path]))


def test_reference_and_schema_follow_the_models():
    mend = "run `make docs`"
    assert (ROOT / "docs/config.md").read_text() == reference(), mend
    assert (ROOT / "docs/study.schema.json").read_text() == json_schema(), mend


def test_schema_accepts_the_default_study_and_refuses_a_typo(config):
    schema = json.loads(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(config, schema)
    config["measure"]["warmup_pases"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, schema)


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *(ROOT / "studies/base").glob("*.yaml")], ids=lambda p: p.name
)
def test_every_key_of_the_default_study_is_commented(path):
    lines = path.read_text().splitlines()
    top = [number for number, line in enumerate(lines) if line and not line[0].isspace() and line[0] != "#"]
    for number in top:
        assert "#" in lines[number] or lines[number - 1].startswith("#"), lines[number]


def test_the_default_study_can_be_read_in_one_sitting():
    assert len((ROOT / "config.yaml").read_text().splitlines()) <= 250


def test_the_default_study_asks_all_that_the_paper_study_asks_of_the_same_models():
    """What it leaves out are cells and prompts: no question, idea or claim, and nothing that weights depend on."""
    mine, whole = read_plan(ROOT), read_plan(ROOT, [ROOT / "studies/paper.yaml"])
    asked = {name: experiment.question for name, experiment in whole.study.experiments.items()}
    assert {name: experiment.question for name, experiment in mine.study.experiments.items()} == asked
    assert (mine.study.claims, mine.study.ideas) == (whole.study.claims, whole.study.ideas)
    assert len(mine.cells) < len(whole.cells) / 1.5 and set(mine.models) <= set(whole.models)
    for name in mine.models:
        assert mine.model_settings(name) == whole.model_settings(name)
        assert mine.seed("model", name) == whole.seed("model", name)
        data = mine.study.models[name].data
        assert mine.data_settings(data) == whole.data_settings(data)


WRONG = {
    "typo in a section's key": (
        ["measure", "warmup_pases"],
        3,
        ["measure.warmup_pases", "did you mean 'warmup_passes'"],
    ),
    "typo at the top": (["sed"], 3, ["sed", "did you mean 'seed'"]),
    "typo in a model": (["models", "ar-grid", "stesp"], 3, ["models.ar-grid.stesp", "did you mean 'steps'"]),
    "typo in a decoder's settings": (
        ["arms", "diffusion", "settings", "tresholds"],
        0.9,
        ["arms.diffusion.settings.tresholds", "did you mean 'threshold'"],
    ),
    "negative batch": (
        ["experiments", "batch", "grids", 0, "batch"],
        [1, -4],
        ["batch.grids.0.batch.1", "-4", "greater than 0"],
    ),
    "text where a number belongs": (
        ["measure", "budget_s"],
        "long",
        ["measure.budget_s", "'long'", "number"],
    ),
    "number as text": (["threads"], "2", ["threads", "'2'", "integer"]),
    "out of bounds": (
        ["measure", "target_half_width"],
        1.5,
        ["measure.target_half_width", "1.5", "less than 1"],
    ),
    "zero prompts": (
        ["workloads", "grid", "prompts"],
        0,
        ["workloads.grid.prompts", "0", "greater than or equal to 1"],
    ),
    "steps > tokens": (
        ["experiments", "steps", "grids", 1, "sweep", "steps"],
        [1, 21],
        ["experiments.steps.grids.1", "steps 21 exceed new_tokens 16"],
    ),
    "a sweep value the decoder refuses": (
        ["experiments", "steps", "grids", 0, "sweep", "steps"],
        [1, 0],
        ["experiments.steps.grids.0.sweep.steps", "greater than or equal to 1"],
    ),
    "unknown decoder": (
        ["arms", "ar", "decoder"],
        "autoregresive",
        ["arms.ar.decoder", "did you mean 'autoregressive'"],
    ),
    "unknown metric": (
        ["workloads", "grid", "metrics"],
        ["exakt"],
        ["workloads.grid.metrics.0", "did you mean 'exact'"],
    ),
    "unknown source": (["data", "grid", "source"], "task", ["data.grid.source", "did you mean 'tasks'"]),
    "unknown arm": (
        ["experiments", "steps", "grids", 0, "arms"],
        ["arr"],
        ["there is no arm 'arr'", "did you mean 'ar'"],
    ),
    "unknown workload": (
        ["experiments", "noise", "grids", 0, "workloads"],
        ["gird"],
        ["no workload 'gird'", "'grid'"],
    ),
    "unknown model": (["workloads", "grid", "models", "ar"], "ar-gird", ["no model 'ar-gird'", "'ar-grid'"]),
    "unknown dataset": (
        ["models", "ar-grid", "data"],
        "grd",
        ["models.ar-grid.data", "no dataset 'grd'", "'grid'"],
    ),
    "task not in the dataset": (
        ["workloads", "copy", "task"],
        "grid",
        ["workloads.copy.task", "no task 'grid'"],
    ),
    "tau of an arm that does not draft": (
        ["floors", 0, "metric"],
        "tau",
        ["floors.0.metric", "no metric 'tau'", "cells, exact, parses"],
    ),
    "models in a circle": (["models", "ar-strings", "init"], "diffusion-strings", ["in a circle"]),
    "a name that is no path": (["models", "a/b"], {"source": "train"}, ["a/b", "pattern"]),
    "missing section": (["experiments"], {}, ["experiments", "at least 1"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_gets_one_clear_message(config, name):
    path, value, wanted = WRONG[name]
    put(config, path, value)
    output = message(config)
    for part in wanted:
        assert part in output, output
    assert "fix:" in output and "Traceback" not in output


def test_the_message_names_file_and_line(config):
    base = "studies/base/minimal.yaml"
    line = (ROOT / base).read_text().splitlines().index("measure:") + 1
    put(config, ["measure", "budget_s"], -1)
    output = message(config)
    assert output.startswith(f"{base}:"), output
    number = int(output.split(":")[1])
    assert line < number < line + 12


def test_a_value_from_the_command_line_is_not_blamed_on_a_file(config):
    put(config, ["workloads", "new-one"], {"data": "grid", "task": "grid", "newtokens": 3})
    assert "workloads.new-one" in message(config)


def test_the_command_line_is_typed_and_named(config):
    output = command_line(['measure={"budget_s": 0.5}', "threads=two"])
    assert output == {"measure": {"budget_s": 0.5}, "threads": "two"}
    with pytest.raises(UserError) as caught:
        load_study(lay_over(config, output), [*FILES, output])
    assert str(caught.value).startswith("--config: threads: is 'two'")


def test_several_mistakes_are_told_at_once(config):
    put(config, ["threads"], 0)
    put(config, ["measure", "max_samples"], 1)
    output = message(config)
    assert "2 mistakes" in output and "threads" in output and "measure.max_samples" in output


def test_an_overlay_removes_an_entry_by_null(config):
    config["experiments"]["batch"] = None
    study, cells = load_study(config, FILES)
    assert "batch" not in study.experiments and not any(id.startswith("batch/") for id in cells)


def test_cells_pair_with_the_reference_of_their_shape(config):
    _, cells = load_study(config, FILES)
    for cell in cells.values():
        if cell.experiment == "noise":
            assert cell.reference.output_id == cell.output_id
        elif cell.experiment == "prompts":
            assert cell.reference.arm == cell.arm and not cell.reference.random_prompts
        elif cell.reference is not None:
            # These hold decoders against one another.
            mine = cell.experiment in ("draft", "flood", "candidates", "jacobi")
            mine |= cell.arm == "block-4-uncached"  # and this one a cache against none
            assert cell.reference.decoder == "autoregressive" or mine
            assert (cell.reference.batch, cell.reference.new_tokens) == (cell.batch, cell.new_tokens)
            assert cell.reference.prompt_tokens == cell.prompt_tokens
    sweep = [cell.settings["steps"] for id, cell in cells.items() if id.startswith("steps/grid/diffusion")]
    assert sweep == [1, 2, 4, 8, 16, 32, 64]


def test_only_what_some_cell_uses_is_made(config):
    config["experiments"] = {"noise": config["experiments"]["noise"]}
    config["experiments"]["noise"]["grids"] = config["experiments"]["noise"]["grids"][:1]
    config["likelihood"] = None
    plan = Plan(config, FILES, ROOT)
    assert set(plan.models) == {"ar-grid", "diffusion-grid"} and plan.datasets == ["grid"]


def test_order_keeps_models_together_and_shuffles_within(config):
    plan = Plan(config, FILES, ROOT)
    order = sorted(plan.cells, key=plan.priority, reverse=True)
    models = [plan.cells[id].model for id in order]
    assert sum(a != b for a, b in pairwise(models)) == len(set(models)) - 1
    grid = [plan.cells[id].settings.get("steps") for id in order if id.startswith("steps/grid/diffusion")]
    assert grid != sorted(grid)


def test_models_that_others_wait_for_come_first(config):
    plan = Plan(config, [], ROOT)
    order = sorted(plan.models, key=plan.model_priority, reverse=True)
    parents = [parent for name in order for parent in plan.parents(name)]
    heirs = [name for name in order if plan.parents(name) and name not in parents]
    alone = [name for name in order if name not in parents and not plan.parents(name)]
    assert parents and alone and order[-len(alone) :] == alone
    assert max(order.index(name) for name in parents) < min(order.index(name) for name in heirs)
    assert [plan.study.models[name].steps for name in alone] == sorted(
        (plan.study.models[name].steps for name in alone), reverse=True
    )
    assert max(map(plan.model_priority, order)) < 200_000  # the warm-up comes before, see rules/machine.smk
    assert min(map(plan.model_priority, order)) > max(map(plan.priority, plan.cells))


def test_one_key_changes_only_the_command_lines_that_depend_on_it(config):
    before = Plan(copy.deepcopy(config), FILES, ROOT)
    put(config, ["models", "ar-grid", "steps"], 7)
    after = Plan(config, FILES, ROOT)
    assert before.model_settings("ar-grid") != after.model_settings("ar-grid")
    assert before.model_settings("ar-text") == after.model_settings("ar-text")
    assert all(before.cell_job(id) == after.cell_job(id) for id in before.cells)
    put(config, ["experiments", "steps", "grids", 0, "sweep", "steps"], [1, 2, 4, 8, 16, 32, 50])
    fewer = Plan(config, FILES, ROOT)
    assert all(fewer.cell_job(id) == before.cell_job(id) for id in set(fewer.cells) & set(before.cells))


def test_words_of_a_command_line_are_plain_and_left_out_where_nothing_is_said():
    made = words(name="a; rm -rf /", new_tokens=3, settings={"x": "$(boom) '"}, none=None)
    assert made == [
        "--name",
        "a; rm -rf /",
        "--new-tokens",
        "3",
        "--settings",
        '{"x":"$(boom) \'"}',
    ]
