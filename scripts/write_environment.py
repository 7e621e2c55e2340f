"""Write the conda environment from requirements.txt and envs/torch.txt, so that all say the same."""

from __future__ import annotations

import re
from pathlib import Path

from pardec.common.files import write_text
from pardec.jobs import job

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.13"
HEAD = "# Written by `make docs` from requirements.txt and envs/torch.txt; do not edit.\n"
PINNED = re.compile(r"^([\w.-]+==[^\s;]+(?:\s*;[^\\\n]+)?)", re.MULTILINE)


def pins() -> list[str]:
    """Return every pinned package, torch last, without hashes, which conda's list of pip packages cannot state."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("requirements.txt", "envs/torch.txt")]
    return [pin.strip() for text in texts for pin in PINNED.findall(text)]


def environment() -> str:
    """Return the text of the conda file."""
    lines = [
        "name: pardec",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
    ]
    return HEAD + "\n".join([*lines, "  - pip:", *(f"      - {pin}" for pin in pins())]) + "\n"


def main() -> None:
    with job():
        write_text(ROOT / "envs/pardec.yaml", environment())


if __name__ == "__main__":
    main()
