"""Every number leads down to raw samples."""

import pytest

from pardec.audit.archive import open_run
from pardec.audit.trace import trace
from tests.conftest import links

pytestmark = pytest.mark.workflow


def raw(run, name):
    """What a file that a chain may end in holds of raw measurements; None where it is no such file."""
    if name.endswith("/timing.json"):
        body = run.json(name)
        return body["samples"] or body["status"] != "ok"
    if name.endswith("/score.json"):
        return [metric for metric in run.json(name)["metrics"].values() if "value" in metric]
    if "/likelihood/" in name and name.endswith(".json"):
        return "nats_per_token" in run.json(name)
    if "/verify_cost/" in name and name.endswith(".json"):
        return all(width["samples_ms"] for width in run.json(name)["widths"])
    if name == "results/machine.json":
        return run.json(name)["cpu"]
    return None


def test_every_value_leads_to_raw_samples_that_exist(project):
    with open_run(project.path("results")) as run:
        values = run.values()["values"]
        assert len(values) > 1000
        for ident, value in values.items():
            chain = list(links(trace(run, ident).value))
            assert chain[0].title == ident
            assert not [link.title for link in chain if link.matches is False], ident
            assert all(run.has(link.title) for link in chain[1:]), ident
            if ident.startswith("ideas/") and not value["records"]:
                continue  # an idea that was not run: its number in the seed, and nothing measured
            ends = [raw(run, link.title) for link in chain]
            assert any(ends) and all(end for end in ends if end is not None), ident
            assert {source["path"] for source in value["source"]} <= {link.title for link in chain}


def test_a_trace_shows_the_samples_themselves(project):
    with open_run(project.path("results")) as run:
        values = run.values()["values"]
        for ident in [
            ident for ident in values if ident.startswith("steps/") and ident.endswith("/latency_ms")
        ]:
            result = trace(run, ident)
            record = result.value.below[0].below[0]
            samples = run.json(record.title)["samples"]
            assert dict(record.facts)["samples, ms"].split()[1:] == [f"{s['e2e_ms']:.6g}" for s in samples]
            assert any("report.html" in place for place in result.printed)
