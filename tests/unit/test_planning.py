"""What makes planning lean changes no plan."""

from __future__ import annotations

import gc
import inspect

import pytest
import snakemake.common

from pardec.study.planning import OBJECTS, lean_planning


@pytest.fixture(autouse=True)
def kept():
    """What is changed is the process's own."""
    thresholds, plain = gc.get_threshold(), snakemake.common.get_function_params
    yield
    gc.set_threshold(*thresholds)
    snakemake.common.get_function_params = plain


def test_a_signature_is_asked_for_once(monkeypatch):
    asked = []
    real = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda func: asked.append(func) or real(func))
    assert lean_planning() and lean_planning()
    rule = lambda wildcards, input: None  # noqa: E731 (as rules write them)
    candidates = {"input": 1, "output": 2}
    for _ in range(5):
        assert snakemake.common.get_input_function_aux_params(rule, candidates) == {"input": 1}
    assert asked == [rule]
    other = lambda wildcards, **rest: None  # noqa: E731
    assert snakemake.common.get_input_function_aux_params(other, candidates) == candidates


def test_garbage_is_looked_for_rarely_but_still_is():
    lean_planning()
    assert gc.isenabled() and gc.get_threshold()[0] == OBJECTS


def test_a_snakemake_without_that_function_is_left_alone(monkeypatch):
    monkeypatch.delattr(snakemake.common, "get_function_params")
    assert not lean_planning()
    assert not hasattr(snakemake.common, "get_function_params")
