"""A real browser and a rendered report to open in it."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import once

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """The browser's path: the one that PARDEC_CHROMIUM names, else the first that is installed."""
    return os.environ.get("PARDEC_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser():
    """Closed with each file: tests that come later in this process may want an event loop of their own."""
    path = chromium()
    if path is None:
        reason = "no Chromium: install one, or set PARDEC_CHROMIUM to its path"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


FEW_FIGURES = ("pareto", "latency_vs_steps", "quality_vs_steps", "noise")
FEW_TASKS = (None, "grid", "text")


def rendered(made_folder: Path, few: bool = False) -> str:
    """Return a report rendered from the synthetic tables; of few: without the sections of experiments that have tables
    of their own, with two tasks of five."""
    from pardec.report.figures.registry import FIGURES
    from pardec.report.render import Material, render
    from pardec.report.rows import load_tables
    from tests import draft_factories, flood_factories, grid_factories
    from tests import report_fixtures as made

    read = load_tables([made_folder / "tables"])
    if few:
        own = {
            name for part in (draft_factories, flood_factories, grid_factories) for name in part.page_tables()
        }
        left = {name: [] if name in own else rows for name, rows in read.items()}
        read = {name: [row for row in rows if row.get("task") in FEW_TASKS] for name, rows in left.items()}
    material = Material(
        **made.values_of(made_folder),
        tables=read,
        figures={name: made_folder / f"{name}.svg" for name in (FEW_FIGURES if few else FIGURES)},
        study=made.STUDY,
        trails=made.trails(made.frames_of(made_folder)),
        outputs=made.outputs_of(made_folder),
        origin={"commit": "abc123"},
        claims=made.CLAIMS,
        jobs=made.JOBS,
        files=["results/tabulate-1.json"],
    )
    return render(material)


@pytest.fixture(scope="session")
def reports(tmp_path_factory, synthetic_folder):
    """Return the function that gives the synthetic report of a kind: `few`, or `synthetic`."""

    @functools.cache
    def of(kind: str) -> Path:
        def make(folder):
            text = rendered(synthetic_folder, kind == "few")
            (folder / "report.html").write_text(text, encoding="utf-8")

        return once(tmp_path_factory, f"page-{kind}", make) / "report.html"

    return of


@pytest.fixture(scope="session")
def report(request) -> Path:
    """A synthetic report of few tables, enough for what a page does. What a page contains is looked at in the one that
    has everything a page can have, and in a real one (`both_reports`): the smoke study's, or the one that
    PARDEC_REPORT names."""
    kind = getattr(request, "param", "few")
    if kind != "real":
        return request.getfixturevalue("reports")(kind)
    named = os.environ.get("PARDEC_REPORT")
    return Path(named).resolve() if named else request.getfixturevalue("project").path("results/report.html")


both_reports = pytest.mark.parametrize("report", ["synthetic", "real"], indirect=True, scope="session")


# A browser may drop keys that are pressed before it has painted. Playwright's own waiting evaluates its words again,
# which the page's security policy forbids.
READY = """() => new Promise((done, fail) => {
    const begin = performance.now();
    const look = () => {
        const painted = performance.getEntriesByType("paint").length > 0;
        if (painted && document.documentElement.dataset.ready !== undefined) done();
        else if (performance.now() - begin > 30000) fail(new Error("the page did not become ready"));
        else setTimeout(look, 5);
    };
    look();
})"""
UNFOLD = """async () => {
    const text = document.getElementById("trail-data").textContent;
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    window.carried = JSON.parse(await new Response(stream).text());
}"""
"""Lets a test read what the page carries, as `window.carried`, apart from the page's own script."""


UNSEEN = """() => {
    for (const part of ["main", "#panel"]) document.querySelector(part).style.display = "none";
    history.replaceState = () => {};
}"""
"""Neither lays the page out again nor tells the browser of a new address at each of a thousand clicks."""


# Rows of one table, marks and ticks of one figure are made alike: axe need not take minutes over thousands of them. A
# group without words or a mark only draws, and axe looks at no drawing.
A_FEW = """
for (const table of document.querySelectorAll("table")) [...table.tBodies].slice(2).forEach((part) => part.remove());
for (const part of document.querySelectorAll("tbody")) [...part.rows].slice(2).forEach((row) => row.remove());
for (const svg of document.querySelectorAll("svg")) {
    for (const some of [".mark", "[id*='xtick_']", "[id*='ytick_']"])
        [...svg.querySelectorAll(some)].slice(2).forEach((node) => node.remove());
    const drawing = "g:not(:has(text, .mark, [role]), .mark, .mark *, [role])";
    for (const group of svg.querySelectorAll(drawing)) group.remove();
}"""
SERIOUS = """async ([context, only]) => {
    // Only violations: of what passes axe would list every element.
    const options = {resultTypes: ["violations"], ...(only ? {runOnly: only} : {})};
    const faults = (await axe.run(context ?? document, options)).violations;
    return faults.filter((fault) => ["serious", "critical"].includes(fault.impact))
        .map((fault) => [fault.id, fault.nodes[0].html]);
}"""


def serious_faults(page, scheme: str, context: str | None = None) -> list[list[str]]:
    """The serious and critical faults that axe finds in the page, or in an element beside `main`, without most rows."""
    axe = pytest.importorskip("axe_core_python.base", reason="axe-core-python is not installed")
    page.evaluate(A_FEW)
    if context is not None:
        page.locator("main").evaluate("main => (main.style.display = 'none')")
    page.evaluate(axe.AXE_SCRIPT)
    # Of what axe looks at, only colours differ between the schemes.
    return page.evaluate(SERIOUS, [context, ["color-contrast"] if scheme == "dark" else None])


class Watched:
    """A page with what it asked for and what it complained about since `visit` loaded it."""

    def __init__(self, page):
        self.page, self.requests, self.complaints = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )

    def load(self, path: Path) -> Watched:
        """Load a report as if nobody had been here before."""
        if self.requests:
            self.page.mouse.move(0, 0)
            self.page.evaluate("localStorage.clear()")
        self.requests, self.complaints = [], []
        self.page.goto(path.as_uri())
        self.page.evaluate(READY)
        return self


@pytest.fixture(scope="module")
def kept(browser):
    """Return the one page that obeys the report's security policy, or the one that does not, or one to look at. To load
    a report into it again takes half of the time of a new page."""
    return functools.cache(
        lambda bypass_csp, looked_at=False: Watched(browser.new_page(bypass_csp=bypass_csp))
    )


@pytest.fixture
def visit(kept, report):
    """Load the report into a page of the given size and media. A test visits it once."""

    def go(viewport=None, color_scheme="light", reduced_motion="no-preference", bypass_csp=False) -> Watched:
        watched = kept(bypass_csp)
        watched.page.set_viewport_size(viewport or {"width": 1280, "height": 860})
        watched.page.emulate_media(media="null", color_scheme=color_scheme, reduced_motion=reduced_motion)
        return watched.load(report)

    return go


@pytest.fixture
def still(kept, report):
    """The report in a page of its own, which tests only look at: it is loaded once for all of them."""
    watched = kept(False, True)
    if watched.requests != [report.as_uri()]:
        watched.page.set_viewport_size({"width": 1280, "height": 860})
        watched.load(report)
    yield watched
    assert watched.complaints == []
    assert watched.requests == [report.as_uri()]


@pytest.fixture
def page(visit):
    watched = visit(reduced_motion="reduce")
    yield watched.page
    assert watched.complaints == []
    assert len(watched.requests) == 1, "nothing is fetched"
