from pardec.common.command import targets_first


def moved(line):
    return " ".join(targets_first(line.split()))


def test_a_target_behind_resources_goes_first():
    assert moved("--cores 1 --resources gpu=1 all") == "all --cores 1 --resources gpu=1"
    assert moved("-c2 --config a=1 b=2 all -n") == "all -c2 --config a=1 b=2 -n"
    assert moved("--resources gpu=1 a.txt b.txt") == "a.txt b.txt --resources gpu=1"


def test_everything_else_stays_as_it_is():
    for line in (
        "all --cores 2 --resources gpu=1",
        "--cores 1 --resources gpu=1 -- all",
        "-n --quiet all",
        "--forcerun time_cell --until tabulate",
        "--configfile studies/smoke.yaml -- all",
    ):
        assert moved(line) == line
