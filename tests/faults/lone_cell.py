"""Run time_cell.py, or the script that PARDEC_SCRIPT names, with a decoder "fake" that misbehaves as PARDEC_FAKE says.

PARDEC_KILLED: a function, `module:name`, that kills its process instead.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

from pardec.decoding.registry import DECODERS
from pardec.quality.registry import METRICS

SCRIPT = Path(__file__).parents[2] / "scripts" / os.environ.get("PARDEC_SCRIPT", "time_cell.py")
DECODERS.entries["fake"] = f"tests.faults.deadly:{os.environ['PARDEC_FAKE']}"
METRICS.entries["exact"] = os.environ.get("PARDEC_METRIC", METRICS.entries["exact"])

if "PARDEC_KILLED" in os.environ:
    module, name = os.environ["PARDEC_KILLED"].split(":")
    kill = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    setattr(importlib.import_module(module), name, kill)

if __name__ == "__main__":
    sys.argv[0] = str(Path(__file__).resolve())
    if "PARDEC_GRACE" in os.environ:
        from pardec.measure import supervise

        supervise.GRACE_S = float(os.environ["PARDEC_GRACE"])
    # Not by runpy, which would put the other script's name into sys.argv: the measuring process must run this one.
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), {"__name__": "__main__"})
