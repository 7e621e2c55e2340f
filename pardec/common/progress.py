"""Progress of a long rule on standard error, with the time left."""

from __future__ import annotations

import sys
import time


class Progress:
    """Prints one line every few seconds: done, total, a note, and an estimate of the time left."""

    def __init__(self, label: str, total: int, every_s: float = 5.0):
        self.label, self.total, self.every_s = label, total, every_s
        self.start = self.shown = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Print a line if `every_s` seconds have passed since the last, or all is done. done: units finished of
        `total`."""
        now = time.monotonic()
        if done < self.total and now - self.shown < self.every_s:
            return
        self.shown = now
        spent = now - self.start
        left = spent / max(done, 1) * (self.total - done)
        tail = f"{spent:.0f} s" if done >= self.total else f"{spent:.0f} s, about {left:.0f} s left"
        print(f"{self.label}: {done}/{self.total} {note} ({tail})", file=sys.stderr, flush=True)
