"""Stale means stale: content decides, not time; and exactly what depends on a change runs again."""

import json
import os
import shlex
import time

import pytest

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
    assert project.planned() == {}


def read(project, name):
    return project.path(name).read_text()


def timed_cells(commands):
    """Returns what each command that times a cell is given, see `CellJob`."""
    lines = [line for line in commands if "python scripts/time_cell.py" in line]
    return [json.loads(words[words.index("--cell") + 1]) for words in map(shlex.split, lines)]


def test_a_second_run_runs_nothing(project):
    assert project.planned() == {}


def test_touching_everything_runs_nothing(project):
    now = time.time()
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path, (now, now))
    assert project.planned() == {}


def test_editing_a_decoder_reruns_its_cells_and_what_follows(project):
    name = "pardec/decoding/masked_diffusion.py"
    project.change(name, read(project, name) + "\n# changed\n")
    planned = project.planned()
    assert {"time_cell", "generate_outputs"} <= set(planned)
    assert set(planned) <= FOLLOWS | {"time_cell", "generate_outputs", "score_cell"}
    commands = project.commands()
    timed = timed_cells(commands)
    assert timed and {cell["decoder"] for cell in timed} == {"masked_diffusion"}
    generated = [line for line in commands if "python scripts/generate_outputs.py" in line]
    assert generated and all("--decoder masked_diffusion" in line for line in generated)
    cells = list(project.path("results/cells").rglob("timing.json"))
    masked = [path for path in cells if json.loads(path.read_text())["cell"]["decoder"] == "masked_diffusion"]
    assert planned["time_cell"] == len(timed) == len(masked) < len(cells)


def test_editing_and_reverting_reruns_nothing(project):
    name = "pardec/decoding/masked_diffusion.py"
    project.change(name, read(project, name) + "\n# changed\n")
    assert project.planned()
    project.change(name, read(project, name).removesuffix("\n# changed\n"))
    assert project.planned() == {}


def test_editing_the_report_reruns_the_report(project):
    name = next(path.relative_to(project.folder) for path in project.path("report").rglob("*.css")).as_posix()
    project.change(name, read(project, name) + "\n/* changed */\n")
    assert set(project.planned()) == {"render_report", "describe_run", "all"}


def test_editing_a_figure_reruns_that_figure(project):
    name = "pardec/report/figures/noise.py"
    project.change(name, read(project, name) + "\n# changed\n")
    planned = project.planned()
    assert planned == dict.fromkeys(
        ("draw_figure", "collect_jobs", "render_report", "describe_run", "all"), 1
    )


def test_editing_a_claim_judges_again_and_an_idea_tabulates_again(project):
    after = {"collect_jobs", "compare_published", "render_report", "describe_run", "all"}
    project.change("studies/claims.yaml", read(project, "studies/claims.yaml") + "\n# changed\n")
    assert {"judge_claims"} <= set(project.planned()) <= {"judge_claims"} | after
    project.change("studies/ideas.yaml", read(project, "studies/ideas.yaml") + "\n# changed\n")
    assert {"judge_claims", "judge_ideas", "tabulate"} <= set(project.planned()) <= FOLLOWS


def test_editing_a_metric_scores_again_and_decodes_nothing(project):
    name = "pardec/quality/distinct.py"
    project.change(name, read(project, name) + "\n# changed\n")
    planned = project.planned()
    assert "score_cell" in planned and not {"time_cell", "generate_outputs", "train_model"} & set(planned)


def test_one_key_of_the_config_reruns_what_depends_on_it(project):
    planned = project.planned("--config", 'title="Another title"')
    assert (
        set(planned)
        <= {"record_study", "compare_published", "collect_jobs", "render_report", "describe_run", "all"}
        and "render_report" in planned
    )
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
    planned = project.planned()
    assert planned["time_cell"] == 1 and set(planned) <= FOLLOWS | {"time_cell"}
    project.snakemake()
    assert path.exists() and path.read_bytes() != before and other.read_bytes() == untouched


def test_a_record_that_is_missing_is_seen_while_the_machine_is_described_again(project):
    """What is only to come first must not stand between a record and its rule."""
    project.change("scripts/warm_up.py", read(project, "scripts/warm_up.py") + "\n# changed\n")
    project.change(
        "scripts/describe_machine.py", read(project, "scripts/describe_machine.py") + "\n# changed\n"
    )
    path = next(project.path("results/cells").rglob("timing.json"))
    content = path.read_bytes()
    path.unlink()
    try:
        planned = project.planned()
    finally:
        path.write_bytes(content)
    assert planned["describe_machine"] == planned["warm_up"] == planned["time_cell"] == 1


def test_a_clone_with_the_results_runs_nothing(project, tmp_path):
    """Content decides: a copy made later, with all times new, is as up to date as its original."""
    import shutil

    copy = tmp_path / "clone"
    shutil.copytree(project.folder, copy, copy_function=shutil.copyfile)
    assert type(project)(copy).planned() == {}


def test_status_calls_stale_what_snakemake_would_run_again(project, monkeypatch):
    """One decision: on a finished run nothing is stale; after an edit, the very cells that Snakemake plans."""
    from pardec.evidence.status import DONE, STALE, cell_states, stale_files
    from pardec.study.plan import read_plan

    monkeypatch.chdir(project.folder)
    smoke = [project.path("studies/smoke.yaml")]
    plan = read_plan(project.folder, smoke)

    def states():
        return {
            one.id: one.state for one in cell_states(plan, project.folder, stale_files(project.folder, smoke))
        }

    assert set(states().values()) == {DONE}
    name = "pardec/decoding/speculative/drafters.py"
    project.change(name, read(project, name) + "\n# changed\n")
    stale = {cell for cell, state in states().items() if state == STALE}
    planned = {cell["id"] for cell in timed_cells(project.commands())}
    assert stale == planned and {cell.split("/")[0] for cell in stale} == {"draft"}
