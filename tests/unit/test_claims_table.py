"""Each claim of seeds 000 to 003 with rows that reproduce it, rows that contradict it, and rows that leave it open."""

from __future__ import annotations

from pathlib import Path

import pytest

from pardec.evidence.claims import CONTRADICTED, NOT_RUN, NOT_TESTABLE, REPRODUCED, SHIPPED, UNDECIDED, judge
from tests.claim_rows import BY_ID, published, row, verdict


def ci(low, high, name="ratio"):
    """A number in the middle of its interval."""
    return {name: (low + high) / 2, f"{name}_low": low, f"{name}_high": high}


def grid(new=64, **more):
    base = {
        "arm": "jacobi",
        "decoder": "jacobi",
        "role": "cell",
        "model": "ar",
        "status": "ok",
        "batch": 1,
        "nfe": 3,
    }
    side = int(new**0.5)
    return row(
        "grid",
        **{**base, "new_tokens": new, "side": side, "latency_ms": 5.0, "canvas_tokens_per_s": 9.0, **more},
    )


def grown(**more):
    base = {
        "experiment_kind": "grid",
        "arm": "ar",
        "chosen": "same settings",
        "span": "all",
        "quantity": "latency_ms",
        "against": "new_tokens",
        "decoder": "autoregressive",
        "slope": 1.0,
        "constant_to": 64,
    }
    return row("growth", **{**base, **more})


def sequential(passes, low, high, first=None):
    cells = [
        grid(n, arm="ar", decoder="autoregressive", role="reference", nfe=passes or n) for n in (64, 256)
    ]
    return {"grid": cells, "growth": local(low, high, first)}


def local(low, high, first=None, **more):
    """Growth over all of three sizes, between the two largest, and between the two smallest."""
    spans = [
        {"span": "all", "n": 3, "from_x": 16, **ci(low, high, "exponent")},
        {"span": "64 to 256", "n": 2, "from_x": 64, **ci(low, high, "exponent")},
        {"span": "16 to 64", "n": 2, "from_x": 16, **ci(*(first or (low, high)), "exponent")},
    ]
    return [grown(**{**span, **more}) for span in spans]


def sizes(*cells):
    """(tokens, passes, right) of one arm."""
    return {"grid": [grid(n, nfe=passes, right=right, steps=k) for k, (n, passes, right) in enumerate(cells)]}


def scored(*shares, **more):
    """(share of cells, share of tables) right, at 8×8, 64×64 and so on."""
    places = (64, 4096, 9216)
    return {"grid": [
        grid(places[k], cells_right=cells, grids_right=tables, right=cells >= 0.99, **more)
        for k, (cells, tables) in enumerate(shares)
    ]}  # fmt: skip


def speeds(*ratios, right=True):
    return {"grid": [grid(n, right=right, **ci(*ratio)) for n, ratio in zip((64, 256), ratios, strict=False)]}


def step(constant, low, high):
    fits = {
        "arm": "jacobi",
        "decoder": "jacobi",
        "chosen": "fewest that are right",
        "constant_throughout": constant,
    }
    return {"grid": [grid()], "growth": [grown(**fits, **ci(low, high, "exponent"))]}


def flood(**more):
    base = {
        "status": "ok", "order": "parallel", "decoder": "flash_flood", "plan": "given", "candidates": 1, "roots": 20,
        "chunks": 60, "nfe": 2.0, "reference_order": "by_root", "device": "cpu", "manager": "autoregressive",
        "latency_ms": 5.0, "characters_per_s": 9.0, "new_tokens": 160,
    }  # fmt: skip
    return row("flood", **{**base, **more})


def floods(*changes):
    return {"flood": [flood(**change) for change in changes]}


def candidates(share, low, high):
    """One candidate and four, with so much right and so much gained."""
    more = ci(low, high, "level1_gain") | {"candidates": 4, "gain_margin": 0.05}
    return floods(ci(share, share, "level1"), ci(share, share, "level1") | more)


def roots(low, high, **more):
    base = {
        "experiment_kind": "flood",
        "against": "roots",
        "candidates": 1,
        "series": "by_root K=1",
        "from_x": 20,
        "constant_to": 20,
    }
    return {
        "flood": [flood()],
        "growth": local(low, high, **{**base, **more}),
    }


def surface(middle, share):
    """Latency with a limit between the ends, and chunks right with four candidates, where one writes 0.9 right."""
    passes = [
        {
            "chunk_batch": limit,
            "roots": 50,
            "latency_ms": ms,
            "latency_low": ms - 0.1,
            "latency_high": ms + 0.1,
        }
        for limit, ms in ((16, 9.0), (64, middle), (None, 8.0))
    ]
    chosen = [
        {"candidates": k, "roots": 200, **ci(s - 0.01, s + 0.01, "level1")}
        for k, s in ((1, 0.9), (4, share), (16, 0.9))
    ]
    return floods(*passes, *chosen)


def shares(manager, render, overhead):
    parts = {"level0_share": render, "level1_share": 0.0, "transfer_share": 0.0, "other_share": overhead}
    named = {"manager_share": manager, "render_share": render, "overhead_share": overhead}
    return floods({"plan": "manager", **parts, **named})


def pair(low, high):
    """200 roots in parallel and 50 root by root, with the published ratio of their times."""
    ident = "finding/flood/more-in-less/k=1"
    value = {"value": (low + high) / 2, "ci_low": low, "ci_high": high, "unit": "×"}
    return floods({"roots": 200}, {"roots": 50, "order": "by_root"}), {ident: value}


def idea(name, setting, low, high, arm=None, **more):
    base = {
        "idea": name, "setting": setting, "arm": arm or f"{name}-{setting}", "words": setting, "deciding": True,
        "prompts": 32, "lossless": True, "control": True, "fell_back": False, "margin": 0.03,
        "speed_status": "inconclusive", "tau_status": "inconclusive",
    }  # fmt: skip
    return row("ideas", **base | ci(low, high) | more)


def tau(low, high):
    return ci(low, high, "tau_ratio")


def ideas(*rows, **tables):
    return {"ideas": list(rows), **tables}


def refined(full, bare):
    cached = idea("refinement", "full", 0.8, 0.9, **tau(*full))
    return ideas(cached, idea("refinement", "no-cache", 0.2, 0.3, **tau(*bare)))


def rivals(ours, ewma, threshold):
    rows = [idea("break-even", "break-even", *ours), idea("ewma", "scheduler", *ewma)]
    return ideas(*rows, *([idea("break-even", "threshold", *threshold, deciding=False)] if threshold else []))


def positions(early, late, low, high):
    lines = [
        row("cycles", arm="plain", task="sort", position=p, share=share, acceptance=0.5)
        for p, share in ((1, early), (2, late), (3, 0.2))
    ]
    profile = row("ideas", idea="profile", setting="baseline", arm="plain")
    return ideas(idea("tree-lite", "plain", low, high), profile, cycles=lines)


def trees(narrow, wide):
    return ideas(idea("tree", "tree", *narrow), idea("tree", "wide", *wide, deciding=False))


def sources(*cases):
    """(interval of the tau ratio, verdict on tau)."""
    return ideas(*(
        idea("diversity", f"s{k}", 0.9, 1.0, **tau(*interval), tau_status=status)
        for k, (interval, status) in enumerate(cases)
    ))  # fmt: skip


A, B = "autoregressive", "full_passes"
R, C, N = REPRODUCED, CONTRADICTED, NOT_TESTABLE
CASES = [
    ("000.1", R, sequential(None, 0.95, 1.05)),
    ("000.1", C, sequential(7, 0.95, 1.05)),
    ("000.1", C, sequential(None, 1.9, 2.1)),
    ("000.1", N, sequential(None, 0.6, 1.3)),
    ("000.1", N, sequential(None, 0.95, 1.05, first=(0.3, 0.4))),
    ("000.2", R, sizes((64, 3, True), (256, 10, True), (256, 4, False))),
    ("000.2", C, sizes((64, 3, True), (256, 11, True))),
    ("000.2", C, sizes((64, 3, True), (256, 3, False))),
    ("000.2", N, sizes((64, 3, True), (256, 3, None))),
    ("000.2", NOT_RUN, sizes((64, 3, True))),
    ("000.3", N, sequential(None, 1.0, 1.1)),
    ("000.4", N, {"grid": [grid(decoder=B, nfe=10)]}),
    ("000.4", N, {"grid": [grid()]}),
    ("000.5", R, speeds((41, 50), (35, 45))),
    ("000.5", C, speeds((41, 50), (5, 6))),
    ("000.5", N, speeds((41, 50), right=False)),
    ("000.5", N, {"grid": [grid(right=True, steps=k, **ci(*r)) for k, r in enumerate([(41, 50), *[(9, 10)] * 7])]}),
    ("000.6", R, scored((1.0, 1.0), (1.0, 1.0))),
    ("000.6", C, scored((1.0, 1.0), (0.9, 0.0))),
    ("000.6", N, scored((1.0, 1.0), (0.995, 0.5))),
    ("000.6", N, scored((1.0, 1.0))),
    ("000.7", R, step(True, -0.1, 0.1)),
    ("000.7", C, step(False, 0.9, 1.1)),
    ("000.7", N, step(False, 0.1, 0.9)),
    ("000.8", R, scored((1.0, 1.0), (1.0, 1.0))),
    ("000.8", C, scored((1.0, 1.0), (0.5, 0.0))),
    ("000.8", N, scored((1.0, 1.0), (0.995, 0.9))),
    ("001.1", R, floods(ci(10500, 11000, "chunks_per_s"))),
    ("001.1", C, floods(ci(800, 900, "chunks_per_s"))),
    ("001.1", N, floods(ci(9000, 11000, "chunks_per_s"))),
    ("001.1", N, floods({"plan": "manager"})),
    ("001.2", R, roots(0.9, 1.1)),
    ("001.2", C, roots(1.9, 2.1)),
    ("001.2", N, roots(0.5, 1.4)),
    ("001.2", N, roots(0.9, 1.1, series="parallel K=1")),
    ("001.3", R, floods({}, {"roots": 50})),
    ("001.3", C, floods({}, {"roots": 50, "nfe": 5.0})),
    ("001.3", N, floods({"plan": "manager"})),
    ("001.4", R, floods(ci(51, 60))),
    ("001.4", C, floods(ci(20, 30))),
    ("001.4", N, floods(ci(40, 60))),
    ("001.4", N, floods(ci(51, 60) | {"roots": 50})),
    ("001.5", R, candidates(0.8, 0.02, 0.2)),
    ("001.5", R, candidates(0.8, 0.01, 0.03)),
    ("001.5", C, candidates(0.8, -0.2, -0.1)),
    ("001.5", C, candidates(0.8, -0.01, 0.04)),
    ("001.5", N, candidates(0.8, -0.01, 0.08)),
    ("001.5", N, candidates(1.0, -0.01, 0.01)),
    ("001.5", N, floods(ci(0.8, 0.9, "level1"))),
    ("001.6", R, surface(5.0, 0.99)),
    ("001.6", C, surface(12.0, 0.99)),
    ("001.6", C, surface(5.0, 0.8)),
    ("001.6", N, surface(8.0, 0.905)),
    ("001.6", NOT_RUN, floods({})),
    ("002.1", R, floods(ci(60, 70) | {"roots": 200})),
    ("002.1", C, floods(ci(6, 7) | {"roots": 200})),
    ("002.1", N, floods(ci(50, 70) | {"roots": 200})),
    ("002.1", N, floods(ci(60, 70))),
    ("002.2", R, floods(ci(15, 20) | {"plan": "manager"})),
    ("002.2", C, floods(ci(2, 3) | {"plan": "manager"})),
    ("002.2", N, floods(ci(14, 16) | {"plan": "manager"})),
    ("002.3", R, roots(0.0, 0.4, series="parallel K=1", constant_to=50)),
    ("002.3", C, roots(0.3, 0.5, series="parallel K=1")),
    ("002.3", N, roots(0.1, 0.5, series="parallel K=1")),
    ("002.3", N, roots(0.1, 0.5)),
    ("002.4", R, shares(0.46, 0.23, 0.3)),
    ("002.4", C, shares(0.9, 0.05, 0.05)),
    ("002.4", N, floods({})),
    ("002.5", R, shares(0.46, 0.23, 0.3)),
    ("002.5", C, shares(0.2, 0.7, 0.1)),
    ("002.5", N, floods({})),
    ("002.6", R, *pair(0.1, 0.2)),
    ("002.6", C, *pair(0.6, 0.7)),
    ("002.6", N, *pair(0.4, 0.6)),
    ("002.6", N, floods({"roots": 200})),
    ("002.7", N, floods(ci(800, 900, "chunks_per_s"))),
    ("002.7", R, floods(ci(3e4, 4e4, "chunks_per_s") | {"device": "cuda"})),
    ("002.7", C, floods(ci(800, 900, "chunks_per_s") | {"device": "cuda"})),
    ("002.7", N, floods(ci(2e4, 3e4, "chunks_per_s") | {"device": "cuda"})),
    ("003.1", N, {"draft": [row("draft", arm="draft", task="all workloads", tau=3.0, ratio_ar=2.0)]}),
    ("003.1", NOT_RUN, {"draft": [row("draft", arm="x")]}),
    ("003.2", R, ideas(idea("recycling", "sparse", 0.8, 0.9), idea("recycling", "dense", 0.6, 0.7))),
    ("003.2", C, ideas(idea("recycling", "sparse", 0.8, 0.9), idea("recycling", "dense", 0.95, 0.99))),
    ("003.2", N, ideas(idea("recycling", "sparse", 0.8, 0.9), idea("recycling", "dense", 0.85, 0.95))),
    ("003.2", NOT_RUN, ideas(idea("recycling", "sparse", 0.8, 0.9))),
    ("003.3", R, refined((0.2, 0.3), (0.2, 0.3))),
    ("003.3", C, refined((0.8, 0.9), (0.2, 0.3))),
    ("003.3", N, refined((0.4, 0.6), (0.2, 0.3))),
    ("003.4", R, refined((0.2, 0.3), (0.2, 0.3))),
    ("003.4", C, refined((0.8, 0.9), (0.2, 0.3))),
    ("003.4", N, refined((0.8, 0.9), (0.7, 0.8))),
    ("003.5", R, ideas(idea("ewma", "scheduler", 1.1, 1.2, speed_status="validated"))),
    ("003.5", C, ideas(idea("ewma", "scheduler", 0.8, 0.9, speed_status="rejected"))),
    ("003.5", C, ideas(idea("ewma", "scheduler", 0.9, 1.02))),
    ("003.5", N, ideas(idea("ewma", "scheduler", 0.9, 1.1))),
    ("003.5", N, ideas(idea("ewma", "scheduler", 0.9, 1.02, control=False))),
    ("003.6", R, rivals((1.1, 1.2), (1.0, 1.05), (0.9, 1.0))),
    ("003.6", C, rivals((1.1, 1.2), (1.3, 1.4), (0.9, 1.0))),
    ("003.6", N, rivals((1.1, 1.2), (1.0, 1.15), (0.9, 1.0))),
    ("003.6", N, rivals((1.1, 1.2), (1.0, 1.05), None)),
    ("003.6", C, rivals((1.1, 1.2), (1.3, 1.4), None)),
    ("003.7", C, ideas(idea("multi-round", "packed", 1.1, 1.2, speed_status="validated", lossless=None))),
    ("003.7", R, ideas(idea("multi-round", "packed", 0.8, 0.9, speed_status="rejected"))),
    ("003.7", N, ideas(idea("multi-round", "packed", 0.9, 1.1))),
    ("003.8", R, sources(((1.1, 1.2), "validated"), ((0.9, 1.1), "inconclusive"))),
    ("003.8", C, sources(((0.8, 0.9), "rejected"))),
    ("003.8", N, sources(((0.8, 0.9), "rejected"), ((0.9, 1.1), "inconclusive"))),
    ("003.9", R, trees((1.2, 1.3), (0.9, 1.0))),
    ("003.9", C, trees((0.7, 0.8), (0.5, 0.6))),
    ("003.9", N, trees((1.2, 1.3), (1.25, 1.35))),
    ("003.10", R, positions(0.6, 0.2, 1.1, 1.2)),
    ("003.10", C, positions(0.2, 0.6, 1.1, 1.2)),
    ("003.10", C, positions(0.6, 0.2, 0.8, 0.9)),
    ("003.10", N, positions(0.6, 0.2, 0.9, 1.1)),
    ("003.11", R, ideas(idea("candidates", "packed", 0.8, 0.9, speed_status="rejected", **tau(1.1, 1.2)))),
    ("003.11", C, ideas(idea("candidates", "packed", 1.1, 1.2, speed_status="validated", **tau(1.1, 1.2)))),
    ("003.11", N, ideas(idea("candidates", "packed", 0.9, 1.1, **tau(1.1, 1.2)))),
    ("003.12", R, ideas(idea("recycling", "gated", 0.98, 1.0))),
    ("003.12", C, ideas(idea("recycling", "gated", 0.8, 0.9))),
    ("003.12", N, ideas(idea("recycling", "gated", 0.9, 1.0))),
    ("003.13", R, ideas(idea("refinement", "selective", 0.9, 1.0), idea("refinement", "full", 0.5, 0.6))),
    ("003.13", C, ideas(idea("refinement", "selective", 0.3, 0.4), idea("refinement", "full", 0.5, 0.6))),
    ("003.13", N, ideas(idea("refinement", "selective", 0.4, 0.6), idea("refinement", "full", 0.5, 0.6))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_every_verdict_can_come_out(case):
    number, expected, tables, *values = case
    assert verdict(number, tables, *values).verdict == expected


def test_the_table_has_every_claim_and_verdict():
    reported = {"000.3", "000.4", "003.1"}  # of an A100: never judged here
    seen = {(number, outcome) for number, outcome, *_ in CASES}
    for number in BY_ID:
        if not number.startswith("004"):
            wanted = (NOT_TESTABLE,) if number in reported else (REPRODUCED, CONTRADICTED, NOT_TESTABLE)
            assert {(number, outcome) for outcome in wanted} <= seen
            assert BY_ID[number].judged is (number not in reported)


@pytest.mark.parametrize("number", [number for number in BY_ID if number != "004.4"])
def test_without_rows_nothing_is_judged(number):
    assert verdict(number, {}).verdict == NOT_RUN


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ratio_low": None}, "precision: too few prompts"),
        ({"lossless": False}, "quality: the arm did not write"),
    ],
)
def test_an_arm_that_ran_is_never_said_not_to_have_run(change, reason):
    result = verdict("003.12", ideas(idea("recycling", "gated", 0.98, 1.0, **change)))
    assert result.verdict == NOT_TESTABLE and result.reason.startswith(reason)


def test_each_meaning_of_sequential_is_a_part():
    tables = floods(ci(20, 30), {"order": "by_candidate", "reference_order": "parallel", "prompt_tokens": 20})
    ident = f"finding/flood/times-faster/{tables['flood'][1]['key']}"
    result = verdict("001.4", tables, {ident: {"value": 86.0, "ci_low": 85.0, "ci_high": 87.0}})
    assert [(part.name, part.verdict) for part in result.parts] == [
        ("root by root", CONTRADICTED), ("candidate by candidate", REPRODUCED)
    ]  # fmt: skip
    assert ident in result.evidence and result.verdict == CONTRADICTED


def test_the_largest_of_several_says_of_how_many():
    rows = [grid(right=True, steps=k, **ci(*ratio)) for k, ratio in enumerate(((41, 50), (9, 10)))]
    [part] = verdict("000.5", {"grid": rows}).parts
    assert {"name": "2"} in part.pieces


def test_both_parts_of_tuning_are_named():
    result = verdict("001.6", surface(8.0, 0.99))
    assert {part.name: part.verdict for part in result.parts} == {
        "expansions in a pass": UNDECIDED, "candidates": REPRODUCED
    }  # fmt: skip


def test_a_claim_notes_what_it_compared():
    result = verdict(
        "003.13", ideas(idea("refinement", "selective", 0.9, 1.0), idea("refinement", "full", 0.5, 0.6))
    )
    assert len(result.read) == 2 and all(ident.endswith("/ratio") for ident in result.read)


def test_the_example_of_the_documentation_judges_a_claim_of_ones_own(tmp_path):
    blocks = (Path(__file__).parents[2] / "docs/claims.md").read_text().split("```yaml\n")
    path = tmp_path / "my-claims.yaml"
    path.write_text(blocks[2].partition("```")[0])
    lines = [
        row("cells", cell=task, task=task, arm="lookup", decoder="speculative", **ci(low, low + 0.2))
        for task, low in (("code", 1.5), ("text", 0.9))
    ]
    [result] = judge({"cells": lines}, published({"cells": lines}), [path])["claims"]
    assert result["verdict"] == CONTRADICTED and result["seed"] == "mine"
    assert result["measured"] == "As fast as claimed on code; slower than claimed on text."
    assert [part["verdict"] for part in result["parts"]] == [REPRODUCED, CONTRADICTED]
    both = judge({}, {}, [SHIPPED, path])["claims"]
    assert [claim["id"] for claim in both] == [*BY_ID, "mine.1"]
