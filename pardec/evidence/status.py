"""How far a study is: each cell's state, and the time left by past durations."""

from __future__ import annotations

import datetime
import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pardec.common.closure import digest
from pardec.common.errors import UserError
from pardec.common.files import sha256
from pardec.study.cells import Cell
from pardec.study.load import lay_over
from pardec.study.plan import Plan

DONE, STALE, FAILED, MISSING = "done", "stale", "failed", "missing"
STATES = (DONE, STALE, FAILED, MISSING)


@dataclass(frozen=True)
class CellState:
    """seconds: what its job took, None where it has not run. left: what it will take, 0 where there is nothing to
    do, None where nothing tells."""

    id: str
    experiment: str
    state: str
    why: str
    seconds: float | None
    left: float | None


def read_plan(root: Path, configfiles: Sequence[str | Path] = (), said: Iterable[str] = ()) -> Plan:
    """The study of `root`/config.yaml with `configfiles` and `key=value` words laid over it, as the workflow reads it.

    Raises:
        UserError: a file is missing or the study is wrong.
    """
    files = [root / "config.yaml", *map(Path, configfiles)]
    config: dict[str, Any] = {}
    for path in files:
        try:
            body = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(path, "does not exist", "correct the path") from None
        except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
            raise UserError(path, f"is not a YAML file ({error})", "correct the file") from None
        if not isinstance(body, dict):
            raise UserError(path, "holds no keys", "write `key: value` lines")
        config = lay_over(config, body)
    said = list(said)
    wrong = [word for word in said if "=" not in word]
    if wrong:
        raise UserError(f"--config {wrong[0]}", "has no value", "write key=value")
    return Plan(config, files, root, said)


def cell_states(plan: Plan, root: Path) -> list[CellState]:
    """Every cell of the study, in its order."""
    look = _Look(plan, root)
    found = {ident: look.cell(ident) for ident in plan.cells}
    past = {ident: seconds for ident, (_, _, seconds) in found.items() if seconds is not None}
    return [
        CellState(
            ident,
            plan.cells[ident].experiment,
            state,
            why,
            seconds,
            0.0 if state in (DONE, FAILED) else expected(plan.cells, ident, past),
        )
        for ident, (state, why, seconds) in found.items()
    ]


def expected(cells: dict[str, Cell], ident: str, past: dict[str, float]) -> float | None:
    """Seconds that a cell will take: its own last time, else the median of the cells most like it."""
    if ident in past:
        return past[ident]
    cell = cells[ident]
    for alike in (("workload", "arm", "new_tokens"), ("workload", "arm"), ("workload",), ()):
        same = [
            seconds
            for other, seconds in past.items()
            if all(getattr(cells[other], name) == getattr(cell, name) for name in alike)
        ]
        if same:
            return statistics.median(same)
    return None


class _Look:
    """What a job would run now against what it says it ran; every file is hashed once."""

    def __init__(self, plan: Plan, root: Path):
        self.plan, self.root = plan, root
        self.hashes: dict[str, str | None] = {}
        self.digests: dict[tuple[str, ...], str] = {}
        self.upstream: dict[tuple[str, str], str | None] = {}

    def cell(self, ident: str) -> tuple[str, str, float | None]:
        """(state, why, seconds its job took)."""
        plan = self.plan
        name = plan.record(ident)
        body = self._json(name)
        if body is None:
            return MISSING, "", None
        origin = body.get("provenance") or {}
        seconds = _duration(body, origin)
        command = f"python scripts/time_cell.py {plan.cell_args(ident)} --out {name}"
        inputs = [*plan.cell_models(ident), *plan.cell_prompts(ident)]
        why = self.changed(origin, command, inputs, plan.code("time_cell", ident))
        cell = plan.cells[ident]
        models = dict.fromkeys([cell.model, *([cell.reference.model] if cell.reference else [])])
        why = why or next(filter(None, map(self.model, models)), None)
        why = why or self.data(plan.study.workloads[cell.workload].data)
        if why:
            return STALE, why, seconds
        if body.get("status") != "ok":
            return FAILED, f"{body.get('status')}: {body.get('reason') or 'no reason given'}", seconds
        return DONE, "", seconds

    def model(self, name: str) -> str | None:
        """Why model `name` will be made again, or None."""
        if ("model", name) not in self.upstream:
            plan, script = self.plan, "train_model" if name in self.plan.trained_models else "fetch_model"
            inputs = [*plan.training_data(name), *plan.parent_models(name)] if script == "train_model" else []
            why = self._made("models", name, script, plan.model_args(name), inputs)
            if not why and script == "train_model":
                why = self.data(plan.study.models[name].data)
            self.upstream["model", name] = why
        return self.upstream["model", name]

    def data(self, name: str) -> str | None:
        """Why dataset `name` will be made again, or None."""
        if ("data", name) not in self.upstream:
            plan = self.plan
            why = self._made("data", name, "prepare_data", plan.data_args(name), plan.data_source_files(name))
            self.upstream["data", name] = why
        return self.upstream["data", name]

    def _made(self, kind: str, name: str, script: str, args: str, inputs: list[str]) -> str | None:
        origin = self._json(f"results/{kind}/{name}/provenance.json")
        if origin is None:
            return f"{kind}/{name} is missing"
        code = self.plan.code(script, name)
        why = self.changed(origin, f"python scripts/{script}.py {args}", inputs, code)
        return f"{kind}/{name}: {why}" if why else None

    def changed(self, origin: dict, command: str, inputs: list[str], code: list[str]) -> str | None:
        """What differs from what a job recorded: settings, an input or the code; None where nothing does."""
        if shlex.split(origin.get("command") or "") != shlex.split(command):
            return "other settings"
        recorded = {entry["path"]: entry["sha256"] for entry in origin.get("inputs") or []}
        for path in inputs:
            now = self._sha(path)
            if now is None:
                return f"{path} is missing"
            if recorded.get(path, now) != now:
                return f"{path} has changed"
        key = tuple(code)
        if key not in self.digests:
            self.digests[key] = digest(self.root, code)
        return None if self.digests[key] == origin.get("code_sha256") else "the code has changed"

    def _sha(self, path: str) -> str | None:
        if path not in self.hashes:
            file = self.root / path
            self.hashes[path] = sha256(file) if file.is_file() else None
        return self.hashes[path]

    def _json(self, path: str) -> dict | None:
        import json

        try:
            body = json.loads((self.root / path).read_bytes())
        except (OSError, ValueError):
            return None
        return body if isinstance(body, dict) else None


def _duration(body: dict, origin: dict) -> float | None:
    """Seconds of a job from its start to its end, or as its record counts them."""
    if isinstance(body.get("job_s"), int | float):
        return float(body["job_s"]) + float(body.get("ready_s") or 0)
    try:
        start, end = (datetime.datetime.fromisoformat(origin[key]) for key in ("start", "end"))
    except (KeyError, TypeError, ValueError):
        return None
    return (end - start).total_seconds()
