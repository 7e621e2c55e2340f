"""Table `parallelism`: by tokens of a block and batch, the fastest decoder at equal quality. How much is right?"""

from __future__ import annotations

from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import on_test_prompts
from pardec.evidence.tables.answers import BEST, CHOSEN, GROUP, SEQUENTIAL, chosen, of_cell
from pardec.evidence.tables.base import Row, Table, grouped
from pardec.evidence.tables.cell_columns import taken
from pardec.evidence.tables.inputs import Inputs


def block_size(row: Row) -> int:
    """Return the tokens that a cell may write in parallel: its block, the canvas where it has none, else one."""
    if row["family"] == SEQUENTIAL:
        return 1
    return min(row["block"] or row["new_tokens"], row["new_tokens"])


def build(inputs: Inputs) -> list[Row]:
    """Return one row per shape and block of experiments of kind block; of the blocks of a shape, the one whose fastest
    cell at equal quality has the highest speed ratio is `best`."""
    cells = [{**row, "size": block_size(row)} for row in inputs.rows("block") if on_test_prompts(row)]
    rows = []
    for shape in grouped((row for row in cells if row["reference_family"] == SEQUENTIAL), *GROUP).values():
        shared = {name: shape[0][name] for name in GROUP}
        made = [
            shared | {"size": size} | _best(same) for (size,), same in sorted(grouped(shape, "size").items())
        ]
        most = max((row["ratio"] for row in made if "ratio" in row), default=None)
        rows += [{**row, "best": row["ratio"] == most if "ratio" in row else None} for row in made]
    return rows


def _best(rows: list[Row]) -> Row:
    best, row = chosen(rows)
    scored = [row for row in rows if row["quality_difference"] is not None]
    if best is None and scored:
        # Where nothing is equal, the cell nearest to it says how far away that is.
        sign = -1 if scored[0]["quality_better"] == "lower" else 1
        near = of_cell(max(scored, key=lambda row: sign * row["quality_difference"]))
        row |= {name: near[name] for name in near if name.startswith("quality")}
        row |= {name: near[name] for name in ("cell", "arm", "label", "n", "words")}
    return row


PARALLELISM = Table(
    name="parallelism",
    description="By task, batch and tokens of a block: the fastest decoder at equal quality, against autoregression.",
    needs=("block",),
    key=(*GROUP, "size"),
    columns=taken("experiment task batch prompt_tokens new_tokens")
    | columns("""
reference_arm  text! | the sequential arm with which all others are compared
size           count tokens label=block | tokens that may be written in parallel: a block, or the whole canvas
best           flag | whether no other block of this task and batch is faster at equal quality
""")
    | CHOSEN
    | SOURCES,
    build=build,
    borrowed=BEST.of,
)
