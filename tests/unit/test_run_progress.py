"""The live line of a run, from events as Snakemake logs them."""

import io
import logging
from types import SimpleNamespace

import pytest

from pardec.study import run_progress
from pardec.study.run_progress import RunProgress


def record(event, **facts):
    made = logging.makeLogRecord({"event": SimpleNamespace(value=event), **facts})
    return made


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: now[0])
    return now


def run(progress, clock, *jobs):
    for number, (rule, seconds) in enumerate(jobs):
        assert progress.filter(record("job_info", jobid=number, rule_name=rule))
        clock[0] += seconds
        assert not progress.filter(record("job_finished", job_id=number))
        assert not progress.filter(record("progress", done=number + 1, total=5))


STATS = {"time_cell": 3, "tabulate": 1, "all": 1, "total": 5}


def test_it_counts_cells_and_jobs_and_foretells_the_rest(tmp_path, clock):
    message, past = io.StringIO(), tmp_path / "seconds.json"
    progress = RunProgress(past, message)
    assert progress.filter(record("run_info", stats=STATS))
    run(progress, clock, ("time_cell", 60))
    assert message.getvalue() == "pardec: 1 of 3 cells, 1 of 4 jobs, about 2 min left, without tabulate\n"
    run(progress, clock, ("time_cell", 60), ("time_cell", 60), ("tabulate", 240))
    assert message.getvalue().splitlines()[-1] == "pardec: 3 of 3 cells, 4 of 4 jobs"

    again = RunProgress(past, io.StringIO())
    again.filter(record("run_info", stats=STATS))
    assert again.line() == "pardec: 0 of 3 cells, 0 of 4 jobs, about 7 min left"


def test_a_first_run_counts_by_the_published_one_as_much_slower_as_its_jobs_were(tmp_path, clock):
    said, theirs = io.StringIO(), tmp_path / "published.json"
    theirs.write_text('{"time_cell": 30, "tabulate": 300}')
    progress = RunProgress(tmp_path / "s.json", said, theirs)
    progress.filter(record("run_info", stats=STATS))
    assert progress.line().endswith(
        "about 6 min left"
    )  # three cells of half a minute, five minutes of tables
    run(progress, clock, ("time_cell", 60))
    assert said.getvalue().endswith(
        "about 12 min left\n"
    )  # twice as slow: two cells of one minute, ten of tables


def test_longer_cells_of_another_study_do_not_stretch_the_other_jobs(tmp_path, clock):
    theirs = tmp_path / "published.json"
    theirs.write_text('{"time_cell": 1, "prepare_data": 10, "tabulate": 300, "record_study": 10}')
    progress = RunProgress(tmp_path / "s.json", io.StringIO(), theirs)
    progress.filter(record("run_info", stats={**STATS, "prepare_data": 1, "record_study": 1}))
    run(progress, clock, ("prepare_data", 10), ("record_study", 10), ("time_cell", 60))
    assert progress.line().endswith("about 7 min left")  # two cells of a minute, five of tables


@pytest.mark.parametrize(("own", "words"), [(True, "about 120 min left"), (False, "about 25 min left")])
def test_cells_of_another_study_say_nothing_of_this_machine(tmp_path, clock, own, words):
    theirs = tmp_path / "published.json"
    theirs.write_text('{"time_cell": 30, "tabulate": 300}')
    progress = RunProgress(tmp_path / "s.json", io.StringIO(), theirs, own=own)
    progress.filter(record("run_info", stats=STATS))
    run(progress, clock, ("time_cell", 600))
    assert progress.line().endswith(words)  # two cells of ten minutes, and five minutes of tables


def test_the_first_short_job_does_not_decide_how_slow_the_machine_is(tmp_path, clock):
    theirs = tmp_path / "published.json"
    theirs.write_text('{"time_cell": 60, "prepare_data": 0.5, "tabulate": 300}')
    progress = RunProgress(tmp_path / "s.json", io.StringIO(), theirs)
    progress.filter(record("run_info", stats={**STATS, "prepare_data": 1}))
    run(progress, clock, ("prepare_data", 20))
    assert progress.line().endswith("about 8 min left")  # and not forty times as long


def test_durations_of_this_machine_come_before_published_ones(tmp_path, clock):
    (tmp_path / "s.json").write_text('{"time_cell": 60}')
    (tmp_path / "published.json").write_text('{"time_cell": 600, "tabulate": 60}')
    progress = RunProgress(tmp_path / "s.json", io.StringIO(), tmp_path / "published.json")
    progress.filter(record("run_info", stats=STATS))
    assert progress.line().endswith("about 4 min left")


def test_one_long_cell_counts_as_one(tmp_path, clock):
    progress = RunProgress(tmp_path / "s.json", io.StringIO())
    progress.filter(record("run_info", stats={**STATS, "time_cell": 20}))
    run(progress, clock, *[("time_cell", 30)] * 8, ("time_cell", 600))
    assert progress.line().endswith("about 17 min left, without tabulate")  # eleven cells of the mean, 93 s


def test_rules_that_no_run_has_timed_count_as_the_usual_one(tmp_path, clock):
    """Except one that may take hours."""
    theirs = tmp_path / "published.json"
    theirs.write_text('{"time_cell": 60, "tabulate": 60, "score_cell": 1}')
    progress = RunProgress(tmp_path / "s.json", io.StringIO(), theirs)
    progress.filter(
        record("run_info", stats={"time_cell": 1, "collect_jobs": 1, "render_report": 1, "total": 3})
    )
    assert progress.line().endswith("about 3 min left")
    progress.filter(
        record("run_info", stats={"time_cell": 1, "collect_jobs": 1, "fetch_model": 1, "total": 3})
    )
    assert progress.line().endswith("about 2 min left, without fetch_model")


@pytest.mark.parametrize(("restored", "words"), [(True, "without train_model"), (False, "about 11 min left")])
def test_a_restored_model_takes_no_time_of_training(tmp_path, clock, restored, words):
    (tmp_path / "published.json").write_text('{"train_model": 600, "tabulate": 60}')
    progress = RunProgress(tmp_path / "s.json", io.StringIO(), tmp_path / "published.json", restored)
    progress.filter(record("run_info", stats={"train_model": 1, "tabulate": 1}))
    assert progress.line().endswith(words)


def test_without_a_terminal_few_lines_are_printed(tmp_path, clock):
    message = io.StringIO()
    progress = RunProgress(tmp_path / "s.json", message)
    progress.filter(record("run_info", stats={"time_cell": 100}))
    run(progress, clock, *[("time_cell", 1)] * 50)
    assert len(message.getvalue().splitlines()) == 5


def test_what_snakemake_prints_before_each_job_is_left_out(tmp_path):
    progress = RunProgress(tmp_path / "s.json", io.StringIO())
    assert not progress.filter(logging.makeLogRecord({"msg": "Select jobs to execute..."}))
    assert progress.filter(logging.makeLogRecord({"msg": "Nothing to be done"}))


def test_a_failed_job_is_named_with_its_log(tmp_path):
    message = io.StringIO()
    progress = RunProgress(tmp_path / "s.json", message)
    assert progress.filter(record("job_error", rule_name="tabulate", log=["results/logs/tables/x.log"]))
    assert message.getvalue() == "failed: tabulate, see results/logs/tables/x.log\n"


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "b"}', "{"])
def test_a_damaged_file_of_durations_is_none(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    assert RunProgress(tmp_path / "s.json", io.StringIO()).means == {}


def test_snakemake_names_its_events_so():
    from snakemake_interface_logger_plugins.common import LogEvent

    assert {"run_info", "job_info", "job_finished", "job_error", "progress"} <= {e.value for e in LogEvent}
