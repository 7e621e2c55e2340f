"""What `pardec verify` finds wrong with a run."""

from __future__ import annotations

from pardec.audit.archive import open_run
from pardec.audit.verify import verify


def faults(results, root=None):
    with open_run(results) as run:
        return {fault.path: fault.why for fault in verify(run, root, cores=1).faults}
