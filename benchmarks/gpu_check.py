"""Everything that only a GPU can prove, in eight minutes, with nothing downloaded: `make gpu-check`.

Decoders against the CPU in float32; masked attention against plain products; autoregressive, diffusion and drafting at
8B shape with random weights, eager and compiled, beside Fast-dLLM's loop; quantised weights; small cells; a page with a
table of targets and an archive of the records, both written anew after each line.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEEDED = {
    "torch": "torch", "pydantic": "pydantic", "yaml": "PyYAML", "numpy": "numpy", "psutil": "psutil",
    "pynvml": "nvidia-ml-py", "tokenizers": "tokenizers", "safetensors": "safetensors",
    "transformers": "transformers", "jinja2": "Jinja2", "regex": "regex",
}  # fmt: skip
"""What the check imports, and the package that has it: a part of requirements.txt, for machines without network."""
if missing := [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]:
    raise SystemExit(
        f"gpu-check: this Python lacks {', '.join(missing)}; requirements.txt has their versions"
    )

import torch  # noqa: E402 (after what is missing has been named)

from benchmarks import gpu_parts as parts  # noqa: E402
from benchmarks.gpu_attention import masked_attention  # noqa: E402
from benchmarks.gpu_run import Part, Run, Size  # noqa: E402
from pardec.models.sources.random import RandomSettings, fetch  # noqa: E402

SECONDS = 480.0
FULL = Size(
    {
        "ar": {"shape": "llama-3-8b", "max_positions": 1024},
        "ar-int8": {"shape": "llama-3-8b", "max_positions": 1024, "quantise": "int8"},
        "ar-int4": {"shape": "llama-3-8b", "max_positions": 1024, "quantise": "int4"},
        "diffusion": {"shape": "llada-8b", "max_positions": 1024},
        "target": {"shape": "qwen3-8b", "max_positions": 1024},
        "draft": {"shape": "qwen3-8b-dflash", "max_positions": 1024},
        "small-ar": {"shape": "qwen2.5-0.5b", "layers": 4, "max_positions": 1024},
    },
    prompt=128,
    new=128,
    precision="bfloat16",
    limits={"warmup_passes": 1, "min_samples": 6, "max_samples": 6, "budget_s": 10, "energy_s": 0},
)
PARTS = [
    Part("machine", parts.machine, 20),
    Part("decoders", parts.same_as_on_the_cpu, 60),
    Part("attention", masked_attention, 40),
    Part("autoregressive", parts.autoregressive, 100),
    Part("diffusion", parts.diffusion, 100),
    Part("drafting", parts.drafting, 50),
    Part("quantised", parts.quantised, 50),
    Part("cells", parts.small_cells, 40),
    Part("vllm", parts.vllm, 20),
]
"""In the order of what is learnt; shares of the time in seconds."""


@contextmanager
def warned_waits() -> Iterator[Callable[[], int]]:
    """Count what makes the host wait for the device, as torch's own debug mode reports it."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lambda: sum(is_wait(str(one.message)) for one in caught)
        finally:
            torch.cuda.set_sync_debug_mode(before)


def is_wait(message: str) -> bool:
    """Return whether a warning reports a wait; switching the mode on warns of the mode itself."""
    return "called a synchronizing CUDA operation" in message


def random_models(size: Size, folder: Path) -> dict[str, Path]:
    """Write the folders of the models, whose weights are drawn on the device when they are loaded."""
    made = {}
    for name, settings in size.shapes.items():
        made[name] = folder / name
        fetch(RandomSettings(source="random", **settings), made[name], 7)
    return made


def card(run: Run) -> None:
    """Record the card's name; None where torch sees none."""
    run.record("card", torch.cuda.get_device_name() if torch.cuda.is_available() else None)


def name_of_card() -> str | None:
    """Return the card's name, asked in another process: a fork of one that has spoken to the driver cannot."""
    asking = Run("cuda", FULL, {}, warned_waits, seconds=60.0)
    asking.send = lambda what: None  # nothing to print
    asking._apart(Part("card", card, 60.0))
    return asking.records.get("card")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", help="folder (default: results/published/gpu-CARD)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for all parts (default: 480)")
    args: Any = parser.parse_args(arguments)
    name = name_of_card()
    if name is None:
        raise SystemExit("gpu-check: torch sees no CUDA device here; run it on a machine with one")
    folder = name.lower().replace("nvidia", "").strip().replace(" ", "-")
    out = Path(args.out or f"results/published/gpu-{folder}")
    with tempfile.TemporaryDirectory() as models:
        made = random_models(FULL, Path(models))
        Run("cuda", FULL, made, warned_waits, out, args.seconds).run(PARTS, apart=True)


if __name__ == "__main__":
    main()
