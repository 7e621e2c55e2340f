"""What the rendering rate would be on another machine if it grew in step with one of its rates: modelled, not measured.

The other machine's rates are its maker's (NVIDIA H100 Tensor Core GPU, data sheet, SXM): 3.35 TB/s of memory bandwidth,
and 989 TFLOP/s in TF32 with sparsity, which is half of that for dense matrices. This machine's are measured: a copy,
and a square matrix product.
"""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Row, Rows, computed, ident

H100 = {"copy_gb_per_s": 3350.0, "matmul_gflop_per_s": 989_000.0 / 2}
WORDS = {"copy_gb_per_s": "memory bandwidth", "matmul_gflop_per_s": "dense TF32 matmul rate"}


def find(tables: Rows) -> list[Found]:
    """The fastest plan's rendered tokens/s, scaled by each of the two rates; nothing without a measured rate here."""
    here = {row["fact"]: row["value"] for row in tables["machine"]}
    best = fastest(tables["flood"])
    found: list[Found] = []
    for rate, there in H100.items():
        if best is None or not here.get(rate):
            continue
        factor = there / here[rate]
        told = (
            f"modelled, not measured: rendered tokens/s here x {WORDS[rate]} of an H100 by its data sheet / the rate "
            f"measured here (machine, {rate})"
        )
        low, high = (best[f"chunks_per_s_{end}"] * factor for end in ("low", "high"))
        name, value = modelled(rate), best["chunks_per_s"] * factor
        found.append(
            computed(name, "flood", [best], value, told, low=low, high=high, unit="tokens/s", n=best["n"])
        )
    return found


def fastest(rows: list[Row]) -> Row | None:
    """The plain parallel cell, one candidate and given plan, that renders most tokens a second."""
    plain = {"status": "ok", "decoder": "flash_flood", "order": "parallel", "plan": "given", "candidates": 1}
    found = [
        row
        for row in rows
        if row["chunks_per_s_low"] is not None and all(row[name] == value for name, value in plain.items())
    ]
    return max(found, key=lambda row: row["chunks_per_s"], default=None)


def modelled(rate: str) -> str:
    return ident("flood_model", rate)


FINDING = Finding("flood_model", ("flood", "machine"), find)
