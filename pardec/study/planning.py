"""Planning that takes seconds for thousands of cells.

Two costs grow with the study and give nothing back (seen in Snakemake 9.27): it asks Python for the signature of the
same few functions of our rules once for every job and use, and the garbage collector walks again and again over a graph
of jobs that lives until the end.
"""

from __future__ import annotations

import functools
import gc

OBJECTS = 200_000
"""New objects between two looks of the garbage collector; what a graph of a thousand jobs makes."""


def lean_planning() -> bool:
    """Ask for each signature once, and collect garbage rarely; False where Snakemake has no such function."""
    import snakemake.common

    gc.set_threshold(OBJECTS, 50, 100)
    plain = getattr(snakemake.common, "get_function_params", None)
    if plain is None:
        return False
    if not hasattr(plain, "cache_info"):
        snakemake.common.get_function_params = functools.cache(plain)
    return True
