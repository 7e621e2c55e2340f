"""Packed trees: one pass gives what a pass a path gives, and what is kept of it is what plain decoding would hold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.decoding.speculative.tree import Tree, chain_shape, longest_path, shape_from, shape_of
from pardec.decoding.speculative.verifier import Verifier
from tests.reference.drafts import backbone, batch_of

MODEL = backbone(causal=True, max_positions=128).double().requires_grad_(False)
PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]

forms = st.lists(st.integers(0, 100), min_size=1, max_size=12).map(
    lambda drawn: tuple(number % (node + 1) for node, number in enumerate(drawn))
)


def path_to(parents, node):
    return [] if not node else [*path_to(parents, parents[node - 1]), node]


def verifier(prompts):
    made = Verifier(MODEL, batch_of(prompts), 64, (0, 1), lambda logits: logits)
    made.prefill()
    made.close()
    return made


@effort(max_examples=40, deadline=None)
@given(parents=forms, count=st.integers(1, 3), seed=st.integers(0, 99), apart=st.booleans())
def test_a_packed_pass_is_a_pass_a_path(parents, count, seed, apart):
    prompts = PROMPTS[:count]
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 20, (count, len(parents)), generator=generator)
    anchor = torch.randint(4, 20, (count, 1), generator=generator)
    tree = Tree(shape_of(parents, "cpu"), tokens)
    if apart:
        tree.parts = [(0, 1 + len(parents) // 2), (1 + len(parents) // 2, 1 + len(parents))]
        tree.parts = [part for part in tree.parts if part[0] < part[1]]
    logits, features = verifier(prompts).verify(anchor, tree)
    for row, prompt in enumerate(prompts):
        for node in range(len(parents) + 1):
            path = [int(anchor[row])] + [int(tokens[row, step - 1]) for step in path_to(parents, node)]
            right, hidden = MODEL(torch.tensor([prompt + path]), taps=(0, 1))
            assert torch.allclose(logits[row, node], right[0, -1], atol=1e-10)
            assert torch.allclose(features[row, node], hidden[0, -1], atol=1e-10)


@effort(max_examples=40, deadline=None)
@given(parents=forms, count=st.integers(1, 3), seed=st.integers(0, 99))
def test_what_is_kept_is_what_a_plain_pass_holds(parents, count, seed):
    """Every row keeps a path of its own; the pass after it gives what a plain pass over all of its text gives."""
    prompts = PROMPTS[:count]
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 20, (count, len(parents)), generator=generator)
    anchor = torch.randint(4, 20, (count, 1), generator=generator)
    made = verifier(prompts)
    shape = shape_of(parents, "cpu")
    _, features = made.verify(anchor, Tree(shape, tokens))
    ends = torch.randint(0, len(parents) + 1, (count,), generator=generator).tolist()
    paths = [path_to(parents, end) for end in ends]
    wide = [path + [shape.size] * (shape.deepest - len(path)) for path in paths]
    fresh = made.keep(features, torch.tensor(wide), paths, [1 + len(path) for path in paths])
    made.starts = torch.tensor(made.lengths)[:, None]
    following = torch.randint(4, 20, (count, 1), generator=generator)
    logits, _ = made.verify(following, Tree(chain_shape(0, "cpu"), tokens[:, :0]))
    for row, prompt in enumerate(prompts):
        kept = [int(anchor[row])] + [int(tokens[row, step - 1]) for step in paths[row]]
        right, hidden = MODEL(torch.tensor([[*prompt, *kept, int(following[row])]]), taps=(0, 1))
        assert torch.allclose(logits[row, 0], right[0, -1], atol=1e-10)
        mine = fresh[row, : len(kept)]
        assert torch.allclose(mine, hidden[0, len(prompt) : len(prompt) + len(kept)], atol=1e-10)


@effort(max_examples=60, deadline=None)
@given(parents=forms)
def test_a_shape_made_on_the_device_is_the_same(parents):
    by_hand = shape_of(parents, "cpu")
    made = shape_from(torch.tensor([[0, *parents]]), by_hand.deepest, by_hand.widest)
    assert torch.equal(made.mask, by_hand.mask) and torch.equal(made.depths, by_hand.depths)
    children = by_hand.children()[0].T.tolist()
    for node, ours in enumerate(children):
        right = [child for child, parent in enumerate(parents, 1) if parent == node]
        assert [child for child in ours if child] == right


@effort(max_examples=60, deadline=None)
@given(parents=forms, seed=st.integers(0, 999))
def test_the_longest_path_is_found(parents, seed):
    good = torch.rand(1, len(parents), generator=torch.Generator().manual_seed(seed)) < 0.7
    tree = Tree(shape_of(parents, "cpu"), torch.zeros(1, len(parents), dtype=torch.long))
    count, path, last = longest_path(tree, good)
    whole = [path_to(parents, node) for node in range(len(parents) + 1)]
    whole = [result for result in whole if all(good[0, step - 1] for step in result)]
    assert int(count) == max(map(len, whole))
    assert path[0, : int(count)].tolist() in whole
    assert int(last) == (path[0, int(count) - 1] if count else 0)


def test_a_node_behind_its_child_is_refused():
    with pytest.raises(ValueError, match="node 1 has parent 2"):
        shape_of((2, 0), "cpu")
