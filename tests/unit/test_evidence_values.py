"""Published values: each leads back to its row and record, prints honestly, and does not depend on chance."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardec.audit.remake import run_script
from pardec.evidence.answers import answers
from pardec.evidence.comparison import REASONS
from pardec.evidence.findings import finding
from pardec.evidence.latex import macro_name
from pardec.evidence.rounding import rounded
from pardec.evidence.sentences import text_of
from pardec.evidence.tables.inputs import rows_of
from pardec.evidence.tables.registry import TABLES, value_id
from pardec.evidence.values import collect


@pytest.fixture(scope="module")
def run(built):
    return *built, collect(["results/tables"])


def test_every_numeric_cell_has_a_value(run):
    _, frames, collected = run
    for name, frame in frames.items():
        table = TABLES.load(name)
        if not table.published:
            assert not any(ident.startswith(f"{name}/") for ident in collected["values"])
            continue
        ends = {end for c in table.columns.values() for end in (c.low, c.high)}
        rows = rows_of(frame)
        for column, about in table.columns.items():
            if about.numeric and column not in ends:
                for row, number in zip(rows, frame[column], strict=True):
                    value = collected["values"][value_id(name, row, column)]["value"]
                    assert (
                        value == number
                        or (value is None and number is not number)
                        or (value is None and str(number) == "<NA>")
                    )


def test_a_value_leads_back_to_its_row_and_record(run):
    folder, frames, collected = run
    value = collected["values"]["cells/steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1/ratio"]
    [source] = value["source"]
    assert hashlib.sha256((folder / source["path"]).read_bytes()).hexdigest() == source["sha256"]
    row = frames["cells"].iloc[source["rows"][0]]
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == (
        value["value"],
        value["ci_low"],
        value["ci_high"],
    )
    assert value["n"] == row["n_pairs"] and value["unit"] == "×" and value["rule"] == "tabulate"
    [record] = value["records"]
    assert hashlib.sha256((folder / record).read_bytes()).hexdigest() == collected["records"][record]


def test_ids_are_readable_and_ascii(run):
    assert all(re.fullmatch(r"[a-z0-9._~+/-]+", ident) for ident in run[2]["values"])
    assert all(value["id"] == ident for ident, value in run[2]["values"].items())


def test_findings_rest_on_rows(run):
    folder, frames, collected = run
    values = collected["values"]
    assert values["finding/noise/floor"]["value"] == frames["noise"]["half_width"].max()
    assert values["finding/noise/floor"]["n"] == frames["noise"]["half_width"].notna().sum()
    assert values["finding/memory/ratio"]["value"] == pytest.approx(17.8 / 7.56)
    assert values["finding/run/failed"]["value"] == 1 and values["finding/models/met"]["value"] == 2
    assert values["finding/rows/cells"]["value"] == len(frames["cells"])
    for ident, value in values.items():
        if ident.startswith("finding/"):
            [source] = value["source"]
            assert source["rows"] and (folder / source["path"]).is_file() and value["description"]


def test_a_study_without_some_tables_still_collects(run):
    collected = collect(["results/tables/cells.parquet", "results/tables/noise.csv"])
    assert "finding/noise/floor" in collected["values"]
    assert not any("crossover" in ident for ident in collected["values"])


def test_an_answer_names_only_published_values(run):
    collected = run[2]
    for answer in collected["answers"].values():
        assert text_of(answer["pieces"], collected["values"]).endswith(".")


def _answer(**content):
    row = {
        "key": "k", "experiment": "e", "task": "001", "task_label": None, "arm": "drafts", "label": "drafts of 16",
        "words": None, "reference_label": "autoregressive", "batch": 1, "prompt_tokens": None, "new_tokens": 64,
        "candidates": 4, "comparable": 3, "verdict": "faster", "verdict_reason": "the ratio", "ratio": 1.6,
        "lossless": True, "quality_difference": None, "quality_margin": None, "one_prompt": False,
        "noise_source": "A/A pairs", "delta": 0.03,
    }  # fmt: skip
    return row | content


def _spoken(*rows):
    """What is said of these comparisons, each value as its column's name."""
    cells = [{"experiment": "e", "experiment_kind": "comparison", "status": "ok"}]
    message = answers({"cells": cells, "answers": list(rows)})["e"]["pieces"]
    return "".join(
        p if isinstance(p, str) else p.get("name") or f"<{p['value'].split('/')[-1]}>" for p in message
    )


def test_any_study_gets_an_answer():
    """A study without diffusion, noise or a scored metric: drafts whose tokens are the reference's own."""
    assert _spoken(_answer()) == (
        "drafts of 16 is <ratio> as fast as autoregressive on 001, tokens identical, the fastest of <comparable> at "
        "equal quality."
    )


def test_random_prompts_are_compared_in_speed_alone():
    random = {"verdict_reason": REASONS["other prompts"], "lossless": False, "verdict": "no difference shown"}
    random |= {"words": "random prompts", "quality_difference": 0.4, "candidates": 1}
    assert _spoken(_answer(**random)) == (
        "drafts of 16 (random prompts) shows no difference from autoregressive (<ratio>) on 001."
    )
    both = _spoken(_answer(key="a", **random), _answer(key="b", **random))
    assert both.startswith("An arm on random prompts is not distinguishable in <no-difference-shown>")
    assert "quality" not in both


def test_speed_is_told_where_quality_is_not_scored_on_purpose():
    unscored = {"ratio": None, "verdict": "not comparable", "verdict_reason": REASONS["not scored"]}
    timed = {"experiment": "e", "experiment_kind": "comparison", "status": "ok", "arm": "mdm", "label": "diffusion",
             "reference_arm": "ar", "task": "001", "task_label": None, "ratio_low": 1.0, "tuning": False,
             "random_prompts": False, "reference": None}  # fmt: skip
    cells = [
        timed | {"key": f"k{steps}", "cell": f"e/001/m/mdm/steps~{steps}+new~64", "ratio": 8 / steps}
        for steps in (1, 4, 8)
    ]
    own = timed | {"key": "own", "cell": "e/001/m/ar/new~64", "reference": "e/001/m/ar/new~64", "ratio": 9.0}
    cells += [own, timed | {"key": "tuned", "cell": "e/001/m/mdm/new~64", "tuning": True, "ratio": 0.1}]
    rows = [_answer(**unscored, reference_arm="ar")]
    message = answers({"cells": cells, "answers": rows})["e"]["pieces"]
    words = "".join(p if isinstance(p, str) else p.get("name") or f"<{p['value']}>" for p in message)
    assert words.endswith(
        " In time alone diffusion (steps 1) is <cells/k1/ratio> as fast as autoregressive on 001 and diffusion "
        "(steps 8) <cells/k8/ratio> as fast as autoregressive on 001."
    )
    scored = _answer(**unscored | {"verdict_reason": REASONS["worse"]}, reference_arm="ar")
    assert "In time alone" not in str(answers({"cells": cells, "answers": [scored]})["e"]["pieces"])


def test_two_absences_are_two_sentences():
    """No score is one absence, no noise experiment another: either is said for what it is."""
    unscored = _spoken(
        _answer(ratio=None, verdict="not comparable", verdict_reason="its quality was not scored")
    )
    assert unscored == (
        "No arm could be compared with autoregressive at equal quality: its quality was not scored."
    )
    matched = _spoken(
        _answer(noise_source="fallback", lossless=False, quality_difference=0.01, quality_margin=0.02)
    )
    assert "quality differing by <quality_difference> (margin <quality_margin>)" in matched
    assert matched.endswith("measured no A/A pairs: a ratio within <delta> of one counts as no difference.")
    assert "not scored" not in matched and "A/A" not in unscored


def test_comparisons_are_counted_by_verdict_and_told_apart_by_shape():
    message = _spoken(
        _answer(key="a"), _answer(key="b", batch=16, ratio=0.9, verdict="slower", one_prompt=True)
    )
    best = "drafts of 16 is <ratio> as fast as autoregressive on 001, batch <batch>, tokens identical"
    assert message == (
        "At equal quality the fastest arm is faster in <faster>, slower in <slower> of <compared> comparisons; "
        f"on 001 faster at batch <batch>, slower at batch <batch>; at best {best}; at worst {best}. Some pairs are of "
        "one prompt, so those intervals do not cover a change of prompts."
    )


def test_script_is_deterministic_and_writes_macros(run):
    """Another process, in which sets have another order, writes the same bytes."""
    folder, _, collected = run
    root = Path(__file__).parents[2]
    words = {
        name: ["--tables", "results/tables", "--out-json", f"{name}.json", "--out-tex", f"{name}.tex"]
        for name in ("here", "there")
    }
    assert run_script("collect_values", words["here"]) is None
    subprocess.run(
        [sys.executable, str(root / "scripts/collect_values.py"), *words["there"]],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7"},
    )
    texts = [((folder / f"{name}.json").read_text(), (folder / f"{name}.tex").read_text()) for name in words]
    assert texts[0] == texts[1]
    assert json.loads(texts[0][0]) == collected
    assert r"\newcommand{\FindingModelsMet}{2}" in texts[0][1]
    names = re.findall(r"\\newcommand\{\\(\w+)\}\{", texts[0][1])
    assert len(set(names)) == len(names) and all(re.fullmatch("[A-Za-z]+", name) for name in names)


def test_an_unknown_table_is_told(run, tmp_path):
    from pardec.common.errors import UserError

    (tmp_path / "stepz.csv").write_text("key\n")
    with pytest.raises(UserError, match="did you mean 'steps'"):
        collect([tmp_path / "stepz.csv"])
    (tmp_path / "steps.csv").write_text("key,other\nx,1\n")
    with pytest.raises(UserError, match="columns of table 'steps'"):
        collect([tmp_path / "steps.csv"])


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (12.3456, 12.1, 12.6, ("12.35", "12.10", "12.60")),
        (12.3456, 11.0, 21.0, ("12", "11", "21")),
        (12345.6, 12000, 12800, ("12300", "12000", "12800")),
        (1.987, 1.95, 2.03, ("1.99", "1.95", "2.03")),
        (0.0, 0.0, 0.0878, ("0.00", "0.00", "0.09")),
        (1 / 3, None, None, ("0.333", None, None)),
        (1234.5, None, None, ("1230", None, None)),
        (64, None, None, ("64", None, None)),
        (1.0, 1 - 1e-14, 1 + 1e-14, ("1.0000", "1.0000", "1.0000")),
        (-0.001, -0.2, 0.2, ("0.00", "-0.20", "0.20")),
        (None, None, None, (None, None, None)),
    ],
)
def test_digits_come_from_the_interval(value, low, high, shown):
    assert rounded(value, low, high) == shown


@given(st.floats(1e-3, 1e5), st.floats(1e-3, 1.0))
def test_rounding_stays_well_inside_the_interval(value, share):
    half = value * share
    text, _, _ = rounded(value, value - half, value + half)
    assert abs(float(text) - value) <= 0.5 * half * (1 + 1e-9)


def test_macro_names_are_letters_only():
    assert macro_name("finding/batch/grid/top_16") == "FindingBatchGridTopOneSix"


def test_a_finding_names_its_rows():
    assert finding("x/A b", "cells", [{"key": "a"}, {"key": "b"}], 2, "two").keys == ("a", "b")
    assert finding("x/A b", "cells", [], 2, "two").id == "finding/x/a-b"
