"""Stale means stale: content decides, not time; and exactly what depends on a change runs again."""

import json
import shlex

import pytest

from pardec.evidence.status import DONE, STALE, cell_states, stale_files
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


def timed_cells(commands):
    """Return what each command that times a cell is given, see `CellJob`."""
    lines = [line for line in commands if "python scripts/time_cell.py" in line]
    return [json.loads(words[words.index("--cell") + 1]) for words in map(shlex.split, lines)]


def states(project):
    """Return the state of each cell, as `pardec status` tells it."""
    smoke = [project.path("studies/smoke.yaml")]
    plan, stale = read_plan(project.folder, smoke), stale_files(project.folder, smoke)
    return {one.id: one.state for one in cell_states(plan, project.folder, stale)}


def test_editing_a_decoder_and_a_strategy_reruns_their_cells_and_what_follows(project, monkeypatch):
    """`pardec status` calls stale the very cells that Snakemake plans."""
    monkeypatch.chdir(project.folder)
    for name in ("pardec/decoding/masked_diffusion.py", "pardec/decoding/speculative/drafters.py"):
        project.change(name, read(project, name) + "\n# changed\n")
    planned, commands = project.plan()
    assert {"time_cell", "generate_outputs"} <= set(planned)
    assert set(planned) <= FOLLOWS | {"time_cell", "generate_outputs", "score_cell"}
    generated = [line for line in commands if "python scripts/generate_outputs.py" in line]
    assert generated and all("--decoder masked_diffusion" in line for line in generated)
    timed = timed_cells(commands)
    cells = [
        json.loads(path.read_text())["cell"] for path in project.path("results/cells").rglob("timing.json")
    ]
    changed = [c for c in cells if c["decoder"] == "masked_diffusion" or c["experiment"] == "draft"]
    assert {cell["decoder"] for cell in timed} == {"masked_diffusion", "speculative"}
    assert planned["time_cell"] == len(timed) == len(changed) < len(cells)
    told = states(project)
    assert set(told.values()) == {STALE, DONE}
    stale = {cell for cell, state in told.items() if state == STALE}
    assert stale == {cell["id"] for cell in timed} == {cell["id"] for cell in changed}


def test_editing_the_report_and_a_figure_reruns_the_report_and_that_figure(project):
    style = next(
        path.relative_to(project.folder) for path in project.path("report").rglob("*.css")
    ).as_posix()
    project.change(style, read(project, style) + "\n/* changed */\n")
    name = "pardec/report/figures/noise.py"
    project.change(name, read(project, name) + "\n# changed\n")
    after = ("draw_figure", "collect_jobs", "render_report", "describe_run", "all")
    assert project.planned() == dict.fromkeys(after, 1)


def test_a_claim_and_a_title_judge_and_render_again_and_an_idea_tabulates_again(project):
    after = {"collect_jobs", "compare_published", "render_report", "describe_run", "all"}
    project.change("studies/claims.yaml", read(project, "studies/claims.yaml") + "\n# changed\n")
    wanted, planned = {"judge_claims", "record_study"}, project.planned("--config", 'title="Another title"')
    assert wanted | {"render_report"} <= set(planned) <= wanted | after
    project.change("studies/ideas.yaml", read(project, "studies/ideas.yaml") + "\n# changed\n")
    assert {"judge_claims", "judge_ideas", "tabulate"} <= set(project.planned()) <= FOLLOWS


def test_a_longer_budget_times_again_and_makes_nothing_else(project):
    planned = project.planned("--config", 'measure={"budget_s": 0.31}')
    assert "time_cell" in planned and not {"train_model", "generate_outputs", "prepare_data"} & set(planned)


def test_a_deleted_record_comes_back_alone(project):
    path = project.path(
        "results/cells/steps/copy/diffusion-copy/diffusion/steps~4+new~16+batch~1/timing.json"
    )
    before = path.read_bytes()
    other = project.path(
        "results/cells/steps/copy/diffusion-copy/diffusion/steps~16+new~16+batch~1/timing.json"
    )
    untouched = other.read_bytes()
    path.unlink()
    project.snakemake(target=path.relative_to(project.folder).as_posix())
    assert path.exists() and path.read_bytes() != before and other.read_bytes() == untouched
    path.write_bytes(before)  # everything above rests on it


def test_a_missing_record_is_seen_beside_a_new_machine_and_a_new_metric_scores_again(project):
    """What is only to come first must not stand between a record and its rule; a metric decodes and times nothing."""
    for name in ("scripts/warm_up.py", "scripts/describe_machine.py", "pardec/quality/distinct.py"):
        project.change(name, read(project, name) + "\n# changed\n")
    path = next(project.path("results/cells").rglob("timing.json"))
    content = path.read_bytes()
    path.unlink()
    try:
        planned, commands = project.plan()
    finally:
        path.write_bytes(content)
    again = {"describe_machine", "warm_up", "time_cell"}
    assert [planned[rule] for rule in sorted(again)] == [1, 1, 1]
    assert again | {"score_cell"} <= set(planned) <= FOLLOWS | again | {"score_cell"}
    assert [cell["id"] for cell in timed_cells(commands)] == [json.loads(content)["cell"]["id"]]


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
