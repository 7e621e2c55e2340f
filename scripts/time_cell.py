"""Time one cell against its reference arm and write its record."""

from __future__ import annotations

import time

STARTED = time.time()

import argparse  # noqa: E402 (the clock of `ready_s` starts before any import)
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from datetime import UTC, datetime  # noqa: E402

from pardec.common.cli import main_guard  # noqa: E402
from pardec.measure import forkserver  # noqa: E402
from pardec.measure.supervise import lost_facts, supervise  # noqa: E402


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
    parser.add_argument(
        "--run", type=int, help="which of several separate runs; each has an order of its own"
    )
    parser.add_argument(
        "--prompt-set",
        choices=["measured", "tuning"],
        default="measured",
        help="the prompts that cells are measured on, or the next ones, to choose settings on",
    )
    parser.add_argument("--prompt-tokens", type=int)
    parser.add_argument(
        "--prompt-text", choices=["real", "random"], default="real", help="what the cell's prompts say"
    )
    parser.add_argument(
        "--prompt-form", choices=["plain", "chat"], default="plain", help="chat: through the chat template"
    )
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--fill", type=float, help="least share of the canvas that a prompt's answer takes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument(
        "--engine", default="eager", choices=["eager", "compiled"], help="how models are executed"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--measure", type=json.loads, default={}, help="the study's section `measure`, JSON")
    parser.add_argument("--machine", help="description of this machine")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def chosen(load: Callable[..., list[dict]], file: str, count: int, args: argparse.Namespace) -> list[dict]:
    """The first `count` held-out prompts in a seeded order, or for tuning the next `count`."""
    asked = {"seed": args.seed, "task": args.task, "canvas": args.new_tokens, "fill": args.fill}
    if args.prompt_set == "measured":
        return load(file, limit=count, **asked)
    return load(file, limit=2 * count, **asked)[count:]


def prompts_file(args: argparse.Namespace) -> str:
    return os.path.join(args.data, "heldout.jsonl")


def main() -> None:
    args = arguments()

    from pardec.data.prompts import load_prompts
    from pardec.evidence.provenance import now
    from pardec.measure.cell import ArmSpec, Spec, run_cell
    from pardec.measure.settings import MeasureSettings

    begin = now()
    limits = MeasureSettings.model_validate(args.measure)
    arm = ArmSpec(args.model, args.decoder, args.settings, args.companions)
    reference = None
    if args.reference_model:
        reference = ArmSpec(
            args.reference_model, args.reference_decoder, args.reference_settings, args.reference_companions
        )
    spec = Spec(
        arm=arm,
        reference=reference,
        prompts=chosen(load_prompts, prompts_file(args), limits.prompts, args),
        batch=args.batch,
        prompt_tokens=args.prompt_tokens,
        new_tokens=args.new_tokens,
        random_prompts=args.prompt_text == "random",
        prompt_form=args.prompt_form,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        seed=args.seed,
        engine=args.engine,
        run=args.run,
    )
    facts = run_cell(spec, limits, float(os.environ.get("PARDEC_STARTED", STARTED)))
    write_record(args, facts, begin, os.environ.get(forkserver.LAUNCH, "fresh"))


def write_record(args: argparse.Namespace, facts: dict, begin: str, launch: str) -> None:
    from pardec.common.files import write_json
    from pardec.decoding.prepared import modules_run
    from pardec.evidence.provenance import checkpoint_files, provenance, sealed
    from pardec.evidence.record import record
    from pardec.models.checkpoints.configs import modules_of

    mains = [args.model, *([args.reference_model] if args.reference_model else [])]
    models = dict.fromkeys(
        [
            *mains,
            *args.companions.values(),
            *(args.reference_companions.values() if args.reference_model else ()),
        ]
    )
    files = [path for model in models for path in checkpoint_files(model)]
    arms = [(args.decoder, args.settings)]
    arms += [(args.reference_decoder, args.reference_settings)] if args.reference_model else []
    run = dict.fromkeys(name for arm in arms for name in modules_run(*arm, args.engine))
    origin = provenance(
        sys.argv,
        begin,
        [prompts_file(args), *files],
        modules=[*run, *modules_of(*models)],
        wildcards={"cell": args.cell},
        seed=args.seed,
        machine=args.machine,
    )
    facts = {**facts, "verified": verified(args.model)}
    write_json(args.out, sealed(args.out, record(vars(args), facts, launch, origin)))


def verified(folder: str) -> dict | None:
    """What of its authors' results the model gave before it was timed; None where nothing was asked."""
    from pardec.common.files import read_json, sha256

    path = os.path.join(folder, "verified.json")
    if not os.path.exists(path):
        return None
    body = read_json(path)
    return {"examples": len(body["examples"]), "sample": body["sample"], "file": path, "sha256": sha256(path)}


def supervised() -> int:
    """Measure in a process of its own, and write the record of one that could not; returns the exit status."""
    args = arguments()
    if not isinstance(args.measure, dict):
        args.measure = {}  # the process that measures says what is wrong
    timeout_s = args.measure.get("timeout_s")
    if not isinstance(timeout_s, int | float):
        from pardec.measure.settings import MeasureSettings

        timeout_s = MeasureSettings().timeout_s
    os.environ["PARDEC_STARTED"] = repr(STARTED)
    ended = supervise(sys.argv, timeout_s, args.measure.get("isolation") == "fresh")
    if isinstance(ended, int):
        return ended
    print(f"{args.cell}: {ended.reason}", file=sys.stderr)
    begin = datetime.fromtimestamp(STARTED, UTC).isoformat(timespec="milliseconds")
    facts = lost_facts(ended, args.device, STARTED)
    return main_guard(lambda: write_record(args, facts, begin, ended.launch))


if __name__ == "__main__":
    # The process that measures is another: see pardec.measure.supervise.
    sys.exit(main_guard(main) if forkserver.LAUNCH in os.environ else supervised())
