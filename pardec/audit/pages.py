"""Render self-contained pages that compare runs, from the templates beside this file."""

from __future__ import annotations

from typing import Any


def page(name: str, **material: Any) -> str:
    """Return the page of template `name`, with `material` as variables and the functions below as filters."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pardec.audit"), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    filters: dict[str, Any] = {"number": number, "plain": plain, "change": change, "chance": chance}
    environment.filters |= filters
    return environment.get_template(f"{name}.html.j2").render(**material) + "\n"


def number(value: dict[str, Any] | None) -> str:
    """Return a value as published, with its interval and unit."""
    if value is None:
        return "missing"
    if value.get("value") is None:
        return "no value"
    text = value.get("text") or f"{value['value']:.4g}"
    if value.get("ci_low") is not None and value.get("ci_high") is not None:
        text += f" [{value.get('text_low') or value['ci_low']}, {value.get('text_high') or value['ci_high']}]"
    return f"{text} {value.get('unit') or ''}".strip()


def plain(value: Any) -> str:
    """Return a fact of a study or machine as text; a dash if it is missing."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def change(share: float | None) -> str:
    """Return a relative change as a signed percentage; "" for None."""
    return "" if share is None else f"{share:+.1%}"


def chance(p: float | None) -> str:
    """Return a probability with two significant digits; "" for None."""
    return "" if p is None else f"{p:.2g}"
