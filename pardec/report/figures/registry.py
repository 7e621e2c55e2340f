"""Registry of figures by name."""

from pardec.common.registry import Registry

_HERE = "pardec.report.figures"

FIGURES = Registry(
    "figure",
    {
        "answers": f"{_HERE}.ratios:ANSWERS",
        "ratios": f"{_HERE}.ratios:RATIOS",
        "pareto": f"{_HERE}.pareto:FIGURE",
        "latency_vs_steps": f"{_HERE}.latency_vs_steps:FIGURE",
        "quality_vs_steps": f"{_HERE}.quality_vs_steps:FIGURE",
        "throughput_by_batch": f"{_HERE}.throughput_by_batch:FIGURE",
        "interactivity": f"{_HERE}.interactivity:FIGURE",
        "parallelism": f"{_HERE}.parallelism:FIGURE",
        "memory_heatmap": f"{_HERE}.memory_heatmap:FIGURE",
        "scaling": f"{_HERE}.scaling:FIGURE",
        "tokens_vs_time": f"{_HERE}.tokens_vs_time:FIGURE",
        "passes_vs_tokens": f"{_HERE}.passes_vs_tokens:FIGURE",
        "flood_breakdown": f"{_HERE}.flood_breakdown:FIGURE",
        "flood_scaling": f"{_HERE}.flood_scaling:FIGURE",
        "flood_surface": f"{_HERE}.flood_surface:FIGURE",
        "noise": f"{_HERE}.noise:FIGURE",
        "warmup": f"{_HERE}.warmup:FIGURE",
        "stability": f"{_HERE}.stability:FIGURE",
        "draft_speedup": f"{_HERE}.draft_speedup:FIGURE",
        "tau_by_position": f"{_HERE}.tau_by_position:FIGURE",
        "verify_cost": f"{_HERE}.verify_cost:FIGURE",
        "tau_vs_speed": f"{_HERE}.tau_vs_speed:FIGURE",
        "schedule": f"{_HERE}.schedule:FIGURE",
        "roofline": f"{_HERE}.roofline:FIGURE",
        "cycle_profile": f"{_HERE}.cycle_profile:FIGURE",
    },
)
