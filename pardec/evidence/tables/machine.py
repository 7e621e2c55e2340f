"""Table `machine`: facts of the machine, one per row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.columns import SOURCES, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs

UNITS = {
    "gflop_per_s": "GFLOP/s",
    "gb_per_s": "GB/s",
    "gb": "GB",
    "mb": "MB",
    "mhz": "MHz",
    "celsius": "°C",
    "watt": "W",
}


def build(inputs: Inputs) -> list[dict[str, Any]]:
    if inputs.machine is None:
        raise UserError(
            "table 'machine'", "needs the machine's description", "pass --machine results/machine.json"
        )
    source = {"record": inputs.machine.path, "record_sha256": inputs.machine.sha256}
    rows = []
    for name, value in flatten(inputs.machine.body):
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        rows.append(
            {
                "fact": name,
                "value": float(value) if numeric else None,
                "unit": next((unit for end, unit in UNITS.items() if name.endswith(f"_{end}")), None),
                "text": None if value is None else str(value),
                **source,
            }
        )
    return rows


def flatten(body: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields leaves of nested objects as ("gpu/name", value), without provenance; a list is one leaf."""
    if isinstance(body, dict):
        for key, value in body.items():
            if name or key != "provenance":
                yield from flatten(value, f"{name}/{key}" if name else key)
    elif isinstance(body, list):
        yield name, "; ".join(map(str, body))
    else:
        yield name, body


TABLE = Table(
    name="machine",
    description="What the run ran on, with the two measured rates that MFU and MBU are fractions of.",
    needs=("machine",),
    key=("fact",),
    columns={
        "fact": text("name of the fact", nullable=False),
        "value": number(
            "", "its value, where it is a number; the unit stands beside it", kind="reading", better="neither"
        ),
        "unit": text("unit of the value"),
        "text": text("its value as text"),
        **SOURCES,
    },
    build=build,
)
