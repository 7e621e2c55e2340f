"""`pardec compare` finds what differs, and nothing else."""

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pardec.cli.main import app
from pardec.evidence.compare import DIFFERS, NOT_COMPARABLE, REPRODUCED, compare, p_value
from pardec.evidence.run import open_run
from tests.finished_run import finished_run, shifted

CELL = "steps/grid/mdm-grid/mdm/steps=4,new=32,batch=1"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("run"))


def held(a, b):
    with open_run(a) as first, open_run(b) as second:
        return compare(first, second)


def by_id(found):
    return {one.id: one for one in found.judged}


def edited(results, target, change):
    """A copy of the run whose values.json `change` has edited."""
    shutil.copytree(results, target)
    body = json.loads((target / "values.json").read_text())
    change(body["values"])
    (target / "values.json").write_text(json.dumps(body))
    return target


def test_a_run_reproduces_itself(results):
    found = held(results, results)
    assert found.count(REPRODUCED) == len(found.judged) > 1000 and found.share == 1.0
    assert not found.machine and not found.study


def test_shifted_latencies_differ_and_the_rest_does_not(results, tmp_path):
    [changed] = shifted(results, tmp_path, f"cells/{CELL}/", 1.5)
    assert changed == CELL
    found = held(results, tmp_path / "results")
    wrong = {one.id for one in found.judged if one.verdict == DIFFERS}
    assert {f"cells/{CELL}/latency_ms", f"cells/{CELL}/ratio", f"{CELL}/latency_ms"} <= wrong
    # Everything that differs rests on the record that was changed.
    assert all(any(CELL in path for path in by_id(found)[ident].a["records"]) for ident in wrong)
    done = CliRunner().invoke(app, ["compare", str(results), str(tmp_path / "results")])
    assert done.exit_code == 0 and f"cells/{CELL}/latency_ms" in done.stdout and "+50.0%" in done.stdout
    strict = ["compare", str(results), str(tmp_path / "results"), "--strict", "--rows", "1"]
    assert CliRunner().invoke(app, strict).exit_code == 1


@pytest.mark.parametrize(
    ("change", "verdict", "why"),
    [
        (lambda v: v.pop("latency"), NOT_COMPARABLE, "only in the first run"),
        (lambda v: v["latency"].update(unit="s"), NOT_COMPARABLE, "another unit"),
        (lambda v: v["latency"].update(value=None), NOT_COMPARABLE, "no value in the second run"),
        (lambda v: v["latency"].update(ci_low=None, value=1e9), NOT_COMPARABLE, "without an interval"),
        (lambda v: v["latency"].update(ci_low=None), REPRODUCED, "equal"),
        (lambda v: v["nfe"].update(value=5.0), DIFFERS, "counts must be equal"),
        (lambda v: v["n"].update(value=11), NOT_COMPARABLE, "sample size"),
    ],
)
def test_each_way_to_be_comparable_or_not(results, tmp_path, change, verdict, why):
    names = {"latency": "latency_ms", "nfe": "nfe", "n": "n"}
    touched = []

    class Named(dict):
        """Values by short names, which notes the one that was touched."""

        def __init__(self, values):
            self.values = values

        def __getitem__(self, name):
            touched.append(f"cells/{CELL}/{names[name]}")
            return self.values[touched[-1]]

        def pop(self, name):
            touched.append(f"cells/{CELL}/{names[name]}")
            return self.values.pop(touched[-1])

    found = held(results, edited(results, tmp_path / "b", lambda values: change(Named(values))))
    one = by_id(found)[touched[0]]
    assert one.verdict == verdict and why in one.why
    assert all(other.verdict == REPRODUCED for other in found.judged if other.id != one.id)


def test_a_cell_of_other_settings_is_not_compared(results, tmp_path):
    shutil.copytree(results, tmp_path / "b")
    path = tmp_path / f"b/cells/{CELL}/timing.json"
    body = json.loads(path.read_text())
    body["cell"]["settings"]["remasking"] = "random"
    path.write_text(json.dumps(body))
    one = by_id(held(results, tmp_path / "b"))[f"cells/{CELL}/latency_ms"]
    assert (one.verdict, one.why) == (NOT_COMPARABLE, "other settings of its cell")


def test_machines_are_told_apart(results, tmp_path):
    shutil.copytree(results, tmp_path / "b")
    path = tmp_path / "b/machine.json"
    path.write_text(path.read_text().replace('"cores": 2', '"cores": 64'))
    assert held(results, tmp_path / "b").machine == {"cores": (2, 64)}


def test_the_page_holds_every_value_and_loads_nothing(results, tmp_path):
    shifted(results, tmp_path, f"cells/{CELL}/", 1.5)
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["compare", str(results), str(tmp_path / "results"), "--html", str(out)])
    assert done.exit_code == 0, done.output
    text = out.read_text()
    values = json.loads((results / "values.json").read_text())["values"]
    assert all(ident in text for ident in values) and "http" not in text and "<script" not in text


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), *[st.floats(0, 1e3)] * 4)
def test_p_is_symmetric_and_a_probability(x, y, a, b, c, d):
    forth, back = p_value(x, y, x - a, x + b, y - c, y + d), p_value(y, x, y - c, y + d, x - a, x + b)
    assert 0 <= forth <= 1 and math.isclose(forth, back, abs_tol=1e-12)
    assert p_value(x, x, x - a, x + b, x - c, x + d) == 1


def test_p_is_what_normal_theory_says():
    # Two means with standard error 1 each, 1.96 * sqrt(2) apart: exactly on the edge of 95 %.
    assert p_value(0, 1.96 * 2**0.5, -1.96, 1.96, 1.96 * (2**0.5 - 1), 9) == pytest.approx(0.05, abs=1e-4)


def test_many_equal_runs_give_few_false_alarms():
    rng = np.random.default_rng(0)
    from pardec.evidence.statistics import holm

    a, b = rng.normal(0, 1, (2, 10_000))
    raw = [p_value(x, y, x - 1.96, x + 1.96, y - 1.96, y + 1.96) for x, y in zip(a, b, strict=True)]
    assert 400 < sum(p < 0.05 for p in raw) < 600
    assert (holm(raw) < 0.05).sum() <= 1
