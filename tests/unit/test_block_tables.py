"""Tables on parallelism: the fastest block at equal quality, and the batch at which autoregression overtakes."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest

from pardec.evidence.tables.break_even import AHEAD, BEHIND, OPEN, OVERTAKEN, crossing, outcome
from pardec.report.render import Material, render
from pardec.report.rows import load_tables
from tests.report_fixtures import STUDY, blocks_of, built, filled, frames_of, judged, values, write_tables


def parallelism(rows):
    return {(row["batch"], row["size"]): row for row in built("parallelism", block=rows)}


def test_the_fastest_rule_at_equal_quality_stands_for_its_block():
    rows = [blocks_of("copy", size, 1) for size in (1, 4, 80)]
    other = blocks_of("copy", 4, 1)
    faster = {**other, "key": "x", "cell": "block/copy/m/other/block~4", "arm": "other", "ratio": 9.0}
    faster |= {"ratio_low": 8.0, "ratio_high": 10.0}
    worse = {**faster, "key": "y", "cell": "block/copy/m/worse/block~4", "arm": "worse", "ratio": 20.0}
    worse |= {"verdict": "worse", "gate": False}
    by = parallelism([*rows, faster, worse])
    row = by[1, 4]
    assert (row["arm"], row["ratio"], row["candidates"], row["comparable"]) == ("other", 9.0, 3, 2)
    assert row["shown_worse"] == 1
    assert row["ratio_low"] < 8.0, "adjusted for the choice among two"
    assert [by[1, size]["best"] for size in (1, 4)] == [False, True]


def test_a_block_without_equal_quality_has_no_speed():
    row = parallelism([blocks_of("copy", 4, 1), blocks_of("copy", 80, 1)])[
        1, 32
    ]  # a block is at most the canvas
    assert (row["verdict"], row["ratio"], row["best"]) == ("not comparable", None, None)
    assert row["quality_difference"] == pytest.approx(-0.01), "how far away it is stands there"
    assert row["arm"] == "block"


def test_other_decoders_are_blocks_too():
    """Autoregression writes one token at a time, masked diffusion the whole canvas."""
    whole = blocks_of("copy", 4, 1) | {
        "decoder": "masked_diffusion",
        "family": "masked_diffusion",
        "block": None,
    }
    one = blocks_of("copy", 4, 8) | {"family": "autoregressive"}
    assert set(parallelism([whole, one])) == {(1, 32), (8, 1)}


def test_break_even_lies_between_the_batches_that_decide():
    rows = built("break_even", cells=[blocks_of("copy", 4, batch) for batch in (1, 2, 8, 32)])
    (row,) = rows
    # ratio = 1.2 / batch ** 0.3, so it falls through one at 1.2 ** (1 / 0.3).
    assert row["even"] == pytest.approx(1.2 ** (1 / 0.3))
    assert row["even_low"] == pytest.approx((1.2 * 0.94) ** (1 / 0.3))
    assert row["even_high"] == pytest.approx((1.2 * 1.05) ** (1 / 0.3))
    assert (row["outcome"], row["ahead_up_to"], row["behind_from"]) == (OVERTAKEN, 1, 8)


@pytest.mark.parametrize(
    ("ahead", "behind", "words"),
    [([1, 2], [], AHEAD), ([], [1, 2], BEHIND), ([1], [], OPEN), ([2], [1], OPEN), ([1], [2], OVERTAKEN)],
)
def test_outcomes(ahead, behind, words):
    assert outcome(ahead, behind, 2) == words


def test_no_break_even_where_the_ratio_does_not_fall_through_one():
    assert crossing([(1, 2.0), (8, 1.5)]) is None
    assert crossing([(1, 0.5), (8, 0.4)]) is None
    assert crossing([(1, 2.0), (2, 0.5), (4, 2.0), (8, 0.5)]) is None, "there and back again is no break-even"
    assert crossing([(1, 2.0), (4, 0.5)]) == pytest.approx(2.0)
    assert crossing([(1, math.e), (2, None), (math.e**2, 1 / math.e)]) == pytest.approx(math.e)


def drafts_of(arm, *ratios):
    """Return cells of a drafting arm over batches, beside a reference that is no cell of its experiment."""
    spread = {"reference": None, "steps": None, "block": None, "label": None, "settings": None}
    of = {"arm": arm, "family": "speculative", "decoder": "speculative", **spread}
    made = []
    for batch, ratio in zip((1, 4, 16), ratios, strict=True):
        cell = f"drafts/copy/ar/{arm}/new~32+batch~{batch}"
        ends = {"ratio": ratio, "ratio_low": ratio * 0.95, "ratio_high": ratio * 1.05}
        made.append(judged(blocks_of("copy", 4, batch) | of | {"cell": cell, "key": cell} | ends))
    return made


DRAFTS = {
    "overtaken": (2.0, 1.0, 0.5),
    "ahead": (2.0, 1.9, 1.8),
    "behind": (0.9, 0.8, 0.7),
    "open": (1.2, 1.0, 1.01),
}


def test_drafts_have_a_break_even_though_their_reference_is_no_cell():
    cells = [row for arm, ratios in DRAFTS.items() for row in drafts_of(arm, *ratios)]
    by = {row["arm"]: row for row in built("break_even", cells=cells)}
    assert {arm: row["outcome"] for arm, row in by.items()} == {
        "overtaken": OVERTAKEN,
        "ahead": AHEAD,
        "behind": BEHIND,
        "open": OPEN,
    }
    row = by["overtaken"]
    assert row["even"] == pytest.approx(4)
    assert row["even_low"] == pytest.approx(4 ** (1 + math.log(0.95) / math.log(2)))
    assert row["even_low"] < row["even"] < row["even_high"] < 16
    assert all(by[arm]["even"] is None for arm in ("ahead", "behind"))


@pytest.fixture(scope="module")
def page(tmp_path_factory, synthetic_folder):
    """The page of a study whose blocks keep the quality on copy and not on grid, and of DRAFTS over batches."""
    folder = tmp_path_factory.mktemp("page")
    worse = {
        "gate": False,
        "quality_difference": -0.4,
        "quality_difference_low": -0.5,
        "quality_difference_high": -0.3,
    }
    rows = [blocks_of("copy", size, batch) for size in (1, 4) for batch in (1, 8)]
    rows += [judged(blocks_of("grid", size, 1) | worse) for size in (1, 4)]
    frames = frames_of(synthetic_folder) | {"block": filled("block", rows)}
    frames["parallelism"] = filled("parallelism", built("parallelism", block=rows))
    frames["cells"] = pd.concat(
        [frames["cells"][frames["cells"]["experiment"] != "block"], filled("cells", rows)]
    )
    drafts = [row for arm, ratios in DRAFTS.items() for row in drafts_of(arm, *ratios)]
    for row in drafts_of("behind", *DRAFTS["behind"]):
        name = row["cell"].replace("new~32", "new~64")
        drafts.append(row | {"cell": name, "key": name, "new_tokens": 64})
    frames["break_even"] = filled("break_even", built("break_even", cells=drafts))
    write_tables(folder, frames)
    return render(
        Material(values=values(frames)["values"], tables=load_tables([folder]), figures={}, study=STUDY)
    )


def plain(html, section, end):
    begin = html.index(f'<section id="{section}"')
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html[begin : html.index(end, begin)]))


@pytest.fixture(scope="module")
def words(page):
    """The section on blocks as plain text."""
    return plain(page, "block", "<details>")


def test_the_page_says_up_to_which_batch_a_decoder_pays(page):
    section = plain(page, "batch", "The same as a table")
    _, _, said = section.partition("From which batch autoregression is faster ")
    assert re.search(r"overtaken 4\.0 \[3\.\d+, 4\.\d+\];", said), said
    assert "ahead none up to 16" in said
    for length in (32, 64):  # one arm at two lengths, which the words tell apart
        assert re.search(
            rf"behind(, prompts of \d+ tokens)?, writing {length} tokens, every one from 1", said
        ), said
    assert "open none shown up to 16" in said


def test_the_page_names_the_best_block_of_each_batch(words):
    assert re.search(
        r"copy, batch 1: blocks of 4 tokens, block diffusion, at 1.2\d*× \[.*\] the speed", words
    )
    assert re.search(r"copy, batch 8: blocks of 4 tokens", words)
    assert "copy: no block" not in words


def test_the_page_says_where_no_block_keeps_the_quality_and_by_how_much(words):
    assert re.search(
        r"grid: no block is shown to keep the quality. Nearest are blocks of \d tokens?, whose", words
    )
    assert re.search(r"differs by -0.40* \[-0.50*, -0.30*\] \(margin 0.05\d*\)", words)


def test_random_and_tuning_prompts_are_compared_with_no_others():
    rows = [blocks_of("copy", 4, 1)]
    for number, other in enumerate(({"random_prompts": True}, {"tuning": True})):
        more = {
            "key": f"x{number}",
            "cell": f"block/copy/m/block/x{number}",
            "ratio": 99.0,
            "ratio_high": 99.5,
        }
        rows.append(rows[0] | more | other)
    assert parallelism(rows)[1, 4]["candidates"] == 1
    ends = dict.fromkeys(("latency_low", "latency_high", "quality_low", "quality_high"))
    measured = {"experiment_kind": "steps", "quality": 0.5, **ends}
    steps = [row | measured | {"latency_ms": 5.0 - k} for k, row in enumerate(rows)]
    [only] = built("pareto", cells=steps)
    assert only["on_front"]
