"""Table `crossover`: fewest steps at which parallel decoding reaches the sequential quality, and its speed there."""

from __future__ import annotations

from typing import Any

from pardec.evidence import comparison
from pardec.evidence.columns import SOURCES, count, flag, measured, number, size, text
from pardec.evidence.tables.answers import fastest
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import interval
from pardec.evidence.tables.series import compares_kinds, names, over_steps

Row = dict[str, Any]


def build(inputs: Inputs) -> list[Row]:
    """Returns one row per series: cells of a diffusion arm that differ only in steps, against an autoregressive one.

    The crossover is the fewest steps whose cell has equal quality (column `gate` of `cells`, decided by
    `pardec.evidence.comparison`). Its ratios are those of this cell, paired in its own process.
    """
    series = over_steps(row for row in inputs.rows("steps") if compares_kinds(row))
    named = names(series)
    return [_series(named[key], rows) for key, rows in series.items()]


def _series(name: str, rows: list[Row]) -> Row:
    rows = sorted(rows, key=lambda row: (passes(row) or 0, row["latency_ms"] or 0))
    judged = [row for row in rows if row["gate"] is not None]
    equal = [row for row in judged if row["gate"]]
    timed = [row for row in equal if row["ratio"] is not None]
    out: Row = {
        "series": name,
        **{column: rows[0][column] for column in SHARED},
        "tried": len(rows),
        "judged": len(judged),
        "steps_least": min((p for row in judged if (p := passes(row)) is not None), default=None),
        "steps_most": max((p for row in judged if (p := passes(row)) is not None), default=None),
        "observed": bool(equal) if judged else None,
        "steps_faster": max((passes(r) for r in rows if r["speed"] == "faster"), default=None),
        "noise_floor": rows[0]["noise_floor"],
        **_sources(rows),
    }
    if judged:
        best = (min if judged[0]["quality_better"] == "lower" else max)(
            judged, key=lambda row: row["quality"]
        )
        out |= {
            "quality_metric": best["quality_metric"],
            "quality_better": best["quality_better"],
            **{c: best[c] for c in ("reference_quality", "reference_quality_low", "reference_quality_high")},
            "best_steps": passes(best),
            **{f"best_{c}": best[c] for c in ("quality", "quality_low", "quality_high")},
        }
        out["steps_matched"] = next((passes(row) for row in equal if _as_good(row)), None)
    if equal:
        first = equal[0]
        out |= {c: first[c] for c in FIRST} | {"steps": passes(first)}
        out |= _sources([first, *(row for row in rows if row is not first)])
    if timed:
        best = max(timed, key=lambda row: row["ratio"])
        chosen = fastest(best, len(timed))
        out |= {f"fastest_{c}": best[c] for c in FASTEST} | {"fastest_steps": passes(best)}
        out |= {**interval("fastest_ratio", chosen), "fastest_of": len(timed)}
        out["fastest_verdict"] = comparison.speed(chosen.low, chosen.high, best["delta"])
    return out


SHARED = (
    "task", "model", "decoder", "reference_model", "reference_decoder", "batch", "prompt_tokens", "new_tokens",
)  # fmt: skip


def passes(row: Row) -> int | None:
    """Returns the steps set, else the number of passes made; None if neither is known."""
    if row["steps"] is not None:
        return row["steps"]
    return None if row["nfe"] is None else round(row["nfe"])


def _as_good(row: Row) -> bool:
    gap = row["quality_difference"]
    return gap is not None and (gap <= 0 if row["quality_better"] == "lower" else gap >= 0)


def _sources(rows: list[Row]) -> Row:
    return {name: " ".join(row[name] for row in rows) for name in SOURCES}


INTERVALS = (
    ("quality", "quality", "quality of that cell"),
    ("quality_difference", "quality_difference", "its paired difference to the reference"),
    ("latency_ms", "latency", "its latency"),
    ("ratio", "ratio", "latency of the reference / of that cell, from the cell's own pairs"),
    ("throughput_ratio", "throughput_ratio", "useful tokens/s of that cell / of the reference"),
)
QUALITY = {"count": "quality_n", "kind": "quality", "better": "quality_better"}
BETTER = {"ratio": "higher", "throughput_ratio": "higher"}
UNITS = {"latency_ms": "ms", "ratio": "×", "throughput_ratio": "×"}
FIRST = (
    "cell", "status", "verdict", "n_pairs", "quality_n", "nfe", "reference_latency_ms",
    *(column for name, stem, _ in INTERVALS for column in (name, f"{stem}_low", f"{stem}_high")),
)  # fmt: skip
FASTEST = ("cell", "n_pairs", "quality", "latency_ms")

COLUMNS = {
    "task": text("what is generated", nullable=False),
    "series": text("the arm whose steps vary, and what tells it from its other series", nullable=False),
    "model": text("name of the model", nullable=False),
    "decoder": text("how it writes"),
    "reference_model": text("the sequential arm's model"),
    "reference_decoder": text("how that writes"),
    "batch": count("prompts decoded together"),
    "prompt_tokens": count("prompt length; empty means prompts as they are", "tokens"),
    "new_tokens": count("length of the output canvas", "tokens"),
    "tried": count("cells in the series", "cells"),
    "judged": count("of these, cells whose quality could be compared", "cells"),
    "steps_least": count("fewest steps judged", "steps"),
    "steps_most": count("most steps judged", "steps"),
    "quality_metric": text("the task's main metric"),
    "quality_better": text("higher or lower"),
    **measured(
        "reference_quality",
        "",
        "quality of the reference",
        count="quality_n",
        kind="quality",
        better="quality_better",
    ),
    "best_steps": count("steps at which the series' quality is best", "steps"),
    **measured(
        "best_quality", "", "that best quality", count="quality_n", kind="quality", better="quality_better"
    ),
    "observed": flag(
        "whether any number of steps tried reaches the reference's quality; empty where none was judged"
    ),
    "steps": count(
        "the crossover: fewest steps that do; empty where none was observed (its record stands first)",
        "steps",
    ),
    "steps_matched": count(
        "fewest steps that do and whose own estimate is no worse than the reference's: the strict reading",
        "steps",
    ),
    "steps_faster": count("most steps at which the series is still faster, whatever its quality", "steps"),
    "cell": text("the crossover's cell"),
    "status": text("its status"),
    "nfe": number("passes", "its forward passes", "n_pairs"),
    "n_pairs": count("pairs behind its ratios", "pairs"),
    "quality_n": size("prompts behind its quality", "prompts"),
    "reference_latency_ms": number("ms", "latency of the reference in the same process", "n_pairs"),
    **{
        column: made
        for name, stem, words in INTERVALS
        for column, made in measured(
            name,
            UNITS.get(name, ""),
            words,
            stem=stem,
            **(QUALITY if name.startswith("quality") else {"count": "n_pairs", "better": BETTER.get(name)}),
        ).items()
    },
    "verdict": text("of the crossover's cell: faster, slower or no difference shown, at equal quality"),
    "fastest_cell": text("the fastest cell of those at equal quality"),
    "fastest_steps": count("its steps", "steps"),
    "fastest_quality": number("", "its quality", "quality_n", kind="quality", better="quality_better"),
    "fastest_latency_ms": number("ms", "its latency", "fastest_n_pairs"),
    **measured(
        "fastest_ratio",
        "×",
        "latency of the reference / of the fastest cell; its interval holds for the largest of all at once",
        count="fastest_n_pairs",
        better="higher",
    ),
    "fastest_of": count("cells at equal quality that it is the fastest of", "cells", kind="count"),
    "fastest_n_pairs": count("pairs behind it", "pairs"),
    "fastest_verdict": text("of that ratio"),
    "noise_floor": number("", "half-width of the A/A ratios", kind="precision"),
    **SOURCES,
}

TABLE = Table(
    name="crossover",
    description="By task: the fewest steps at which parallel decoding reaches the reference's quality, "
    "and its speed there.",
    needs=("steps",),
    key=("task", "series"),
    columns=COLUMNS,
    build=build,
)
