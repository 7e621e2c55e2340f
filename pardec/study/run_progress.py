"""One live line for the whole run: cells done, jobs done, minutes left.

A rule's mean is that of this folder's past runs; without any, that of the published run, times how much slower the
rules so far were: the median of their ratios, without the cells where the published run is another study's. A rule's
weight in it is the time that its jobs took in the published run, so that the start of a few short jobs decides nothing.
Rules that no run has timed, such as the last ones of the published run, count as its median rule does, except those
that train or fetch, which the line names as left out.

Snakemake's two lines for each finished job give way to it. A failed job is named with its log, since the default
profile prints no rules. Needed in Snakemake 9.27.1; without its events Snakemake prints its own lines.
"""

from __future__ import annotations

import bisect
import itertools
import json
import logging
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from pardec.common.files import write_json

EVERY_S = 10.0
"""Seconds between lines where standard error is no terminal."""
PAST = Path(".snakemake/seconds.json")
"""Mean seconds of each rule's jobs."""
AS_FAST_S = 5.0
"""Seconds of the published run's jobs that must be done before this machine is held to be faster or slower."""
CELL, TRAININGS = "time_cell", ("train_model", "adapt_model")
UNFORESEEN = (*TRAININGS, "fetch_model")
"""Rules that may take seconds or hours."""
STAGES = ("all", "data", "models", "timing", "quality", "tables", "report", "total")
"""Rules without a job of their own, and Snakemake's sum."""
NOISE = ("Select jobs to execute", "Execute ")
"""Beginnings of what Snakemake prints before each job."""


class RunProgress(logging.Filter):
    """Follows the events of Snakemake's logger. past: a file of mean seconds by rule. published: the published run's.
    restored: whether models are restored, which takes none of the time of their training. own: whether the published
    run is of this study; another's cells say nothing of how fast this machine is."""

    def __init__(
        self,
        past: Path = PAST,
        stream: TextIO | None = None,
        published: Path | None = None,
        restored: bool = True,
        own: bool = True,
    ):
        super().__init__()
        self.theirs: dict[str, float] = {} if published is None else _read(published)
        if restored:
            for rule in TRAININGS:
                self.theirs.pop(rule, None)
        self.own = own
        self.past, self.stream = past, sys.stderr if stream is None else stream
        self.older = _read(past)
        self.means: dict[str, float] = dict(self.older)
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.totals: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.running: dict[int, tuple[str, float]] = {}
        self.saved = 0.0
        self.over = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether Snakemake prints the record itself."""
        event = getattr(getattr(record, "event", None), "value", None)
        facts = vars(record)
        if event == "run_info":
            self.totals = Counter({k: n for k, n in facts["stats"].items() if k not in STAGES})
        elif event == "job_info":
            self.running[facts["jobid"]] = (facts["rule_name"], time.monotonic())
        elif event == "job_finished":
            self._finish(facts["job_id"])
            return False
        elif event == "job_error":
            self._say(
                f"failed: {facts['rule_name']}, see {', '.join(map(str, facts['log'] or ['its log']))}\n"
            )
        elif event == "progress":
            self._show()
            return False
        return not str(record.msg).startswith(NOISE)

    def _finish(self, jobid: int) -> None:
        name, began = self.running.pop(jobid, ("", 0.0))
        if name not in self.totals:
            return
        self.done[name] += 1
        self.spent[name] += time.monotonic() - began
        # The older mean counts as one job: the machine and the study may have changed.
        older = [self.older[name]] if name in self.older else []
        self.means[name] = (self.spent[name] + sum(older)) / (self.done[name] + len(older))

    def _show(self) -> None:
        if self.over:
            return
        over = self.over = self.done.total() >= self.totals.total()
        now, live = time.monotonic(), self.stream.isatty()
        late = now - self.saved >= EVERY_S
        if over or late:  # also of a run that is interrupted
            self.saved = now
            write_json(self.past, dict(sorted(self.means.items())))
        if not (live or over or late):
            return
        self._say(("\r\x1b[K" if live else "") + self.line() + ("\n" if over or not live else ""))

    def line(self) -> str:
        """Return the line: cells and jobs done of all, and the time left if enough is known of it."""
        cells = f"{self.done[CELL]} of {self.totals[CELL]} cells, " if self.totals[CELL] else ""
        return f"pardec: {cells}{self.done.total()} of {self.totals.total()} jobs{self._left()}"

    def _left(self) -> str:
        left = {name: number - self.done[name] for name, number in self.totals.items()}
        left = {name: number for name, number in left.items() if number > 0}
        slower = _weighted_median(
            [(1.0, AS_FAST_S)]
            + [
                (self.means[name] / mean, mean * self.done[name])
                for name, mean in self.theirs.items()
                if mean and self.done[name] and (self.own or name != CELL)
            ]
        )
        means = {name: mean * slower for name, mean in self.theirs.items()} | self.means
        if self.theirs:
            usual = slower * median(self.theirs.values())
            means |= {name: usual for name in left if name not in means and name not in UNFORESEEN}
        unknown = [name for name in left if name not in means]
        seconds = sum(number * means[name] for name, number in left.items() if name in means)
        if not left:
            return ""
        if unknown and seconds == 0:
            return ""
        known = f"about {max(1, round(seconds / 60))} min left"
        return f", {known}" + (f", without {', '.join(sorted(unknown)[:3])}" if unknown else "")

    def _say(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def follow(published: Path | None = None, restored: bool = True, own: bool = True) -> RunProgress:
    """Attach one `RunProgress` to Snakemake's logger, and return it. published, restored, own: see there."""
    from snakemake.logging import logger

    for known in list(logger.filters):
        if type(known).__name__ == RunProgress.__name__:
            logger.removeFilter(known)
    progress = RunProgress(published=published, restored=restored, own=own)
    logger.addFilter(progress)
    return progress


def _weighted_median(weighted: list[tuple[float, float]]) -> float:
    """Return the least of the values, given with their weights, that half of the weight does not exceed."""
    ordered = sorted(weighted)
    sums = list(itertools.accumulate(weight for _, weight in ordered))
    return ordered[bisect.bisect_left(sums, sums[-1] / 2)][0]


def _read(path: Path) -> dict[str, float]:
    try:
        body: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(body, Mapping):
        return {}
    return {name: float(mean) for name, mean in body.items() if isinstance(mean, int | float)}
