"""Schedules of the block size: what each asks for, in worlds whose best size is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pardec.decoding.speculative.base import Outcome
from pardec.decoding.speculative.registry import SCHEDULES


def drive(name, world, cycles=300, changes=False, **settings):
    """Return blocks that a schedule asks for, where a block of size s commits and takes what `world` says."""
    kind = SCHEDULES.load(name)
    schedule, asked = kind(kind.Settings(**settings), 8), []
    for _ in range(cycles):
        size = schedule.block()
        asked.append(size)
        accepted, seconds = world(size, len(asked))
        schedule.learn(Outcome(SimpleNamespace(), size, [accepted], [0], seconds))
        assert all(isinstance(fact, int) for fact in schedule.facts().values())
    return asked if not changes else schedule.changes


def deep(size, cycle):
    """All of a block of 6 is right, nothing behind; a cycle costs 1 and a tenth of each token."""
    return min(size - 1, 5), 1 + 0.1 * size


def free(size, cycle):
    """Everything is right and costs nothing more."""
    return size - 1, 1.0


@pytest.mark.parametrize("name", ["ewma", "break_even"])
def test_a_schedule_finds_the_size_that_pays(name):
    sizes = (2, 4, 6, 8, 16)
    asked = drive(name, deep, sizes=sizes)
    assert max(set(asked[50:]), key=asked[50:].count) == 6
    assert set(asked[:5]) == set(sizes), "every size is tried first"
    assert drive(name, free, sizes=sizes)[-1] == 16


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_schedule_whose_choice_depends_on_the_clock_says_so(name):
    """`pardec compare` does not compare its counts between runs."""

    def uphill(size, cycle):
        return deep(size, cycle)[0], 1.0 * size

    def downhill(size, cycle):
        return deep(size, cycle)[0], 20.0 / size

    assert SCHEDULES.load(name).clocked == (drive(name, uphill) != drive(name, downhill))


def test_break_even_needs_no_probes():
    assert set(drive("break_even", deep, sizes=(2, 4, 6, 8, 16))[10:]) == {6}
    assert len(set(drive("ewma", deep, sizes=(2, 4, 6, 8, 16))[20:])) > 1


def test_running_averages_follow_a_change():
    def turning(size, cycle):
        return (size - 1, 1.0) if cycle > 100 else (min(size - 1, 1), 1 + 0.2 * size)

    asked = drive("ewma", turning, sizes=(2, 8), probe_every=4)
    assert asked[20:100].count(2) > 50 and asked[-50:].count(8) > 25


def test_a_margin_and_a_cooldown_hold_it_back():
    def restless(size, cycle):
        """Now the one, now the other is a little faster."""
        return 3, 1 + 0.04 * ((size == 4) ^ (cycle // 20 % 2))

    def changes(**settings):
        return drive("ewma", restless, sizes=(4, 8), probe_every=2, decay=0.0, changes=True, **settings)

    assert changes(margin=0.0, streak=1, cooldown=0) > 10
    assert changes(margin=0.2, streak=1, cooldown=0) == 0
    assert 0 < changes(margin=0.0, streak=1, cooldown=100) <= 4
    assert changes(margin=0.0, streak=400, cooldown=0) == 0


def test_low_acceptance_steps_down_at_once():
    asked = drive("ewma", lambda size, cycle: (0, 1.0), sizes=(4, 8), low_accept=0.2, cycles=40)
    assert asked[-1] == 4


def test_a_threshold_cannot_see_cost():
    assert drive("threshold", deep, sizes=(4, 8, 16))[-1] in (4, 8)
    assert drive("threshold", lambda size, cycle: (size - 1, float(size**3)), sizes=(4, 8, 16))[-1] == 16


def test_nobody_keeping_time_is_no_error():
    """Outputs are generated without a clock: sizes are then judged by tau."""
    assert drive("ewma", lambda size, cycle: (size - 1, None), sizes=(4, 16))[-1] == 16
