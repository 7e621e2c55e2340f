"""Weights, rotary tables and caches keep their addresses: a CUDA graph copies every other input anew in each replay."""

from __future__ import annotations

import pytest
import torch

from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build
from pardec.measure.finite import NotFinite, refuse_nan
from pardec.models.architectures.attention import Layout
from pardec.models.engines import compiled
from pardec.models.engines.registry import compile_model
from tests.reference.drafts import draft_model
from tests.reference.models import backbone

COPIED = 2000
"""Bytes of tokens, positions, masks and features of the passes below; any weight, table or cache has more."""
ARMS = {
    "autoregressive": {},
    "jacobi": {"window": 4},
    "cached_diffusion": {"steps": 6, "block": 4},
    "speculative": {},
}


@pytest.fixture
def seen(monkeypatch):
    """Return the inputs of each compiled graph: their bytes, and whether the graph may rely on their addresses."""
    graphs = []

    def look(graph, inputs):
        places = [node for node in graph.graph.nodes if node.op == "placeholder"]
        graphs.append(
            [
                (
                    node.name,
                    value.nbytes if torch.is_tensor(value) else 0,
                    node.meta.get("tensor_dict", {}).get("_dynamo_static_input_type") is not None,
                )
                for node, value in zip(places, inputs, strict=True)
            ]
        )
        return graph.forward

    def looked_at(run, device):
        return torch.compile(run, backend=look, dynamic=False, fullgraph=True)

    torch.compiler.reset()
    monkeypatch.setattr(compiled, "compiler", looked_at)
    monkeypatch.setattr("pardec.models.engines.compiled_draft.compiler", looked_at, raising=False)
    return graphs


@pytest.mark.parametrize(
    "name", ["autoregressive", *(pytest.param(name, marks=pytest.mark.thorough) for name in list(ARMS)[1:])]
)
def test_no_graph_copies_weights_tables_or_caches(name, seen):
    made = build(name, ARMS[name])
    model = backbone(made.needs == "causal", layers=1, scale=3.0, max_positions=512)
    if name == "speculative":
        made.companions = {"draft": compile_model(draft_model(model), "cpu")}
    fast = compile_model(model, "cpu")
    made.prepare(fast)
    made.decode(fast, pad_left([[1, 5, 9, 4]], [7], 0), 12)
    assert seen
    for graph in seen:
        assert sum(size for _, size, static in graph if static) > 8 * COPIED
        copied = {name: size for name, size, static in graph if not static}
        assert sum(copied.values()) < COPIED, copied
        assert not [name for name in copied if "pairs" in name or "self" in name]


def test_one_row_of_a_wider_tensor_selects_the_graph_of_a_row_alone(seen):
    """It counts as contiguous whatever its stride is; each stride would be compiled and captured anew."""
    fast = compile_model(backbone(False, scale=3.0), "cpu")
    for width in (6, 7, 9):
        wide, columns = torch.ones(1, width, dtype=torch.long), torch.arange(width)[None] + 4
        mask = torch.ones(1, 1, 1, width + 20, dtype=torch.bool)[..., :12]
        with torch.inference_mode():
            cache = fast.new_cache(1, 12)
            fast(torch.ones(1, 12, dtype=torch.long), cache=cache)
            for length, seeing in ((4, None), (1, mask)):
                cache.crop(4)
                layout = Layout(columns[:, :length], seeing, 12)
                fast(wide[:, :length], cache=cache, layout=layout)
            del cache  # lent again, at the same addresses
        assert len(seen) == 3, f"a canvas of {width} columns has graphs of its own"


def test_a_greedy_step_ends_in_its_token(monkeypatch):
    """From the embedding to the choice in one graph: no logits leave it, and NaN still shows in the best one."""
    returned = []

    def look(graph, inputs):
        def run(*given):
            result = graph.forward(*given)
            returned.append([tuple(one.shape) for one in result])
            return result

        return run

    torch.compiler.reset()
    monkeypatch.setattr(
        compiled, "compiler", lambda run, _: torch.compile(run, backend=look, dynamic=False, fullgraph=True)
    )
    model, made = backbone(True, scale=3.0), build("autoregressive", {})
    fast, batch = compile_model(model, "cpu"), pad_left([[1, 5, 9], [1, 7, 6]], None, 0)
    with refuse_nan(fast) as passes:
        tokens = made.decode(fast, batch, 6).tokens
    assert tokens.tolist() == made.decode(model, batch, 6).tokens.tolist()
    assert returned[1:] == [[(2, 1), (2, 1)]] * 5
    assert len(passes) == 6 and None not in passes
    fast.embedding.data.fill_(float("nan"))
    with pytest.raises(NotFinite), refuse_nan(fast):
        made.decode(fast, batch, 6)


def test_a_cache_that_is_not_marked_would_be_seen(seen, monkeypatch):
    monkeypatch.setattr(torch._dynamo, "mark_static_address", lambda tensor: None)
    fast = compile_model(backbone(True, layers=1, scale=3.0, max_positions=512), "cpu")
    with torch.inference_mode():
        fast(torch.tensor([[5]]), cache=fast.new_cache(1, 256))
    assert max(size for _, size, static in seen[0] if not static) > COPIED
