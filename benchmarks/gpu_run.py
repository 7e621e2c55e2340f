"""One run of `make gpu-check`: its lines and records, saved as they come; parts in processes of their own, by a clock.

A part gets a share of the time. What it leaves unused goes to the parts after it; a part that finds too little left is
skipped with a line that says so, and one that overruns is killed. A part that dies, as after an error of the device,
stops no other.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_page import WORDS, Check, page
from pardec.common.files import write_json, write_text
from pardec.measure.cell import ArmSpec, Spec, run_cell
from pardec.measure.settings import MeasureSettings

LEAST_S = 15.0
"""Seconds without which neither a part nor a cell begins."""
PROMPTS = [{"id": str(number), "task": "check", "prompt": "a ", "answer": "a"} for number in range(8)]
"""Records in whose place each arm gets random tokens, the same for the same seed."""
SEED = 7
GRACE_S = 5.0
"""Seconds before the end of its share at which a part's cell is ended, so that it still can say so."""


@dataclass(frozen=True)
class Part:
    """One part: what it runs, and its share of the time in seconds."""

    name: str
    work: Callable[[Run], None]
    seconds: float


@dataclass
class Size:
    """What runs: 8B shapes on a card, or small ones that test the script itself."""

    shapes: dict[str, dict[str, Any]]
    """Models by name, as keys of a study's model with `source: random`."""
    prompt: int
    new: int
    precision: str
    cases: tuple[str, ...] | None = None
    """Decoders compared with the CPU; None means all."""
    engines: tuple[str, ...] = ("eager", "compiled")
    limits: dict[str, Any] = field(default_factory=dict)
    columns: int = 32_768
    """Columns behind which one step of attention is timed."""


class Run:
    """One run of the checks: their lines, and every record.

    waits: a context manager that yields a function for the number of host waits since. out: folder of page, facts and
    archive, written anew after each line. seconds: for all parts.
    """

    def __init__(
        self,
        device: str,
        size: Size,
        models: dict[str, Path],
        waits: Callable[[], Any],
        out: Path | None = None,
        seconds: float = 480.0,
    ):
        self.device, self.size, self.models, self.waits = device, size, models, waits
        self.out, self.seconds = out, seconds
        self.began = time.monotonic()
        self.until = self.began + seconds
        self.checks: list[Check] = []
        self.records: dict[str, Any] = {}
        self.send: Callable[[Any], None] | None = None
        """Where a part's process sends what it keeps; None in the process that saves."""

    def left(self) -> float:
        """Return the seconds left to the part that runs."""
        return self.until - time.monotonic()

    def check(self, target: str, reached: str, met: bool | None) -> None:
        """Keep one line of the table."""
        self.keep(Check(target, reached, met))

    def record(self, name: str, facts: Any) -> None:
        """Keep facts for the archive."""
        self.keep((name, facts))

    def keep(self, what: Any) -> None:
        if isinstance(what, Check):
            self.checks.append(what)
        else:
            self.records[what[0]] = what[1]
        if self.send is not None:
            self.send(what)
            return
        if isinstance(what, Check):
            print(WORDS[what.met], what.target, what.reached, sep=" | ", flush=True)
        self.save()

    def save(self) -> None:
        """Write facts, page and archive; each appears whole or not at all."""
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        facts = {"checks": [asdict(one) for one in self.checks], "records": self.records}
        write_json(self.out / "check.json", facts, indent=None)  # written after each line of the table
        write_text(self.out / "index.html", page(self.checks, self.records))
        archive = self.out / "records.tar.gz"
        with tarfile.open(archive.with_suffix(".new"), "w:gz") as tar:
            for name in ("check.json", "index.html"):
                tar.add(self.out / name, arcname=name)
        archive.with_suffix(".new").replace(archive)

    def run(self, parts: list[Part], apart: bool) -> None:
        """Run all parts. apart: each in a process of its own, which needs a system that forks."""
        share = self.seconds / sum(part.seconds for part in parts)
        planned = 0.0
        for part in parts:
            planned += part.seconds * share
            self.until = self.began + planned
            begin = time.monotonic()
            least = min(LEAST_S, part.seconds * share / 2)
            if self.left() < least:
                reached = (
                    f"skipped: {max(0.0, self.left()):.0f} s of its share were left, and it needs {least:.0f}"
                )
                self.check(part.name, reached, None)
                continue
            (self._apart if apart else self._here)(part)
            self.record(f"seconds {part.name}", round(time.monotonic() - begin, 1))
        self.until = self.began + self.seconds
        took = self.seconds - self.left()
        self.check(f"all within {self.seconds:.0f} seconds", f"{took:.0f} s", took <= self.seconds)

    def _here(self, part: Part) -> None:
        try:
            part.work(self)
        except Exception as error:
            traceback.print_exc()
            self.check(part.name, f"{type(error).__name__}: {error}"[:300], False)

    def _apart(self, part: Part) -> None:
        """Run a part in a fork of this process, which never touches the device itself."""
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=self._child, args=(part, theirs))
        process.start()
        theirs.close()
        ended = self._listen(ours)
        if ended is None:
            self.check(part.name, "ended: its share of the time was over", False)
        # Its group has the compiler's workers too.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        if ended is False:
            self.check(part.name, f"its process ended with code {process.exitcode}", False)

    def _child(self, part: Part, pipe: Any) -> None:
        os.setpgid(0, 0)
        self.send = pipe.send
        self._here(part)
        pipe.send(None)
        os._exit(0)  # what libraries do at the end of a process may hang after an error of the device

    def _listen(self, pipe: Any) -> bool | None:
        """Keep what a part sends; return whether it came to its end, or None where its time was over before."""
        try:
            while pipe.poll(max(0.0, self.left())):
                # The end is a word of its own: what a part has started may hold the pipe open.
                if (what := pipe.recv()) is None:
                    return True
                self.keep(what)
            return None
        except (EOFError, ConnectionError):
            return False

    def cell(
        self, name: str, model: str, decoder: str, settings: dict, engine: str = "eager", **changes: Any
    ) -> dict:
        """Measure one cell, keep its record, and return it; status `skipped` where too little time is left."""
        size, seconds = self.size, self.left() - GRACE_S
        if seconds < LEAST_S - GRACE_S:
            return {"status": "skipped", "reason": f"{max(0.0, self.left()):.0f} s were left"}
        companions = {role: self.models[other] for role, other in changes.pop("companions", {}).items()}
        spec = Spec(
            ArmSpec(self.models[model], decoder, settings, companions), None, PROMPTS,
            **{"batch": 1, "prompt_tokens": size.prompt, "new_tokens": size.new, "device": self.device,
               "precision": size.precision, "threads": 1, "seed": SEED, "random_prompts": True, "engine": engine,
               **changes},
        )  # fmt: skip
        forget_graphs()
        limits = MeasureSettings(**{**size.limits, "timeout_s": seconds})
        facts = run_cell(spec, limits, time.time())
        facts.pop("traceback", None)
        self.record(name, facts)
        return facts


def forget_graphs() -> None:
    """Free what the cell before kept: a study's cells have a process each, and their counts of graphs begin at zero."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def ending(facts: dict) -> str:
    """Return a cell's status, with its reason where it is not ok."""
    return facts["status"] if facts["status"] == "ok" else f"{facts['status']}: {facts['reason']}"[:300]


def met(facts: dict) -> bool | None:
    """Return whether a cell ended ok; None where it did not run."""
    return {"ok": True, "skipped": None}.get(facts["status"], False)
