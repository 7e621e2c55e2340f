"""Every verdict that a claim can get, case by case."""

from __future__ import annotations

import pytest

from pardec.evidence.claims import CONTRADICTED, NOT_RUN, NOT_TESTABLE, REPRODUCED
from tests.claim_rows import BY_ID, row, verdict
from tests.claim_tables import (
    candidates,
    ci,
    floods,
    grid,
    idea,
    ideas,
    pair,
    positions,
    refined,
    rivals,
    roots,
    scored,
    sequential,
    shares,
    sizes,
    sources,
    speeds,
    step,
    surface,
    tau,
    trees,
)

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
