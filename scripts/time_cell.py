"""Time one cell against its reference arm and write its record."""

from __future__ import annotations

import time

STARTED = time.time()

import os  # noqa: E402 (the clock of `ready_s` starts before any import)
import sys  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from pardec.measure.handover import LAUNCH  # noqa: E402
from pardec.measure.supervise import Lost, lost_facts, moment, option, starts_fresh, supervise  # noqa: E402

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pardec.jobs import Job
    from pardec.measure.job import CellJob


def arguments() -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", required=True, help="the cell, JSON; see pardec/measure/job.py")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def chosen(load: Callable[..., list[dict]], file: str, count: int, cell: CellJob) -> list[dict]:
    """Return the first `count` held-out prompts in a seeded order, or for tuning the next `count`."""
    which = {"seed": cell.seed, "task": cell.task, "canvas": cell.new_tokens, "fill": cell.fill}
    if cell.prompt_set == "measured":
        return load(file, limit=count, **which)
    return load(file, limit=2 * count, **which)[count:]


def prompts_file(cell: CellJob) -> str:
    return os.path.join(cell.data, "heldout.jsonl")


def main() -> None:
    from pardec.jobs import job
    from pardec.measure.job import read_job

    with job() as this:
        args = arguments()
        cell = read_job(args.cell)
        measure(this, cell, args.out)


def measure(this: Job, cell: CellJob, out: str) -> None:
    from pardec.common.errors import UserError

    try:
        facts = measured(cell)
    except UserError as error:
        # Whatever cannot be read, prompts included, ends this cell only.
        facts = lost_facts(Lost("failed", str(error), ""), cell.device, STARTED)
    write_record(this, cell, out, facts, os.environ.get(LAUNCH, "fresh"))
    if facts["status"] != "ok":
        print(f"{cell.id}: {facts['status']}: {facts['reason']}", file=sys.stderr)


def measured(cell: CellJob) -> dict:
    """Return the measured part of the cell's record."""
    from pardec.data.prompts import load_prompts
    from pardec.measure.cell import ArmSpec, Spec, run_cell

    arm, reference = (
        side and ArmSpec(side.model, side.decoder, side.settings, side.companions)
        for side in (cell, cell.reference)
    )
    spec = Spec(
        arm=arm,
        reference=reference,
        prompts=chosen(load_prompts, prompts_file(cell), cell.measure.prompts, cell),
        batch=cell.batch,
        prompt_tokens=cell.prompt_tokens,
        new_tokens=cell.new_tokens,
        random_prompts=cell.prompt_text == "random",
        prompt_form=cell.prompt_form,
        device=cell.device,
        precision=cell.precision,
        threads=cell.threads,
        seed=cell.seed,
        engine=cell.engine,
        run=cell.run,
    )
    return run_cell(spec, cell.measure, float(os.environ.get("PARDEC_STARTED", STARTED)))


def write_record(this: Job, cell: CellJob, out: str, facts: dict, launch: str) -> None:
    from pardec.decoding.prepared import modules_run
    from pardec.evidence.provenance import checkpoint_files
    from pardec.evidence.record import record

    models = dict.fromkeys(
        folder for side in cell.sides for folder in (side.model, *side.companions.values())
    )
    this.read(prompts_file(cell), *(path for folder in models for path in checkpoint_files(folder)))
    for side in cell.sides:
        this.load(*modules_run(side.decoder, side.settings, cell.engine))
    this.load_models(*models)
    this.wildcards, this.seed = {"cell": cell.id}, cell.seed
    facts = {**facts, "verified": verified(cell.model)}
    this.seal(out, record(cell, facts, launch))


def verified(folder: str) -> dict | None:
    """Return the authors' results that the model reproduced before timing; None if no check was asked for."""
    from pardec.common.files import read_json, sha256

    path = os.path.join(folder, "verified.json")
    if not os.path.exists(path):
        return None
    body = read_json(path)
    return {"examples": len(body["examples"]), "sample": body["sample"], "file": path, "sha256": sha256(path)}


def supervised() -> int:
    """Measure in a separate process, and write its record if it fails; return the exit status."""
    os.environ["PARDEC_STARTED"] = repr(STARTED)
    limits = light_limits(sys.argv)
    ended = supervise(sys.argv, *limits) if limits else None
    if isinstance(ended, int):
        return ended
    from pardec.jobs import job
    from pardec.measure.job import read_job

    with job(begin=moment(STARTED)) as this:
        args = arguments()
        cell = read_job(args.cell)
        if ended is None:
            fresh = starts_fresh(cell.measure.isolation, cell.device)
            ended = supervise(sys.argv, cell.measure.timeout_s, fresh)
            if isinstance(ended, int):
                return ended
        print(f"{cell.id}: {ended.reason}", file=sys.stderr)
        write_record(this, cell, args.out, lost_facts(ended, cell.device, STARTED), ended.launch)
    return 0


def light_limits(argv: list[str]) -> tuple[float, bool] | None:
    """Return the cell's limit in seconds and whether it starts in a new interpreter, without the libraries that check a
    cell; None where they must, since something is missing or wrong."""
    import json

    try:
        cell = json.loads(option(argv, "--cell") or "")
        measure = cell["measure"]
        seconds = float(measure["timeout_s"])
        fresh = starts_fresh(measure["isolation"], cell["device"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return None
    return (seconds, fresh) if 0 < seconds < float("inf") else None


if __name__ == "__main__":
    # Another process measures, see pardec.measure.supervise.
    sys.exit(main() if LAUNCH in os.environ else supervised())
