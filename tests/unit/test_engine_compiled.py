"""The engine `compiled`: the tokens of the eager one, no graph beyond the first passes, and no silent fallback."""

from __future__ import annotations

import itertools
import shutil
from types import SimpleNamespace

import pytest
import torch

from pardec.common.errors import UserError
from pardec.decoding.batching import pad_left, widened
from pardec.decoding.prepared import build, load_arm
from pardec.measure import compiling
from pardec.measure.cell import ArmSpec, run_cell
from pardec.measure.clock import HostClock
from pardec.measure.compiling import Graphs, graphs
from pardec.models.engines import compiled
from pardec.models.engines.quantise import quantise
from pardec.models.engines.registry import compile_model
from pardec.models.engines.toolchain import COMPILERS
from pardec.study.load import load_study
from tests.faults import arms
from tests.reference.drafts import draft_model, speculate, with_head, with_selector
from tests.reference.models import Table, backbone
from tests.tiny_study import STUDY

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)),
    reason="no C++ compiler on this machine, so nothing can be compiled",
)
BATCHES = ([[1, 5, 6, 7], [1, 8, 9]], [[1, 5, 6, 7], [1, 5, 7, 9]], [[4, 5, 6, 7], [6, 8, 9]])


@pytest.mark.thorough  # minutes on a cold cache
@needs_compiler
@pytest.mark.parametrize(
    ("decoder", "settings"),
    [
        ("autoregressive", {}),
        ("masked_diffusion", {"steps": 4, "block": 8}),
        ("cached_diffusion", {"steps": 8, "block": 4, "cache": "dual"}),
        ("block_diffusion", {"block": 4, "share": 2}),
        ("block_diffusion", {"block": 1}),
        ("cached_diffusion", {"steps": 8, "block": 4, "cache": "prefix", "threshold": 0.5}),
    ],
)
def test_tokens_are_those_of_the_eager_engine_and_graphs_settle(decoder, settings):
    made = build(decoder, settings)
    blockwise = {"family": "block_diffusion", "mask_id": 3, "shift": True}
    of_blocks = made.needs == "block_causal"
    model = backbone(causal=made.needs != "bidirectional", **(blockwise if of_blocks else {}))
    static = compile_model(model, "cpu")
    static.padded = True
    grown = []
    for rows in BATCHES:
        batch = pad_left(rows, [1, 2], 0)
        before = graphs()
        result = made.decode(static, batch, 16).tokens
        grown.append(graphs() - before)
        assert torch.equal(result, made.decode(model, batch, 16).tokens)
    assert grown[0] > 0 and grown[1:] == [0, 0]


@pytest.mark.thorough  # minutes on a cold cache
@needs_compiler
@pytest.mark.parametrize("how", ["int8", "int4"])
def test_quantised_weights_run_compiled_too(how):
    model = quantise(backbone(causal=True, hidden=64, head_dim=16, mlp=128), how)
    made, static = build("autoregressive", {}), compile_model(model, "cpu")
    static.padded = True
    batch = pad_left(BATCHES[0], [1, 2], 0)
    assert torch.equal(made.decode(static, batch, 12).tokens, made.decode(model, batch, 12).tokens)
    before = graphs()
    made.decode(static, pad_left(BATCHES[1], [1, 2], 0), 12)
    assert graphs() == before


def scaled_selector(draft):
    """A DFlash 2 draft that reads its embeddings at another scale."""
    return with_selector(draft, input_scale=1.5)


@pytest.mark.thorough  # minutes on a cold cache
@needs_compiler
@pytest.mark.parametrize(
    ("drafter", "added"),
    [("dflash", lambda draft: draft), ("markov", with_head), ("selector", scaled_selector)],
)
def test_draft_and_verification_run_compiled_too(drafter, added):
    target = backbone(causal=True)
    draft = added(draft_model(target))
    fast, fast_draft = compile_model(target, "cpu"), compile_model(draft, "cpu")
    grown = [graphs()]
    for prompts in ([[1, 5, 9, 11]], [[1, 7, 3, 4]]):
        settings = {"drafter": {"name": drafter}}
        expected = speculate(target, prompts, 20, draft, **settings)
        result = speculate(fast, prompts, 20, fast_draft, **settings)
        assert torch.equal(result.tokens, expected.tokens) and result.nfe == expected.nfe
        grown.append(graphs())
    assert grown[0] < grown[1], "both models were compiled"
    assert grown[1] == grown[2], "whatever was accepted, a cycle's shapes are the same"


@pytest.mark.thorough  # minutes on a cold cache
@needs_compiler
def test_a_cell_keeps_compilation_apart(tmp_path):
    folder = arms.write_model(tmp_path / "m", causal=True)
    spec = arms.spec(ArmSpec(folder, "autoregressive", {}), ArmSpec(folder, "autoregressive", {}), engine="compiled",
                     prompts=arms.prompts(4, lengths=(3, 5)))  # fmt: skip
    facts = run_cell(spec, arms.MeasureSettings(**arms.FAST | {"timeout_s": 500}), 0.0)
    assert facts["status"] == "ok", facts["reason"]
    assert facts["graphs"]["compiled"] >= 2 and not facts["graphs"]["skipped"]
    assert facts["compile_ms"] > 10 * max(facts["warmup_ms"])
    assert facts["reference_compile_ms"] == 0, "it runs the graphs of the same model"
    plain = run_cell(
        arms.replace(spec, engine="eager"), arms.MeasureSettings(**arms.FAST | {"timeout_s": 500}), 0.0
    )
    assert plain["compile_ms"] is None
    assert facts["outputs"] == plain["outputs"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (Graphs(3, 2, 0), Graphs(4, 2, 0), "1 compiled, 0 recorded"),
        (Graphs(3, 2, 0), Graphs(3, 3, 0), "1 recorded"),
        (Graphs(3, 2, 0), Graphs(3, 2, 1), "1 skipped"),
        (Graphs(3, 2, 5), Graphs(3, 2, 5), "skipped 5 times"),
        (Graphs(3, 0, 0), Graphs(3, 0, 0), "no CUDA graph was recorded"),
    ],
)
def test_samples_that_did_not_run_on_graphs_alone_are_unsupported(before, after, why):
    counts = iter([before, after])
    with (
        pytest.raises(NotImplementedError, match=why),
        compiling.graphs_alone("compiled", "cuda", lambda: next(counts)),
    ):
        pass


def test_samples_on_graphs_alone_keep_their_counts():
    with compiling.graphs_alone("compiled", "cuda", lambda: Graphs(3, 2)) as kept:
        assert kept == {"compiled": 3, "recorded": 2, "skipped": 0}
    with compiling.graphs_alone("compiled", "cpu", lambda: Graphs(3)) as kept:
        assert kept["compiled"] == 3
    with compiling.graphs_alone("eager", "cuda", lambda: pytest.fail("counted")) as kept:
        assert not kept


def test_recorded_graphs_and_skips_are_those_that_torch_counts(monkeypatch):
    from torch._dynamo.utils import counters
    from torch._inductor import cudagraph_trees

    manager = SimpleNamespace(graph_counter=itertools.count(0))
    kept = {0: SimpleNamespace(tree_manager=manager), 1: SimpleNamespace(tree_manager=None)}
    monkeypatch.setattr(cudagraph_trees, "get_obj", lambda local, name: kept)
    before = compiling.counted()
    cudagraph_trees.CUDAGraphTreeManager.new_graph_id(manager)
    monkeypatch.setitem(counters["inductor"], "cudagraph_skips", before.skipped + 2)
    after = compiling.counted()
    assert (after.recorded, after.skipped) == (before.recorded + 1, before.skipped + 2)
    assert compiling.counted() == after, "counting changes nothing"


def test_settling_takes_what_settled_passes_take_out_of_the_time():
    seen = iter([Graphs(0), Graphs(0), *[Graphs(2, 1)] * 7])
    clock = HostClock(now_ns=lambda: 0, cpu_ns=lambda: 0)
    ticks = [100, 10, 10]
    spent = iter([value for tick in ticks for value in (0, 0, 0, tick * 1e6)])
    clock.now_ns = lambda: next(spent)
    result = compiling.settle(clock, lambda prompts, watch: None, lambda block: block, lambda: next(seen))
    assert result == {"passes": 3, "graphs": 2, "recorded": 1, "ms": pytest.approx(90)}


def test_a_graph_that_is_only_recorded_is_waited_for():
    seen = iter([Graphs(0), *[Graphs(1)] * 5, Graphs(1, 1), Graphs(1, 1), Graphs(1, 1), Graphs(1, 1)])
    result = compiling.settle(HostClock(), lambda p, w: None, lambda block: block, lambda: next(seen))
    assert result["passes"] == 4 and result["recorded"] == 1


def test_shapes_that_never_settle_are_unsupported():
    grow = map(Graphs, range(1000))
    with pytest.raises(NotImplementedError, match="never settle"):
        compiling.settle(HostClock(), lambda prompts, watch: None, lambda block: block, lambda: next(grow))


def test_what_cannot_be_compiled_says_why(tmp_path, monkeypatch):
    with pytest.raises(NotImplementedError, match="device mps"):
        compile_model(backbone(True), "mps")
    monkeypatch.setattr(compiled, "refuse_platform", lambda device: None)
    with pytest.raises(NotImplementedError, match="Table has no static form"):
        compile_model(Table(torch.zeros(4, 5)), "cpu")
    monkeypatch.undo()
    monkeypatch.setenv("CXX", "no-such-compiler")
    folder = arms.write_model(tmp_path / "m", causal=True)
    with pytest.raises(NotImplementedError, match="no C\\+\\+ compiler"):
        load_arm(folder, "autoregressive", {}, "cpu", "float32", engine="compiled")
    facts = run_cell(
        arms.spec(ArmSpec(folder, "autoregressive", {}), engine="compiled"), arms.MeasureSettings(), 0.0
    )
    assert facts["status"] == "unsupported" and "no C++ compiler" in facts["reason"] and not facts["samples"]


def test_a_cache_is_lent_again_only_when_nobody_holds_it():
    model = backbone(True)
    caches = compiled.StaticCaches()
    make = lambda: model.new_cache(1, 8)  # noqa: E731 (three uses)
    first = caches.take(1, 8, make)
    address = first.layers[0][0].data_ptr()
    assert caches.take(1, 8, make).layers[0][0].data_ptr() != address
    first.length = 5
    del first
    again = caches.take(1, 8, make)
    assert again.layers[0][0].data_ptr() == address and again.length == 0


def test_widened_batches_have_one_length():
    batch = widened(pad_left([[4, 5], [6]], [1, 2], 0), 4, 0)
    assert batch.tokens.tolist() == [[0, 0, 4, 5], [0, 0, 0, 6]] and batch.pad.tolist() == [2, 3]
    assert widened(batch, 2, 0) is batch


def test_both_sides_of_a_ratio_run_on_one_engine():
    study = {**STUDY, "arms": {**STUDY["arms"], "many": {**STUDY["arms"]["many"], "engine": "compiled"}}}
    with pytest.raises(UserError, match="one engine"):
        load_study(study)
    both = {name: {**arm, "engine": "compiled"} for name, arm in STUDY["arms"].items()}
    _, cells = load_study({**STUDY, "arms": both})
    assert {cell.engine for cell in cells.values()} == {"compiled"}
