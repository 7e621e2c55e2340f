"""Measure what a pass of a target costs by the number of tokens in it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pardec.common.cli import main_guard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint folder of the target")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    import torch

    from pardec.common.files import write_json
    from pardec.evidence.provenance import checkpoint_files, now, provenance, sealed
    from pardec.measure.clock import clock_for
    from pardec.measure.device import resolve
    from pardec.measure.verify_cost import CONTEXT, measure_verify_cost
    from pardec.models.checkpoints.configs import modules_of
    from pardec.models.load import load_model

    begin = now()
    torch.set_num_threads(args.threads)
    device = resolve(args.device)
    model = load_model(args.model, device=device, dtype=args.precision).eval()
    clock = clock_for(device)
    taken = measure_verify_cost(model, clock, args.seed)
    origin = provenance(
        sys.argv,
        begin,
        checkpoint_files(args.model),
        modules=modules_of(args.model),
        wildcards={"model": Path(args.model).name},
        seed=args.seed,
    )
    body = {
        "model": Path(args.model).name,
        "device": device,
        "clock": clock.name,
        "context_tokens": CONTEXT,
        "widths": [{"nodes": nodes, "samples_ms": samples} for nodes, samples in taken.items()],
        "provenance": origin,
    }
    write_json(args.out, sealed(args.out, body))


if __name__ == "__main__":
    sys.exit(main_guard(main))
