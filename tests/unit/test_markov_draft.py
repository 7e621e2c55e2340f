"""The Markov head of a block draft: its file, its training, and what it draws in chains and trees."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from safetensors.torch import load_file

from pardec.common.errors import UserError
from pardec.decoding.base import Observer
from pardec.decoding.speculative.base import Draft, DraftContext
from pardec.decoding.speculative.branches import BestFirst
from pardec.decoding.speculative.decoder import Speculative
from pardec.models.architectures.markov import MarkovDraft
from pardec.models.checkpoints.formats.markov import Markov
from pardec.models.load import load_model, save_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.train import train_model
from tests.reference.copying import copying
from tests.reference.drafts import Cycles, backbone, batch_of, draft_model, plain, speculate, with_head

PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]
TARGET = backbone(causal=True, seed=20, layers=5, max_positions=128, scale=3.0).double().requires_grad_(False)
PLAIN = draft_model(TARGET, seed=20, taps=(0, 1, 3), block=6).double()
TREE = {"name": "tree", "budget": 9, "top_k": 2}
SAMPLED = {"temperature": 0.8, "acceptance": {"name": "residual"}}
MARKOV = {"name": "markov"}
OFF = {"name": "markov", "strength": 0.0}


HEAD = with_head(PLAIN)


def trace(draft, prompts, **settings):
    log = Cycles()
    output = speculate(TARGET, prompts, 24, draft, log, **settings).tokens.tolist()
    kept = ("tau", "block", "accepted", "drafted", "verified")
    return output, [[cycle[name] for name in kept] for cycle in log.cycles]


VARIANTS = {
    "chain": {},
    "tree": {"proposal": TREE},
    "tree lite": {"proposal": {"name": "tree_lite", "refine": True}},
    "seeded": {"seeding": {"name": "gated", "threshold": 0.0}},
    "refined": {"refinement": {"name": "full"}},
    "sampled": SAMPLED,
    "rounds": {**SAMPLED, "proposal": {"name": "rounds", "source": "dropout"}},
}


@pytest.mark.parametrize("variant", list(VARIANTS))
@effort(max_examples=2, deadline=None)
@given(seed=st.integers(0, 99), batch=st.booleans(), block=st.integers(2, 8))
def test_without_effect_the_head_is_the_plain_draft(variant, seed, batch, block):
    """Token for token and cycle for cycle: with strength 0, and with a second table of zeros, as training begins."""
    prompts, draft = PROMPTS if batch else PROMPTS[:1], with_head(PLAIN, seed)
    settings = {"block": block, **VARIANTS[variant]}
    right = trace(PLAIN, prompts, **settings)
    assert trace(draft, prompts, drafter=OFF, **settings) == right
    draft.after.zero_()
    assert trace(draft, prompts, drafter=MARKOV, **settings) == right
    assert trace(draft, prompts, **settings) == right  # and drafter dflash reads such a draft as a plain one


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_with_effect_it_is_not(variant):
    """Otherwise the test above could not fail."""
    assert (
        trace(HEAD, PROMPTS, drafter=MARKOV, **VARIANTS[variant])[1]
        != trace(PLAIN, PROMPTS, **VARIANTS[variant])[1]
    )


@pytest.mark.parametrize("variant", ["chain", "tree", "tree lite", "seeded", "refined"])
@effort(max_examples=2, deadline=None)
@given(seed=st.integers(0, 99), stop=st.sampled_from(["eos", "length"]))
def test_the_output_is_the_targets_own(variant, seed, stop):
    result = speculate(
        TARGET, PROMPTS, 30, with_head(PLAIN, seed), drafter=MARKOV, stop=stop, **VARIANTS[variant]
    )
    assert torch.equal(result.tokens, plain(TARGET, PROMPTS, 30, stop=stop).tokens)


def drafter_of(draft, prompt=PROMPTS[0], count: int = 3):
    """A drafter that has drafted once, and what it drafted."""
    made = []

    class Watched(Observer):
        def phase(self, name):
            pass

    decoder = Speculative(Speculative.Settings(drafter=MARKOV, block=count + 1))
    strategies = decoder.strategies()
    propose = strategies.drafter.propose

    def kept(view, size, choose, hints=None):
        made.append((view, propose(view, size, choose, hints)))
        raise StopIteration

    strategies.drafter.propose = kept
    decoder.strategies = lambda: strategies
    decoder.companions = {"draft": draft}
    with pytest.raises(StopIteration):
        decoder.decode(TARGET, batch_of([prompt]), 20, Watched())
    return strategies.drafter, *made[0]


def test_a_chain_is_drawn_in_order():
    """Each token is the most probable one given the token before it, by the tables multiplied by hand."""
    drafter, view, draft = drafter_of(HEAD)
    bias = HEAD.before @ HEAD.after.T
    before = int(view.anchor[0, 0])
    for slot in range(3):
        logits = drafter.parallel[0, slot] + bias[before]
        torch.testing.assert_close(draft.logits[0, slot], logits)
        before = int(logits.argmax())
        assert int(draft.tokens[0, slot]) == before


def test_a_tree_scores_each_node_by_its_own_parent():
    """Against all paths of the two best tokens behind each node, enumerated."""
    drafter, view, draft = drafter_of(HEAD)
    bias = HEAD.before @ HEAD.after.T
    scored = []
    for choice in itertools.product(range(2), repeat=3):
        path, score, before = (), 1.0, int(view.anchor[0, 0])
        for slot, rank in enumerate(choice):
            chances, ids = (drafter.parallel[0, slot] + bias[before]).softmax(-1).topk(2)
            before, score = int(ids[rank]), score * float(chances[rank])
            path = (*path, before)
            scored.append((score, path))
    right = {path for _, path in sorted(set(scored), reverse=True)[:9]}
    context = DraftContext(drafter, view, 3, None, None, None)
    tree = BestFirst(BestFirst.Settings(**TREE)).pack(draft, context)
    paths: dict[int, tuple[int, ...]] = {0: ()}
    for node, parent in enumerate(tree.shape.parents[0, 1:].tolist(), 1):
        paths[node] = (*paths[parent], int(tree.tokens[0, node - 1]))
    assert set(paths.values()) - {()} == right
    # The marginals would have taken others, or this test could not fail.
    other = BestFirst(BestFirst.Settings(**TREE)).pack(
        Draft(draft.tokens, drafter.parallel), DraftContext(None, None, 3, None, None, None)
    )
    assert other.tokens.tolist() != tree.tokens.tolist()


# Its folder.


def test_a_draft_with_a_head_comes_back_as_it_was(tmp_path):
    model = with_head(draft_model(TARGET, taps=(0, 1, 3)))
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, MarkovDraft) and again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    weights = load_file(tmp_path / "model.safetensors")
    assert (
        weights["markov_w1.weight"].shape == weights["markov_w2.weight"].shape == (TARGET.info.vocab_size, 3)
    )
    counted = sum(tensor.numel() for tensor in weights.values())
    assert again.info.parameters == counted == model.config.info().parameters


def test_a_head_may_be_drawn_from_a_seed(tmp_path):
    values = Markov.write(HEAD.config) | {"weights": "random", "seed": 4}
    (tmp_path / "config.json").write_text(json.dumps(values))
    one, two = load_model(tmp_path), load_model(tmp_path)
    assert torch.equal(one.before, two.before) and one.before.any() and not one.after.any()


@pytest.mark.parametrize("rank", [None, 0, "three", 2.5])
def test_a_wrong_rank_is_named(tmp_path, rank):
    (tmp_path / "config.json").write_text(json.dumps(Markov.write(HEAD.config) | {"markov_rank": rank}))
    with pytest.raises(UserError, match="markov_rank"):
        load_model(tmp_path)


def test_a_draft_without_a_head_is_refused():
    with pytest.raises(UserError, match="no Markov head"):
        speculate(TARGET, PROMPTS[:1], 8, PLAIN, drafter=MARKOV)


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
    objective |= {"family": "markov_draft", "rank": 8}
    return folder, {**recipe, "init": "draft", "objective": objective, "optimiser": {"adam_rate": 0.02}}


def trained(study, out, **changes):
    folder, recipe = study
    settings = TrainSettings.model_validate({**recipe, **changes})
    init = None if settings.init is None else folder / "draft"
    teachers = {"target": folder / "target"}
    return train_model("head", settings, folder / "data", 3, out, init=init, teachers=teachers)


def test_only_the_head_learns(study, tmp_path):
    report = trained(study, tmp_path)
    assert report["loss"][-1][1] < 0.97 * report["loss"][0][1]
    draft, head = load_model(study[0] / "draft"), load_model(tmp_path)
    for name, tensor in draft.state_dict().items():
        assert torch.equal(tensor, head.state_dict()[name]), name
    assert head.after.any()


def test_a_head_needs_a_draft(study, tmp_path):
    with pytest.raises(UserError, match="init"):
        trained(study, tmp_path, init=None)
