"""The page that `pardec compare --html` writes: self-contained, every value of both runs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pardec.audit.compare import Comparison

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0 2rem; font-size: .875rem; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.id { overflow-wrap: anywhere; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
.differs { color: #c2410c; font-weight: 600; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
.wide { overflow-x: auto; }
"""


def page(found: Comparison, rule: str, sentence: str) -> str:
    """The whole page as text."""
    from pardec.audit.compare import VERDICTS
    from pardec.cli.compare import TITLES

    first, second = map(escape, found.labels)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{first} against {second}</title><style>{STYLE}</style></head><body>",
        f"<h1>Does {second} reproduce {first}?</h1><p>{escape(sentence)}</p><p>{escape(rule)}</p>",
        *(_facts(title, getattr(found, name)) for name, title in TITLES.items()),
    ]
    for verdict in sorted(VERDICTS, key=("differs", "not comparable", "reproduced").index):
        parts.append(_values(found, verdict))
    return "\n".join([*filter(None, parts), "</body></html>\n"])


def _facts(title: str, facts: dict[str, tuple[Any, Any]]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}<td>{_fact(a)}<td>{_fact(b)}</tr>" for name, (a, b) in facts.items()
    )
    head = "<tr><td><th scope=col>first<th scope=col>second</tr>"
    return f"<div class=wide><table><caption>{escape(title)}</caption>{head}{rows}</table></div>"


def _fact(fact: Any) -> str:
    return "–" if fact is None else escape(str(fact))


def _values(found: Comparison, verdict: str) -> str:
    from pardec.cli.compare import chance, change, number, worst_first

    chosen = [one for one in found.judged if one.verdict == verdict]
    if verdict == "differs":
        chosen = worst_first(chosen)
    mark = ' class="differs"' if verdict == "differs" and chosen else ""
    rows = "".join(
        f"<tr><td class=id>{escape(one.id)}<td class=n>{escape(number(one.a))}<td class=n>{escape(number(one.b))}"
        f"<td class=n>{change(one)}<td class=n>{chance(one)}<td>{escape(one.why)}</tr>\n"
        for one in chosen
    )
    head = "".join(f"<th scope=col>{n}" for n in ("value", "first", "second", "change", "p (Holm)", "why"))
    state = " open" if verdict == "differs" else ""
    table = f"<div class=wide><table><tr>{head}</tr>{rows}</table></div>" if chosen else ""
    return f"<details{state}><summary><span{mark}>{verdict}: {len(chosen)}</span></summary>{table}</details>"
