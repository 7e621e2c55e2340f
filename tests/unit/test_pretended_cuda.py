"""Everything that runs a model, on a pretended GPU: no tensor left on the wrong device, and results as on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import pytest
import torch

from pardec.common.files import write_jsonl
from pardec.data.prepare import prepare
from pardec.data.tokenizers import task_tokenizer
from pardec.decoding.base import Observer
from pardec.decoding.registry import DECODERS
from pardec.decoding.speculative.registry import KINDS
from pardec.models.registry import FAMILIES
from pardec.models.sources.train import TrainSettings
from pardec.models.training.train import train_model
from pardec.quality.base import Context
from pardec.quality.likelihood import bound_likelihood, exact_likelihood
from pardec.quality.registry import METRICS
from tests.reference.decoders import CASES, TEXT, TOKENIZER, run
from tests.reference.models import backbone
from tests.reference.pretended import PretendedCuda
from tests.unit import test_quality_encoder

ELSEWHERE = {
    "vllm": "its engine is a process of its own",
    "transformers_continuous": "its engine is a thread of its own, and modes belong to threads",
}
"""Decoders that the pretended device cannot see into."""


class Waits(Observer):
    """The waits until each pass or cycle ended."""

    def __init__(self, cuda: PretendedCuda, cycles: bool):
        self.cuda, self.cycles, self.until = cuda, cycles, []

    def step(self, committed, final=None):
        self.until += [] if self.cycles else [self.cuda.waits.total()]

    def cycle(self, **facts):
        self.until += [self.cuda.waits.total()] if self.cycles else []


def asked(function, query, key, value, mask=None, dropout=0.0, is_causal=False, enable_gqa=False, **rest):
    """What a call asks of torch's attention on a GPU."""
    return {
        "grouped": enable_gqa,
        "mask": mask is not None,
        "triangle": is_causal,
        "behind": query.shape[2] < key.shape[2],
        "float32": query.dtype == torch.float32,
    }


@dataclass
class Seen:
    """What decoding twice on the device showed: of the first time, where outputs lay, the tokens, the checks of outputs
    of several rows and what was asked of attention; of the second, the waits in each pass or cycle, and all of them."""

    devices: set[str]
    tokens: list
    checks: list | None
    calls: list[dict]
    waits: list[int]
    total: int
    by_kind: str


@cache
def seen(name: str, rows: int) -> Seen:
    calls, real = [], torch.nn.functional.scaled_dot_product_attention

    def noted(query, *rest, **named):
        if query.is_cuda:
            calls.append(asked(real, query, *rest, **named))
        return real(query, *rest, **named)

    with PretendedCuda() as cuda:
        observer = Waits(cuda, CASES[name][0] == "speculative")
        made, model, batch, decode = run(name, "cuda", rows, observer)
        with pytest.MonkeyPatch.context() as patch:
            if not name.startswith("transformers"):
                patch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
            result = decode()  # makes what is made once and kept
        devices = {result.tokens.device.type, result.useful.device.type}
        tokens, checks = result.tokens.tolist(), made.check_outputs(model, batch) if rows > 1 else None
        cuda.waits.clear()
        observer.until.clear()
        decode()
        each = [after - before for before, after in pairwise(observer.until)]
        return Seen(devices, tokens, checks, calls, each, cuda.waits.total(), str(cuda.waits))


@pytest.mark.parametrize("name", list(CASES))
def test_a_decoder_keeps_to_its_device(name):
    made, model, batch, decode = run(name, "cpu")
    right, checked = decode(), made.check_outputs(model, batch)
    there = seen(name, 3)
    assert there.devices == {"cuda"} and there.tokens == right.tokens.tolist()
    assert there.checks == (checked and [pytest.approx(facts, rel=1e-3, abs=1e-6) for facts in checked])


def on_plain_products(call: dict) -> bool:
    """Whether torch is left with plain products in float32 on a GPU: its flash kernel takes no mask and no float32, its
    memory-efficient one no groups (`sdp_utils.cpp`)."""
    return call["grouped"] and (call["mask"] or call["float32"])


@pytest.mark.parametrize("name", list(CASES))
def test_no_attention_on_a_gpu_falls_to_plain_products(name):
    calls = seen(name, 3).calls
    assert not [call for call in calls if on_plain_products(call)]
    assert not [call for call in calls if call["triangle"] and call["behind"]], (
        "torch's triangle begins at the left"
    )
    if CASES[name][0] not in ("table_lookup", "transformers_generate"):
        assert calls, "nothing attended there"


WAITS = {
    "ar": (0, 0),
    "ar ban": (0, 0),
    "transformers": (1, 2),
    "full": (0, 0),
    "diffusion": (0, 0),
    "diffusion blocks": (0, 0),
    "diffusion random": (0, 0),
    "cached": (0, 0),
    "cached prefix": (0, 0),
    "block": (0, 0),
    "block margin": (0, 0),
    "block factor": (1, 2),
    "block anew": (1, 2),
    "block entropy": (1, 2),
    "draft small": (1, 2),
    "draft ngram": (2, 3),
    "draft eos": (2, 4),
    "draft adaptive": (2, 4),
    "draft dense": (1, 4),
    "draft sparse": (1, 4),
    "draft gated": (1, 4),
    "draft refine selective": (1, 4),
    "draft refine full": (1, 4),
    "draft candidates": (4, 7),
}
"""How often the host waits for the device at most in a pass, or in a cycle where tokens are drafted: one prompt, and
several. What is not named here waits once a pass; a cycle of several prompts waits three times, for what was accepted
and for lengths and places of the next one."""
WHOLE = {"flood": 4, "flood candidates": 4, "flood by root": 26, "flood by candidate": 26, "table": 4}
"""The same of decoders whose generation is one step."""


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", list(CASES))
def test_the_host_waits_for_the_device_no_more_often_than_this(name, rows):
    there = seen(name, rows)
    if name in WHOLE:
        assert there.total <= WHOLE[name], there.by_kind
        return
    most = WAITS.get(name, (1, 3 if CASES[name][0] == "speculative" else 1))[rows > 1]
    assert max(there.waits, default=0) <= most, (there.waits, there.by_kind)


def test_every_decoder_and_strategy_runs_on_it():
    named = {decoder for decoder, _ in CASES.values()}
    assert named | set(ELSEWHERE) == set(DECODERS)
    for kind, entries in KINDS.items():
        used = {settings[kind]["name"] for _, settings in CASES.values() if kind in settings}
        defaults = {"dflash", "fixed", "chain", "match"}
        assert set(entries) <= used | defaults, kind


# Training.

SIZE = {"hidden": 16, "layers": 1, "heads": 2, "mlp": 16, "max_positions": 64}
GRID = {"prompt": 8, "canvas": 8, "rotary": False}
OBJECTIVES: dict[str, dict] = {
    "autoregressive": {},
    "autoregressive subset": {"subset": 3, "guesses": 0.5},
    "masked_diffusion": {"shift": True, "whole": 0.3},
    "masked_diffusion subset": {"subset": 3},
    "block_diffusion": {"blocks": (1, 2, 4), "shift": True, "complementary": True, "whole": 0.3},
    "draft": {"block": 4, "new_tokens": 8, "sequences": 24, "anchors": 2},
    "draft drawn": {"block": 4, "new_tokens": 8, "sequences": 24, "weights": "reached", "temperature": 1.0},
    "markov_draft": {"block": 4, "new_tokens": 8, "sequences": 24, "anchors": 2},
    "selector_draft": {"block": 4, "new_tokens": 8, "sequences": 24, "anchors": 2, "group": 4},
    "consistency": {"window": 4, "new_tokens": 8, "sequences": 24},
    "renderer": {},
}
STARTED = {"draft": None, "markov_draft": "draft", "selector_draft": "draft", "consistency": "target"}
"""Families that a target teaches, and the model from which each starts."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data sets `copy` and `fractal`, and a model `target`."""
    folder = tmp_path_factory.mktemp("training")
    tasks = {"copy": {"min_items": 2, "max_items": 4}}
    prepare({"source": "tasks", "tasks": tasks, "train": 40, "heldout": 8}, 0, folder / "copy")
    (folder / "fractal").mkdir()
    TOKENIZER.save(folder / "fractal" / "tokenizer.json")
    write_jsonl(
        folder / "fractal" / "train.jsonl", [{"text": TEXT, "answer": TEXT, "prompt": "", "task": "t"}]
    )
    train(folder, "autoregressive", "target", "cpu")
    train(folder, "draft", "draft", "cpu")
    return folder


def train(folder, name: str, out: str, device: str) -> dict:
    family = name.split()[0]
    recipe = {"source": "train", "data": "copy", "size": SIZE, "steps": 3, "batch": 4}
    recipe["objective"] = {"family": family, **OBJECTIVES[name]}
    teachers = {"target": folder / "target"} if family in STARTED else {}
    if "subset" in name:
        recipe["positions"] = GRID
    settings = TrainSettings.model_validate(
        {**recipe, "teachers": {key: key for key in teachers}, "init": STARTED.get(family)}
    )
    init = folder / STARTED[family] if STARTED.get(family) else None
    data = folder / ("fractal" if family == "renderer" else "copy")
    return train_model(out, settings, data, 1, folder / out, init=init, teachers=teachers, device=device)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_training_keeps_to_its_device(folder, name):
    right = train(folder, name, f"{name} cpu", "cpu")
    with PretendedCuda() as cuda:
        result = train(folder, name, f"{name} cuda", "cuda")
    assert (right["device"], result["device"]) == ("cpu", "cuda")
    assert cuda.waits["copied to the device"] > 3, "nothing was trained there"
    assert [loss for _, loss in result["loss"]] == pytest.approx(
        [loss for _, loss in right["loss"]], rel=1e-4
    )


def test_every_objective_is_trained_on_it():
    assert {name.split()[0] for name in OBJECTIVES} == set(FAMILIES)


# Metrics that run a model.


encoder = test_quality_encoder.folder


def likelihoods(device: str) -> list[float]:
    pairs = [[1, 5, 9], [1, 7, 8, 8, 4], [1, 4]], [[6, 7, 8], [9], [5, 11, 20, 2]]
    exact = exact_likelihood(backbone(causal=True, scale=3.0).to(device), *pairs, 0)
    bound = bound_likelihood(backbone(causal=False, scale=3.0).to(device), *pairs, ["a", "b", "c"], 4, 0)
    return [exact.nats_per_token, bound.nats_per_token, bound.standard_error]


def scored(name: str, encoder, device: str) -> list[float | None]:
    tokenizer = task_tokenizer("abcdefghijk")
    model = backbone(causal=True, scale=3.0, vocab_size=tokenizer.vocab_size).to(device)
    context = Context(scorer=model, scorer_tokenizer=tokenizer, encoder=encoder, device=device)
    pairs = [("the cat sat", "the cat sat"), ("the dog ran", "the cat sat")]
    rows = [
        {"id": str(n), "task": "text", "prompt": "a b", "answer": answer, "tokens": [], "text": text}
        for n, (text, answer) in enumerate(pairs)
    ]
    if name == "scorer_nll":
        rows = [row | {"text": "b c d"} for row in rows]
    return METRICS.load(name)().measure(rows, context).per_prompt


def test_likelihoods_keep_to_their_device():
    right = likelihoods("cpu")
    with PretendedCuda():
        assert likelihoods("cuda") == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("name", ["scorer_nll", "encoder_similarity"])
def test_a_metric_keeps_to_its_device(name, encoder):
    right = scored(name, encoder, "cpu")
    with PretendedCuda() as cuda:
        assert scored(name, encoder, "cuda") == pytest.approx(right, rel=1e-5)
    assert cuda.waits["copied to the device"] > 0, "nothing ran there"


def test_every_metric_with_a_model_runs_on_it():
    with_model = {name for name in METRICS if METRICS.load(name).needs & {"scorer", "encoder"}}
    assert with_model == {"scorer_nll", "encoder_similarity"}


# The pretended device itself.


def test_the_pretended_device_refuses_what_a_real_one_refuses():
    with PretendedCuda():
        there, here = torch.arange(4, device="cuda"), torch.arange(4)
        assert (there[1:] + torch.tensor(1)).device.type == (there * 2).device.type == "cuda"
        assert there.new_zeros(2).is_cuda and there.float().is_cuda and not there.cpu().is_cuda
        layer = torch.nn.Linear(2, 2).to(device="cuda", dtype=torch.float32)
        assert all(parameter.is_cuda for parameter in layer.parameters())
        assert there[here > 1].tolist() == [2, 3] and here.to(there).is_cuda and not here.is_cuda
        for refused in (
            lambda: there + here,
            lambda: there[0] + here,
            lambda: here[there],
            lambda: torch.cat([there, here]),
            lambda: torch.where(there > 1, here, there),
            lambda: there.numpy(),
            lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
            lambda: torch.multinomial(there + 1.0, 1, generator=torch.Generator()),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                refused()


@pytest.mark.parametrize(
    ("work", "waits"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool((x > 1).all()), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 1], 1),
        (lambda x: x.masked_fill(x > 1, 0), 0),
        (lambda x: torch.tensor([1, 2], device=x.device), 1),
        (lambda x: x[[0, 1]], 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.to("cuda").to(torch.float32) * 2 + 1, 0),
        (lambda x: torch.zeros(4, device=x.device).copy_(x), 0),
    ],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_counts_what_waits(work, waits, mode):
    with PretendedCuda() as cuda, mode():
        there = torch.arange(4, device="cuda")
        work(there)
    assert cuda.waits.total() == waits, cuda.waits
