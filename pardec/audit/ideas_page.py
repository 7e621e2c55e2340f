"""What each drafting idea was worth in each published run, as Markdown: do small models answer for a large one?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pardec.audit.archive import open_run
from pardec.audit.publish import ARCHIVE, PAGE
from pardec.common.files import sha256
from pardec.evidence.verdicts import PROPOSED
from pardec.study.plan import PAPER

ABOUT = """\
Made by `make docs` from the verdicts of the published runs. Each verdict opens the page of its run, where every number
opens its trail. A ratio is throughput over that of the arm named behind it, with its 95 % interval. The models of the
paper study fit a processor's cache; a real model's weights are read for every pass."""


def published_with_ideas(published: Path) -> list[Path]:
    """Return the archives below `published` of runs that tried a drafting idea, the paper's first."""
    folders = sorted(published.glob(f"*/{ARCHIVE}"), key=lambda path: (path.parent.name != PAPER, path))
    return [path for path in folders if any(one["status"] != PROPOSED for one in _verdicts(path)[1].values())]


def ideas_page(archives: list[Path]) -> str:
    """Return a table with a row for each idea and a column for each run."""
    runs = {path: _verdicts(path) for path in archives}
    titles: dict[str, str] = {}
    for _, ideas in runs.values():
        titles |= {name: idea["title"] for name, idea in ideas.items()}
    heads = [
        f"{title} (`{path.parent.name}`, archive {sha256(path)[:12]})" for path, (title, _) in runs.items()
    ]
    lines = ["# Drafting ideas in the published runs", "", ABOUT, "", f"| idea | {' | '.join(heads)} |"]
    lines.append("|---" * (1 + len(heads)) + "|")
    for name, title in titles.items():
        cells = [_cell(path, ideas.get(name)) for path, (_, ideas) in runs.items()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


@cache
def _verdicts(path: Path) -> tuple[str, Mapping[str, dict]]:
    """Return a run's title, and its ideas by name."""
    with open_run(path) as run:
        listed = (run.json("results/verdicts.json") or {}).get("ideas") or []
        return str(run.json("results/study.json")["title"]), {one["id"]: one for one in listed}


def _cell(archive: Path, idea: dict | None) -> str:
    if idea is None:
        return "–"
    link = f"../results/published/{archive.parent.name}/{PAGE}#idea-{idea['id']}"
    found = re.search(r"throughput is ([^;]*)", idea["sentence"])
    return f"[{idea['status']}]({link}){': ' + found.group(1) if found else ''}"
