"""Write docs/ideas.md: the verdicts on drafting ideas of all published runs, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from pardec.audit.ideas_page import ideas_page, published_with_ideas
from pardec.common.files import write_text
from pardec.jobs import job

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, default=ROOT / "results/published")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/ideas.md")
    options = parser.parse_args()
    with job():
        write_text(options.out, ideas_page(published_with_ideas(options.published)))


if __name__ == "__main__":
    main()
