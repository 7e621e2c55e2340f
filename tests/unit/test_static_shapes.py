"""A target whose every new shape is compiled: one generation meets all shapes that later ones ask for."""

from __future__ import annotations

import random
from functools import cache
from types import SimpleNamespace

import pytest
import torch

from pardec.decoding.jacobi import buckets
from pardec.decoding.prepared import build
from pardec.decoding.speculative.registry import PROPOSALS
from pardec.measure.outputs import _plain
from pardec.models.architectures.backbone import Backbone
from tests.reference.drafts import batch_of, draft_model, plain, speculate
from tests.reference.models import WORDS, backbone


class Static(Backbone):
    """Notes the shapes of its passes where the engine would compile a graph of each."""

    static_shapes = True

    @classmethod
    def of(cls, model):
        static = cls.__new__(cls)
        static.__dict__.update(model.__dict__)
        static.__dict__ |= {"warmed": set(), "shapes": set(), "source": model}
        return static

    def uncompiled(self):
        return self.source

    def run_layers(self, x, positions, plan, cache, taps):
        plain = isinstance(positions, slice)
        self.shapes.add((tuple(x.shape), cache and cache.size, plain, bool(cache and cache.length)))
        return super().run_layers(x, positions, plan, cache, taps)


def prompts_of(count, rows, length=6):
    draw = random.Random(7)
    return [[[draw.randrange(4, WORDS) for _ in range(length)] for _ in range(rows)] for _ in range(count)]


@cache
def expected(rows, new_tokens, **settings):
    """Prompts, and the tokens of each of them that plain decoding writes."""
    model, prompts = backbone(causal=True, max_positions=40), prompts_of(5, rows)
    return [(one, plain(model, one, new_tokens, **settings).tokens) for one in prompts]


KINDS = [
    {"drafter": {"name": "ngram"}, "block": 16},
    {"drafter": {"name": "small"}, "block": 5},
    *({"drafter": {"name": "dflash"}, "proposal": {"name": name}} for name in PROPOSALS if name != "rounds"),
    {"drafter": {"name": "dflash"}, "proposal": {"name": "candidates", "packed": False}},
    {"drafter": {"name": "dflash"}, "truncation": {"name": "adaptive"}},
    {"drafter": {"name": "dflash"}, "schedule": {"name": "ewma", "sizes": (2, 4, 7)}},
]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_no_generation_but_the_first_meets_a_new_shape(settings, rows):
    model = backbone(causal=True, max_positions=40)
    target, draft = Static.of(model), None
    if settings["drafter"]["name"] == "dflash":
        draft = draft_model(model)
    if settings["drafter"]["name"] == "small":
        draft = Static.of(backbone(causal=True, max_positions=40, layers=1))
    models, met = [target] + [draft] * isinstance(draft, Static), []
    for prompts, tokens in expected(rows, 20):
        assert torch.equal(speculate(target, prompts, 20, draft, **settings).tokens, tokens)
        met.append([frozenset(model.shapes) for model in models])
    assert all(shapes == met[0] for shapes in met[1:])
    assert len(met[0][0]) <= 5, "a prompt, a single token, and one width for each block"


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "settings", [{}, {"window": 4}, {"window": 12}, {"stop": "eos"}, {"init": "random"}], ids=str
)
def test_jacobi_meets_all_its_shapes_in_the_first_generation(settings, rows):
    """Its passes become shorter as tokens become final, by the text."""
    model = backbone(causal=True, max_positions=40)
    target, met = Static.of(model), []
    made = build("jacobi", settings)
    for number, prompts in enumerate(prompts_of(5, rows)):
        if rows > 1:
            prompts[0] = prompts[0][: 3 + number % 3]
        batch = batch_of(prompts)
        assert torch.equal(made.decode(target, batch, 30).tokens, made.decode(model, batch, 30).tokens)
        met.append(frozenset(target.shapes))
    assert all(shapes == met[0] for shapes in met[1:])
    assert len(met[0]) <= 4, "the prompt, and a width for each doubling"


@pytest.mark.parametrize("most", [0, 1, 7, 8, 9, 29, 64, 1000])
def test_widths_hold_every_count_at_less_than_twice_its_size(most):
    widths = buckets(most)
    for count in range(1, most + 1):
        width = next(width for width in widths if width >= count)
        assert width <= max(8, 2 * count)
    assert len(widths) <= 8


def test_what_is_told_of_outputs_compiles_nothing():
    target = Static.of(backbone(causal=True))
    side = SimpleNamespace(
        model=target, batch=lambda rows: batch_of([[1, 5, 9]]), decoder=SimpleNamespace(settings=None)
    )
    assert len(_plain(side, 0, torch.tensor([5, 6, 7])).margins) == 3 and not target.shapes
