"""Train a model: a fixed number of steps, Muon and AdamW, all randomness from one seed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn

from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.common.progress import Progress
from pardec.data.load import load_tokenizer
from pardec.models.architectures.base import LanguageModel
from pardec.models.load import load_model, save_model
from pardec.models.registry import FAMILIES
from pardec.models.sources.train import TrainSettings
from pardec.models.training.muon import Muon
from pardec.models.training.settings import OptimiserSettings

CURVE_POINTS = 100
"""Points of the recorded loss curve, each the mean over the steps since the last point."""


def train_model(
    name: str,
    settings: TrainSettings,
    data: str | Path,
    seed: int,
    out: str | Path,
    init: str | Path | None = None,
    teachers: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
) -> dict:
    """Train a model on the data set in folder `data`, write its folder `out`, and return the content of training.json.

    The weights are rounded to bfloat16 after the last step.

    init: folder of the initial model. teachers: folders of the models that training runs. device: "cpu" or "cuda", for
    the forward and backward passes.

    The same settings, data, seed, thread count, device and machine give the same weights, byte for byte on a CPU; on
    a GPU as far as torch has deterministic kernels. Random numbers are drawn on the CPU whatever the device.

    Raises:
        UserError: unusable data, or an `init` of another shape.
    """
    torch.set_num_threads(settings.threads)
    generator = Generator().manual_seed(seed)
    family = FAMILIES.load(settings.family)(settings.objective)
    tokenizer = load_tokenizer(data)
    taught_by = {role: load_model(folder, device) for role, folder in (teachers or {}).items()}
    model = family.build(settings, tokenizer, taught_by)
    rows, canvas = family.examples(Path(data), tokenizer, settings, taught_by)
    model.initialise(generator)
    if init is not None:
        start_from(model, init)
    model.to(device)
    wall, processor = time.monotonic(), time.process_time()
    with deterministic(device != "cpu"):
        losses, tokens = _optimise(name, model, family, rows, settings, generator, device)
    report = {
        "name": name,
        "family": settings.family,
        "recipe": settings.model_dump(mode="json"),
        "seed": seed,
        "init": settings.init,
        "teachers": settings.teachers,
        "canvas": canvas,
        "steps": settings.steps,
        "tokens": tokens,
        "parameters": model.info.parameters,
        "matmul_parameters": model.info.matmul_parameters,
        "loss": losses,
        "cpu_s": time.process_time() - processor,
        "wall_s": time.monotonic() - wall,
        "threads": settings.threads,
        "device": device,
        "torch": torch.__version__,
    }
    out = Path(out)
    # The rounded weights are the model: half the bytes to keep and to publish, and the same for every later reader.
    save_model(model.to("cpu", torch.bfloat16), out)
    tokenizer.save(out / "tokenizer.json")
    write_json(out / "training.json", report)
    return report


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Use torch's deterministic kernels while `on`; an operation without one runs and warns."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if on:
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def start_from(model: LanguageModel, folder: str | Path) -> None:
    """Copy the weights of the model in `folder` into `model`; weights that only `model` has are kept.

    Raises:
        UserError: the other model has weights that `model` lacks, or of another shape.
    """
    other = load_model(folder).state_dict()
    mine = model.state_dict()
    for name, tensor in other.items():
        if name not in mine or mine[name].shape != tensor.shape:
            raise UserError(
                folder,
                f"has a weight {name!r} that does not fit",
                "start from a model of the same size and data",
            )
    model.load_state_dict(other, strict=False)


def optimisers(model: nn.Module, settings: OptimiserSettings) -> list[torch.optim.Optimizer]:
    """Return Muon (Jordan et al. 2024) for the matrices of the layers, and AdamW for all other weights."""
    matrices = [p for name, p in model.named_parameters() if name.startswith("layers.") and p.dim() == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    decay = settings.weight_decay
    return [
        Muon(matrices, settings.muon_rate, settings.muon_momentum, decay),
        torch.optim.AdamW(rest, lr=settings.adam_rate, betas=settings.adam_betas, weight_decay=decay),
    ]


def _optimise(
    name: str, model: Any, family: Any, rows: Any, settings: Any, generator: torch.Generator, device: str
) -> tuple[list[list[float]], int]:
    """Run all steps; return the loss curve as [step, mean loss since the last point], and the tokens seen."""
    steps = settings.steps
    both = optimisers(model, settings.optimiser)
    groups = [(group, group["lr"]) for optimiser in both for group in optimiser.param_groups]
    progress = Progress(f"train {name}", steps)
    every = max(1, steps // CURVE_POINTS)
    curve: list[list[float]] = []
    recent, tokens = [], 0
    model.train()
    for step in range(steps):
        factor = settings.optimiser.rate(step, steps)
        for group, rate in groups:
            group["lr"] = rate * factor
        batches = [batch.to(device) for batch in rows.draw(settings.batch, generator)]
        total = 0.0
        for batch in batches:
            loss = family.loss(model, batch, generator) / len(batches)
            loss.backward()
            total += loss.item()
            tokens += family.shown(batch)
        for optimiser in both:
            optimiser.step()
            optimiser.zero_grad()
        recent.append(total)
        if (step + 1) % every == 0 or step + 1 == steps:
            curve.append([step + 1, sum(recent) / len(recent)])
            recent = []
        progress.update(step + 1, f"loss {curve[-1][1]:.3f}" if curve else "")
    return curve, tokens
