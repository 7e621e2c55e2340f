"""The `snakemake` command of this project's environment: Snakemake, with targets allowed after options with values.

Snakemake's parser takes every word after `--resources` or `--configfile` for a value of that option, so that
`snakemake --cores 1 --resources gpu=1 all` and `snakemake --configfile studies/8b.yaml all` end in a traceback. This
entry point moves such words, which cannot be values, to the front and hands over; Snakemake itself is untouched. It was
needed in Snakemake 9.27.1; without it, targets must come first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

SEEN = "9.27.1"
PAIRS = {
    "--resources", "--res", "--config", "-C", "--set-threads", "--set-resources", "--set-scatter",
    "--set-resource-scopes", "--default-resources", "--default-res",
}  # fmt: skip
"""Options of Snakemake that take several NAME=VALUE words."""
FILES = {"--configfile", "--configfiles"}
"""Options that take several configuration files, one at least."""


def targets_first(words: Sequence[str]) -> list[str]:
    """Return the command line with targets after an option's values moved to the front."""
    targets: list[str] = []
    kept: list[str] = []
    option, values = "", 0
    for number, word in enumerate(words):
        if word == "--":
            return [*targets, *kept, *words[number:]]
        if word.startswith("-"):
            option, _, value = word.partition("=")
            values = int(bool(value))
        elif (option in PAIRS and "=" not in word) or (option in FILES and values and not _is_config(word)):
            targets.append(word)
            continue
        else:
            values += 1
        kept.append(word)
    return [*targets, *kept]


def _is_config(word: str) -> bool:
    """Return whether a word names a configuration file instead of a target: by its suffix, which no target of this
    workflow has, or, since results are JSON too, as an existing file outside the results."""
    if word.endswith((".yaml", ".yml")):
        return True
    return word.endswith(".json") and not word.startswith("results/") and os.path.isfile(word)


def main() -> None:
    """Run Snakemake with the command line's targets put first, after a note if the environment is out of date."""
    from snakemake import cli

    if note := outdated():
        print(note, file=sys.stderr)
    sys.argv = [sys.argv[0], *targets_first(sys.argv[1:])]
    cli.main(sys.argv[1:])


def outdated() -> str | None:
    """Return a warning if Snakemake's options differ from those known here; None otherwise."""
    from importlib.metadata import version

    if version("snakemake") == SEEN:
        return None
    from snakemake import cli

    known = cli.get_argument_parser()._option_string_actions
    gone = [
        name for name in sorted(PAIRS | FILES) if getattr(known.get(name), "nargs", None) not in ("+", "*")
    ]
    if not gone:
        return None
    return f"Snakemake {version('snakemake')} is not {SEEN}: {', '.join(gone)} changed; put targets first"
