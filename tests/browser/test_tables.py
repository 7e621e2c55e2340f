"""Tables of the report in a real browser: sorted and filtered."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytestmark = pytest.mark.browser


def column(table, place):
    return [
        text.split("\n")[0]
        for text in table.locator(f"tbody tr:not(.group):visible > *:nth-child({place})").all_inner_texts()
    ]


def test_tables_sort_by_click_and_by_key(page):
    page.evaluate("document.querySelectorAll('#length details').forEach((d) => (d.open = true))")
    table = page.locator("#table-length-caption").locator("xpath=ancestor::table")
    heads = table.locator("thead th")
    assert heads.locator("button.sort").count() == heads.count()
    place = 1 + heads.all_inner_texts().index(next(t for t in heads.all_inner_texts() if "latency" in t))
    before = column(table, place)
    button = heads.nth(place - 1).locator("button")
    button.click()
    assert heads.nth(place - 1).get_attribute("aria-sort") == "ascending"
    up = [float(text.replace(",", "")) for text in column(table, place) if text != "–"]
    # Rows are sorted by exact values; printed ones are rounded, each to its own digits.
    assert all(low <= high + 0.1 * abs(high) for low, high in pairwise(up)) and up[0] < up[-1]
    assert len(up) > 1
    button.focus()
    page.keyboard.press("Enter")
    assert heads.nth(place - 1).get_attribute("aria-sort") == "descending"
    down = column(table, place)
    assert [float(text.replace(",", "")) for text in down if text != "–"] == up[::-1]
    assert "–" not in down[: len(up)], "what is missing comes last both ways"
    assert "descending" in page.locator("#status").inner_text()
    page.keyboard.press("Space")
    assert heads.nth(place - 1).get_attribute("aria-sort") is None
    assert column(table, place) == before
    heads.first.locator("button").click()
    assert column(table, 1) == sorted(column(table, 1))


def test_groups_stay_together_when_sorted(page):
    page.evaluate("document.querySelectorAll('#steps details').forEach((d) => (d.open = true))")
    table = page.locator("#steps table").first
    groups = table.locator("tr.group").all_inner_texts()
    sizes = table.locator("tbody").evaluate_all("parts => parts.map((part) => part.rows.length)")
    table.locator("thead button.sort").nth(3).click()
    assert table.locator("tr.group").all_inner_texts() == groups
    assert table.locator("tbody").evaluate_all("parts => parts.map((part) => part.rows.length)") == sizes
    assert table.locator("tbody > tr:first-child.group").count() == len(groups)


def test_long_tables_filter_and_keep_their_head(page):
    page.evaluate("document.querySelectorAll('main details').forEach((d) => (d.open = true))")
    box = page.locator("main .tools:has(input) + .table:has(tr.group)").first
    tools = box.locator("xpath=preceding-sibling::div[1]")
    rows = box.locator("tbody tr:not(.group)")
    every = rows.count()
    name = box.locator("tr.group").first.inner_text().strip()
    tools.locator("input").fill(name)
    left = rows.evaluate_all("rows => rows.filter((row) => !row.hidden).length")
    assert 0 < left < every
    assert tools.locator("[role=status]").inner_text() == f"{left} of {every} rows"
    shown = box.locator("tbody:has(tr.group):has(tr:not(.group):not([hidden]))").count()
    assert box.locator("tr.group:visible").count() == shown, "a group without rows has no name"
    tools.locator("input").fill("")
    assert tools.locator("[role=status]").inner_text() == f"{every} rows"
    box.evaluate("box => (box.scrollTop = 400)")
    head = box.locator("thead th").first
    assert abs(head.bounding_box()["y"] - box.bounding_box()["y"]) < 2, "the head stays in sight"
