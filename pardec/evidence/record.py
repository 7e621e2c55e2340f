"""The record a timing job writes: one cell, all its raw samples, and where they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.decoding.registry import DECODERS

SCHEMA = 1


def record(args: dict[str, Any], facts: dict[str, Any], launch: str, origin: dict) -> dict[str, Any]:
    """Assemble a record.

    args: the timing job's arguments. facts: what `pardec.measure.cell.run_cell` returned. origin: its provenance.
    """
    facts = dict(facts)
    samples = facts.pop("reference_samples", None)
    warmup = facts.pop("reference_warmup_ms", None)
    outputs = facts.pop("reference_outputs", None)
    compile_ms = facts.pop("reference_compile_ms", None)
    device = facts["device"]["name"]
    reference = None
    if args["reference_model"] is not None:
        cell = _cell(args, device, "reference_") | {"role": "reference"}
        reference = {
            "cell": cell,
            "samples": samples or [],
            "warmup_ms": warmup or [],
            "compile_ms": compile_ms,
            "outputs": outputs or [],
        }
    cell = _cell(args, device) | {"id": args["cell"], "role": "cell"}
    cell |= {"run": args.get("run"), "tuning": args.get("prompt_set") == "tuning"}
    return {
        "schema": SCHEMA,
        "cell": cell,
        **facts,
        "reference": reference,
        "launch": launch,
        "provenance": origin,
    }


def _cell(args: dict[str, Any], device: str, prefix: str = "") -> dict[str, Any]:
    decoder = args[f"{prefix}decoder"]
    return {
        "experiment": args["experiment"],
        "task": args["workload"],
        "data": Path(args["data"]).name,
        "model": Path(args[f"{prefix}model"]).name,
        "arm": args[f"{prefix}arm"],
        "family": DECODERS.load(decoder).family or decoder,
        "decoder": decoder,
        "settings": args[f"{prefix}settings"],
        "companions": {name: Path(folder).name for name, folder in args[f"{prefix}companions"].items()},
        "engine": args["engine"],
        "precision": args["precision"],
        "device": device,
        "threads": args["threads"],
        "batch": args["batch"],
        "prompt_tokens": args["prompt_tokens"],
        "new_tokens": args["new_tokens"],
        "random_prompts": not prefix and args.get("prompt_text") == "random",
        "quality": args[f"{prefix}quality"],
    }
