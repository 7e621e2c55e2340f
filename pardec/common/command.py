"""The `snakemake` command of this project's environment: Snakemake's own, with targets allowed where people put them.

Snakemake's parser takes every word after `--resources` (and the like) for a value of that option, so that
`snakemake --cores 1 --resources gpu=1 all` ends in a ValueError. This entry point moves such words, which cannot be
values since they hold no `=`, to the front and hands over; Snakemake itself is untouched.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

PAIRS = {
    "--resources", "--res", "--config", "-C", "--set-threads", "--set-resources", "--set-scatter",
    "--set-resource-scopes", "--default-resources", "--default-res",
}  # fmt: skip
"""Options of Snakemake that take several NAME=VALUE words."""


def targets_first(words: Sequence[str]) -> list[str]:
    """The same command line with targets that stand behind a NAME=VALUE option moved to the front."""
    targets: list[str] = []
    kept: list[str] = []
    within = False
    for number, word in enumerate(words):
        if word == "--":
            return [*targets, *kept, *words[number:]]
        if word.startswith("-"):
            within = word in PAIRS
        elif within and "=" not in word:
            targets.append(word)
            continue
        kept.append(word)
    return [*targets, *kept]


def main() -> None:
    from snakemake.cli import main as snakemake

    sys.argv = [sys.argv[0], *targets_first(sys.argv[1:])]
    snakemake(sys.argv[1:])
