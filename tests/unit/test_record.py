"""One schema of a timing record, for the job that writes it and the tables that read it."""

import json

import pytest

from pardec.common.errors import UserError
from pardec.evidence.record import Record, check, record
from pardec.measure.job import ArmJob, CellJob
from tests import factories

JOB = CellJob(
    id="steps/grid/mdm/new~32", experiment="steps", workload="grid", data="results/data/grid",
    model="results/models/mdm", arm="mdm", decoder="masked_diffusion", settings={"steps": 4}, batch=1, new_tokens=32,
    reference=ArmJob(model="results/models/ar", arm="ar", decoder="autoregressive"), seed=0,
)  # fmt: skip


def written(**changed):
    """What a job writes, through JSON as a reader gets it."""
    made = factories.record(factories.cell("steps", "grid", 4), factories.cell("steps", "grid", None), n=3)
    facts = {
        key: made[key] for key in ("status", "samples", "outputs", "warmup_ms", "stop", "memory", "work")
    }
    facts |= {"device": {"name": "cpu"}, "reference_samples": made["reference"]["samples"], "reason": None}
    return json.loads(json.dumps(record(JOB, facts, "fresh") | {"provenance": made["provenance"]})) | changed


def test_what_the_job_writes_is_what_tables_read():
    body = check("timing.json", written())
    known = {field.alias or name for name, field in Record.model_fields.items()}
    assert set(body) <= known | {"device"}, "a key that no reader knows"
    assert set(body["cell"]) <= set(Record.model_fields["cell"].annotation.model_fields)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused_by_name(version):
    with pytest.raises(UserError, match=r"timing\.json.*schema .*this version reads schema 1"):
        check("timing.json", written(schema=version))


def test_a_missing_key_is_named():
    body = written()
    del body["samples"][1]["e2e_ms"]
    with pytest.raises(UserError, match=r"timing\.json.*lacks samples\[1\]\.e2e_ms") as given:
        check("timing.json", body)
    assert "delete" not in str(given.value), "never advise deleting what was measured"
    body = written()
    del body["schema"]
    with pytest.raises(UserError, match="lacks schema"):
        check("timing.json", body)


def test_a_wrong_type_is_named():
    with pytest.raises(UserError, match="wrong status"):
        check("timing.json", written(status=1))
    with pytest.raises(UserError, match="not a record"):
        check("timing.json", [])
