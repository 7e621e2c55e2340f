"""Measure what a pass of a target costs by the number of tokens in it."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

from pardec.jobs import Job, job, loaded_models
from pardec.measure.supervise import LIMIT_S

PROCESSES = 5
"""Processes of one configuration differ by more than their samples scatter, so each model is timed in several."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint folder of the target")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=PROCESSES, help="separate processes to measure in")
    parser.add_argument("--process", type=int, help="measure as this one of them, and print what was timed")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    with job() as this:
        if args.process is None:
            collect(args, this)
        else:
            measure(args)


def measure(args: argparse.Namespace) -> None:
    """Time every width in this process; prints {device, clock, widths}, one line of JSON."""
    import torch

    from pardec.measure.clock import clock_for
    from pardec.measure.device import resolve
    from pardec.measure.verify_cost import measure_verify_cost
    from pardec.models.load import load_model

    torch.set_num_threads(args.threads)
    device = resolve(args.device)
    model = load_model(args.model, device=device, dtype=args.precision).eval()
    clock = clock_for(device)
    taken = measure_verify_cost(model, clock, args.seed + args.process)
    widths = [{"nodes": nodes, "samples_ms": samples} for nodes, samples in taken.items()]
    print(json.dumps({"device": device, "clock": clock.name, "widths": widths}))


def collect(args: argparse.Namespace, this: Job) -> None:
    """Measure in several fresh processes, one after the other, and write their times."""
    from pardec.evidence.provenance import checkpoint_files
    from pardec.measure.verify_cost import CONTEXT

    this.read(*checkpoint_files(args.model))
    this.load(*loaded_models(args.model))
    this.wildcards, this.seed = {"model": Path(args.model).name}, args.seed
    status, reason, runs = "ok", None, []
    try:
        runs = [alone(number) for number in range(args.processes)]
    except RuntimeError as error:
        status, reason, runs = "failed", str(error), []
        print(f"{args.model}: {reason}", file=sys.stderr)
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
        "context_tokens": CONTEXT,
        "widths": list(widths.values()),
    }
    this.seal(args.out, body)


def alone(number: int) -> dict:
    """Returns the times of process `number`.

    Raises:
        RuntimeError: the process failed, was killed, or took too long; its message is on stderr.
    """
    command = [sys.executable, *sys.argv, "--process", str(number)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"longer than {LIMIT_S:g} s") from None
    if done.returncode < 0:
        raise RuntimeError(f"its process was ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise RuntimeError(f"its process ended with status {done.returncode}; its log says why")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
