"""Time one cell: load, warm up, measure memory and work, sample against the reference, and record the outcome."""

from __future__ import annotations

import signal
import threading
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pardec.common.errors import UnfitError, UserError, unfit
from pardec.common.lazy import lazy
from pardec.decoding.prepared import noted
from pardec.measure import device as machine
from pardec.measure.boundary import largest_batch, tries
from pardec.measure.clock import clock_for
from pardec.measure.compiling import graphs_alone, refused, settle
from pardec.measure.energy import measure_energy
from pardec.measure.finite import refuse_nan
from pardec.measure.gpu import energy_counter
from pardec.measure.memory import MB, measure_memory, reset_peak, resident_mb
from pardec.measure.outputs import written
from pardec.measure.sampling import Series, batches, measure, warm_up
from pardec.measure.settings import MeasureSettings
from pardec.measure.stopping import Budget, Criterion, Maximum, Precise
from pardec.measure.work import CountingModel

torch = lazy("torch")


NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cusolver_status_alloc_failed",
    # cuBLAS reports this when a full device leaves no workspace for its handle.
    "cublas_status_not_initialized",
)
"""Messages by which torch and CUDA's libraries report exhausted memory without a dedicated error type."""


@dataclass(frozen=True)
class ArmSpec:
    """One arm: a checkpoint folder, a decoder's registry name and its settings, and folders of its companions."""

    model: Path
    decoder: str
    settings: dict[str, Any]
    companions: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """One timing job. prompts: records with id, prompt, answer. Lengths in tokens; precision a torch dtype's name."""

    arm: ArmSpec
    reference: ArmSpec | None
    prompts: Sequence[dict]
    batch: int
    prompt_tokens: int | None
    new_tokens: int
    device: str
    precision: str
    threads: int
    seed: int
    random_prompts: bool = False
    """Whether the cell, not its reference, gets random tokens in place of the prompts."""
    prompt_form: str = "plain"
    """`chat`: prompts go through the chat template of each arm's checkpoint."""
    engine: str = "eager"
    """How the models of both arms are executed."""
    run: int | None = None
    """Number of this run among several; each run takes the prompts and the arms in a different order."""


class CellTimeout(BaseException):
    """The time of a cell is up. Not an `Exception`, so that no handler in a decoder swallows it."""


def run_cell(spec: Spec, limits: MeasureSettings, started: float) -> dict:
    """Measure one cell and return the measured part of its record. Every outcome except bad input is a result: where
    model, companions, prompts, settings, engine and device of an arm do not fit each other, the cell is `unsupported`.

    started: `time.time()` at the start of the job. The record accounts for its seconds: `ready_s` before measuring,
    `measured_s` for warm-up, memory pass, samples and facts of outputs, `job_s` in total.

    Returns status (ok, oom, timeout, unsupported, failed), reason (which names the arm and the companion), samples,
    reference samples, warm-up, stop, memory, work, device state, outputs.

    A damaged or missing file of a checkpoint fails the cell too, with the message that names the file.

    Raises:
        UserError: fewer prompts than rows of a batch.
    """
    if spec.batch > len(spec.prompts):
        raise UserError(
            f"batch {spec.batch}",
            f"needs as many different prompts, and there are {len(spec.prompts)}",
            "raise measure.prompts or the dataset's heldout, or lower the batch",
        )
    torch.set_num_threads(spec.threads)
    device = machine.resolve(spec.device)
    facts: dict[str, Any] = {"status": "ok", "reason": None, "samples": [], "reference_samples": None}
    facts["device"] = {"name": device, "before": machine.state(device)}
    try:
        with time_limit(limits.timeout_s):
            _measure(spec, limits, device, facts, started)
    except UnfitError as error:
        # The study is valid: an arm that cannot run becomes a row with a reason, and the others continue.
        facts |= {"status": "unsupported", "reason": f"{error}{_where(error)}", "samples": []}
    except UserError as error:
        facts |= {"status": "failed", "reason": f"{error}{_where(error)}", "samples": []}
    except CellTimeout as error:
        reason = f"longer than {limits.timeout_s:g} s{_where(error)}"
        facts |= {"status": "timeout", "reason": reason, "samples": []}
    except NotImplementedError as error:
        reason = f"{error or 'not implemented'}{_where(error)}"
        facts |= {"status": "unsupported", "reason": reason, "samples": []}
    except Exception as error:
        status = "oom" if out_of_memory(error) else "unsupported" if refused(error) else "failed"
        facts |= {
            "status": status,
            "reason": f"{type(error).__name__}: {error}"[:2000] + _where(error),
            "samples": [],
        }
        if status == "failed":
            traceback.print_exc()
            facts["traceback"] = traceback.format_exc()
    facts["device"]["after"] = machine.state(device)
    facts["job_s"] = time.time() - started
    return facts


def _measure(spec: Spec, limits: MeasureSettings, device: str, facts: dict, started: float) -> None:
    from pardec.models.architectures.attention import backends

    clock = clock_for(device)
    cell = Side(spec, spec.arm, device, "cell")
    prompts = batches(len(spec.prompts), spec.batch, spec.seed + (spec.run or 0))
    generate = lambda: cell.run(prompts(0), None)  # noqa: E731 (one short name for two uses)
    facts["ready_s"] = time.time() - started
    facts["device"]["attention"] = getattr(cell.model, "kernels", []) + backends()

    compiling = settle(clock, cell.run, prompts) if spec.engine == "compiled" else {}
    first = Series(cell.run)
    reset_peak()
    warm_up(first, clock, prompts, limits.warmup_passes, limits.warmup_s)
    beside = spec.engine == "eager"
    # One generation serves all three: counting needs no memory, and the NaN check one byte per pass.
    with CountingModel(cell.model, beside) as counting, cell.named(), refuse_nan(*cell.weights):
        facts["memory"] = measure_memory(device, cell.weights, generate)
    if not counting.work.forwards:
        cell.refuse_nan(prompts(0))
    facts["work"] = _work(counting)
    facts["memory"] |= {
        "cache_mb": counting.cache_bytes / MB if counting.work.forwards else None,
        "logits_mb": counting.logits_bytes / MB if counting.work.forwards else None,
    }

    facts["largest_batch"] = _largest_batch(cell, spec, limits, device)
    other, second, other_compiling = None, None, {}
    if spec.reference is not None:
        # An A/A pair has two models in memory too: it must include the effect of two arms on each other's caches.
        other = Side(spec, spec.reference, device, "reference")
        second = Series(other.run)
        other_compiling = settle(clock, other.run, prompts) if spec.engine == "compiled" else {}
        # The NaN check uses its first warm-up generation, which saves a separate one.
        watched = lambda: other.watched(prompts(0))  # noqa: E731 (a name for one use)
        warm_up(second, clock, prompts, limits.warmup_passes, limits.warmup_s, watched)

    precise = Precise(limits.target_half_width, limits.min_samples)
    criteria: list[Criterion] = [
        precise,
        Budget(limits.budget_s, limits.min_samples),
        Maximum(limits.max_samples),
    ]
    watch = machine.Watch(device)
    order = zlib.crc32(repr((spec.arm, spec.batch, spec.new_tokens, spec.seed, spec.run)).encode())
    with graphs_alone(spec.engine, device) as graphs:
        ended = measure(
            first, second, clock, prompts, criteria, 1, order, watch.flags, watch.sample, limits.warmup_s
        )
    width = precise.half_width

    ids = [prompt["id"] for prompt in spec.prompts]
    facts |= {
        "samples": [_named(sample, ids) for sample in first.samples],
        "reference_samples": None if second is None else [_named(sample, ids) for sample in second.samples],
        "warmup_ms": first.warmup_ms,
        "reference_warmup_ms": None if second is None else second.warmup_ms,
        "compile_ms": compiling.get("ms"),
        "graphs": graphs or None,
        "reference_compile_ms": other_compiling.get("ms"),
        "clock": clock.name,
        "stop": {
            "reason": ended.reason,
            "half_width": width if width < float("inf") else None,
            "target": limits.target_half_width,
            "budget_s": limits.budget_s,
        },
        "outputs": written(cell, other, first, ids),
        "reference_outputs": None if second is None else written(other, cell, second, ids),
        "prompt_length": cell.lengths(),
        "parameters": cell.model.info.parameters,
        "companion_parameters": {
            name: model.info.parameters for name, model in cell.decoder.companions.items()
        },
    }
    facts["memory"]["process_mb"] = resident_mb()
    facts["energy"] = _energy(generate, clock, watch, limits)
    facts["measured_s"] = time.time() - started - facts["ready_s"]


def _energy(generate: Any, clock: Any, watch: Any, limits: MeasureSettings) -> dict | None:
    """Return the energy of the cell's arm, without its reference; None on a device without a counter."""
    counter = energy_counter(watch.gpu.index) if watch.gpu and limits.energy_s else None
    if counter is None:
        return None
    return measure_energy(generate, counter, limits.energy_s, clock.synchronize, watch.gpu.flags)


def _largest_batch(cell: Side, spec: Spec, limits: MeasureSettings, device: str) -> dict | None:
    """Return the cell's out-of-memory boundary over batch sizes; None on a CPU, whose memory is shared."""
    if limits.largest_batch is None or not device.startswith("cuda"):
        return None
    if spec.engine == "compiled":
        reason = "compiled graphs have fixed shapes; ask for the largest batch on the eager engine"
        return {"fits": None, "fails": None, "tried": [], "reason": reason}
    count = len(spec.prompts)
    run = lambda size: cell.run([row % count for row in range(size)], None)  # noqa: E731
    fits = tries(run, out_of_memory, torch.cuda.empty_cache)
    return largest_batch(fits, spec.batch, limits.largest_batch)


class Side:
    """One arm ready to run: model on its device, decoder prepared, prompts encoded."""

    def __init__(self, spec: Spec, arm: ArmSpec, device: str, role: str):
        from pardec.decoding.batching import pad_left, widened
        from pardec.decoding.prepared import beyond_positions, load_arm

        self.spec, self.arm, self.device, self.role = spec, arm, device, role
        self.pad_left, self.widened = pad_left, widened
        with self.named():
            self.model, self.decoder, encode = load_arm(
                arm.model,
                arm.decoder,
                arm.settings,
                device,
                spec.precision,
                arm.companions,
                spec.engine,
                spec.prompt_form,
            )
            self.weights = torch.nn.ModuleList([self.model, *self.decoder.companions.values()])
            random = spec.random_prompts and role == "cell"
            with unfit():
                self.tokens = encode(spec.prompts, spec.prompt_tokens, spec.seed if random else None)
        self.seeds = prompt_seeds(spec.seed, spec.prompts)
        sizes = [len(tokens) for tokens in self.tokens]
        reason = beyond_positions(self.model, max(sizes), spec.new_tokens)
        if reason is not None:
            with self.named():
                raise UnfitError("prompts", reason, "give shorter prompts, or ask for fewer new tokens")
        self.longest = max(sizes) if spec.engine == "compiled" else 0
        """Length to which every batch is padded: graphs have one shape."""
        if spec.engine == "compiled":
            for model in [self.model, *self.decoder.companions.values()]:
                model.padded = min(sizes) < self.longest

    def lengths(self) -> dict[str, float]:
        """Return the shortest, mean and longest prompt in tokens."""
        sizes = [len(tokens) for tokens in self.tokens]
        return {"min": min(sizes), "mean": sum(sizes) / len(sizes), "max": max(sizes)}

    def batch(self, indices: Sequence[int]) -> Any:
        """Return the prompts `indices` as one batch on the device."""
        batch = self.pad_left(
            [self.tokens[k] for k in indices],
            [self.seeds[k] for k in indices],
            self.model.info.pad_id,
            self.device,
        )
        return self.widened(batch, self.longest, self.model.info.pad_id)

    @contextmanager
    def watched(self, indices: Sequence[int]) -> Iterator[None]:
        """Refuse NaN in the passes inside the block, or in one plain pass where none goes through our model."""
        with self.named(), refuse_nan(self.model) as passes:
            yield
        if not passes:
            self.refuse_nan(indices)

    def refuse_nan(self, indices: Sequence[int]) -> None:
        """Check one plain pass over prompts for NaN, for decoders whose passes go through another library's model;
        do nothing where the model reads no plain sequence, such as a renderer."""
        from pardec.models.architectures.base import LanguageModel

        if not isinstance(self.model, LanguageModel):
            return
        batch = self.batch(indices)
        with self.named(), refuse_nan(self.model), torch.inference_mode():
            self.model(batch.tokens, pad=batch.pad)

    def named(self) -> AbstractContextManager[None]:
        """Add a note with the arm's role to any exception inside the block."""
        return noted(f"in the {self.role}")

    def run(self, indices: Sequence[int], watch: Any) -> Any:
        """Return what the decoder returns for the prompts `indices`. watch: an observer, or None."""
        from pardec.decoding.base import SILENT

        batch = self.batch(indices)
        with self.named(), unfit():
            return self.decoder.decode(self.model, batch, self.spec.new_tokens, watch or SILENT)


def prompt_seeds(seed: int, prompts: Sequence[dict]) -> list[int]:
    """Return a seed for each prompt, by its id."""
    from pardec.decoding.batching import prompt_seed

    return [prompt_seed(seed, prompt["id"]) for prompt in prompts]


def _where(error: BaseException) -> str:
    """Return the arm in which the error occurred, such as " (in the reference)": a reference's error fails the cell."""
    notes = dict.fromkeys(getattr(error, "__notes__", ()))
    return f" ({', '.join(notes)})" if notes else ""


def _named(sample: dict, ids: list[str]) -> dict:
    return sample | {"prompts": [ids[k] for k in sample["prompts"]]}


def _work(counting: CountingModel) -> dict | None:
    """Return the counted work; None where the passes did not go through our model, as with another library's loop."""
    if not counting.work.forwards:
        return None
    work = counting.work
    return {
        "flops_per_output": work.flops,
        "bytes_per_output": work.bytes,
        "forwards": work.forwards,
        "flops_agreement": counting.torch.ratio() if counting.torch else None,
    }


def out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that the device or the host has no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in NO_MEMORY)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise CellTimeout after `seconds`; set no limit outside the main thread or on systems without alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(*_: Any) -> None:
        raise CellTimeout

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
