"""Every figure by name."""

from pardec.common.registry import Registry

_HERE = "pardec.report.figures"

FIGURES = Registry(
    "figure",
    {
        "pareto": f"{_HERE}.pareto:FIGURE",
        "latency_vs_steps": f"{_HERE}.latency_vs_steps:FIGURE",
        "quality_vs_steps": f"{_HERE}.quality_vs_steps:FIGURE",
        "throughput_by_batch": f"{_HERE}.throughput_by_batch:FIGURE",
        "memory_heatmap": f"{_HERE}.memory_heatmap:FIGURE",
        "scaling": f"{_HERE}.scaling:FIGURE",
        "noise": f"{_HERE}.noise:FIGURE",
        "warmup": f"{_HERE}.warmup:FIGURE",
    },
)
