"""Stages of the run on the page: the diagram of its rules, and the panel's facts of each."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from pardec.report.diagram import Box, draw

PAGE = "render_report"
"""Rule of the page itself; its job has no provenance yet while it renders."""
ALT = "The rules of the run from data at the top to this page at the bottom, each with its number of jobs."

Jobs = dict[str, Any]
"""Content of `results/jobs.json`, see `pardec.evidence.crate.describe_jobs`; empty if the file is missing."""


def pack(jobs: Jobs) -> dict[str, Any]:
    """Return the page's facts of each rule: {rule: {script, after, jobs: [[file with its provenance, seconds]]}}."""
    return {
        stage["rule"]: {
            "script": stage["script"],
            "after": stage["after"],
            "jobs": [[job["paper"], _seconds(job)] for job in jobs["jobs"] if job["rule"] == stage["rule"]],
        }
        for stage in jobs.get("stages", ())
    }


def graph(jobs: Jobs, files: Iterable[str]) -> dict[str, list[str]]:
    """Return rule -> rules it reads from; this page reads from the makers of `files`."""
    makers = {path: job["rule"] for job in jobs["jobs"] for path in job["outputs"]}
    after = {stage["rule"]: list(stage["after"]) for stage in jobs["stages"]}
    return {**after, PAGE: sorted({makers[path] for path in files if path in makers} - {PAGE})}


def diagram(jobs: Jobs, files: Iterable[str]) -> Markup:
    """Return the diagram as an element of the page: one box per rule with the number of its jobs."""
    counts = Counter(job["rule"] for job in jobs["jobs"])
    after = graph(jobs, files)
    boxes = [Box(PAGE, "this page") if name == PAGE else _box(name, counts[name]) for name in after]
    return Markup(draw(after, boxes, {"role": "group", "aria-label": ALT}))


def _box(rule: str, count: int) -> Box:
    words = f"{count} {'job' if count == 1 else 'jobs'}"
    attributes = {"data-stage": rule, "data-source": "results/jobs.json", "role": "button", "tabindex": "0"}
    return Box(rule, words, {**attributes, "aria-label": f"{rule}, {words}"})


def _seconds(job: dict[str, Any]) -> float:
    begin, end = (datetime.datetime.fromisoformat(job[name]) for name in ("start", "end"))
    return round((end - begin).total_seconds(), 3)
