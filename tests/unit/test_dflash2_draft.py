"""DFlash 2: convolutions along a draft's block, and a selector among each position's most probable tokens."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from pardec.common.errors import UserError
from pardec.decoding.speculative.base import DraftContext
from pardec.decoding.speculative.branches import BestFirst
from pardec.decoding.speculative.decoder import Speculative
from pardec.models.architectures.dflash2 import DFlash2Draft, convolve
from pardec.models.checkpoints.formats.dflash2 import DFlash2
from pardec.models.load import load_model, save_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.train import train_model
from tests.reference.copying import copying
from tests.reference.drafts import Cycles, backbone, batch_of, draft_model, plain, speculate, with_selector

PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]
TARGET = backbone(causal=True, seed=20, layers=5, max_positions=128, scale=3.0).double().requires_grad_(False)
PLAIN = draft_model(TARGET, seed=20, taps=(0, 1, 3), block=6).double()
SELECTOR = {"name": "selector"}
OFF = {"name": "selector", "strength": 0.0}
VARIANTS = {
    "chain": {},
    "seeded": {"seeding": {"name": "gated", "threshold": 0.0}},
    "refined": {"refinement": {"name": "full"}},
}
TREES = {
    "tree": {"proposal": {"name": "tree", "budget": 9, "top_k": 2}},
    "tree lite": {"proposal": {"name": "tree_lite", "refine": True}},
}


def begun(**changes) -> DFlash2Draft:
    """The draft with additions as training begins: without effect."""
    return with_selector(PLAIN, convolutions=0.0, selector=None, **changes)


def drawn(seed: int = 0, **changes) -> DFlash2Draft:
    """The draft with random additions."""
    return with_selector(PLAIN, seed, **changes)


def trace(draft, prompts=PROMPTS, **settings):
    log = Cycles()
    output = speculate(TARGET, prompts, 24, draft, log, **settings).tokens.tolist()
    return output, [[cycle[name] for name in ("tau", "block", "accepted", "drafted")] for cycle in log.cycles]


@pytest.mark.parametrize("period", [None, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_a_convolution_mixes_each_position_with_those_before_it_in_its_block(period, kernel):
    """Against sums written out; the first positions of a block have nothing before them."""
    generator = torch.Generator().manual_seed(kernel)
    x = torch.randn(2, 8, 6, generator=generator, dtype=torch.double)
    fixed = torch.randn(kernel, 6, generator=generator, dtype=torch.double)
    changes = torch.randn(2, 8, kernel, 3, generator=generator, dtype=torch.double)
    right = torch.zeros_like(x)
    for row in range(2):
        for place in range(8):
            for channel in range(6):
                for back in range(min(kernel, place % (period or 8) + 1)):
                    weight = fixed[back, channel] + changes[row, place, back, channel // 2]
                    right[row, place, channel] += weight * x[row, place - back, channel]
    torch.testing.assert_close(convolve(x, fixed, changes, period), right)
    short = convolve(x[:, :1], fixed, changes[:, :1], None)
    torch.testing.assert_close(short, right[:, :1])


def test_blocks_that_a_training_pass_packs_do_not_mix():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 12, 8, generator=generator, dtype=torch.double)
    fixed = torch.randn(2, 8, generator=generator, dtype=torch.double)
    changes = torch.randn(1, 12, 2, 2, generator=generator, dtype=torch.double)
    parts = [convolve(x[:, at : at + 4], fixed, changes[:, at : at + 4], None) for at in (0, 4, 8)]
    torch.testing.assert_close(convolve(x, fixed, changes, 4), torch.cat(parts, 1))


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_without_effect_it_is_the_plain_draft(variant):
    """Token for token and cycle for cycle: as training begins, and with a selector that is switched off."""
    right = trace(PLAIN, **VARIANTS[variant])
    assert trace(begun(), drafter=SELECTOR, **VARIANTS[variant]) == right
    assert trace(drawn(convolutions=0.0), drafter=OFF, **VARIANTS[variant]) == right
    assert trace(drawn(convolutions=0.0), drafter={**SELECTOR, "top_k": 1}, **VARIANTS[variant]) == right
    assert trace(drawn(convolutions=0.0), drafter=SELECTOR, **VARIANTS[variant])[1] != right[1]
    assert trace(drawn(selector=0.0), drafter=SELECTOR, **VARIANTS[variant])[1] != right[1]


@pytest.mark.parametrize("variant", [*VARIANTS, *TREES])
@pytest.mark.parametrize("stop", ["eos", "length"])
def test_the_output_is_the_targets_own(variant, stop):
    settings = (VARIANTS | TREES)[variant]
    result = speculate(TARGET, PROMPTS, 30, drawn(3), drafter=SELECTOR, stop=stop, **settings)
    assert torch.equal(result.tokens, plain(TARGET, PROMPTS, 30, stop=stop).tokens)


def drafter_of(draft, count: int = 3):
    """A drafter that has drafted once, the view of that cycle, and what it drafted."""
    made = []
    decoder = Speculative(Speculative.Settings(drafter=SELECTOR, block=count + 1))
    strategies = decoder.strategies()
    propose = strategies.drafter.propose

    def kept(view, size, choose, hints=None):
        made.append((view, propose(view, size, choose, hints)))
        raise StopIteration

    strategies.drafter.propose = kept
    decoder.strategies = lambda: strategies
    decoder.companions = {"draft": draft}
    with pytest.raises(StopIteration):
        decoder.decode(TARGET, batch_of([PROMPTS[0]]), 20)
    return strategies.drafter, *made[0]


def test_the_walk_takes_the_best_candidate_behind_the_token_before():
    """By the published formula, written out: U(b) + <A(a) * H(h), B(b)> over the most probable tokens."""
    model = drawn(4)
    drafter, view, draft = drafter_of(model)
    before, chosen, top = int(view.anchor[0, 0]), [], model.config.top_k
    for slot in range(3):
        hidden = drafter.hidden[0, slot]
        unary = TARGET.read(hidden)
        best = unary.argsort(descending=True)[:top].tolist()
        gated = model.before[before] * (model.gate @ hidden)
        scores = {token: float(unary[token] + gated @ model.after[token]) for token in best}
        for token, score in scores.items():
            assert float(draft.logits[0, slot, token]) == pytest.approx(score)
        assert int(draft.logits[0, slot].isfinite().sum()) == top
        before = max(scores, key=scores.__getitem__)
        chosen.append(before)
    assert draft.tokens[0].tolist() == chosen


def test_a_trees_children_follow_their_own_parent():
    drafter, view, draft = drafter_of(drawn(4))
    tree = BestFirst(BestFirst.Settings(budget=9, top_k=2)).pack(
        draft, DraftContext(drafter, view, 3, None, None, None)
    )
    parents, tokens = tree.shape.parents[0].tolist(), [int(view.anchor[0, 0]), *tree.tokens[0].tolist()]
    depth = {0: 0}
    for node in range(1, len(tokens)):
        depth[node] = depth[parents[node]] + 1
        behind = drafter.follow(depth[node] - 1, torch.tensor([[tokens[parents[node]]]]))[0, 0]
        assert tokens[node] in behind.topk(2).indices.tolist()


# Its folder.


def test_it_comes_back_as_it_was_under_the_published_names(tmp_path):
    model = drawn(5, kernel=3, group=2)
    save_model(model, tmp_path)
    again = load_model(tmp_path, dtype="float32")
    assert isinstance(again, DFlash2Draft) and again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.float(), again.state_dict()[name]), name
    weights = load_file(tmp_path / "model.safetensors")
    hidden, words = model.config.hidden, model.config.vocab_size
    shapes = {
        "layers.0.attention_conv.base_kernel": (2, 3, hidden),
        "layers.0.attention_conv.kernel_projection.weight": (2 * 3 * hidden // 2, hidden),
        "layers.0.mlp_conv.base_kernel": (2, 3, hidden),
        "layers.0.mlp_conv.kernel_projection.weight": (2 * 3 * hidden // 2, hidden),
        "candidate_selector.predecessor_codebook": (words, 3),
        "candidate_selector.successor_codebook": (words, 3),
        "candidate_selector.hidden_projection.weight": (3, hidden),
    }
    assert {name: tuple(weights[name].shape) for name in shapes} == shapes
    counted = sum(tensor.numel() for tensor in weights.values())
    assert again.info.parameters == counted == model.config.info().parameters
    assert trace(again.double(), drafter=SELECTOR)[0] == trace(model, drafter=SELECTOR)[0]


def test_scales_and_cap_of_a_published_draft_are_honoured(tmp_path):
    values = DFlash2.write(drawn().config)
    values["dflash_config"] |= {
        "input_embedding_scale": 3.0,
        "output_multiplier": 0.5,
        "final_logit_softcapping": 4.0,
    }
    (tmp_path / "config.json").write_text(json.dumps(values | {"weights": "random", "seed": 4}))
    model = load_model(tmp_path)
    logits = torch.tensor([[20.0, -1.0]])
    torch.testing.assert_close(model.scaled(logits), 4 * torch.tanh(logits * 0.5 / 4))
    block = torch.randn(1, 3, model.config.hidden)
    other = drawn().float()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(block, None), other(block * 3, None))


@pytest.mark.parametrize(
    ("key", "value"),
    [("selector_rank", 0), ("selector_top_k", "all"), ("conv_kernel_size", 1.5), ("conv_group_size", 5)],
)
def test_a_wrong_key_is_named(tmp_path, key, value):
    values = DFlash2.write(drawn().config)
    values["dflash_config"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=key):
        load_model(tmp_path)
    del values["dflash_config"][key]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=key):
        load_model(tmp_path)


def test_a_draft_without_a_selector_is_refused():
    with pytest.raises(UserError, match="no selector"):
        speculate(TARGET, PROMPTS[:1], 8, PLAIN, drafter=SELECTOR)


# Its training.


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A task whose answers are of two kinds at random, so that a token tells much of the next; target and draft."""
    folder = tmp_path_factory.mktemp("study")
    recipe = copying(folder, "target", (4, 6), examples=300, steps=60)
    recipe |= {"size": {**recipe["size"], "layers": 1}, "teachers": {"target": "target"}}
    objective = {"block": 4, "new_tokens": 8, "sequences": 200}
    draft = TrainSettings.model_validate({**recipe, "objective": {"family": "draft", **objective}})
    teachers = {"target": folder / "target"}
    train_model("draft", draft, folder / "data", 2, folder / "draft", teachers=teachers)
    objective |= {"family": "selector_draft", "rank": 8, "group": 4}
    return folder, {**recipe, "init": "draft", "objective": objective, "optimiser": {"adam_rate": 0.02}}


def trained(study, out, objective=None, **changes):
    folder, recipe = study
    recipe = {**recipe, **changes, "objective": {**recipe["objective"], **(objective or {})}}
    settings = TrainSettings.model_validate(recipe)
    init = None if settings.init is None else folder / "draft"
    teachers = {"target": folder / "target"}
    return train_model("head", settings, folder / "data", 3, out, init=init, teachers=teachers)


@pytest.mark.parametrize("convolutions", [True, False])
def test_only_the_additions_learn(study, tmp_path, convolutions):
    report = trained(study, tmp_path, {"convolutions": convolutions})
    assert report["loss"][-1][1] < 0.97 * report["loss"][0][1]
    draft, head = load_model(study[0] / "draft"), load_model(tmp_path)
    for name, tensor in draft.state_dict().items():
        assert torch.equal(tensor, head.state_dict()[name]), name
    assert head.after.any()
    assert bool(head.layers[0].mlp_changes.any()) == convolutions


def test_what_cannot_be_trained_is_refused(study, tmp_path):
    with pytest.raises(UserError, match="init"):
        trained(study, tmp_path, init=None)
    with pytest.raises(UserError, match=r"objective\.group"):
        trained(study, tmp_path, {"group": 5})
