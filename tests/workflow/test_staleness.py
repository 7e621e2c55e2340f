"""Stale means stale: content decides, not time; and exactly what depends on a change runs again."""

import json
import shlex

import pytest

from pardec.evidence.status import DONE, MISSING, STALE, cell_states, stale_files
from pardec.study.plan import read_plan

pytestmark = pytest.mark.workflow

FOLLOWS = {
    "tabulate",
    "draw_figure",
    "collect_values",
    "judge_claims",
    "judge_ideas",
    "collect_trails",
    "collect_jobs",
    "compare_published",
    "render_report",
    "describe_run",
    "all",
}
"""What comes after any record."""


@pytest.fixture(autouse=True)
def restored(project):
    """Each test may change files of the copy; afterwards they are as they were."""
    kept = {}

    def change(name, text):
        path = project.path(name)
        kept.setdefault(name, path.read_bytes())
        path.write_text(text)

    project.change = change
    yield
    for name, content in kept.items():
        project.path(name).write_bytes(content)


def read(project, name):
    return project.path(name).read_text()


def words_of(commands, script):
    """Return the words of each command that runs a script."""
    return [shlex.split(line) for line in commands if f"python scripts/{script}.py" in line]


def value(words, flag):
    return words[words.index(flag) + 1]


def timed_cells(commands):
    """Return what each command that times a cell is given, see `CellJob`."""
    return [json.loads(value(words, "--cell")) for words in words_of(commands, "time_cell")]


def states(project):
    """Return the state of each cell, as `pardec status` tells it."""
    smoke = [project.path("studies/smoke.yaml")]
    plan, stale = read_plan(project.folder, smoke), stale_files(project.folder, smoke)
    return {one.id: one.state for one in cell_states(plan, project.folder, stale)}


EDITED = (
    "pardec/decoding/masked_diffusion.py",
    "pardec/decoding/speculative/drafters.py",
    "pardec/quality/distinct.py",
    "scripts/describe_machine.py",
    "scripts/warm_up.py",
)
LOST = "results/cells/steps/copy/ar-copy/ar/new~16+batch~1/timing.json"
"""A record that rests on none of these but what is only to come before it."""


@pytest.fixture
def edited(project):
    """The copy with a decoder, a strategy, a metric and what comes first edited, and without a record."""
    for name in EDITED:
        project.change(name, read(project, name) + "\n# changed\n")
    record = project.path(LOST).read_bytes()
    project.path(LOST).unlink()
    yield
    project.path(LOST).write_bytes(record)


def test_edits_rerun_the_cells_outputs_and_scores_that_use_them_and_what_follows(
    project, edited, monkeypatch
):
    """A decoder and a strategy time their cells again, a decoder decodes again, a metric scores again. A missing record
    is seen beside what is only to come first. `pardec status` calls stale the very cells that Snakemake plans."""
    monkeypatch.chdir(project.folder)
    planned, commands = project.plan()
    again = {"describe_machine", "warm_up", "time_cell", "generate_outputs", "score_cell"}
    assert again <= set(planned) <= FOLLOWS | again
    assert planned["describe_machine"] == planned["warm_up"] == 1
    generated = words_of(commands, "generate_outputs")
    assert generated and {value(words, "--decoder") for words in generated} == {"masked_diffusion"}
    # Outputs that nobody writes again are scored again where the metric is one of theirs.
    written = {value(words, "--out") for words in generated}
    rescored = [
        words for words in words_of(commands, "score_cell") if value(words, "--outputs") not in written
    ]
    assert rescored and all("distinct_2" in value(words, "--metrics").split(",") for words in rescored)
    timed = timed_cells(commands)
    cells = [
        json.loads(path.read_text())["cell"] for path in project.path("results/cells").rglob("timing.json")
    ]
    changed = {c["id"] for c in cells if c["decoder"] == "masked_diffusion" or c["experiment"] == "draft"}
    lost = LOST.removeprefix("results/cells/").removesuffix("/timing.json")
    assert planned["time_cell"] == len(timed) < len(cells)
    assert {cell["id"] for cell in timed} == changed | {lost}
    told = states(project)
    assert set(told.values()) == {STALE, DONE, MISSING}
    assert {cell for cell, state in told.items() if state == STALE} == changed
    assert [cell for cell, state in told.items() if state == MISSING] == [lost]


def test_a_style_a_figure_a_claim_and_a_title_rerun_the_report_and_one_job_each(project):
    style = next(project.path("report").rglob("*.css")).relative_to(project.folder).as_posix()
    project.change(style, read(project, style) + "\n/* changed */\n")
    for name in ("pardec/report/figures/noise.py", "studies/claims.yaml"):
        project.change(name, read(project, name) + "\n# changed\n")
    again = ("draw_figure", "judge_claims", "record_study")
    after = ("collect_jobs", "compare_published", "render_report", "describe_run", "all")
    assert project.planned("--config", 'title="Another title"') == dict.fromkeys((*again, *after), 1)


def test_an_idea_tabulates_and_judges_again(project):
    project.change("studies/ideas.yaml", read(project, "studies/ideas.yaml") + "\n# changed\n")
    assert {"judge_claims", "judge_ideas", "tabulate"} <= set(project.planned()) <= FOLLOWS


def test_a_longer_budget_times_again_and_makes_nothing_else(project):
    planned = project.planned("--config", 'measure={"budget_s": 0.31}')
    assert "time_cell" in planned and not {"train_model", "generate_outputs", "prepare_data"} & set(planned)


def test_a_second_run_in_a_clone_runs_nothing(project):
    """Content decides: in the project's copy all times are new, inputs may be later than outputs, and what the tests
    above edited has been put back."""
    assert project.planned() == {}


@pytest.mark.thorough
def test_all_that_follows_from_a_deleted_record_is_made_again(project):
    path = next(project.path("results/cells").rglob("timing.json"))
    path.unlink()
    project.snakemake()
    assert path.exists() and project.planned() == {}
