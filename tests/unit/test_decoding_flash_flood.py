"""Flash Flood: the parallel order writes what the sequential ones write, and energies choose."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pardec.data.fractal import learn
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.flash_flood import (
    EOS,
    PAD,
    FlashFloodDecoder,
    FlashFloodSettings,
    TableLookup,
    choose,
    compact,
)
from pardec.measure.work import CountingModel
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.config import BackboneConfig
from pardec.models.architectures.renderer import Renderer
from pardec.models.load import load_model, save_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.objectives.renderer import (
    RenderBatch,
    RendererFamily,
    RendererSettings,
    substituted,
    truncated,
)

TEXT = "the cat sat on the mat, and the cat ate the rat.\n" * 20
TOKENIZER = learn([TEXT], "roots", 160, 220, 8, 3)


def settings(**message):
    base = {"source": "train", "data": "d", "objective": {"family": "renderer"}}
    base["size"] = {"hidden": 32, "layers": 1, "heads": 2, "mlp": 32}
    return TrainSettings.model_validate({**base, **message})


@pytest.fixture(scope="module")
def model() -> Renderer:
    made = RendererFamily(RendererSettings()).build(settings(), TOKENIZER, {})
    made.initialise(torch.Generator().manual_seed(0))
    return made.requires_grad_(False).eval()


def flood(model, prompts, canvas=200, kind=FlashFloodDecoder, observer=None, **message):
    decoder = kind(kind.Settings(**message))
    batch = pad_left(prompts, list(range(5, 5 + len(prompts))), PAD)
    return decoder.decode(model, batch, canvas, *([observer] if observer else []))


ROOTS = TOKENIZER.encode(TEXT[:70])


@pytest.mark.parametrize("candidates", [1, 4])
def test_work_is_counted_by_what_each_level_writes(model, candidates):
    """Neither level's head is as wide as the vocabulary; energies have one of width one."""
    decoder = FlashFloodDecoder(FlashFloodSettings(candidates=candidates))
    given = []
    hook = model.register_forward_hook(lambda _, args, logits: given.append(logits))
    with CountingModel(model, beside=True) as counted:
        decoder.decode(model, pad_left([ROOTS], [5], PAD), 200)
    hook.remove()
    assert counted.torch.ratio() == pytest.approx(1.0, rel=1e-3)
    widest = max(1 + stop - start for start, stop in map(model.config.written, (0, 1)))
    assert widest < model.config.vocab_size / 1.5
    assert counted.work.forwards == len(given) >= 2
    assert counted.logits_bytes == max(logits.nbytes for logits in given if logits.dim() == 3)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("order", ["by_root", "by_candidate"])
def test_flood_equals_sequential(model, k, order):
    parallel = flood(model, [ROOTS, ROOTS[3:9]], candidates=k)
    other = flood(model, [ROOTS, ROOTS[3:9]], candidates=k, order=order)
    assert torch.equal(parallel.tokens, other.tokens)
    assert other.nfe > parallel.nfe


@pytest.mark.parametrize("chunk_batch", [1, 3, 7, 1000])
def test_sizes_that_do_not_divide_change_nothing(model, chunk_batch):
    whole, cut = (flood(model, [ROOTS], candidates=3, chunk_batch=c) for c in (None, chunk_batch))
    assert torch.equal(whole.tokens, cut.tokens)


@pytest.fixture(scope="module")
def manager() -> Backbone:
    config = BackboneConfig(
        vocab_size=TOKENIZER.vocab_size, hidden=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp=16,
        max_positions=128, causal=True, eos_id=EOS,
    )  # fmt: skip
    made = Backbone(config)
    made.initialise(torch.Generator().manual_seed(1))
    return made.requires_grad_(False).eval()


def planned(model, planner, prompts, roots, ear=None, **message):
    decoder = FlashFloodDecoder(FlashFloodSettings(plan="manager", roots=roots, **message))
    decoder.companions = {"manager": planner}
    return decoder.decode(model, pad_left(prompts, None, PAD), 300, *([ear] if ear else []))


@given(
    length=st.integers(1, 12), other=st.integers(1, 12), wanted=st.integers(1, 30),
    window=st.none() | st.integers(1, 12), k=st.integers(1, 3),
)  # fmt: skip
@hypothesis_settings(max_examples=20, deadline=None)
def test_a_jacobi_manager_writes_the_same_plan(model, manager, length, other, wanted, window, k):
    """Whatever the prompts, their padding, the plan's length and the window; the manager's passes are counted."""
    prompts = [ROOTS[:length], ROOTS[:other]]
    roots = max(map(len, prompts)) + wanted
    message, mine = {"candidates": k}, Listener()
    greedy = planned(model, manager, prompts, roots, mine, **message)
    ear = Listener()
    jacobi = planned(model, manager, prompts, roots, ear, manager="jacobi", window=window, **message)
    assert torch.equal(greedy.tokens, jacobi.tokens) and torch.equal(greedy.useful, jacobi.useful)
    assert 1 <= ear.facts["manager_passes"] <= mine.facts["manager_passes"] == wanted


def test_a_plan_that_is_long_enough_needs_no_manager(model, manager):
    ear = Listener()
    out = planned(model, manager, [ROOTS[:6]], 4, ear, manager="jacobi")
    assert torch.equal(out.tokens[:, :200], flood(model, [ROOTS[:4]]).tokens)
    assert ear.facts["manager_passes"] == 0


def test_two_passes_render_everything(model):
    assert flood(model, [ROOTS]).nfe == 2
    assert flood(model, [ROOTS], candidates=4).nfe == 6


def test_a_prompt_does_not_depend_on_its_batch(model):
    together = flood(model, [ROOTS, ROOTS[:4]], candidates=4).tokens[0]
    assert torch.equal(together, flood(model, [ROOTS], candidates=4).tokens[0])


def test_lookup_is_exact(model):
    out = flood(model, [ROOTS], kind=TableLookup)
    assert TOKENIZER.decode(out.tokens[0].tolist()) == TOKENIZER.decode(ROOTS)
    assert out.nfe == 0


def test_one_root(model):
    assert flood(model, [ROOTS[:1]]).tokens.shape == (1, 200)


def test_no_root_writes_nothing(model):
    decoder = FlashFloodDecoder(FlashFloodSettings())
    decoder.model, decoder.passes, decoder.positions = model, 0, 0
    empty = torch.empty(0, dtype=torch.long)
    grid, counts = decoder.render(empty, empty, empty)
    assert grid.shape == (0, 24) and counts == (0, 0) and decoder.passes == 0


class Listener(Observer):
    def __init__(self):
        self.facts, self.phases = {}, []

    def cycle(self, **facts):
        self.facts = {name: int(fact) for name, fact in facts.items()}

    def phase(self, name):
        self.phases.append(name)


def test_invalid_roots_write_nothing_and_are_counted(model):
    ear = Listener()
    out = flood(model, [[ROOTS[0], 7, ROOTS[1], 2]], kind=TableLookup, observer=ear)
    assert TOKENIZER.decode(out.tokens[0].tolist()) == TOKENIZER.decode([ROOTS[0], ROOTS[1]])
    assert ear.facts["invalid"] == 2 and ear.facts["roots"] == 4
    assert ear.phases == ["level0", "level1", "transfer"]


def test_what_does_not_fit_the_canvas_is_counted(model):
    ear = Listener()
    out = flood(model, [ROOTS], canvas=10, kind=TableLookup, observer=ear)
    assert TOKENIZER.decode(out.tokens[0].tolist()) == TEXT[:10]
    assert ear.facts["cut"] == 60


def test_the_lowest_energy_is_chosen():
    candidates = torch.arange(12).view(2, 3, 2)
    assert choose(candidates, torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 5.0]])).tolist() == [[2, 3], [6, 7]]


def test_more_candidates_than_distinct_ones_change_nothing(model, monkeypatch):
    monkeypatch.setattr(
        FlashFloodDecoder,
        "_starts",
        lambda self, seeds, level, k, slots: seeds.new_full((len(seeds), k, slots), 3),
    )
    assert torch.equal(flood(model, [ROOTS]).tokens, flood(model, [ROOTS], candidates=9).tokens)


def test_compact_moves_padding_to_the_end():
    tokens, sizes = compact(torch.tensor([[0, 5, 0, 6], [0, 0, 0, 0]]), 3)
    assert tokens.tolist() == [[5, 6, EOS], [EOS, EOS, EOS]] and sizes.tolist() == [2, 0]


def test_a_saved_renderer_loads_and_writes_alike(model, tmp_path):
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert torch.equal(
        flood(model, [ROOTS], candidates=3).tokens, flood(loaded, [ROOTS], candidates=3).tokens
    )


def test_negatives_are_wrong(model):
    right = model.expansion1
    assert ((truncated(right) != PAD).sum(-1) == (right != PAD).sum(-1) - 1).all()
    changed = substituted(model, right, 1, torch.Generator().manual_seed(0))
    assert ((changed != right).sum(-1) <= 1).all() and (changed != right).any()


def test_training_lowers_the_loss():
    family = RendererFamily(RendererSettings())
    made = family.build(settings(), TOKENIZER, {})
    made.initialise(torch.Generator().manual_seed(0))
    optimiser = torch.optim.AdamW(made.parameters(), 0.01)
    start = made.config.conditions(1)[0]
    batch = RenderBatch(made.expansion1[:64], start + torch.arange(64), 1)
    losses = []
    for step in range(30):
        loss = family.loss(made, batch, torch.Generator().manual_seed(step))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_checks_tell_exactness_by_level(model):
    decoder = TableLookup(TableLookup.Settings())
    (facts,) = decoder.check_outputs(model, pad_left([ROOTS], [1], PAD))
    assert facts["level0"] == facts["level1"] == 1.0 and facts["invalid"] == 0
