"""The artifact appendix of a run, as Markdown: each claim with the command that tests it, and what to expect."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

from pardec.audit.agreement import kind
from pardec.audit.pages import number
from pardec.audit.run import Origin, Run
from pardec.evidence.provenance import ROOT

MOST = 4
"""Most expected values that a claim lists; the page has all."""
CELL = "results/cells/"
ABOUT = """\
Made by `make publish` from the run in `run.tar.zst`; `pardec verify run.tar.zst` makes its numbers again from the
records. A command runs the experiments behind one claim alone; `make all` and `make paper` run all of them. Expected is
what this run measured, with its 95 % interval as the tolerance; `pardec compare --no-times` judges another run by it.
Minutes are what the jobs took here, one after another, with the published weights."""


def appendix(run: Run) -> str:
    """Return one table of all claims: verdict, command, expected values with their tolerance, minutes, hardware."""
    study, machine = run.json("results/study.json"), run.json("results/machine.json") or {}
    values = run.values()["values"]
    command = _command(str(study["name"]))
    hardware = _hardware(machine)
    lines = [
        f"# Claims of “{_plain(study['title'])}” and how to test them",
        "",
        ABOUT,
        "",
        f"Measured on: {hardware}.",
        "",
        "| claim | says | verdict | command | expected | minutes | needs |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in run.json("results/claims.json")["claims"]:
        idents = [ident for ident in (claim.get("evidence") or claim.get("read") or []) if ident in values]
        chosen = _experiments(run, [*idents, *(claim.get("read") or [])], values)
        if chosen:
            how = f"`{command} --config 'only=[{','.join(chosen)}]' -- results/claims.json`"
            minutes, needs = (
                str(math.ceil(_minutes(run, chosen))),
                "one CPU" if _on_cpu(machine) else hardware,
            )
        else:
            how, minutes, needs = "–", "–", _plain(claim.get("reason") or "–")
        cells = (
            claim["id"], _plain(claim["statement"]), claim["verdict"], how, _expected(idents, values), minutes, needs,
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _command(name: str) -> str:
    file = f"studies/{name}.yaml"
    option = f" --configfile {file}" if (ROOT / file).is_file() else ""
    return f"snakemake --cores 1 --resources gpu=1{option}"


def _expected(idents: list[str], values: dict[str, dict[str, Any]]) -> str:
    """Return the first values that a claim prints, each with its name and interval."""
    known = [values[ident] for ident in idents if values[ident].get("value") is not None]
    measured = [one for one in known if kind(one["id"], one) not in ("exact", "size")] or known
    measured.sort(key=lambda one: one.get("ci_low") is None)
    words = [f"`{one['id']}`: {number(one)}" for one in measured[:MOST]]
    rest = len(measured) - len(words)
    return "; ".join([*words, *([f"and {rest} more"] if rest > 0 else [])]) or "–"


def _experiments(run: Run, idents: list[str], values: dict[str, dict[str, Any]]) -> list[str]:
    """Return the experiments whose records stand behind these values."""
    records = (path for ident in idents for path in (values.get(ident) or {}).get("records") or [])
    cells = (
        (run.json(path) or {}).get("cell") or {} for path in dict.fromkeys(records) if path.startswith(CELL)
    )
    return sorted({cell["experiment"] for cell in cells if "experiment" in cell})


def _minutes(run: Run, experiments: list[str]) -> float:
    """Return how long the timing, outputs and scores of these experiments took."""
    total, quality = 0.0, set()
    for path, origin in run.origins().items():
        if path.startswith(CELL) and run.json(path)["cell"]["experiment"] in experiments:
            total += _seconds(origin)
            quality |= {str(run.json(path)["cell"].get("quality") or "")} - {""}
    for path in quality:
        for maker in (path, str(Path(path).with_name("outputs.provenance.json"))):
            total += _seconds(run.origins()[maker]) if maker in run.origins() else 0.0
    return total / 60


def _seconds(origin: Origin) -> float:
    begin, end = (datetime.fromisoformat(origin.block[key]) for key in ("start", "end"))
    return (end - begin).total_seconds()


def _on_cpu(machine: dict[str, Any]) -> bool:
    return machine.get("device") == "cpu"


def _hardware(machine: dict[str, Any]) -> str:
    named = machine.get("gpu") if not _on_cpu(machine) else None
    cpu = f"{machine.get('cores')} cores of {machine.get('cpu')}"
    memory = machine.get("memory_gb")
    return ", ".join(filter(None, [named and str(named), cpu, memory and f"{memory:.0f} GB of memory"]))


def _plain(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")
