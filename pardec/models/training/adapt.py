"""Adapt a causal model to block diffusion: low-rank adapters learn to fill blocks of the model's own answers.

The base's weights stay as they are; each matrix of its layers gains a product of two thin ones (LoRA, Hu et al. 2021,
arXiv:2106.09685), and the mask token gets an embedding. The objective is that of Fast-dLLM v2 (Wu et al. 2025,
arXiv:2509.26328): one pass over a clean and masked copies, shifted logits, complementary masks. The answers are the
base's own, so that the reference of its quality is the base.

A training that was stopped goes on from its last saved step.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.common.progress import Progress
from pardec.data.load import load_tokenizer
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import Placement
from pardec.models.checkpoints.adapter import MASK, MATRICES, adapted_config, names
from pardec.models.load import load_model
from pardec.models.sources.adapt import AdaptSettings
from pardec.models.training.batches import AnswerRows, Mixture
from pardec.models.training.draft_rows import draft_rows
from pardec.models.training.objectives.block_diffusion import BlockDiffusion
from pardec.models.training.settings import OptimiserSettings

CURVE_POINTS = 100
"""Points of the recorded loss curve, each the mean over the steps since the last point."""
SAVE_S = 120
"""Seconds between two saved states."""
ROWS, STATE = "rows.json", "state"


class LowRank(nn.Module):
    """A fixed matrix [out, in] plus a trained product of two thin ones; `project` calls it in place of the matrix."""

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: Generator):
        super().__init__()
        self.weight, self.scale = weight, scale
        rows, inputs = weight.shape
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.down = nn.Parameter(torch.randn(rank, inputs, generator=generator) / math.sqrt(inputs))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the product [..., out] for x [..., in], plus the bias [out] if given."""
        return F.linear(x, self.weight, bias) + self.scale * F.linear(F.linear(x, self.down), self.up)


class Adapted(Backbone):
    """A backbone whose layers have adapters, and whose mask token has an embedding of its own."""

    mask: nn.Parameter

    def embed(self, tokens: Tensor, placement: Placement) -> Tensor:
        x = super().embed(tokens, placement)
        return torch.where((tokens == self.info.mask_id)[..., None], self.mask, x)


def adapt(base: Backbone, settings: AdaptSettings, mask_id: int, generator: Generator) -> Adapted:
    """Return `base` with adapters in place of its matrices, without a copy of its weights.

    Raises:
        UserError: the base is no causal model of plain rotary positions.
    """
    if type(base) is not Backbone or base.info.attention != "causal" or base.config.positions is not None:
        raise UserError(
            "models: base", "is no causal Llama-style model", "name one as the model that is adapted"
        )
    model: Any = base
    model.__class__ = Adapted
    model.config = adapted_config(model.config, mask_id, settings.objective.shift)
    model.info = model.config.info()
    for layer in model.layers:
        for name in MATRICES:
            weight = getattr(layer, name).detach()
            delattr(layer, name)
            setattr(layer, name, LowRank(weight, settings.rank, settings.scale, generator))
    # That of an untrained token may be far from all others.
    model.mask = nn.Parameter(model.embedding.detach().mean(0))
    return model


def adapter_tensors(model: Adapted) -> dict[str, Tensor]:
    """Return the trained tensors by the names of `pardec.models.checkpoints.adapter`, the scale in `up`."""
    tensors = {MASK: model.mask}
    modules = dict(model.named_modules())
    for name in names(model.config.layers):
        module = modules[name]
        tensors |= {f"{name}.up": module.scale * module.up, f"{name}.down": module.down}
    return tensors


def train_adapter(
    name: str,
    settings: AdaptSettings,
    data: str | Path,
    base: str | Path,
    seed: int,
    partial: Path | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the adapter's tensors in float32, and the content of training.json.

    data: folder of the data set. base: folder of the model that is adapted. partial: folder of saved states, from
    which a training that was stopped goes on; None: none is saved.

    The same settings, data, base, seed, thread count and machine give the same tensors, stopped or not.

    Raises:
        UserError: unusable data, no mask token, a base that cannot be adapted, a loss that is no finite number, or a
            damaged saved state.
    """
    torch.set_num_threads(settings.threads)
    tokenizer = load_tokenizer(data)
    if tokenizer.mask_id is None:
        raise UserError(f"data set of model {name}", "has no mask token", "name one of the vocabulary: mask")
    target: Any = load_model(base)
    rows = own_answers(target, data, tokenizer, settings, partial)
    # Every step has a stream of its own, so that a training can go on from any of them.
    model = adapt(target, settings, tokenizer.mask_id, Generator().manual_seed(seed))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.rate, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = OptimiserSettings(warmup_steps=settings.warmup_steps, hold_share=0.0)
    family = BlockDiffusion(settings.objective)
    run = _restored(partial, trained, optimiser) or {"step": 0, "curve": [], "tokens": 0, "cpu_s": 0.0}
    order = Generator().manual_seed(seed)
    for _ in range(run["step"]):
        rows.draw(settings.batch, order)
    progress, every = Progress(f"adapt {name}", settings.steps), max(1, settings.steps // CURVE_POINTS)
    saved, processor, recent = time.monotonic(), time.process_time(), []
    model.train()
    for step in range(run["step"], settings.steps):
        optimiser.param_groups[0]["lr"] = settings.rate * schedule.rate(step, settings.steps)
        generator = Generator().manual_seed((seed + 1_000_003 * (step + 1)) % 2**63)
        batches = rows.draw(settings.batch, order)
        total = 0.0
        for batch in batches:
            loss = family.loss(model, batch, generator) / len(batches)
            loss.backward()
            total += loss.item()
            _refuse_infinite(name, step, math.isfinite(total))
            run["tokens"] += family.shown(batch)
        optimiser.step()
        optimiser.zero_grad()
        recent.append(total)
        if (step + 1) % every == 0 or step + 1 == settings.steps:
            run["curve"].append([step + 1, sum(recent) / len(recent)])
            recent = []
            if partial is not None and time.monotonic() - saved > SAVE_S:
                spent = time.process_time() - processor
                _save(partial, {**run, "step": step + 1, "cpu_s": run["cpu_s"] + spent}, trained, optimiser)
                saved = time.monotonic()
        progress.update(step + 1, f"loss {run['curve'][-1][1]:.3f}" if run["curve"] else "")
    tensors = adapter_tensors(model)
    _refuse_infinite(name, settings.steps - 1, all(bool(one.isfinite().all()) for one in tensors.values()))
    report = {
        "name": name,
        "family": settings.family,
        "recipe": settings.model_dump(mode="json"),
        "seed": seed,
        "base": settings.base,
        "steps": settings.steps,
        "tokens": run["tokens"],
        "parameters": sum(parameter.numel() for parameter in trained),
        "loss": run["curve"],
        "cpu_s": run["cpu_s"] + time.process_time() - processor,
        "threads": settings.threads,
        "torch": torch.__version__,
    }
    return tensors, report


def _refuse_infinite(name: str, step: int, finite: bool) -> None:
    if not finite:
        what = f"is too high: the loss is no number by step {step + 1}"
        raise UserError(f"models.{name}.rate", what, "lower it, or `scale`")


def own_answers(
    target: Any, data: str | Path, tokenizer: Any, settings: AdaptSettings, partial: Path | None
) -> Mixture:
    """Return the base's answers to the training prompts, from `partial` where they were written before."""
    kept = None if partial is None else partial / ROWS
    if kept is not None and kept.is_file():
        pad, eos = tokenizer.pad_id, tokenizer.eos_id
        parts = read_json(kept)
        return Mixture([AnswerRows(asked, written, canvas, pad, eos) for asked, written, canvas in parts])
    rows, _ = draft_rows(data, tokenizer, target, None, settings.sequences, settings.new_tokens)
    assert isinstance(rows, Mixture)
    if kept is not None:
        write_json(kept, [_plain(part) for part in rows.parts])
    return rows


def _plain(part: AnswerRows) -> list[Any]:
    """Return the arguments that make these rows again, except token ids: prompts, answers, canvas."""
    tokens, start = part.tokens.tolist(), part.start
    prompts = [row[pad:start] for row, pad in zip(tokens, part.pad.tolist(), strict=True)]
    answers = [row[start : start + size] for row, size in zip(tokens, part.lengths.tolist(), strict=True)]
    return [prompts, answers, part.tokens.shape[1] - start]


def _save(partial: Path, run: dict[str, Any], trained: list[Tensor], optimiser: Any) -> None:
    """Save parameters and both averages of AdamW, then what says that they are whole."""
    from safetensors.torch import save_file

    state = optimiser.state_dict()["state"]
    tensors = {f"{index}.parameter": tensor.detach() for index, tensor in enumerate(trained)}
    tensors |= {f"{index}.{key}": value for index, one in state.items() for key, value in one.items()}
    file = f"{STATE}-{run['step']}.safetensors"
    save_file(tensors, partial / file)
    write_json(partial / f"{STATE}.json", {**run, "file": file})
    for other in partial.glob(f"{STATE}-*.safetensors"):
        if other.name != file:
            other.unlink()


def _restored(partial: Path | None, trained: list[Tensor], optimiser: Any) -> dict[str, Any] | None:
    """Put the last saved state into parameters and optimiser; return the rest of it, or None where there is none.

    Raises:
        UserError: the saved state is damaged.
    """
    if partial is None or not (partial / f"{STATE}.json").is_file():
        return None
    from pardec.models.checkpoints.adapter import load_adapter

    run = read_json(partial / f"{STATE}.json")
    try:
        tensors = load_adapter(partial / run["file"])
    except UserError as error:
        raise UserError(
            error.where, error.what, f"remove {partial}; the training then begins again"
        ) from None
    state: dict[int, dict[str, Tensor]] = {}
    with torch.no_grad():
        for name, tensor in tensors.items():
            index, key = name.split(".")
            if key == "parameter":
                trained[int(index)].copy_(tensor)
            else:
                state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return run
