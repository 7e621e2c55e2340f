"""Claims: every one is listed, every verdict can come out, and each rests on published values."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pardec.common.errors import UserError
from pardec.evidence.claims.base import CONTRADICTED, NOT_RUN, NOT_TESTABLE, REPRODUCED, UNDECIDED, VERDICTS
from pardec.evidence.claims.judge import judge, judge_all, text_of
from pardec.evidence.claims.registry import CLAIMS, JUDGES, SEEDS
from pardec.evidence.findings import sequence, warmup
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.values import collect, publish
from pardec.report import claims as claims_of
from pardec.report.frames import load_tables
from pardec.report.render import Material, render
from tests import factories
from tests import report_fixtures as made

COUNTS = {"000": 8, "001": 6, "002": 7, "003": 13, "004": 9}
"""How many claims each seed makes; they are numbered from one."""
BY_ID = {claim.id: claim for claim in CLAIMS}


def row(table, **content):
    """A row of `table` with every column, null where nothing is said."""
    key = "/".join(str(part) for part in content.values() if isinstance(part, str | int))
    return {**dict.fromkeys(TABLES.load(table).all_columns), "key": key, **content}


def published(tables):
    """A value for each number of the rows, as the evidence stage would publish it."""
    found = {}
    for name, rows in tables.items():
        columns = TABLES.load(name).all_columns
        for line in rows:
            for column in (c for c in columns if columns[c].numeric):
                found[f"{name}/{line['key']}/{column}"] = {
                    "value": line[column], "unit": columns[column].unit, "text": str(line[column]),
                    "ci_low": None, "ci_high": None,
                }  # fmt: skip
    return found


def verdict(ident, tables, values=None):
    """The judge's verdict on a claim; whatever it rests on is published."""
    known = {**published(tables), **(values or {})}
    found = judge(BY_ID[ident], tables, known)
    assert found.verdict in VERDICTS and set(found.evidence) <= set(known)
    assert found.verdict != NOT_TESTABLE or found.reason
    text_of(found.said, known)
    return found


def test_every_claim_is_listed_once():
    expected = [f"{seed}.{number + 1}" for seed, count in COUNTS.items() for number in range(count)]
    assert [claim.id for claim in CLAIMS] == expected
    assert {claim.seed for claim in CLAIMS} == set(SEEDS) == set(COUNTS)
    assert all(claim.statement and claim.expected and claim.waits for claim in CLAIMS)
    assert {claim.judge for claim in CLAIMS if claim.seed == "004"} == set(JUDGES)
    assert all(claim.judge is None for claim in CLAIMS if claim.seed != "004")


def test_judges_are_what_they_say():
    for name in JUDGES:
        entry = JUDGES.load(name)
        assert set(entry.needs) <= set(TABLES) and entry.needs
        assert re.search("reproduced|not testable here", entry.judge.__doc__)


# 004.1


def ends(few=("faster", False, -0.5), many=("slower", True, 0.0), task="sort", better="higher"):
    """A series of two cells: (verdict, gate, difference in quality) at few and at many steps."""
    shared = {
        "model": "mdm",
        "reference_model": "ar",
        "arm": "mdm",
        "batch": 1,
        "new_tokens": 16,
        "ratio": 1.5,
    }
    return [
        row("steps", task=task, steps=steps, verdict=word, gate=gate, quality_difference=gap,
            quality_better=better, quality_metric="exact", **shared)
        for steps, (word, gate, gap) in ((1, few), (16, many))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("few", "many", "expected"),
    [
        (("faster", False, -0.5), ("slower", True, 0.0), REPRODUCED),
        (("slower", False, -0.5), ("slower", True, 0.0), CONTRADICTED),
        (("faster", True, 0.0), ("slower", True, 0.0), CONTRADICTED),
        (("faster", False, -0.5), ("faster", True, 0.0), CONTRADICTED),
        (("faster", False, -0.5), ("slower", False, -0.5), CONTRADICTED),
        (("faster", True, -0.1), ("slower", True, 0.0), NOT_TESTABLE),
        (("faster", False, -0.5), ("no difference shown", True, 0.0), NOT_TESTABLE),
        (("faster", None, None), ("slower", None, None), NOT_TESTABLE),
    ],
)
def test_tradeoff(few, many, expected):
    assert verdict("004.1", {"steps": ends(few, many)}).verdict == expected


def test_one_task_contradicts_a_claim_about_all():
    good, bad = ends(), ends(few=("faster", True, 0.0), task="copy")
    found = verdict("004.1", {"steps": [*good, *bad]})
    assert found.verdict == CONTRADICTED
    assert {part.name: part.verdict for part in found.parts} == {"sort": REPRODUCED, "copy": CONTRADICTED}


def test_lower_can_be_better():
    assert (
        verdict("004.1", {"steps": ends(few=("faster", True, -0.1), better="lower")}).verdict == CONTRADICTED
    )


# 004.2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"observed": True, "steps": 4, "ratio": 2.0, "verdict": "faster"}, REPRODUCED),
        ({"observed": True, "steps": 4, "ratio": 0.5, "verdict": "slower"}, REPRODUCED),
        ({"observed": False, "steps_most": 16}, CONTRADICTED),
        ({"observed": False, "steps_most": 8}, NOT_TESTABLE),
        ({"observed": True, "steps": 4, "ratio": None, "verdict": None}, NOT_TESTABLE),
        ({"observed": None, "steps_most": None}, NOT_TESTABLE),
    ],
)
def test_crossover(content, expected):
    line = row("crossover", task="sort", series="mdm", new_tokens=16, **content)
    found = verdict("004.2", {"crossover": [line]})
    assert found.verdict == expected
    if content["observed"] and content["verdict"]:
        words = "lower latency" if content["verdict"] == "faster" else "higher latency"
        assert words in "".join(piece for piece in found.parts[0].said if isinstance(piece, str))


# 004.3


def batches(first, last, floor=0.03):
    """A series at two batch sizes, each with the interval of its throughput ratio."""
    lines = []
    for batch, (low, high), word in ((1, first, "faster"), (16, last, "slower")):
        cell = f"batch/sort/mdm/mdm/steps=4,new=16,batch={batch}"
        ends = {
            "throughput_ratio": (low + high) / 2,
            "throughput_ratio_low": low,
            "throughput_ratio_high": high,
        }
        lines.append(
            row("batch", cell=cell, task="sort", model="mdm", reference_model="ar", steps=4, batch=batch,
                verdict=word, noise_floor=floor, **ends)
        )  # fmt: skip
    return lines


@pytest.mark.parametrize(
    ("first", "last", "floor", "expected"),
    [
        ((1.0, 1.1), (2.0, 2.2), 0.03, REPRODUCED),
        ((2.0, 2.2), (1.0, 1.1), 0.03, CONTRADICTED),
        ((1.0, 1.1), (1.05, 1.2), 0.03, NOT_TESTABLE),
        ((1.0, 1.1), (1.12, 1.2), 0.03, NOT_TESTABLE),
        ((1.0, 1.1), (2.0, 2.2), None, NOT_TESTABLE),
    ],
)
def test_batch(first, last, floor, expected):
    found = verdict("004.3", {"batch": batches(first, last, floor)})
    assert found.verdict == expected
    assert "falls behind" in "".join(piece for piece in found.parts[0].said if isinstance(piece, str))


# 004.4


def exponent(middle, low, high):
    texts = {"text": "1", "text_low": "1", "text_high": "1"}
    return {"value": middle, "unit": "", "ci_low": low, "ci_high": high, **texts}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.98, 1.02, REPRODUCED),
        (1.8, 2.1, CONTRADICTED),
        (0.1, 0.5, CONTRADICTED),
        (0.8, 1.3, NOT_TESTABLE),
        (None, None, NOT_TESTABLE),
    ],
)
def test_memory(low, high, expected):
    ident = f"{sequence.PREFIX}/cache_mb/text/ar"
    tables = {"length": [row("length", task="text")]}
    assert verdict("004.4", tables, {ident: exponent(1.0, low, high)}).verdict == expected


@pytest.mark.parametrize(("power", "expected"), [(1, REPRODUCED), (2, CONTRADICTED)])
def test_memory_from_rows(power, expected):
    lines = [
        row("length", task="text", arm="ar", status="ok", batch=1, prompt_tokens=32, new_tokens=new,
            cache_mb=float((32 + new) ** power))
        for new in (32, 64, 128, 256)
    ]  # fmt: skip
    [pick] = sequence.find({"length": lines})
    assert pick.value == pytest.approx(power)
    assert (
        verdict("004.4", {"length": lines}, {pick.id: exponent(pick.value, pick.low, pick.high)}).verdict
        == expected
    )


# 004.5


def pair(low, high, peak=10.0, floor=0.02, arm="ar"):
    shared = {"task": "text", "arm": arm, "batch": 1, "new_tokens": 64}
    real = row("prompts", **shared, random_prompts=False, peak_allocated_mb=10.0, noise_floor=floor)
    drawn = row(
        "prompts", **shared, random_prompts=True, peak_allocated_mb=peak, noise_floor=floor, ratio=(low + high) / 2,
        ratio_low=low, ratio_high=high,
    ) | {"key": f"{arm}/random"}  # fmt: skip
    return [real, drawn]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (pair(0.98, 1.02), CONTRADICTED),
        (pair(0.80, 0.90), REPRODUCED),
        (pair(1.10, 1.20), REPRODUCED),
        (pair(0.98, 1.02, peak=12.0), REPRODUCED),
        (pair(0.90, 1.10), NOT_TESTABLE),
        (pair(0.98, 1.02, floor=None), NOT_TESTABLE),
        (pair(0.94, 1.05, floor=0.07), CONTRADICTED),
        ([*pair(0.98, 1.02), *pair(0.90, 1.10, arm="mdm")], NOT_TESTABLE),
        ([*pair(0.98, 1.02), *pair(0.80, 0.90, arm="mdm")], REPRODUCED),
    ],
)
def test_prompts(lines, expected):
    assert verdict("004.5", {"prompts": lines}).verdict == expected


# 004.6 to 004.9


@pytest.mark.parametrize(("device", "expected"), [("cpu", NOT_TESTABLE), ("cuda:0", NOT_RUN)])
def test_clocks(device, expected):
    assert verdict("004.6", {"cells": [row("cells", cell="c", device=device)]}).verdict == expected


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ((2.0, 1.0, 1.0, 1.0), REPRODUCED),
        ((2.0, 1.5, 1.4, 1.2, 1.0, 1.0, 1.0), REPRODUCED),
        ((2.0, 1.9, 1.8, 1.7, 1.6, 1.5), CONTRADICTED),
        ((2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.0), CONTRADICTED),
        ((2.0, 1.5, 1.2), NOT_TESTABLE),
        ((1.0, 1.0, 1.3), NOT_TESTABLE),
    ],
)
def test_warm_up(relative, expected):
    lines = [
        row("warmup", cell=f"c{cell}", **{"pass": number}, relative=value * (1 + 0.001 * cell))
        for cell in range(8)
        for number, value in enumerate(relative, 1)
    ]
    picks = warmup.find({"warmup": lines, "noise": [row("noise", cell="n", half_width=0.03)]})
    values = {
        pick.id: {"id": pick.id, "value": pick.value, "ci_low": None, "ci_high": None} for pick in picks
    }
    assert verdict("004.7", {"warmup": lines}, values).verdict == expected


def test_nothing_settles_without_a_noise_floor():
    lines = [row("warmup", cell=f"c{cell}", **{"pass": 1}, relative=1.0) for cell in range(8)]
    assert "finding/warmup/settled" not in {pick.id for pick in warmup.find({"warmup": lines, "noise": []})}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("eager", 1.0, 1.1), NOT_TESTABLE),
        (("compiled", 2.0, 2.1), REPRODUCED),
        (("compiled", 1.00, 1.01), CONTRADICTED),
        (("compiled", 0.9, 1.2), NOT_TESTABLE),
    ],
)
def test_tiers(other, expected):
    lines = [
        row("steps", task="sort", arm="mdm", steps=4, engine=engine, ratio=low, ratio_low=low, ratio_high=high,
            noise_floor=0.03)
        for engine, low, high in (("eager", 1.0, 1.01), other)
    ]  # fmt: skip
    assert verdict("004.8", {"steps": lines}).verdict == expected


@pytest.mark.parametrize(("weights", "expected"), [(3.0, NOT_TESTABLE), (16000.0, NOT_RUN)])
def test_examples(weights, expected):
    assert verdict("004.9", {"cells": [row("cells", cell="c", weights_mb=weights)]}).verdict == expected


# All of them


def test_without_tables_nothing_was_run():
    judged = judge_all({}, {})["claims"]
    assert {claim["verdict"] for claim in judged} == {NOT_RUN}
    assert all(claim["reason"] and not claim["evidence"] for claim in judged)
    empty = judge_all({name: [] for name in TABLES}, {})["claims"]
    assert {claim["verdict"] for claim in empty} == {NOT_RUN}


def test_evidence_must_be_published():
    with pytest.raises(UserError, match=r"claim 004\.1.*no value"):
        judge_all({"steps": ends()}, {})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A synthetic run from records to values, in its folder."""
    folder = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        factories.build_all(folder)
        collected = collect(["results/tables"])
        (folder / "results/values.json").write_text(json.dumps(collected))
        yield (
            folder,
            {name: table.rows for name, table in publish(["results/tables"]).items()},
            collected["values"],
        )


def test_a_whole_run_is_judged(run):
    _, tables, values = run
    found = {claim["id"]: claim for claim in judge_all(tables, values)["claims"]}
    assert list(found) == list(BY_ID)
    assert found["004.1"]["verdict"] == CONTRADICTED  # on sort and text, many steps are never good
    assert found["004.3"]["verdict"] == CONTRADICTED  # by the law of the synthetic batches
    assert found["004.5"]["verdict"] == NOT_RUN and found["004.8"]["verdict"] == NOT_TESTABLE
    for claim in found.values():
        assert claim["verdict"] in VERDICTS and set(claim["evidence"]) == set(claim["intervals"]) <= set(
            values
        )
        assert {part["verdict"] for part in claim["parts"]} <= {REPRODUCED, CONTRADICTED, UNDECIDED}
        assert claim["verdict"] not in (REPRODUCED, CONTRADICTED) or claim["evidence"]


def test_words_hold_no_typed_numbers(run):
    """A sentence's own words have no digit: numbers are values, and what holds one otherwise is a quoted name."""
    _, tables, values = run
    for claim in judge_all(tables, values)["claims"]:
        for said in (claim["said"], *(part["said"] for part in claim["parts"])):
            assert not any(re.search(r"\d", piece) for piece in said if isinstance(piece, str))


def test_script_writes_the_same_twice(run):
    folder, tables, values = run
    root = Path(__file__).parents[2]
    texts = []
    for name in ("a.json", "b.json"):
        command = [sys.executable, str(root / "scripts/judge_claims.py"), "--values", "results/values.json"]
        command += ["--tables", "results/tables", "--out", name]
        env = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=env)
        texts.append((folder / name).read_text())
    assert texts[0] == texts[1]
    assert json.loads(texts[0]) == json.loads(json.dumps(judge_all(tables, values)))


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    frames = made.tables()
    frames["crossover"]["new_tokens"] = 32
    folder = tmp_path_factory.mktemp("page") / "tables"
    made.write_tables(folder, frames)
    values = made.values(frames)["values"]
    rows = {n: f.astype(object).where(f.notna(), None).to_dict("records") for n, f in frames.items()}
    judged = judge_all(rows, values)
    return Material(
        values=values, tables=load_tables([folder]), figures={}, study=made.STUDY, trails=made.trails(frames),
        claims=judged,
    )  # fmt: skip


def test_the_page_shows_every_claim(material):
    page = render(material)
    for claim in CLAIMS:
        assert page.count(f'id="claim-{claim.id}"') == 1
    shown = claims_of.answered(material.claims["claims"])
    assert shown
    for claim in shown:
        assert f'id="verdict-{claim["id"]}"' in page
        assert all(f'data-v="{ident}"' in page for ident in claim["evidence"])
    assert "wait" in page and "<details>" in page


def test_a_page_without_claims_has_no_such_section(material):
    page = render(replace(material, claims={}))
    assert 'id="claims"' not in page and 'id="verdicts"' not in page
