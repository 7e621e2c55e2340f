"""The page of `make gpu-check`."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

WORDS = {True: "reached", False: "not reached", None: "not measured"}


@dataclass
class Check:
    """One line of the table: a target, what was reached, and whether it is met; None where it was not measured."""

    target: str
    reached: str
    met: bool | None


def page(checks: list[Check], records: dict[str, Any]) -> str:
    """Return the page: the card, the table of targets, and the facts of each record below."""
    machine = records.get("machine") or {}
    name = (machine.get("gpu") or {}).get("name", machine.get("cpu") or "unknown machine")
    rows = "".join(
        f"<tr><td>{html.escape(one.target)}<td>{html.escape(one.reached)}<td>{WORDS[one.met]}</tr>"
        for one in checks
    )
    facts = "".join(details(key, value) for key, value in records.items())
    return (
        "<!doctype html><meta charset=utf-8><title>GPU check</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}td{padding:.2rem .6rem;"
        "border-top:1px solid #ccc;vertical-align:top}pre{overflow:auto}</style>"
        f"<h1>GPU check: {html.escape(name)}</h1><p>Random weights; rates are shares of this machine's measured copy "
        "bandwidth and matmul rate.</p><table><tr><th>Target<th>Measured<th>Result</tr>"
        f"{rows}</table>{facts}"
    )


def details(name: str, facts: Any) -> str:
    """Return a record, folded; the archive has it whole."""
    text = html.escape(json.dumps(facts, indent=1, default=str)[:20_000])
    return f"<details><summary>{html.escape(name)}</summary><pre>{text}</pre></details>"
