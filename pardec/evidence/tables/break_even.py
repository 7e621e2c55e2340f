"""Table `break_even`: for each parallel decoder the batch at which autoregression overtakes it, if any was tried."""

from __future__ import annotations

import math
from itertools import pairwise

from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import FASTER, SLOWER, on_test_prompts
from pardec.evidence.tables.answers import words_of
from pardec.evidence.tables.base import Row, Table, grouped
from pardec.evidence.tables.cell_columns import taken
from pardec.evidence.tables.inputs import Inputs, joined

SERIES = ("experiment", "task", "model", "arm", "settings", "prompt_tokens", "new_tokens", "reference_arm")
OF_SERIES = "experiment task task_label model arm label decoder steps block settings prompt_tokens new_tokens"
OVERTAKEN, AHEAD, BEHIND, OPEN = "overtaken", "ahead at every batch", "behind at every batch", "undecided"


def build(inputs: Inputs) -> list[Row]:
    """Return one row per parallel arm that was timed at two batch sizes or more against an autoregressive one."""
    cells = [row for row in inputs.rows("cells") if row["run"] is None and on_test_prompts(row)]
    against = [row for row in cells if row["reference_family"] == "autoregressive" != row["family"]]
    series = grouped([row for row in against if row["ratio"] is not None], *SERIES).values()
    return [_series(rows) for rows in series if len({row["batch"] for row in rows}) > 1]


def _series(rows: list[Row]) -> Row:
    rows = sorted(rows, key=lambda row: row["batch"])
    ahead = [row["batch"] for row in rows if row["speed"] == FASTER]
    behind = [row["batch"] for row in rows if row["speed"] == SLOWER]
    judged = [row["gate"] for row in rows if row["gate"] is not None]
    ends = {
        end: crossing([(row["batch"], row[end]) for row in rows])
        for end in ("ratio", "ratio_low", "ratio_high")
    }
    known = ends["ratio"] is not None
    return {
        **{name: rows[0][name] for name in (*OF_SERIES.split(), "reference_arm", "delta")},
        "words": words_of(rows[0]["cell"]),
        "batches": len(rows),
        "least": rows[0]["batch"],
        "most": rows[-1]["batch"],
        "outcome": outcome(ahead, behind, len(rows)),
        "ahead_up_to": max(ahead, default=None),
        "behind_from": min(behind, default=None),
        "even": ends["ratio"],
        "even_low": ends["ratio_low"] if known else None,
        "even_high": ends["ratio_high"] if known else None,
        "n_pairs": min(row["n_pairs"] for row in rows),
        "equal_quality": all(judged) if judged else None,
        **joined(rows),
    }


def outcome(ahead: list[int], behind: list[int], count: int) -> str:
    """Return what the batches at which a decoder is shown faster, and slower, say together; `count` were tried."""
    if ahead and behind and max(ahead) < min(behind):
        return OVERTAKEN
    if len(ahead) == count:
        return AHEAD
    return BEHIND if len(behind) == count else OPEN


def crossing(points: list[tuple[int, float | None]]) -> float | None:
    """Return the batch at which the ratio falls through 1, straight between two batches on logarithms of both; None
    where it does not, or where it also rises through 1."""
    known = [(math.log(batch), math.log(ratio)) for batch, ratio in points if ratio is not None and ratio > 0]
    steps = list(pairwise(known))
    falls = [(a, b) for a, b in steps if a[1] >= 0 > b[1]]
    rises = [(a, b) for a, b in steps if a[1] < 0 <= b[1]]
    if len(falls) != 1 or rises:
        return None
    (x, high), (x2, low) = falls[0]
    return math.exp(x + (x2 - x) * high / (high - low))


BREAK_EVEN = Table(
    name="break_even",
    description="By parallel arm: the batch at which autoregression overtakes it, between the batches that were tried.",
    needs=("cells",),
    key=("experiment", "task", "arm", "words", "prompt_tokens", "new_tokens", "reference_arm"),
    columns=taken(f"{OF_SERIES} delta")
    | columns(f"""
reference_arm  text! | the autoregressive arm
words          text | what sets it apart from its arm, batch included
batches        count cells | batch sizes timed
least          count | the smallest of them
most           count | the largest of them
outcome        text! | {OVERTAKEN}, {AHEAD}, {BEHIND}, or {OPEN}
ahead_up_to    count kind=precision | largest batch at which it is shown faster than autoregression
behind_from    count kind=precision | smallest batch at which it is shown slower
even           interval of=n_pairs kind=fit label="break-even batch" | batch at which both are equally fast,
    interpolated on logarithms between two batches; its interval's ends are the batches at which the ends of
    the ratio's interval cross one
n_pairs        count pairs | pairs behind the ratio with the fewest
equal_quality  flag | whether quality is shown equal at every batch; empty where none was scored
""")
    | SOURCES,
    build=build,
)
