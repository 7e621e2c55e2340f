"""Figures, search, diagram, keys and paper in a real browser: by mouse, by keyboard, to a screen reader."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import UNFOLD, both_reports, serious_faults

pytestmark = pytest.mark.browser

TOLD = """(id) => {
    const packed = window.carried.values[id];
    return {value: packed.value, low: packed.low ?? null, high: packed.high ?? null};
}"""


# Figures.


def test_a_mark_tells_value_interval_and_unit(page):
    mark = page.locator("#figure-latency_vs_steps .mark").last
    ident = mark.get_attribute("data-v")
    mark.scroll_into_view_if_needed()
    mark.hover()
    tip = page.locator("#tip").inner_text()
    page.evaluate(UNFOLD)
    given = page.evaluate(TOLD, ident)
    assert "latency ms" in tip
    assert " ms" in tip.splitlines()[0]
    assert ("interval" in tip) == (given["low"] is not None)
    for part in ident.split("/")[1:-1]:
        assert part in tip
    page.mouse.move(2, 2)
    assert page.locator("#tip").is_hidden()


def test_the_nearest_mark_is_good_enough(page):
    mark = page.locator("#figure-quality_vs_steps .mark").last
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] + 6, box["y"] + box["height"] / 2)
    assert page.locator("#tip").is_visible()
    page.mouse.click(box["x"] + box["width"] + 6, box["y"] + box["height"] / 2)
    assert page.locator("#panel.open").count() == 1


def test_the_same_cell_lights_up_in_both_figures(page):
    mark = page.locator("#figure-pareto .mark").last
    row = mark.get_attribute("data-v").rpartition("/")[0]
    mark.scroll_into_view_if_needed()
    mark.hover()
    kin = page.locator(".mark.kin").evaluate_all("marks => marks.map((mark) => mark.dataset.v)")
    assert kin
    assert all(other.startswith(row + "/") for other in kin)


def test_figures_by_keyboard(page):
    figure = page.locator("#figure-pareto")
    assert figure.locator(".mark[tabindex='0']").count() == 1, "one stop of the Tab key a figure"
    figure.locator(".plot").focus()
    page.keyboard.press("Tab")
    active = "document.activeElement.dataset.v"
    first = page.evaluate(active)
    assert first
    assert page.locator("#tip").is_visible()
    page.keyboard.press("ArrowRight")
    second = page.evaluate(active)
    assert second != first
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(active) == first
    page.keyboard.press("End")
    last = page.evaluate(active)
    page.keyboard.press("Enter")
    assert page.locator("#panel.open .id").first.inner_text() == last
    page.keyboard.press("Escape")
    assert page.evaluate(active) == last, "focus comes back to the mark"
    assert figure.locator(".mark[tabindex='0']").count() == 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(active)


def test_the_panel_leads_to_its_relatives_and_back(page):
    link = page.locator("#models td a.v").first
    link.click()
    first = page.locator("#panel .id").first.inner_text()
    page.evaluate("document.querySelectorAll('#panel details').forEach((fold) => (fold.open = true))")
    other = page.locator("#panel .relatives a").first
    ident = other.get_attribute("data-v")
    other.click()
    assert page.locator("#panel .id").first.inner_text() == ident != first
    page.locator("#panel-back").click()
    assert page.locator("#panel .id").first.inner_text() == first
    assert page.locator("#panel-back").is_hidden()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.v") == first, "focus comes back to where it began"


# Search.


def ask(page, words):
    page.keyboard.press("/")
    assert page.locator("#search").is_visible()
    page.keyboard.insert_text(words)
    return page.locator("#search-list [role=option]")


def leave(page):
    """Close the search; a browser closes a dialog a moment after its key, and may take the focus from the hidden field
    a moment later: until then a key is still written there."""
    page.keyboard.press("Escape")
    page.locator("#search").wait_for(state="hidden")
    page.wait_for_function("!document.activeElement.closest('dialog')")


def kinds(options):
    return options.locator(".kind").all_inner_texts()


def test_search_is_a_combobox(page):
    options = ask(page, "")
    page.keyboard.type("noise")
    box = page.locator("#search-query")
    assert box.get_attribute("role") == "combobox"
    assert box.get_attribute("aria-expanded") == "true"
    assert page.locator(f"#{box.get_attribute('aria-controls')}").get_attribute("role") == "listbox"
    assert page.evaluate("document.activeElement.id") == "search-query"
    active = options.locator("xpath=self::*[@aria-selected='true']")
    assert active.count() == 1
    assert box.get_attribute("aria-activedescendant") == active.get_attribute("id") == "hit-0"
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "hit-1"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert box.get_attribute("aria-activedescendant") == f"hit-{options.count() - 1}", "it goes round"
    assert re.search(r"\d+ results", page.locator("#search-count").inner_text())
    leave(page)
    assert page.locator("#panel.open").count() == 0


def test_search_finds_a_section_and_goes_there(page):
    options = ask(page, "stability")
    assert kinds(options)[0] == "section"
    page.keyboard.press("Enter")
    assert page.locator("#search").is_hidden()
    assert page.evaluate("document.activeElement.id") == "stability-title"
    box = page.locator("#stability-title").bounding_box()
    assert 0 <= box["y"] < 860


def test_search_finds_a_value_by_its_id_and_opens_it(page):
    ident = page.locator("#answer a.v").first.get_attribute("data-v")
    options = ask(page, ident)
    assert kinds(options)[0] == "number"
    page.keyboard.press("Enter")
    assert page.locator("#panel.open .id").first.inner_text() == ident
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "seek", "focus comes back to the page"


def test_search_finds_every_kind(page):
    claim = page.locator("[id^='claim-']").first
    ident = claim.get_attribute("id").removeprefix("claim-")
    wanted = {
        "section": "methods",
        "figure": "latency against quality",
        "table": "equal quality",
        "rule": "tabulate",
    }
    page.evaluate(UNFOLD)
    cell = page.evaluate(
        """() => Object.entries(window.carried.records)
            .find(([, record]) => record.samples_ms.length)[0]"""
    )
    wanted |= {"claim": ident, "cell": cell, "number": "latency ms"}
    for kind, words in wanted.items():
        options = ask(page, words)
        assert kind in kinds(options), kind
        leave(page)
    ask(page, ident)
    page.keyboard.press("Enter")
    assert claim.is_visible(), "whatever fold it lies in"
    options = ask(page, cell)
    options.nth(kinds(options).index("cell")).click()
    assert page.locator("#panel.open").count() == 1
    assert page.locator("#panel svg circle").count() > 0


def test_search_starts_at_words_and_says_when_there_is_nothing(page):
    options = ask(page, "atency")
    assert options.count() == 0
    assert page.locator("#search-count").inner_text() == "0 results"
    assert page.locator("#search-query").get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    assert page.locator("#search").is_visible()
    page.locator("#search-query").fill("")
    assert set(kinds(options)) == {"section"}, "an empty box offers the sections"
    page.locator("#search .shut").click()
    page.locator("#seek").click()
    assert page.locator("#search").is_visible()


def test_typing_never_steers_the_page(page):
    box = page.locator(".tools input").first
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    box.focus()
    page.keyboard.type("t/n?")
    assert box.input_value() == "t/n?"
    assert page.locator("dialog[open]").count() == 0


# The workflow's diagram.


def test_the_diagram_opens_its_stages(page):
    boxes = page.locator("[data-stage]")
    assert boxes.count() >= 4
    box = page.locator("[data-stage=time_cell]")
    jobs = int(re.search(r"\d+", box.get_attribute("aria-label"))[0])
    box.focus()
    page.keyboard.press("Enter")
    assert page.locator("#panel-title").inner_text() == "time_cell"
    assert page.locator("#panel .jobs li").count() == jobs
    assert page.locator("#panel svg circle").count() == jobs
    assert page.locator("#panel a[href='workflow/scripts/time_cell.py']").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.stage") == "time_cell"
    boxes.first.click()
    assert page.locator("#panel.open").count() == 1


# Finding one's way.


def test_the_navigation_says_where_one_is(page):
    links = page.locator("nav ol a")
    for place in (1, links.count() - 1, 0):
        page.evaluate(f"document.querySelectorAll('main > section')[{place}].scrollIntoView()")
        page.wait_for_timeout(80)
        assert page.locator("nav a[aria-current]").count() == 1
        assert links.nth(place).get_attribute("aria-current") == "true"
    page.keyboard.press("n")
    page.wait_for_timeout(80)
    assert links.nth(1).get_attribute("aria-current") == "true"
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.keyboard.press("p")
    page.wait_for_timeout(80)
    assert links.nth(0).get_attribute("aria-current") == "true"


def test_help_lists_the_keys_and_can_switch_them_off(page):
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.locator("#help").wait_for(state="hidden")
    page.locator("#ask").click()
    page.locator("#keys-on").uncheck()
    page.locator("#help .shut").click()
    page.keyboard.press("/")
    assert page.locator("dialog[open]").count() == 0
    page.keyboard.press("Control+k")
    assert page.locator("#search").is_visible(), "a chord still works"


def test_commands_can_be_copied(visit):
    page = visit().page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("#rerun .command button").first
    button.click()
    page.locator("#rerun .command button", has_text="Copied").wait_for()
    assert page.locator("#status").inner_text() == "Copied"
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == page.locator("#rerun pre").first.inner_text().strip()
    )
    assert page.locator("#rerun .command").count() == page.locator("#rerun pre").count()
    page.context.clear_permissions()


def test_a_phone_has_its_place_in_one_line(visit):
    page = visit(viewport={"width": 390, "height": 800}, reduced_motion="reduce").page
    assert page.locator("nav ol").is_hidden()
    menu = page.locator("#menu")
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    page.locator("nav ol a", has_text="Stability").click()
    page.wait_for_timeout(120)
    assert page.locator("nav ol").is_hidden()
    assert menu.inner_text().startswith("Stability")
    nav, title = page.locator("nav").bounding_box(), page.locator("#stability-title").bounding_box()
    assert nav["height"] < 80
    assert title["y"] >= nav["y"] + nav["height"], "the bar covers no heading"


def test_tools_fit_every_width(page):
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for width in (390, 820, 1400):
        page.set_viewport_size({"width": width, "height": 800})
        ask(page, "a")
        box = page.locator("#search").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 800
        leave(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#workflow .plot").evaluate("plot => plot.getBoundingClientRect().right") <= width


def test_nothing_moves_where_motion_is_unwanted(page):
    page.locator("#answer a.v").first.click()
    assert page.locator("#panel").evaluate(
        "panel => getComputedStyle(panel).transitionProperty"
    ) == "none" or (
        page.locator("#panel").evaluate("panel => getComputedStyle(panel).transitionDuration") == "0s"
    )


def test_paper_has_ids_instead_of_links(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    ids = page.locator("#print-ids code").all_inner_texts()
    assert ids
    assert len(ids) == len(set(ids))
    message = page.locator("main p a[data-v], main li a[data-v], main dd a[data-v]").evaluate_all(
        "links => links.map((link) => link.dataset.v)"
    )
    assert set(ids) == set(message)
    assert page.locator("details:not([open])").count() == 0
    for hidden in (".tools input", ".copy", "dialog"):
        assert page.locator(f"{hidden}:visible").count() == 0
    assert page.locator("a.data:visible").count() > 0, "where the data lie is said on paper too"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_dialogs(visit, scheme):
    page = visit(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce").page
    for button, dialog in (("#seek", "#search"), ("#ask", "#help")):
        # A key that follows the end of a dialog at once may be lost; keys have tests of their own.
        page.locator(button).evaluate("button => button.click()")
        page.locator(dialog).wait_for()
        # The rest of the page has its own test; looking at all of it again takes a minute.
        assert serious_faults(page, scheme, dialog) == []
        page.keyboard.press("Escape")
        page.locator(dialog).wait_for(state="hidden")


@both_reports
def test_the_folded_page_unfolds(browser, report, tmp_path):
    from pardec.report.packed import fold

    path = tmp_path / "folded.html"
    path.write_text(fold(report.read_text(encoding="utf-8"), "folded"), encoding="utf-8")
    assert path.stat().st_size < 1_400_000, "as a data address it stays below two million characters"
    page = browser.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready] #answer a.v")
    page.locator("#answer a.v").first.click()
    assert page.locator("#panel.open").count() == 1
    assert requests == [path.as_uri()]
    page.close()
