"""Synthetic rows that follow from others: stability, crossovers, floors."""

from __future__ import annotations

import math

from tests.report_constants import QUALITY


def stability(rows: list[dict]) -> list[dict]:
    """Each cell's own series, and for every third one of a reference; some cells flagged, one budget spent."""
    result = []
    for place, r in enumerate(rows):
        for side in ("cell", "reference") if place % 3 == 0 else ("cell",):
            wave = 1 + 0.02 * math.sin(place)
            taken = 0 if r["status"] != "ok" else 10 + place % 7
            result.append(
                {
                    **r,
                    "key": f"{r['key']}-{place}/{side}",
                    "side": side,
                    "work": side if side == "reference" else r["key"],
                    "started_s": 4.0 * place,
                    "n": taken - (place == 4),
                    "n_all": taken,
                    "flagged": int(place == 4),
                    "flags": "foreign:1" if place == 4 else None,
                    "stop_reason": None
                    if side == "reference"
                    else ("precise", "precise", "budget")[place % 3],
                    "reached": 0.04,
                    "target": 0.05,
                    "halves": wave,
                    **(
                        {
                            "times": 9,
                            "relative": wave,
                            "relative_low": wave * 0.98,
                            "relative_high": wave * 1.03,
                        }
                        if side == "reference" and taken
                        else {}
                    ),
                }
            )
    return result


def crossover(steps: list[dict], tasks: tuple[str, ...]) -> list[dict]:
    """One task for each outcome: faster, no difference, slower, never reached, not judged."""
    rows = []
    for number, task in enumerate(tasks):
        here = [
            r
            for r in steps
            if r["task"] == task and r["decoder"] == "masked_diffusion" and r["status"] == "ok"
        ]
        first = here[min(number, len(here) - 1)]
        observed = (True, True, True, False, None)[number % 5]
        word = ("faster", "no difference shown", "slower", None, None)[number % 5]
        shared = {
            "key": f"{task}/diffusion",
            "task": task,
            "series": "diffusion",
            "model": f"mdm-{task}",
            "decoder": "masked_diffusion",
            "judged": len(here),
            "steps_most": 64,
            "observed": observed,
            "reference_quality": QUALITY[task][0],
            "quality_metric": first["quality_metric"],
            "best_steps": 16,
            "best_quality": first["quality"],
            "n": 12,
            "record": first["record"],
        }
        reached = {
            "steps": first["steps"],
            "quality": first["quality"],
            "latency_ms": first["latency_ms"],
            "reference_latency_ms": 35.2,
            "ratio": first["ratio"],
            "ratio_low": first["ratio_low"],
            "ratio_high": first["ratio_high"],
            "verdict": word,
            "fastest_ratio": 2.5,
            "fastest_steps": 4,
        }
        rows.append({**shared, **(reached if observed else {})})
    return rows


def floors(tasks: tuple[str, ...]) -> list[dict]:
    return [
        {
            "key": f"{task}/{arm}/exact",
            "task": task,
            "arm": arm,
            "model": f"{arm}-{task}",
            "metric": "exact",
            "floor": 0.9,
            "value": QUALITY[task][0],
            "value_low": 0.8,
            "value_high": 1.0,
            "n": 48,
            "met": QUALITY[task][0] >= 0.9,
            "record": f"results/quality/{task}/score.json",
        }
        for task in tasks
        if task != "text"
        for arm in ("ar", "diffusion")
    ]
