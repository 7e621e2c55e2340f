"""Time one cell against its reference arm and write its record."""

from __future__ import annotations

import time

STARTED = time.time()

import argparse  # noqa: E402 (the clock of `ready_s` starts before any import)
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

from pardec.common.cli import main_guard  # noqa: E402
from pardec.measure import forkserver  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", required=True, help="id of the cell, its path below results/cells")
    parser.add_argument("--experiment", required=True)
    for prefix in ("", "reference-"):
        parser.add_argument(f"--{prefix}model", required=not prefix, help="checkpoint folder")
        parser.add_argument(f"--{prefix}arm", required=not prefix)
        parser.add_argument(f"--{prefix}decoder", required=not prefix)
        parser.add_argument(
            f"--{prefix}settings", type=json.loads, default={}, help="the decoder's settings, JSON"
        )
        parser.add_argument(
            f"--{prefix}companions", type=json.loads, default={}, help="folders of further models, JSON"
        )
        parser.add_argument(f"--{prefix}quality", help="path of the score of this arm's outputs")
    parser.add_argument("--data", required=True, help="dataset folder")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--task")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--prompt-tokens", type=int)
    parser.add_argument(
        "--prompt-text", choices=["real", "random"], default="real", help="what the cell's prompts say"
    )
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--engine", default="eager", choices=["eager"], help="how the model is executed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--measure", type=json.loads, default={}, help="the study's section `measure`, JSON")
    parser.add_argument("--machine", help="description of this machine")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def main() -> None:
    args = arguments()

    from pardec.common.files import write_json
    from pardec.data.prompts import load_prompts
    from pardec.decoding.registry import DECODERS
    from pardec.evidence.provenance import checkpoint_files, now, provenance, sealed
    from pardec.evidence.record import record
    from pardec.measure.cell import ArmSpec, Spec, run_cell
    from pardec.measure.settings import MeasureSettings
    from pardec.models.architecture import module_of

    begin = now()
    limits = MeasureSettings.model_validate(args.measure)
    prompts_file = os.path.join(args.data, "heldout.jsonl")
    arm = ArmSpec(args.model, args.decoder, args.settings, args.companions)
    reference = None
    if args.reference_model:
        reference = ArmSpec(
            args.reference_model, args.reference_decoder, args.reference_settings, args.reference_companions
        )
    spec = Spec(
        arm=arm,
        reference=reference,
        prompts=load_prompts(prompts_file, limit=limits.prompts, seed=args.seed, task=args.task),
        batch=args.batch,
        prompt_tokens=args.prompt_tokens,
        new_tokens=args.new_tokens,
        random_prompts=args.prompt_text == "random",
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        seed=args.seed,
    )
    facts = run_cell(spec, limits, float(os.environ.get("PARDEC_STARTED", STARTED)))

    mains = [args.model, *([args.reference_model] if args.reference_model else [])]
    models = dict.fromkeys(
        [*mains, *args.companions.values(), *(args.reference_companions.values() if reference else ())]
    )
    files = [path for model in models for path in checkpoint_files(model)]
    decoders = dict.fromkeys([args.decoder, *([args.reference_decoder] if reference else [])])
    origin = provenance(
        sys.argv,
        begin,
        [prompts_file, *files],
        modules=[*map(DECODERS.module, decoders), *map(module_of, models)],
        wildcards={"cell": args.cell},
        seed=args.seed,
        machine=args.machine,
    )
    launch = os.environ.get(forkserver.LAUNCH, "fresh")
    write_json(args.out, sealed(args.out, record(vars(args), facts, launch, origin)))


if __name__ == "__main__":
    # A forked child would start over with a warm torch; asked for a fresh process, or inside a child, go on here.
    if '"isolation":"fresh"' not in " ".join(sys.argv):
        if forkserver.LAUNCH not in os.environ:
            os.environ["PARDEC_STARTED"] = repr(STARTED)
        forkserver.hand_over(sys.argv)
    sys.exit(main_guard(main))
