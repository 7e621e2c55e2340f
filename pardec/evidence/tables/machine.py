"""Table `machine`: facts of the machine, one per row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.inputs import Inputs

UNITS = {
    "gflop_per_s": "GFLOP/s", "gb_per_s": "GB/s", "gb": "GB", "mb": "MB", "mhz": "MHz", "celsius": "°C", "watt": "W",
}  # fmt: skip


def build(inputs: Inputs) -> list[Row]:
    """Return one row per fact of the machine."""
    if inputs.machine is None:
        raise UserError(
            "table 'machine'", "needs the machine's description", "pass --machine results/machine.json"
        )
    rows = []
    for name, value in flatten(inputs.machine.body):
        value = "; ".join(map(str, value)) if isinstance(value, list) else value
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        unit = next((unit for end, unit in UNITS.items() if name.endswith(f"_{end}")), None)
        entry = {"value": float(value) if numeric else None, "text": None if value is None else str(value)}
        rows.append({"fact": name, "unit": unit, **entry, **inputs.machine.origin})
    return rows


def flatten(body: Any, name: str = "", mark: str = "/") -> Iterator[tuple[str, Any]]:
    """Yield leaves of nested objects as ("gpu/name", value), without provenance; a list is one leaf."""
    if isinstance(body, dict):
        for key, value in body.items():
            if name or key != "provenance":
                yield from flatten(value, f"{name}{mark}{key}" if name else key, mark)
    else:
        yield name, body


MACHINE = Table(
    name="machine",
    description="The machine of the run, with the two measured rates to which MFU and MBU refer.",
    needs=("machine",),
    key=("fact",),
    columns=columns("""
fact   text! | name of the fact
value  number @unit kind=reading better=neither | its value, where it is a number; the next column has its unit
unit   text | unit of the value
text   text | its value as text
""")
    | SOURCES,
    build=build,
)
