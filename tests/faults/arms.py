"""Tiny random checkpoints and misbehaving decoders, run through the project's own harness and tables."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch

from pardec.common.files import write_jsonl
from pardec.common.settings import Settings
from pardec.data.tokenizers import task_tokenizer
from pardec.decoding.base import SILENT, Decoded, Decoder
from pardec.decoding.registry import DECODERS
from pardec.evidence.tables.inputs import Inputs, check_record, read_records, read_source
from pardec.evidence.tables.registry import TABLES
from pardec.measure.cell import ArmSpec, Spec, run_cell
from pardec.measure.settings import MeasureSettings
from pardec.models.load import save_model
from tests.reference.models import WORDS, backbone

ROOT = Path(__file__).parents[2]
WORDS_OF_PROMPTS = [chr(ord("a") + k) for k in range(WORDS - 4)]
DECODER = {True: "autoregressive", False: "masked_diffusion"}
FAST = {"warmup_passes": 1, "min_samples": 6, "max_samples": 6, "budget_s": 60, "timeout_s": 60}


def write_model(folder: Path, causal: bool, eos: int = 2) -> Path:
    """A checkpoint of a random transformer with the tokenizer that fits it. eos: which token ends an output."""
    model = backbone(causal, max_positions=128)
    model.config = replace(model.config, eos_id=eos)
    save_model(model, folder)
    task_tokenizer(WORDS_OF_PROMPTS).save(folder / "tokenizer.json")
    return folder


def prompts(count: int, lengths: tuple[int, ...] = (3,)) -> list[dict]:
    """Prompt records, all different, `lengths` words long in turn."""
    rows = []
    for k in range(count):
        words = [WORDS_OF_PROMPTS[(k * 7 + j * j) % 19] for j in range(lengths[k % len(lengths)])]
        rows.append({"id": f"p{k}", "task": "t", "prompt": " ".join(words) + " ", "answer": "a"})
    return rows


def spec(arm: ArmSpec, reference: ArmSpec | None = None, **changes) -> Spec:
    usual = {
        "prompts": prompts(4),
        "batch": 1,
        "prompt_tokens": None,
        "new_tokens": 6,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "seed": 3,
    }
    return Spec(arm, reference, **{**usual, **changes})


def run(arm: ArmSpec, reference: ArmSpec | None = None, limits: dict | None = None, **changes) -> dict:
    """What `run_cell` says of a cell that works."""
    settings = MeasureSettings(**{**FAST, **(limits or {})})
    facts = run_cell(spec(arm, reference, **changes), settings, time.time())
    assert facts["status"] == "ok", facts["reason"]
    return facts


def cell_job(model: Path, data: Path, **changes) -> dict:
    """What the script of a timing job reads as its cell."""
    usual = {"id": "steps/t/m/a/w", "experiment": "steps", "model": str(model), "arm": "a", "data": str(data)}
    usual |= {
        "decoder": "autoregressive",
        "workload": "t",
        "batch": 1,
        "new_tokens": 6,
        "device": "cpu",
        "seed": 3,
    }
    return usual | changes


class Job:
    """The script of a timing job, in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.model = write_model(folder / "models" / "ar", causal=True)
        self.diffusion = write_model(folder / "models" / "mdm", causal=False)
        self.data = folder / "data" / "d"
        write_jsonl(self.data / "heldout.jsonl", prompts(4))
        self.out = folder / "cells" / "timing.json"

    def register(self, name: str, kind: type[Decoder]) -> None:
        self.monkeypatch.setitem(DECODERS.entries, name, f"{kind.__module__}:{kind.__name__}")

    def start(self, limits: dict | None = None, reference: dict | None = None, **changes) -> int:
        """Run scripts/time_cell.py in this process; return its exit status.

        changes: of the cell's job. reference: the same of a reference arm.
        """
        script = ROOT / "scripts" / "time_cell.py"
        cell = cell_job(**{"model": self.model, "data": self.data, **changes}) | {
            "measure": {**FAST, **(limits or {})}
        }
        if reference is not None:
            other = {"model": str(self.model), "arm": "r", "decoder": "autoregressive"}
            cell["reference"] = other | reference
        words = ["--cell", json.dumps(cell, default=str), "--out", str(self.out)]
        self.monkeypatch.setattr(sys, "argv", [str(script), *words])
        result = importlib.util.spec_from_file_location("time_cell", script)
        module = importlib.util.module_from_spec(result)
        result.loader.exec_module(module)
        try:
            module.main()
            return 0
        except SystemExit as left:
            return left.code

    def record(self) -> dict:
        return check_record(read_source(self.out)).body

    def row(self) -> dict:
        return table_rows([self.out])[0]


def table_rows(paths) -> list[dict]:
    """Return the rows of the table `cells` from records."""
    frame = TABLES.load("cells").make(Inputs(records=read_records(paths)))
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


class Fake(Decoder):
    """Writes zeros; a subclass says what else happens."""

    Settings = Settings
    needs: ClassVar[str] = "causal"

    def decode(self, model, prompts, new_tokens, observer=SILENT):
        observer.start()
        self.misbehave(new_tokens)
        for done in range(new_tokens):
            observer.step(1)
            observer.block(done + 1)
        tokens = torch.zeros(prompts.size, new_tokens, dtype=torch.long)
        return Decoded(tokens, torch.full((prompts.size,), new_tokens), new_tokens, new_tokens)

    def misbehave(self, new_tokens: int) -> None: ...


class CudaOutOfMemory(Fake):
    def misbehave(self, new_tokens):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class HostOutOfMemory(Fake):
    def misbehave(self, new_tokens):
        torch.empty(1 << 62, dtype=torch.int8)  # the allocator itself refuses


class Sleeper(Fake):
    def misbehave(self, new_tokens):
        time.sleep(30)


class Stubborn(Fake):
    """Retries whatever goes wrong."""

    def misbehave(self, new_tokens):
        for _ in range(20):
            with contextlib.suppress(Exception):
                time.sleep(1)


class Unsupported(Fake):
    def misbehave(self, new_tokens):
        raise NotImplementedError("no kernel for this shape")


class Broken(Fake):
    def misbehave(self, new_tokens):
        raise ZeroDivisionError("one over nothing")


class BrokenLate(Fake):
    """Fails in the middle of the samples, after some were taken."""

    def __init__(self, settings):
        super().__init__(settings)
        self.calls = 0

    def misbehave(self, new_tokens):
        self.calls += 1
        if self.calls > 5:
            raise ValueError("the sixth generation")


class Cold(Fake):
    """The first generations of a shape are slow, as with allocators and caches that fill."""

    SLOW, SLEEP = 3, 0.05

    def __init__(self, settings):
        super().__init__(settings)
        self.calls = 0

    def misbehave(self, new_tokens):
        self.calls += 1
        if self.calls <= self.SLOW:
            time.sleep(self.SLEEP)


class Launched(Fake):
    """Work that a device does on its own: the call returns at once, the device is busy for 7 ms."""

    device: ClassVar[FakeDevice]

    def misbehave(self, new_tokens):
        self.device.queued_ns += 7_000_000


class FakeDevice:
    """A device with a host clock that moves only when somebody waits for the device."""

    def __init__(self):
        self.ns = self.queued_ns = 0

    def synchronize(self):
        self.ns += self.queued_ns
        self.queued_ns = 0

    def now(self):
        self.ns += 1000
        return self.ns
