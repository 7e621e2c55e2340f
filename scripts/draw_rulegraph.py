"""Draw the workflow's rules for the README, from the text that `snakemake --rulegraph` prints."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import write_text
from pardec.evidence.crate import in_order
from pardec.jobs import job
from pardec.report.diagram import STANDALONE, Box, draw

ROOT = Path(__file__).resolve().parents[1]
NODE = re.compile(r'^\s*(\d+)\[label = "([^"]+)"', re.MULTILINE)
EDGE = re.compile(r"^\s*(\d+) -> (\d+)\s*$", re.MULTILINE)
ALT = "The rules of the workflow from data to report, each below those whose files it reads."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dot", type=Path, help="a file with that text; by default Snakemake is asked")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/rulegraph.svg")
    options = parser.parse_args()
    with job():
        text = options.dot.read_text(encoding="utf-8") if options.dot else ask_snakemake()
        write_text(options.out, rulegraph(text))
        print(options.out)


def ask_snakemake() -> str:
    """Return the output of `snakemake --rulegraph`, even if files are up to date.

    Raises:
        UserError: Snakemake refuses the workflow.
    """
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "dot", "--forceall", "--cores", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise UserError("snakemake --rulegraph", done.stderr.strip()[-400:], "correct the workflow first")
    return done.stdout


def rulegraph(dot: str) -> str:
    """Return the SVG file of a rule graph in Snakemake's DOT form, without rule `all`, which only lists targets.

    Raises:
        UserError: the graph has no rule.
    """
    names = dict(NODE.findall(dot))
    if not names:
        raise UserError("the rule graph", "contains no rule", "pass what `snakemake --rulegraph` prints")
    after: dict[str, set[str]] = {name: set() for name in sorted(names.values()) if name != "all"}
    for low, high in EDGE.findall(dot):
        if names[high] in after and low != high:
            after[names[high]].add(names[low])
    graph = {name: sorted(after[name]) for name in in_order(after)}
    head = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": ALT}
    return draw(graph, [Box(name) for name in graph], head, STANDALONE) + "\n"


if __name__ == "__main__":
    main()
