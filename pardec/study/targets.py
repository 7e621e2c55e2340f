"""Jobs that an executor starts elsewhere, as on a cluster, told by rule and wildcards.

Snakemake writes such a job as `rule:wildcard=value,...` and reads it back by splitting at commas, wherever they stand:
of `cell=steps/grid/…/steps=4,new=16` it makes a wildcard `cell` and a wildcard `new`. Words of our paths have that very
form, so what was cut off can be put back: whatever is called as no wildcard of our rules belongs to the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def mended(wildcards: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Wildcards as the job has them, without the quotes that Snakemake puts about them and not every shell takes away.

    known: names of the wildcards of all rules."""
    found: dict[str, str] = {}
    last = None
    for name, value in wildcards.items():
        if name in known or last is None:
            found[name], last = value, name
        else:
            found[last] += f",{name}={value}"
    return {name: value.strip('"') for name, value in found.items()}


def mend_targets() -> None:
    """Put whole wildcards into jobs that this process was told to run.

    Snakemake offers no place for it (9.27): its command line is parsed before the Snakefile is read, and what came of
    it is handed to the graph afterwards. So the one method that makes a job of rule and wildcards is wrapped; jobs
    that are found by their files, which is all that happens on one machine, pass through unchanged.
    """
    from snakemake.dag import DAG

    plain = DAG.new_job
    if getattr(plain, "mends", False):
        return

    async def new_job(self: Any, rule: Any, *args: Any, **named: Any) -> Any:
        if named.get("wildcards_dict") and named.get("targetfile") is None:
            named["wildcards_dict"] = mended(named["wildcards_dict"], rule.wildcard_names)
        return await plain(self, rule, *args, **named)

    new_job.mends = True
    DAG.new_job = new_job
