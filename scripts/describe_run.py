"""Describe the whole run as a Workflow Run RO-Crate: every job with what it used, made, and ran in."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from pardec.common.files import atomic, read_json, read_lines, write_json
from pardec.common.host import packages
from pardec.evidence.crate import NAME, WORKFLOW, copy_name, describe, read_blocks
from pardec.jobs import job

UNNAMED = "whoever started this run (PARDEC_AGENT was not set)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--papers-from",
        required=True,
        type=Path,
        help="a file with one path per line: provenance of each job",
    )
    parser.add_argument("--study", required=True, help="the resolved study as JSON")
    parser.add_argument(
        "--workflow", nargs="+", required=True, help="files of the workflow, the Snakefile first"
    )
    parser.add_argument("--license", default="MIT", help="of the results: an SPDX name")
    parser.add_argument("--agent", default=os.environ.get("PARDEC_AGENT", UNNAMED), help="who ran it")
    parser.add_argument(
        "--engine", default=packages().get("snakemake", "unknown"), help="Snakemake's version"
    )
    parser.add_argument("--out", required=True, type=Path, help="the folder of results")
    options = parser.parse_args()
    with job() as this:
        sidecars = read_lines(options.papers_from)
        this.read(*sidecars, *options.workflow, options.study)
        copies = copy_workflow(options.workflow, options.out / WORKFLOW)
        title = read_json(options.study)["title"]
        about = {
            "name": title,
            "description": f"A run of pardec (parallel decoding, measured): {title}. "
            "All its jobs, inputs and outputs.",
            "license": options.license,
            "agent": options.agent,
            "engine": options.engine,
        }
        crate = describe(read_blocks(sidecars), options.out, options.workflow, about)
        write_json(options.out / NAME, crate)
        this.sign(options.out / NAME, *copies)
        print(f"{options.out / NAME}: {len(crate['@graph'])} entities, {len(sidecars)} jobs")


def copy_workflow(files: list[str], folder: Path) -> list[Path]:
    """Copy the workflow's files below `folder` and return the copies."""
    copies = []
    for path in files:
        target = folder / copy_name(path)
        with atomic(target) as temporary:
            shutil.copyfile(path, temporary)
        copies.append(target)
    return copies


if __name__ == "__main__":
    main()
