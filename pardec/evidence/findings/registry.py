"""Every finding by name."""

from pardec.common.registry import Registry

_HERE = "pardec.evidence.findings"

FINDINGS = Registry(
    "finding",
    {
        "answer": f"{_HERE}.answer:FINDING",
        "crossover": f"{_HERE}.crossover:FINDING",
        "noise": f"{_HERE}.noise:FINDING",
        "stability": f"{_HERE}.stability:FINDING",
        "batch": f"{_HERE}.batch:FINDING",
        "growth": f"{_HERE}.growth:FINDING",
        "counted": f"{_HERE}.counted:FINDING",
        "memory": f"{_HERE}.memory:FINDING",
        "sequence": f"{_HERE}.sequence:FINDING",
        "warmup": f"{_HERE}.warmup:FINDING",
        "models": f"{_HERE}.models:FINDING",
        "run": f"{_HERE}.run:FINDING",
        "flood": f"{_HERE}.flood:FINDING",
        "flood_model": f"{_HERE}.flood_model:FINDING",
    },
)
