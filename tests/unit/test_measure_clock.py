"""The stopwatch and the harness against a clock that the test winds by hand."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from pardec.measure.clock import HostClock, timed
from pardec.measure.sampling import Series, batches, measure, warm_up
from pardec.measure.stopping import Budget, Maximum, Precise


class FakeTime:
    def __init__(self):
        self.ns = 0

    def now(self):
        return self.ns

    def pass_ms(self, ms):
        self.ns += int(ms * 1e6)

    @property
    def clock(self):
        return HostClock(self.now, self.now)


def decoded(rows=1, canvas=4, useful=4):
    return SimpleNamespace(
        tokens=torch.zeros(rows, canvas, dtype=torch.long),
        useful=torch.full((rows,), useful),
        nfe=canvas,
        token_forwards=canvas,
    )


def test_phases_are_what_the_clock_showed():
    time = FakeTime()

    def run(watch):
        time.pass_ms(5)
        watch.prefill()
        time.pass_ms(2)
        watch.step(0)
        time.pass_ms(3)
        watch.step(torch.tensor([1, 3]))
        watch.block(4)
        time.pass_ms(4)
        watch.step(2)
        time.pass_ms(1)
        return "output"

    facts, result = timed(time.clock, run)
    assert result == "output"
    assert facts["prefill_ms"] == 5
    assert facts["commit_ms"] == [7, 10, 14]
    assert facts["committed"] == [0, 2, 2]
    # The first step committed nothing, so the first token came with the second.
    assert (facts["first_ms"], facts["first_tokens"]) == (10, 2)
    assert facts["block_ms"] == [10]
    assert facts["e2e_ms"] == facts["host_ms"] == facts["cpu_ms"] == 15


def test_synchronises_before_reading_the_clock_at_both_ends():
    time, order = FakeTime(), []
    clock = time.clock
    clock.synchronize = lambda: order.append("sync")
    clock.now_ns = lambda: order.append("host") or time.now()
    timed(clock, lambda watch: order.append("run"))
    ran = order.index("run")
    assert order[:ran].index("sync") < order[:ran].index("host")
    assert order[ran:].index("sync") < order[ran:].index("host", order[ran:].index("sync"))


def sides(time, cell_ms, reference_ms, log):
    def make(name, ms):
        def run(indices, watch):
            log.append((name, tuple(indices)))
            time.pass_ms(ms)
            watch.step(4)
            return decoded(len(indices))

        return Series(run)

    return make("cell", cell_ms), make("reference", reference_ms)


def test_arms_are_interleaved_on_the_same_prompts():
    time, log = FakeTime(), []
    cell, reference = sides(time, 10, 20, log)
    ended = measure(cell, reference, time.clock, batches(7, 2, seed=1), [Maximum(20)], 3, seed=5)
    assert ended.reason == "maximum"
    assert len(cell.warmup_ms) == len(reference.warmup_ms) == 3
    assert len(cell.samples) == len(reference.samples) == 20
    for mine, other in zip(cell.samples, reference.samples, strict=True):
        assert mine["block"] == other["block"] and mine["prompts"] == other["prompts"]
        assert {mine["order"], other["order"]} == {0, 1}
    firsts = [sample["order"] for sample in cell.samples]
    assert 3 < sum(firsts) < 17, "the order of the arms must be drawn, not fixed"
    assert {sample["e2e_ms"] for sample in cell.samples} == {10}
    assert {sample["e2e_ms"] for sample in reference.samples} == {20}


def test_a_slow_arms_warm_up_ends_early_and_a_quick_ones_does_not():
    time, log = FakeTime(), []
    slow, quick = sides(time, 600, 20, log)
    entered = []
    for arm in (slow, quick):
        warm_up(arm, time.clock, batches(7, 1, seed=1), 3, 0.5, lambda: nullcontext(entered.append(len(log))))
    assert [len(slow.warmup_ms), len(quick.warmup_ms)] == [1, 3]
    assert entered == [0, 1], "the first generation of each is watched, and no other"
    measure(slow, quick, time.clock, batches(7, 1, seed=1), [Maximum(6)], 1, 5, enough_s=0.5)
    assert [len(slow.warmup_ms), len(quick.warmup_ms)] == [1, 4]
    cold, _ = sides(time, 600, 20, log)
    measure(cold, None, time.clock, batches(7, 1, seed=1), [Maximum(6)], 1, 5, enough_s=0.5)
    assert len(cold.warmup_ms) == 1, "an arm that never ran is warmed up once"


def test_tokens_are_counted_over_the_whole_batch():
    time, log = FakeTime(), []
    cell, _ = sides(time, 1, 1, log)
    measure(cell, None, time.clock, batches(3, 3, seed=0), [Maximum(1)], 1, seed=0)
    sample = cell.samples[0]
    assert sample["useful"] == 12 and sample["canvas"] == 12


def test_every_prompt_comes_up_before_any_repeats():
    draw = batches(10, 4, seed=3)
    seen = [index for block in range(5) for index in draw(block)]
    assert sorted(seen[:10]) == list(range(10)) and sorted(seen[10:20]) == list(range(10))


def test_stops_when_precise_and_not_before_six_samples():
    time, log = FakeTime(), []
    cell, _ = sides(time, 10, 1, log)
    criteria = [Precise(0.05, minimum=5), Maximum(50)]
    assert measure(cell, None, time.clock, batches(1, 1, 0), criteria, 0, 0).reason == "precise"
    assert len(cell.samples) == 6


def test_disturbed_samples_are_flagged_on_both_arms_and_not_counted():
    time, log = FakeTime(), []
    cell, reference = sides(time, 10, 20, log)
    answers = iter([None, ["foreign_load"], None, None, []])
    criteria = [Precise(0.5, minimum=2), Maximum(50)]
    precise = criteria[0]
    measure(cell, reference, time.clock, batches(9, 1, 0), criteria, 0, 0, lambda last: next(answers, []))
    assert [sample["flags"] for sample in cell.samples[:5]] == [["foreign_load"]] * 2 + [[]] * 3
    assert [s["flags"] for s in reference.samples] == [s["flags"] for s in cell.samples]
    assert len(precise.values) == len(cell.samples) - 2 == 6


def test_a_sample_whose_two_clocks_contradict_each_other_is_flagged_alone():
    """By more than 1 % of its time, and by more than the host takes to learn that the device is done."""
    time, log = FakeTime(), []
    cell, reference = sides(time, 10, 1, log)
    slow = iter([0.05, 0.2, 0.05])  # milliseconds from the end of the device's work to the host's

    class Device(HostClock):
        on_device, ended = True, False

        def stamp(self):
            return self.now_ns()

        def synchronize(self):
            self.ended = not self.ended
            if not self.ended and log[-1][0] == "cell":
                time.pass_ms(next(slow))
            elif not self.ended:
                time.pass_ms(0.05)  # 5 % of the reference's time, and no fault

    clock = Device(time.now, time.now)
    precise = Precise(1e-9, minimum=2)
    measure(cell, reference, clock, batches(9, 1, 0), [precise, Maximum(3)], 0, 0)
    assert [sample["flags"] for sample in cell.samples] == [[], ["clocks_apart"], []]
    assert not any(sample["flags"] for sample in reference.samples)
    assert len(precise.values) == 2
    assert cell.samples[1]["host_ms"] == pytest.approx(10.2) and cell.samples[1]["e2e_ms"] == 10


def test_a_cell_that_never_comes_clean_ends():
    seconds = iter(range(1000))
    budget = Budget(5, minimum=2, now=lambda: next(seconds))
    for _ in range(19):
        budget.add(1.0, clean=False)
        assert not budget.finished()
    budget.add(1.0, clean=False)
    assert budget.finished()


def test_budget_waits_for_the_minimum():
    seconds = iter(range(0, 1000, 10))
    budget = Budget(5, minimum=4, now=lambda: next(seconds))
    for count in range(1, 5):
        budget.add(1.0)
        assert budget.finished() == (count >= 4)


def test_named_phases_and_cycles_are_kept_with_their_times():
    time = FakeTime()

    def run(watch):
        for draft, verify, tau in ((1, 4, 3), (2, 5, torch.tensor(1))):
            time.pass_ms(draft)
            watch.phase("draft")
            time.pass_ms(verify)
            watch.phase("verify")
            watch.step(tau)
            watch.cycle(tau=tau, block=8)
        time.pass_ms(7)
        return "output"

    facts, _ = timed(time.clock, run)
    assert facts["phases_ms"] == {"draft": 3, "verify": 9}
    assert facts["cycles"] == [
        {"at_ms": 5, "tau": 3, "block": 8, "phases_ms": {"draft": 1, "verify": 4}},
        {"at_ms": 12, "tau": 1, "block": 8, "phases_ms": {"draft": 2, "verify": 5}},
    ]
    assert facts["e2e_ms"] == 19


@pytest.mark.parametrize("given", ["phase", "prefill"])
def test_the_first_cycle_begins_where_the_prompt_has_been_processed(given):
    time = FakeTime()

    def run(watch):
        time.pass_ms(10)
        watch.phase("prefill") if given == "phase" else watch.prefill()
        time.pass_ms(2)
        watch.phase("draft")
        watch.cycle(tau=1)

    facts, _ = timed(time.clock, run)
    assert facts["cycles"] == [{"at_ms": 12, "tau": 1, "phases_ms": {"draft": 2}}]


def test_a_decoder_without_phases_leaves_no_trace_of_them():
    facts, _ = timed(FakeTime().clock, lambda watch: watch.step(1))
    assert "phases_ms" not in facts
    assert "cycles" not in facts


def test_time_counts_from_the_decoders_start():
    """Building the batch and copying it to the device belong to nobody's latency."""
    now = [0]
    clock = HostClock(lambda: now[0], lambda: now[0] // 2)

    def run(watch):
        now[0] += 50_000_000
        watch.start()
        now[0] += 4_000_000
        watch.step(1, 1)
        now[0] += 2_000_000

    facts, _ = timed(clock, run)
    assert (facts["e2e_ms"], facts["host_ms"], facts["cpu_ms"], facts["first_ms"]) == (6.0, 6.0, 3.0, 4.0)
    assert facts["block_ms"] == facts["commit_ms"] == [4.0], "one stamp serves both"
    silent, _ = timed(clock, lambda watch: now.__setitem__(0, now[0] + 7_000_000))
    assert silent["e2e_ms"] == 7.0, "a decoder that reports no start is timed as a whole"
