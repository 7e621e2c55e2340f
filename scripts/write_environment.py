"""Write the conda environment from requirements.txt, so that both say the same."""

from __future__ import annotations

from pathlib import Path

from pardec.common.files import write_text
from pardec.jobs import job

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.13"
HEAD = "# Written by `make docs` from requirements.txt; do not edit.\n"


def environment(requirements: str) -> str:
    """Returns the conda file of a requirements file's text."""
    pins = [line for line in requirements.splitlines() if line and not line.startswith("#")]
    lines = [
        "name: pardec",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
    ]
    return HEAD + "\n".join([*lines, "  - pip:", *(f"      - {pin}" for pin in pins)]) + "\n"


def main() -> None:
    with job():
        text = environment((ROOT / "requirements.txt").read_text(encoding="utf-8"))
        write_text(ROOT / "envs/pardec.yaml", text)


if __name__ == "__main__":
    main()
