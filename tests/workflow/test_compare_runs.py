"""Real runs held against each other: itself, its archive, and a copy in which one record was measured otherwise."""

import json
import re
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from pardec.audit.archive import open_run
from pardec.audit.compare import DIFFERS, NOT_COMPARABLE, REPRODUCED, compare
from pardec.cli.main import app
from tests.forging import edit_json, rebuild

pytestmark = pytest.mark.workflow

FACTOR = 300
"""Beyond any noise between processes, even of a busy machine."""


@pytest.fixture(scope="module")
def steady(project):
    """The cell that this run knows best: an interval that half the machine's day fits into hides any factor."""
    cells = pd.read_parquet(project.path("results/tables/cells.parquet"))
    cells = cells[(cells.experiment == "steps") & cells.ratio.notna() & cells.mfu.notna()]
    # Of six samples the interval reaches from the least to the greatest, and useful tokens differ between prompts too.
    names = {"ratio": "ratio", "latency_ms": "latency", "tokens_per_s": "tokens_per_s"}
    widths = [(cells[f"{stem}_high"] - cells[f"{stem}_low"]) / cells[name] for name, stem in names.items()]
    return cells.loc[pd.concat(widths, axis=1).max(axis=1).idxmin(), "cell"]


@pytest.fixture(scope="module")
def altered(project, steady, tmp_path_factory):
    """A copy of the smoke run in which one cell took FACTOR times as long, and all above it was made anew."""
    folder = tmp_path_factory.mktemp("altered") / "run"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns(".snakemake", ".git"))

    def slower(body):
        for sample in body["samples"]:
            for key in ("e2e_ms", "first_ms", "host_ms", "cpu_ms"):
                sample[key] = None if sample.get(key) is None else FACTOR * sample[key]
            for key in ("commit_ms", "block_ms"):
                sample[key] = [FACTOR * stamp for stamp in sample.get(key) or []]

    edit_json(folder / f"results/cells/{steady}/timing.json", slower)
    rebuild(folder, but=("draw_figure", "render_report"))
    return folder / "results"


def held(a, b):
    with open_run(a) as first, open_run(b) as second:
        return compare(first, second)


def test_a_run_reproduces_itself_as_folder_and_as_archive(project, tmp_path):
    results, packed = project.path("results"), tmp_path / "run.tar.zst"
    assert CliRunner().invoke(app, ["archive", str(results), str(packed)]).exit_code == 0
    result = held(results, packed)
    assert result.count(REPRODUCED) == len(result.judged) > 1000 and result.share == 1.0
    assert not result.machine and not result.study and not result.verdicts and result.missed == 0


@pytest.fixture(scope="module")
def result(project, altered):
    return held(project.path("results"), altered)


@pytest.mark.thorough  # tests/unit/test_cli_compare.py does so on a synthetic run
def test_exactly_what_follows_from_altered_samples_differs(result, steady):
    known = {one.id: one for one in result.judged}
    wrong = {ident for ident, one in known.items() if one.verdict == DIFFERS}
    mine = {
        f"cells/{steady}/{name}"
        for name in ("latency_ms", "ttft_ms", "tokens_per_s", "ratio", "host_ms", "mfu")
    }
    # Tables that only view cells publish no number again; stability's are its own, from the same record.
    assert mine | {f"stability/{steady}/cell/latency_ms"} <= wrong
    # Nothing else: each that differs rests on the altered record in one run or the other.
    record = f"results/cells/{steady}/timing.json"
    sides = {ident: [side or {} for side in (one.a, one.b)] for ident, one in known.items()}
    rests = {i for i, pair in sides.items() if any(record in (side.get("records") or []) for side in pair)}
    assert wrong <= rests
    # A value that does not rest on it is the same number in both runs, or names a row that another cell took over.
    for ident in known.keys() - rests:
        assert known[ident].verdict in (REPRODUCED, NOT_COMPARABLE), ident
    # What the record says of its work and its quality, it still says.
    for name in ("nfe", "useful_tokens", "quality", "flops_per_output", "peak_allocated_mb"):
        assert known[f"cells/{steady}/{name}"].verdict == REPRODUCED


@pytest.mark.thorough  # tests/unit/test_cli_compare.py does so on a synthetic run
def test_the_page_shows_what_differs_and_where_the_machines_do(project, altered, result, steady, tmp_path):
    path = altered / "machine.json"
    body = json.loads(path.read_text())
    kept = path.read_bytes()
    path.write_text(json.dumps(body | {"cores": body["cores"] + 62}))
    out = tmp_path / "page.html"
    try:
        words = ["compare", str(project.path("results")), str(altered), "--html", str(out), "--strict"]
        done = CliRunner().invoke(app, words)
    finally:
        path.write_bytes(kept)
    assert (
        done.exit_code == 1
        and "The machines differ in" in done.stdout
        and str(body["cores"] + 62) in done.stdout
    )
    text = out.read_text()
    sections = dict(re.findall(r"<summary[^>]*>(differs|not comparable|reproduced): (\d+)", text))
    assert sections == {
        verdict: str(result.count(verdict)) for verdict in (DIFFERS, NOT_COMPARABLE, REPRODUCED)
    }
    differing = text[text.index("differs: ") : text.index("not comparable: ")]
    assert f"cells/{steady}/latency_ms" in differing and f"+{FACTOR * 100 - 100:.1f}%" in differing
    assert "://" not in text and "<script" not in text and f"<td>{body['cores'] + 62}" in text
