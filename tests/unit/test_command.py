from importlib.metadata import version

import pytest

from pardec.common import command
from pardec.common.command import SEEN, outdated, targets_first


def moved(line):
    return " ".join(targets_first(line.split()))


def test_a_target_behind_resources_goes_first():
    assert moved("--cores 1 --resources gpu=1 all") == "all --cores 1 --resources gpu=1"
    assert moved("-c2 --config a=1 b=2 all -n") == "all -c2 --config a=1 b=2 -n"
    assert moved("--resources gpu=1 a.txt b.txt") == "a.txt b.txt --resources gpu=1"


def test_a_target_behind_configuration_files_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more.json").write_text("{}")
    assert moved("--configfile studies/8b.yaml all") == "all --configfile studies/8b.yaml"
    assert moved("--configfile a.yaml b.yml more.json all -n") == "all --configfile a.yaml b.yml more.json -n"
    assert (
        moved("--configfile a.yaml results/cells/a/timing.json")
        == "results/cells/a/timing.json --configfile a.yaml"
    )
    assert moved("--configfile=a.yaml all") == "all --configfile=a.yaml"
    assert targets_first(["--configfile", "my study", "all"]) == ["all", "--configfile", "my study"]


def test_everything_else_stays_as_it_is():
    for line in (
        "all --cores 2 --resources gpu=1",
        "--cores 1 --resources gpu=1 -- all",
        "-n --quiet all",
        "--forcerun time_cell --until tabulate",
        "--configfile studies/smoke.yaml -- all",
        "--configfile studies/smoke.yaml",
        "--configfile a.yaml b.yaml -n all",
    ):
        assert moved(line) == line


@pytest.mark.parametrize("result, says", [(SEEN, False), ("9.99", False)])
def test_another_version_with_the_same_options_is_not_named(monkeypatch, result, says):
    assert version("snakemake") == SEEN
    monkeypatch.setattr("importlib.metadata.version", lambda name: result)
    assert bool(outdated()) is says


def test_options_that_changed_are_named_in_a_line(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.99")
    monkeypatch.setattr(command, "PAIRS", {"--resources", "--no-such-option"})
    assert "9.99" in outdated() and "--no-such-option" in outdated() and "--resources" not in outdated()
