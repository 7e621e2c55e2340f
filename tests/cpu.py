"""A pytest plugin that prints which test files take most CPU seconds: `pytest -p tests.cpu`.

Wall time says little on a machine that others use too. Counted are a test's own process and the processes it has waited
for, setup and teardown included; a fixture counts for the test that first asks for it.
"""

from __future__ import annotations

import resource
from collections import Counter

import pytest

SHOWN = 25
FILES: Counter[str] = Counter()
TESTS: Counter[str] = Counter()


def _spent() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    before = _spent()
    yield
    FILES[item.nodeid.partition("::")[0]] += _spent() - before
    TESTS[item.nodeid] += _spent() - before


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section(f"CPU seconds: {FILES.total():.0f}")
    for counted in (FILES, TESTS):
        for name, seconds in counted.most_common(SHOWN):
            terminalreporter.write_line(f"{seconds:8.1f}  {name}")
        terminalreporter.write_line("")
