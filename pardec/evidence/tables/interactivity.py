"""Table `interactivity`: tokens per second of one request and of the whole machine, by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import on_test_prompts
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.cell_columns import taken
from pardec.evidence.tables.growth import series_name
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import clean, interval

statistics = lazy("pardec.evidence.statistics")

SHAPE = ("experiment", "task", "prompt_tokens", "new_tokens")
OF_CELL = """
    experiment experiment_kind task task_label model family arm label decoder steps block engine batch prompt_tokens
    new_tokens
"""
RATE = ("tokens_per_s", "tokens_per_s_low", "tokens_per_s_high")
ORIGIN = tuple(SOURCES)


def build(inputs: Inputs) -> list[Row]:
    """Return one row per cell of each shape that was timed at two batches or more, and per reference beside them."""
    cells = [
        row
        for row in inputs.rows("cells")
        if row["run"] is None and on_test_prompts(row) and row["status"] == "ok" and row["tokens_per_s"]
    ]
    rows = [_of_cell(row) for row in cells]
    rows += _references(inputs, cells)
    shapes: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        shapes[tuple(row[name] for name in SHAPE)].append(row)
    made = []
    for these in shapes.values():
        if len({row["batch"] for row in these}) > 1:
            best = front([row for row in these if row["equal_quality"] is not False])
            made += [{**row, "front": any(row is other for other in best)} for row in these]
    return made


def _of_cell(row: Row) -> Row:
    return {
        **{name: row[name] for name in (*OF_CELL.split(), *RATE, *ORIGIN)},
        "cell": row["cell"],
        "series": series_name(row["cell"], "batch"),
        "equal_quality": row["gate"],
        "n": row["n"],
        **{name.replace("tokens_per_s", "interactivity"): _each(row[name], row["batch"]) for name in RATE},
    }


def _each(rate: float | None, batch: int) -> float | None:
    return None if rate is None else rate / batch


def _references(inputs: Inputs, cells: Sequence[Row]) -> Iterable[Row]:
    """Yield the arms that cells are paired with, from the samples beside them, where they are no cells themselves."""
    by_id = {row["cell"]: row for row in cells}
    known = {_place(row, row["arm"], row["model"]) for row in cells}
    for record in inputs.records:
        row, reference = by_id.get(record.body["cell"]["id"]), record.body.get("reference") or {}
        if row is None or not reference.get("samples"):
            continue
        place = _place(row, row["reference_arm"], row["reference_model"])
        if place in known:
            continue
        known.add(place)
        samples = clean(reference["samples"])
        rates = [1000 * sample["useful"] / sample["e2e_ms"] for sample in samples]
        rate = interval("tokens_per_s", statistics.median(rates))
        of = {"family": "reference_family", "decoder": "reference_decoder", "model": "reference_model"}
        yield {
            **{name: row[name] for name in OF_CELL.split()},
            **{name: row[source] for name, source in of.items()},
            **{"arm": row["reference_arm"], "label": None, "steps": None, "block": None},
            "beside": row["cell"],
            "series": "/".join([row["task"], row["reference_model"] or "", row["reference_arm"]]),
            "equal_quality": None,
            "n": len(samples),
            **rate,
            **{key.replace("tokens_per_s", "interactivity"): _each(rate[key], row["batch"]) for key in rate},
            **record.origin,
        }


def _place(row: Row, arm: str | None, model: str | None) -> tuple[Any, ...]:
    return (*(row[name] for name in (*SHAPE, "engine", "batch")), arm, model)


def front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that no other row beats on one rate without losing on the other."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (-row["tokens_per_s"], -row["interactivity"])):
        if not best or row["interactivity"] > best[-1]["interactivity"]:
            best.append(row)
    return best


INTERACTIVITY = Table(
    name="interactivity",
    description="By decoder and batch: useful tokens per second of each request, and of the machine. More requests at "
    "once trade one for the other.",
    needs=("cells", "records"),
    key=("experiment", "series", "engine", "prompt_tokens", "new_tokens", "batch"),
    columns=columns("""
cell    text | the cell's id
beside  text | for a reference that is no cell: the cell that it was timed beside
series  text! | what its cells have in common over batches
""")
    | taken(OF_CELL)
    | columns("""
interactivity  interval tokens/s | useful tokens per second of one request: throughput / batch
""")
    | taken(" ".join((*RATE, "n")))
    | columns("""
equal_quality  flag | whether quality is shown equal to the reference's; empty where none was scored
front          flag | whether no other decoder and batch, among those of equal quality or without a score, is
    at least as good in both rates and better in one
""")
    | SOURCES,
    build=build,
    borrowed={name: ("cell", name) for name in RATE},
)
