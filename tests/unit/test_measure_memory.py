import torch

from pardec.measure import memory
from pardec.measure.finite import refuse_nan
from pardec.measure.memory import MB, _allocations, measure_memory, replay, weights_mb
from pardec.measure.work import CountingModel
from tests.reference.models import backbone

PASSES = 5


def test_peak_is_weights_plus_the_largest_live_set():
    model = torch.nn.Linear(500, 500, bias=False)
    held = {}

    def run():
        first = torch.zeros(250_000)
        second = torch.zeros(500_000)
        del first
        third = torch.zeros(500_000)
        held["sum"] = float(second.sum() + third.sum())

    facts = measure_memory("cpu", model, run)
    assert weights_mb(model) == 1.0
    # first + second = 3 MB, second + third = 4 MB; a few bytes more for the sums.
    assert abs(facts["peak_allocated_mb"] - (1.0 + 4.0)) < 0.01
    assert facts["peak_reserved_mb"] > facts["peak_allocated_mb"]


def test_allocations_alone_are_recorded_and_all_of_them():
    """Against torch's profiler with every operator in it."""
    model, tokens = backbone(True), torch.ones(3, 40, dtype=torch.long)
    with torch.inference_mode():
        model(tokens)  # what is kept from the first pass on is no longer allocated
    result = []
    for profiler in (_allocations(), torch.autograd.profiler.profile(use_cpu=True, profile_memory=True)):
        with torch.inference_mode(), profiler as profile:
            model(tokens)
        events = profile.kineto_results.events()
        result.append((replay(events), {event.name() for event in events}))
    (lean, lean_names), (full, full_names) = result
    assert lean == full > tokens.numel() * model.info.vocab_size * 4
    assert lean_names == {"[memory]"} and "aten::mm" in full_names


def test_shared_weights_count_once():
    first = torch.nn.Linear(100, 100, bias=False)
    second = torch.nn.Linear(100, 100, bias=False)
    second.weight = first.weight
    assert weights_mb(torch.nn.ModuleList([first, second])) == 100 * 100 * 4 / MB


def test_counting_and_watching_change_no_peak():
    """All three look at one generation: what one holds would be told by the other."""
    model, tokens = backbone(True), torch.ones(3, 40, dtype=torch.long)

    def generate():
        with torch.inference_mode():
            for _ in range(PASSES):
                model(tokens)

    generate()
    alone = measure_memory("cpu", model, generate)
    with CountingModel(model, beside=True) as counting, refuse_nan(model) as passes:
        among = measure_memory("cpu", model, generate)
    assert counting.work.forwards == len(passes) == PASSES and counting.torch.flops > 0
    difference = (among["peak_allocated_mb"] - alone["peak_allocated_mb"]) * MB
    assert 0 <= round(difference) <= 8 * PASSES < tokens.numel() * model.info.vocab_size


def test_the_watch_for_nan_holds_no_mask():
    """Where the logits are the peak, whatever is made of them as a whole would raise it."""
    model, tokens = torch.nn.Linear(4, 50_000, bias=False), torch.ones(3, 4)

    def generate():
        with torch.inference_mode():
            model(tokens)

    alone = measure_memory("cpu", model, generate)["peak_allocated_mb"]
    with refuse_nan(model):
        watched = measure_memory("cpu", model, generate)["peak_allocated_mb"]
    assert 0 <= round((watched - alone) * MB) < 100


def test_on_a_card_freed_segments_are_left_out_and_pools_of_graphs_counted(monkeypatch):
    calls, segments = [], [
        {"segment_pool_id": (0, 0), "total_size": 9_000_000, "allocated_size": 1_000_000},
        {"segment_pool_id": (0, 3), "total_size": 5_000_000, "allocated_size": 2_000_000},
    ]  # fmt: skip
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: calls.append(name))
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 7_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 20_000_000)
    facts = memory.measure_memory("cuda", torch.nn.Linear(2, 2), lambda: calls.append("run"))
    assert calls[:4] == ["synchronize", "empty_cache", "reset_peak_memory_stats", "run"]
    assert (facts["peak_allocated_mb"], facts["graph_pool_mb"], facts["peak_reserved_mb"]) == (
        10.0,
        3.0,
        20.0,
    )
