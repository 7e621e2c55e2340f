"""Measure what a pass of a target costs by the number of tokens in it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from pardec.common.files import read_json, write_json
from pardec.jobs import Job, job, loaded_models
from pardec.measure.supervise import LIMIT_S, Lost, supervise

PROCESSES = 5
"""Processes of one configuration differ by more than their samples scatter, so each model is timed in several, which
start as those of cells do."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint folder of the target")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=PROCESSES, help="separate processes to measure in")
    parser.add_argument("--process", type=int, help="measure as this one of them, and write only its times")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    with job() as this:
        if args.process is None:
            collect(args, this)
        else:
            write_json(args.out, measured(args))


def measured(args: argparse.Namespace) -> dict:
    """Return {device, clock, widths} of this process, or {status, reason} where the target cannot be timed."""
    import torch

    from pardec.measure.clock import clock_for
    from pardec.measure.device import resolve
    from pardec.measure.verify_cost import measure_verify_cost
    from pardec.models.load import load_model
    from pardec.models.registry import ENGINES
    from pardec.quality.generate import ending

    torch.set_num_threads(args.threads)
    try:
        device = resolve(args.device)
        model = load_model(args.model, device=device, dtype=args.precision).eval()
        if args.engine != "eager":
            model = ENGINES.load(args.engine)(model, device)
        clock = clock_for(device)
        taken = measure_verify_cost(model, clock, args.seed + args.process)
    except Exception as error:
        return dict(zip(("status", "reason"), ending(error), strict=True))
    widths = [{"nodes": nodes, "samples_ms": samples} for nodes, samples in taken.items()]
    return {"device": device, "clock": clock.name, "widths": widths}


def collect(args: argparse.Namespace, this: Job) -> None:
    """Measure in several processes, one after the other, and write their times, or why there are none."""
    from pardec.evidence.provenance import checkpoint_files
    from pardec.measure.verify_cost import CONTEXT
    from pardec.models.registry import ENGINES

    this.read(*checkpoint_files(args.model))
    this.load(*loaded_models(args.model), *([] if args.engine == "eager" else [ENGINES.module(args.engine)]))
    this.wildcards, this.seed = {"model": Path(args.model).name}, args.seed
    runs: list[dict] = []
    status, reason = "ok", None
    for number in range(args.processes):
        run = alone(number)
        if "widths" not in run:
            status, reason, runs = run["status"], run["reason"], []
            print(f"{args.model}: {status}: {reason}")
            break
        runs.append(run)
    widths: dict[int, dict] = {}
    for number, one in enumerate(runs):
        for entry in one["widths"]:
            kept = widths.setdefault(
                entry["nodes"], {"nodes": entry["nodes"], "samples_ms": [], "process": []}
            )
            kept["samples_ms"] += entry["samples_ms"]
            kept["process"] += [number] * len(entry["samples_ms"])
    body = {
        "model": Path(args.model).name,
        "status": status,
        "reason": reason,
        "device": runs[0]["device"] if runs else None,
        "clock": runs[0]["clock"] if runs else None,
        "engine": args.engine,
        "precision": args.precision,
        "threads": args.threads,
        "context_tokens": CONTEXT,
        "widths": list(widths.values()),
    }
    this.seal(args.out, body)


def alone(number: int) -> dict:
    """Return what process `number` wrote (see `measured`), or the status and reason of its end.

    Exits with the status of a process that was interrupted or had a wrong argument, since that is no result.
    """
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.json"
        command = [*sys.argv, "--process", str(number), "--out", str(part)]
        ended = supervise(command, LIMIT_S, fresh=False)
        if isinstance(ended, Lost):
            return {"status": ended.status, "reason": ended.reason}
        if ended:
            raise SystemExit(ended)
        return read_json(part)


if __name__ == "__main__":
    main()
