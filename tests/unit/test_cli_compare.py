"""`pardec compare` finds what differs, and nothing else."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from pardec.audit.archive import open_run
from pardec.audit.compare import DIFFERS, NOT_COMPARABLE, REPRODUCED, compare
from pardec.cli.main import app
from tests.finished_run import SLOWER as CELL


@pytest.fixture(scope="module")
def results(finished):
    return finished


def held(a, b):
    with open_run(a) as first, open_run(b) as second:
        return compare(first, second)


def by_id(result):
    return {one.id: one for one in result.judged}


def edited(results, target, change):
    """A copy of the run whose values.json `change` has edited."""
    shutil.copytree(results, target)
    body = json.loads((target / "values.json").read_text())
    change(body["values"])
    (target / "values.json").write_text(json.dumps(body))
    return target


def test_a_run_reproduces_itself(results):
    result = held(results, results)
    assert result.count(REPRODUCED) == len(result.judged) > 1000 and result.share == 1.0
    assert not result.machine and not result.study


def test_shifted_latencies_differ_and_the_rest_does_not(results, slower_run):
    result = held(results, slower_run)
    wrong = {one.id for one in result.judged if one.verdict == DIFFERS}
    assert {f"cells/{CELL}/latency_ms", f"cells/{CELL}/ratio"} <= wrong
    # Everything that differs rests on the record that was changed, in one run or the other.
    known = by_id(result)
    behind = {ident: known[ident].a["records"] + known[ident].b["records"] for ident in wrong}
    foreign = [ident for ident, records in behind.items() if not any(CELL in path for path in records)]
    assert not foreign
    done = CliRunner().invoke(app, ["compare", str(results), str(slower_run)])
    assert done.exit_code == 0 and f"cells/{CELL}/latency_ms" in done.stdout and "+50.0%" in done.stdout
    strict = ["compare", str(results), str(slower_run), "--strict", "--rows", "1"]
    assert CliRunner().invoke(app, strict).exit_code == 1


NAMES = {
    "latency": "latency_ms", "nfe": "nfe", "n": "n", "host": "host_ms", "memory": "peak_allocated_mb",
    "quality": "quality", "spread": "delta", "ready": "ready_s", "batch": "batch", "slope": "ratio",
}  # fmt: skip
CHANGES = [
    (lambda v: v.pop("latency"), NOT_COMPARABLE, "only in the first run"),
    (lambda v: v["latency"].update(unit="s"), NOT_COMPARABLE, "another unit"),
    (lambda v: v["latency"].update(value=None), NOT_COMPARABLE, "no value in the second run"),
    (lambda v: v["slope"].update(ci_low=None, value=1e9), NOT_COMPARABLE, "without an interval"),
    (
        lambda v: v["host"].update(value=v["host"]["value"] * 1.001),
        REPRODUCED,
        "as wide as the latency's",
    ),
    (lambda v: v["host"].update(value=v["host"]["value"] * 9), DIFFERS, "excludes 0"),
    (lambda v: v["latency"].update(ci_low=None), REPRODUCED, "equal"),
    (lambda v: v["memory"].update(value=v["memory"]["value"] * 1.005), REPRODUCED, "within one percent"),
    (lambda v: v["memory"].update(value=v["memory"]["value"] * 1.05), DIFFERS, "more than one percent"),
    (lambda v: v["quality"].update(value=0.123), DIFFERS, "must score the same"),
    (lambda v: v["spread"].update(value=9.0), NOT_COMPARABLE, "how precise"),
    (lambda v: v["ready"].update(value=9.0), NOT_COMPARABLE, "a single reading"),
    (lambda v: v["nfe"].update(value=5.0), REPRODUCED, "on every prompt that both runs timed"),
    (lambda v: v["batch"].update(value=5), DIFFERS, "counts must be equal"),
    (lambda v: v["n"].update(value=11), NOT_COMPARABLE, "sample size"),
]
"""What is changed of a cell's values, by short names; the verdict on that value, and why."""


def test_each_way_to_be_comparable_or_not(results, tmp_path):
    """Each change in another cell, all in one run: none has a say in the verdict on another."""
    touched = []

    class Named(dict):
        """The values of a cell by short names, which notes the one that was touched."""

        def __init__(self, cell, values):
            self.cell, self.values = cell, values

        def __getitem__(self, name):
            touched.append(f"cells/{self.cell}/{NAMES[name]}")
            return self.values[touched[-1]]

        def pop(self, name):
            touched.append(f"cells/{self.cell}/{NAMES[name]}")
            return self.values.pop(touched[-1])

    def change(values):
        cells = [
            ident.removeprefix("cells/").removesuffix("/latency_ms")
            for ident in values
            if ident.startswith("cells/") and ident.endswith("/latency_ms")
        ]
        whole = [
            cell
            for cell in cells
            if all(values.get(f"cells/{cell}/{name}", {}).get("value") is not None for name in NAMES.values())
        ]
        for (edit, _, _), cell in zip(CHANGES, whole, strict=False):
            edit(Named(cell, values))

    result = held(results, edited(results, tmp_path / "b", change))
    judged, touched = by_id(result), [ident for k, ident in enumerate(touched) if ident not in touched[:k]]
    assert len(touched) == len(CHANGES)
    for ident, (_, verdict, why) in zip(touched, CHANGES, strict=True):
        assert judged[ident].verdict == verdict and why in judged[ident].why, (ident, judged[ident])
    assert all(one.verdict == REPRODUCED for ident, one in judged.items() if ident not in touched)


def test_counts_of_other_prompts_and_of_a_clocked_decoder_are_not_compared(results, tmp_path):
    ident, path = f"cells/{CELL}/nfe", f"cells/{CELL}/timing.json"

    def why(name, change):
        target = edited(results, tmp_path / name, lambda values: values[ident].update(value=5.0))
        body = json.loads((target / path).read_text())
        change(body)
        (target / path).write_text(json.dumps(body))
        first = tmp_path / f"{name}-first"
        shutil.copytree(results, first)
        cell = json.loads((first / path).read_text())
        cell["cell"] = body["cell"]
        (first / path).write_text(json.dumps(cell))
        one = by_id(held(first, target))[ident]
        assert one.verdict == NOT_COMPARABLE
        return one.why

    def others(body):
        for sample in body["samples"]:
            sample["prompts"] = [f"other {prompt}" for prompt in sample["prompts"]]

    def clocked(body):
        body["cell"] |= {
            "decoder": "speculative",
            "settings": {"schedule": {"name": "ewma", "sizes": [4, 8]}},
        }

    assert why("others", others) == "timed on other prompts"
    assert "by the clock" in why("clocked", clocked)


def test_a_prompt_that_gave_another_count_is_told(results, tmp_path):
    """The mean over the timed prompts may differ with their number; a single prompt's count may not."""
    target = edited(results, tmp_path / "b", lambda values: values[f"cells/{CELL}/nfe"].update(value=5.0))
    path = target / f"cells/{CELL}/timing.json"
    body = json.loads(path.read_text())
    body["samples"][0]["nfe"] += 1
    path.write_text(json.dumps(body))
    one = by_id(held(results, target))[f"cells/{CELL}/nfe"]
    assert (one.verdict, one.why) == (DIFFERS, "a prompt that both runs timed gave another count")


def test_verdicts_that_turned_are_listed(results, tmp_path):
    shutil.copytree(results, tmp_path / "b")
    path = tmp_path / "b/claims.json"
    body = json.loads(path.read_text())
    was, body["claims"][-1]["verdict"] = body["claims"][-1]["verdict"], "reproduced"
    path.write_text(json.dumps(body))
    result = held(results, tmp_path / "b")
    assert result.verdicts == {f"claim {body['claims'][-1]['id']}": (was, "reproduced")}
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["compare", str(results), str(tmp_path / "b"), "--html", str(out)])
    assert "Verdicts that changed" in done.stdout and "Verdicts that changed" in out.read_text()


def test_what_a_study_does_not_ask_has_no_verdict_that_turned(results, tmp_path):
    shutil.copytree(results, tmp_path / "b")
    claims, ideas = tmp_path / "b/claims.json", tmp_path / "b/verdicts.json"
    body = json.loads(claims.read_text())
    claims.write_text(
        json.dumps(body | {"claims": [one | {"verdict": "not run yet"} for one in body["claims"]]})
    )
    body = json.loads(ideas.read_text())
    ideas.write_text(json.dumps(body | {"ideas": [one | {"status": "proposed"} for one in body["ideas"]]}))
    assert held(results, tmp_path / "b").verdicts == {}


def test_an_archive_and_its_folder_are_the_same_run(results, tmp_path):
    packed = tmp_path / "run.tar.zst"
    assert CliRunner().invoke(app, ["archive", str(results), str(packed)]).exit_code == 0
    for pair in ((packed, results), (results, packed), (packed, packed)):
        result = held(*pair)
        assert result.count(REPRODUCED) == len(result.judged) and not result.machine and not result.verdicts


def test_a_number_that_many_tables_repeat_is_tested_once(results):
    result = held(results, results)
    tested = [one for one in result.judged if one.p is not None]
    assert 0 < len(result.raw) < len(tested) and result.missed == 0


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


def test_the_page_holds_every_value_and_loads_nothing(results, slower_run, tmp_path):
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["compare", str(results), str(slower_run), "--html", str(out)])
    assert done.exit_code == 0, done.output
    text = out.read_text()
    values = json.loads((results / "values.json").read_text())["values"]
    assert all(ident in text for ident in values) and "http" not in text and "<script" not in text
