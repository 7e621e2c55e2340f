"""Masked attention of compiled passes on CUDA gives what torch's plain products give, for every mask of a decoder."""

from __future__ import annotations

import shutil
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build
from pardec.measure.compiling import graphs
from pardec.models.engines import compiled, flex
from pardec.models.engines.flex import BLOCK, attend_blocks, kernel, visible_blocks
from pardec.models.engines.registry import compile_model
from pardec.models.engines.toolchain import COMPILERS
from tests.reference.drafts import draft_model, speculate
from tests.reference.masks import MASKS, SIZE, cached, padded
from tests.reference.models import backbone


def inputs(mask: torch.Tensor, groups: int):
    generator = torch.Generator().manual_seed(mask.shape[2])
    rows, _, length, width = mask.shape
    shapes = (rows, 4, length, 16), *[(rows, 4 // groups, width, 16)] * 2
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("name", list(MASKS))
def test_each_mask_gives_what_plain_products_give(name, groups):
    mask = MASKS[name]()
    query, key, value = inputs(mask, groups)
    keys, values = (kept.repeat_interleave(groups, 1) for kept in (key, value))
    with sdpa_kernel(SDPBackend.MATH):
        right = F.scaled_dot_product_attention(query, keys, values, mask)
    blocks = visible_blocks(mask)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would rather be compiled
        result = attend_blocks(query, key, value, mask, blocks)
    torch.testing.assert_close(result, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", list(MASKS))
def test_no_column_that_is_attended_to_lies_outside_the_blocks(name):
    mask = MASKS[name]()
    read, which = visible_blocks(mask)
    assert torch.equal(which, torch.arange(which.shape[-1], dtype=torch.int32).expand_as(which))
    for row, counts in enumerate(read[:, 0].tolist()):
        for block, count in enumerate(counts):
            tokens = mask[row, 0, block * BLOCK : (block + 1) * BLOCK]
            assert tokens.shape[0] > 0 and not tokens[:, count * BLOCK :].any()


@pytest.mark.parametrize(("filled", "count"), [(1, 1), (BLOCK, 1), (BLOCK + 1, 2), (SIZE, 3)])
def test_a_step_reads_the_filled_blocks_alone(filled, count):
    read, which = visible_blocks(cached(torch.ones(1, 1, 1, filled, dtype=torch.bool)))
    assert read.tolist() == [[[count]]] * 2 and which[0, 0, 0].tolist() == [0, 1, 2]


def test_a_causal_prompt_reads_no_block_above_its_triangle():
    read, _ = visible_blocks(padded(300, 300))
    assert read.tolist() == [[[1, 2, 3]]] * 2


@pytest.mark.parametrize(
    ("length", "groups", "options"),
    [
        (1, 4, {"BACKEND": "TRITON_DECODE", "BLOCK_M": 16}),
        (8, 4, {"BACKEND": "TRITON_DECODE", "BLOCK_M": 32}),
        (127, 4, {"BACKEND": "TRITON_DECODE", "BLOCK_M": 64}),
        (128, 4, {"BACKEND": "TRITON"}),
        (1, 7, {"BACKEND": "TRITON"}),
    ],
)
def test_short_passes_share_their_columns_among_many_multiprocessors(length, groups, options):
    assert kernel(length, groups) == options
    if "BLOCK_M" in options:
        assert options["BLOCK_M"] % groups == 0 == BLOCK % options["BLOCK_M"], "what the kernel asserts"


def test_the_kernel_comes_first_in_what_is_recorded_on_cuda_alone():
    fast = compile_model(backbone(True, head_dim=16), "cpu")
    assert not fast.flex and fast.kernels == []
    fast.flex = True
    assert fast.kernels == ["flex_attention"]
    assert flex.HEAD_DIM == 16


@pytest.mark.parametrize(
    ("attend", "expected"),
    [
        (None, True),
        (lambda query, key, value, mask, blocks: query, False),
        (lambda *_: (_ for _ in ()).throw(RuntimeError("no Triton")), False),
    ],
)
def test_a_kernel_that_fails_or_is_wrong_gives_way_to_torchs_own(monkeypatch, attend, expected):
    """A card on which the kernel does not compile still runs every cell, by the kernel that its record names."""
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    if attend is not None:
        monkeypatch.setattr(flex, "attend_blocks", attend)
    flex._probe.cache_clear()
    assert flex.usable(4, 2, 16, torch.float32, torch.device("cpu")) is expected
    assert not flex.usable(4, 2, 8, torch.float32, torch.device("cpu")), "heads too small for it"
    flex._probe.cache_clear()


@pytest.fixture
def on_flex(monkeypatch):
    """Return a function: the compiled form of a model with the attention that it has on CUDA, and the tokens of each
    pass that attends by blocks in its graphs. lowered: whether its graphs run as inductor's code, or operator by
    operator."""

    def make(model, lowered: bool = False):
        lengths = []

        def look(graph, inputs):
            nodes = [
                node for module in graph.modules() for node in getattr(module, "graph", graph.graph).nodes
            ]
            attending = [node for node in nodes if node.target is torch.ops.higher_order.flex_attention]
            lengths.extend(node.args[0].meta["example_value"].shape[2] for node in attending)
            if not lowered:
                return graph.forward
            from torch._inductor.compile_fx import compile_fx  # seconds, which few tests need

            return compile_fx(graph, inputs)

        made = lambda run, _: torch.compile(run, backend=look, dynamic=False, fullgraph=True)  # noqa: E731
        monkeypatch.setattr(compiled, "compiler", made)
        fast = compile_model(model, "cpu")
        fast.flex = True
        return fast, lengths

    torch.compiler.reset()
    yield make
    torch.compiler.reset()


ROWS = [[[1, 5, 6, 7], [1, 8, 9]], [[1, 5, 6, 7], [1, 5, 7, 9]], [[1, 9], [6, 8, 9, 4]]]
DECODERS = {
    "autoregressive": {},
    "cached_diffusion": {"steps": 6, "block": 4, "cache": "prefix"},
    "block_diffusion": {"block": 4, "share": 2},
}


@pytest.mark.parametrize(
    "name",
    ["autoregressive", *(pytest.param(name, marks=pytest.mark.thorough) for name in list(DECODERS)[1:])],
)
def test_decoders_write_the_eager_tokens_and_need_no_further_graph(name, on_flex):
    made = build(name, DECODERS[name])
    blockwise = {"family": "block_diffusion", "mask_id": 3, "shift": True}
    of_blocks = made.needs == "block_causal"
    model = backbone(made.needs != "bidirectional", layers=1, head_dim=16, **(blockwise if of_blocks else {}))
    fast, lengths = on_flex(model)
    fast.padded = True
    grown = []
    for rows in ROWS:
        batch, before = pad_left(rows, None, 0), graphs()
        tokens = made.decode(fast, batch, 12).tokens
        grown.append(graphs() - before)
        assert torch.equal(tokens, made.decode(model, batch, 12).tokens)
    assert grown[0] > 0 and grown[1:] == [0, 0]
    assert lengths, "no masked pass attended by blocks"


@pytest.mark.parametrize(
    "settings", [{}, pytest.param({"proposal": {"name": "tree"}}, marks=pytest.mark.thorough)], ids=str
)
def test_verifications_of_chains_and_trees_write_the_eager_tokens(settings, on_flex):
    target = backbone(True, layers=1, head_dim=16)
    draft = draft_model(target)
    (fast, lengths), (fast_draft, drafted) = on_flex(target), on_flex(draft)
    fast.padded = fast_draft.padded = True
    settings = {"drafter": {"name": "dflash"}, **settings}
    grown = []
    for rows in ROWS:
        before = graphs()
        expected = speculate(target, rows, 12, draft, **settings)
        result = speculate(fast, rows, 12, fast_draft, **settings)
        grown.append(graphs() - before)
        assert torch.equal(result.tokens, expected.tokens) and result.nfe == expected.nfe
    assert grown[0] > 0 and grown[1:] == [0, 0]
    assert max(lengths) > 1 and max(drafted) > 1


@pytest.mark.thorough  # a minute on a cold cache
@pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)),
    reason="no C++ compiler on this machine, so nothing can be compiled",
)
def test_the_compiled_kernel_writes_the_eager_tokens(on_flex):
    """Lowered by inductor, whose kernel for a CPU shares its mask and blocks with that for CUDA."""
    model, made = backbone(True, head_dim=16, max_positions=256), build("autoregressive", {})
    fast, lengths = on_flex(model, lowered=True)
    fast.padded = True
    for rows in ROWS:
        batch = pad_left([[1] * 130 + row for row in rows], None, 0)
        assert torch.equal(made.decode(fast, batch, 8).tokens, made.decode(model, batch, 8).tokens)
    assert set(lengths) == {134, 1}
