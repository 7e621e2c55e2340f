"""Write values as LaTeX macros, so that a paper can print them by id.

`\\pardecvalue{id}` prints any value, `\\pardecinterval{id}` its interval; each finding has a macro of its own
too, its id in letters: finding/memory/ratio is \\FindingMemoryRatio.
"""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.common.macros import macro_name

HEAD = r"""% Written by collect_values: \pardecvalue{id}, \pardecinterval{id}, and one macro a finding.
\makeatletter
% ~ in an id is a letter here, not a space.
\newcommand{\pardec@name}[2]{pardec@#1@\detokenize{#2}}
\newcommand{\pardec@get}[2]{\ifcsname\pardec@name{#1}{#2}\endcsname\csname\pardec@name{#1}{#2}\endcsname\else
  \PackageError{pardec}{no value \detokenize{#2}}{}\fi}
\newcommand{\pardecvalue}[1]{\pardec@get{v}{#1}}
\newcommand{\pardecinterval}[1]{\pardec@get{i}{#1}}
\newcommand{\pardec@set}[3]{\expandafter\def\csname\pardec@name{#1}{#2}\endcsname{#3}}
"""


def macros(collected: dict[str, Any]) -> str:
    """Return the text of values.tex; a null value has no macro, so using it is an error."""
    lines = [HEAD]
    for ident, value in collected["values"].items():
        if value["text"] is not None:
            lines.append(rf"\pardec@set{{v}}{{{ident}}}{{{value['text']}}}")
        if value["text_low"] is not None and value["text_high"] is not None:
            lines.append(rf"\pardec@set{{i}}{{{ident}}}{{[{value['text_low']}, {value['text_high']}]}}")
    lines.append(r"\makeatother")
    named = [
        (ident, value["text"]) for ident, value in collected["values"].items() if value["text"] is not None
    ]
    taken: dict[str, str] = {}
    for ident, text in named:
        if ident.startswith("finding/"):
            name = macro_name(ident)
            if taken.setdefault(name, ident) != ident:
                message = f"and {taken[name]!r} have one LaTeX macro, {name}"
                raise UserError(
                    f"value {ident!r}", message, "rename a workload, arm or experiment of the study"
                )
            lines.append(rf"\newcommand{{\{name}}}{{{escaped(text)}}}")
    return "\n".join(lines) + "\n"


SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def escaped(text: str) -> str:
    """Return text escaped for LaTeX."""
    return "".join(SPECIAL.get(character, character) for character in text)
