"""Claims: every one is listed, judged on a whole run, and rests on published values."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from pardec.evidence.claims import CONTRADICTED, NOT_RUN, NOT_TESTABLE, REPRODUCED, UNDECIDED, VERDICTS, judge
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.values import collect, publish
from pardec.report.render import Material, render
from pardec.report.rows import load_tables
from tests import claim_rows
from tests import report_fixtures as made
from tests.script import ROOT, run_script

COUNTS = {"000": 8, "001": 6, "002": 7, "003": 13, "004": 9}
"""How many claims each seed makes; they are numbered from one."""
BY_ID = claim_rows.BY_ID
CLAIMS = claim_rows.CLAIMS.claims
SEEDS = claim_rows.CLAIMS.groups


def test_every_claim_is_listed_once():
    expected = [f"{seed}.{number + 1}" for seed, count in COUNTS.items() for number in range(count)]
    assert [claim.id for claim in CLAIMS] == expected
    assert {claim.group for claim in CLAIMS} == set(SEEDS) == set(COUNTS)
    assert all(claim.statement and claim.expected and claim.waits for claim in CLAIMS)


def test_without_tables_nothing_was_run():
    judged = judge({}, {})["claims"]
    assert {claim["verdict"] for claim in judged} == {NOT_RUN}
    assert all(claim["reason"] and not claim["evidence"] for claim in judged)
    empty = judge({name: [] for name in TABLES}, {})["claims"]
    assert {claim["verdict"] for claim in empty} == {NOT_RUN}


@pytest.fixture(scope="module")
def run(built):
    """A synthetic run from records to values, in its folder."""
    folder, _ = built
    collected = collect(["results/tables"])
    (folder / "results/values.json").write_text(json.dumps(collected))
    rows = {name: table.rows for name, table in publish(["results/tables"]).items()}
    return folder, rows, collected["values"]


def test_a_whole_run_is_judged(run):
    _, tables, values = run
    result = {claim["id"]: claim for claim in judge(tables, values)["claims"]}
    assert list(result) == list(BY_ID)
    assert result["004.1"]["verdict"] == CONTRADICTED  # on sort and text, many steps are never good
    assert result["004.3"]["verdict"] == CONTRADICTED  # by the law of the synthetic batches
    assert result["004.5"]["verdict"] == NOT_RUN and result["004.8"]["verdict"] == NOT_TESTABLE
    for claim in result.values():
        assert claim["verdict"] in VERDICTS and set(claim["evidence"]) == set(claim["intervals"]) <= set(
            values
        )
        assert {part["verdict"] for part in claim["parts"]} <= {REPRODUCED, CONTRADICTED, UNDECIDED}
        assert claim["verdict"] not in (REPRODUCED, CONTRADICTED) or claim["evidence"]


def test_words_hold_no_typed_numbers(run):
    """A sentence's own words have no digit: numbers are values, and what holds one otherwise is a quoted name."""
    _, tables, values = run
    for claim in judge(tables, values)["claims"]:
        for pieces in (claim["pieces"], *(part["pieces"] for part in claim["parts"])):
            assert not any(re.search(r"\d", piece) for piece in pieces if isinstance(piece, str))


def test_script_writes_the_same_twice(run):
    """In two processes, which order sets otherwise."""
    folder, tables, values = run
    words = ["--values", "results/values.json", "--tables", "results/tables", "--out"]
    command = [sys.executable, str(ROOT / "scripts/judge_claims.py"), *words, "a.json"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=env)
    assert run_script("judge_claims", *words, "b.json", folder=folder).returncode == 0
    texts = [(folder / name).read_text() for name in ("a.json", "b.json")]
    assert texts[0] == texts[1]
    assert json.loads(texts[0]) == json.loads(json.dumps(judge(tables, values)))


@pytest.fixture(scope="module")
def material(tmp_path_factory, synthetic_folder):
    frames = made.frames_of(synthetic_folder)
    frames["crossover"]["new_tokens"] = 32
    folder = tmp_path_factory.mktemp("page") / "tables"
    made.write_tables(folder, frames)
    values = made.values(frames)["values"]
    rows = {n: f.astype(object).where(f.notna(), None).to_dict("records") for n, f in frames.items()}
    judged = judge(rows, values)
    return Material(
        values=values, tables=load_tables([folder]), figures={}, study=made.STUDY, trails=made.trails(frames),
        claims=judged,
    )  # fmt: skip


def test_the_page_shows_every_claim_once_and_all_it_rests_on(material):
    page = render(material)
    for claim in material.claims["claims"]:
        begin = page.index(f'id="claim-{claim["id"]}"')
        assert page.count(f'id="claim-{claim["id"]}"') == 1
        row = page[begin : page.index("</tr>", begin)]
        assert all(f'data-v="{ident}"' in row for ident in claim["evidence"]), claim["id"]
        assert claim["verdict"] == NOT_RUN or (f'href="#claim-{claim["id"]}"' in page and "<details>" in row)
    assert any(
        claim["reproduced_if"] and claim["verdict"] == CONTRADICTED for claim in material.claims["claims"]
    )


def test_a_page_without_claims_has_no_such_section(material):
    page = render(replace(material, claims={}))
    assert 'id="claims"' not in page and 'id="verdicts"' not in page
