"""The report in a real browser: alone, clickable, by keyboard, on a phone, in the dark, on paper."""

from __future__ import annotations

import itertools
import re

import pytest

from pardec.report.digits import TERMS
from tests.browser.conftest import A_FEW, READY, UNFOLD, UNSEEN, both_reports, serious_faults

pytestmark = pytest.mark.browser

MARKS = "figure svg[data-values] .mark[data-v]"
OPEN_ALL = "document.querySelectorAll('details').forEach((d) => (d.open = true))"


@both_reports
def test_opens_quietly_and_alone(still, report):
    assert still.complaints == []
    assert still.requests == [report.as_uri()]
    assert report.stat().st_size < 5_000_000


@both_reports
def test_every_number_and_every_mark_opens_its_trail(visit):
    watched = visit()
    page = watched.page
    assert page.locator("a.v").count() > 50
    # Click them all within the page: hundreds of real mouse moves would only test the mouse.
    page.evaluate(UNSEEN)
    page.evaluate(UNFOLD)
    wrong = page.evaluate(
        """() => {
            const data = window.carried;
            const wrong = [];
            // Links to the same do the same.
            const links = new Map([...document.querySelectorAll("a.v")].map((a) => [a.dataset.v + a.dataset.cfg, a]));
            for (const link of links.values()) {
                link.click();
                const words = document.getElementById("panel-body").textContent;
                const packed = data.values[link.dataset.v];
                const open = document.getElementById("panel").classList.contains("open");
                if (link.dataset.cfg) {
                    if (!open || !words.includes(link.dataset.cfg)) wrong.push(link.dataset.cfg);
                    continue;
                }
                const rule = packed && data.pool[packed.rule], command = packed && data.pool[packed.command];
                if (!open || !rule || !words.includes(link.dataset.v) || !words.includes(rule) ||
                !words.includes(command)) wrong.push(link.dataset.v);
            }
            return wrong;
        }"""
    )
    assert wrong == []
    wrong = page.evaluate(
        """(marks) => {
            const wrong = [];
            for (const mark of document.querySelectorAll(marks)) {
                mark.dispatchEvent(new MouseEvent("click", {bubbles: true}));
                const panel = document.getElementById("panel");
                const shown = panel.classList.contains("open") && panel.querySelector(".id").textContent;
                if (shown !== mark.dataset.v || !mark.getAttribute("aria-label")) wrong.push(mark.dataset.v);
            }
            return wrong;
        }""",
        MARKS,
    )
    assert page.locator(MARKS).count() > 50
    assert wrong == []
    assert watched.complaints == []


@both_reports
def test_no_number_stands_without_a_link(still):
    """Outside links, quoted material, configuration and figures, the visible page holds no digit."""
    bare = still.page.evaluate(
        """(terms) => {
            const names = new RegExp(terms, "g");
            const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
            const bare = [];
            while (walker.nextNode()) {
                const node = walker.currentNode;
                if (node.parentElement.closest("[data-v], [data-cfg], [data-source], svg, script, style")) continue;
                if (/[0-9]/.test(node.textContent.replace(names, ""))) bare.push(node.textContent.trim());
            }
            return bare;
        }""",
        TERMS.pattern,
    )
    assert bare == []


def test_panel_shows_samples_hashes_and_machine(visit):
    page = visit().page
    page.locator("#answer a.v").first.click()
    assert page.locator("#panel").get_attribute("aria-hidden") == "false"
    words = page.locator("#panel-body").inner_text()
    assert "SHA-256" in words
    assert "snakemake" in words or "python scripts/" in words
    page.evaluate(UNFOLD)
    measured = page.evaluate(
        """() => {
            const data = window.carried;
            const timed = (path) => data.records[path] && data.records[path].samples_ms.length;
            const id = Object.keys(data.values).find((id) => id.endsWith("/latency_ms") &&
            data.values[id].records.some((p) => timed(data.pool[p])));
            [...document.querySelectorAll("a.v")].find((a) => a.dataset.v === id).click();
            const record = data.records[data.pool[data.values[id].records[0]]];
            return record.samples_ms.length + record.reference_ms.length;
        }"""
    )
    assert page.locator("#panel svg circle").count() == measured > 0
    for words in ("Raw samples", "machine", "code hash"):
        assert words.lower() in page.locator("#panel").inner_text().lower()


def test_keyboard_alone(visit):
    page = visit().page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    link = page.locator("#answer a.v").first
    link.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "panel-title"
    assert link.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.v") == link.get_attribute("data-v")
    assert link.get_attribute("aria-expanded") is None
    assert page.evaluate("document.getElementById('panel').inert") is True
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "panel-close"
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('panel').classList.contains('open')") is False


def test_an_address_leads_to_a_number(visit, browser, report):
    ident = visit().page.locator("#answer a.v").first.get_attribute("data-v")
    page = browser.new_page()
    page.goto(f"{report.as_uri()}#{ident}")
    page.evaluate(READY)
    assert page.locator("#panel.open .id").first.inner_text() == ident
    page.close()


def test_figures_tell_their_values(visit):
    page = visit().page
    mark = page.locator("#figure-pareto .mark").last  # the topmost one
    mark.scroll_into_view_if_needed()
    mark.hover()
    assert "ms" in page.locator("#tip").inner_text()
    mark.click()
    assert page.locator("#panel.open").count() == 1


@both_reports
def test_no_width_scrolls_sideways(visit):
    page = visit(viewport={"width": 360, "height": 800}, reduced_motion="reduce").page
    page.evaluate(OPEN_ALL)
    for width in (360, 648, 1080, 1288):  # the narrowest of each of the page's layouts
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # A click of the page's own: the mouse's waits until all of the open page stands still, long on a busy machine.
        page.locator("a.v").first.evaluate("link => link.click()")
        box = page.locator("#panel").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1
        page.keyboard.press("Escape")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_follows_the_color_scheme_and_the_button(visit, scheme, dark):
    page = visit(color_scheme=scheme).page

    def paper():
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in color[color.index("(") + 1 : color.index(")")].split(",")[:3]) / 3

    def figure_ink():
        words = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        return sum(int(part) for part in words[words.index("(") + 1 : words.index(")")].split(",")[:3]) / 3

    assert (paper() < 80) == dark
    assert (figure_ink() > 150) == dark, "figures follow the theme"
    page.locator("#theme").click()
    assert (paper() < 80) != dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white(visit, scheme):
    page = visit(color_scheme=scheme).page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in ("nav", "#panel"):
        assert page.locator(hidden).evaluate("node => getComputedStyle(node).display") == "none"


@pytest.mark.parametrize("report", ["real"], indirect=True, scope="session")
def test_prints(visit):
    """The synthetic report takes five times as long to lay out on paper."""
    assert len(visit().page.pdf(format="A4")) > 50_000


@both_reports
def test_headings_and_labels(still):
    page = still.page
    assert page.locator("h1").count() == 1
    levels = page.evaluate(
        "[...document.querySelectorAll('main h1, main h2, main h3')].map((h) => Number(h.tagName[1]))"
    )
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "no level is skipped"
    assert page.locator("html").get_attribute("lang") == "en"
    astray = """[...document.querySelectorAll("nav ol a")].map((link) => link.getAttribute("href"))
        .filter((place) => document.querySelectorAll(place).length !== 1)"""
    assert page.evaluate(astray) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids)), "ids are unique"
    assert page.locator("table:not(:has(thead, tbody th[scope=row]))").count() == 0
    assert page.locator("figure svg[role=group][aria-label]").count() == page.locator("figure").count() > 0
    assert page.evaluate(
        "[...document.querySelectorAll('button')].every((b) => (b.textContent || b.ariaLabel).trim())"
    )


@both_reports
def test_tables_and_figures_link_to_their_files(still):
    beside = (
        "table => table.parentElement.previousElementSibling.querySelector('a.data').getAttribute('href')"
    )
    tables = still.page.locator("main table:has(caption)")
    links = tables.evaluate_all(f"tables => tables.map({beside})")
    assert links
    assert all(re.fullmatch(r"tables/\w+\.csv|\w+\.json", link) for link in links)
    assert still.page.locator("figcaption a.data").count() >= 2


@both_reports
def test_axe_finds_no_serious_fault(visit, report, reports):
    page = visit(reduced_motion="reduce", bypass_csp=True).page
    page.evaluate(A_FEW)  # before all is laid out
    page.evaluate(OPEN_ALL)
    page.locator("#answer a.v").first.click()
    assert serious_faults(page, "light") == []
    if report == reports("synthetic"):  # every real page has a part of its colours
        page.emulate_media(color_scheme="dark")
        assert serious_faults(page, "dark") == []
