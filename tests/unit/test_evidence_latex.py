"""values.tex: every value under its id, names that LaTeX takes, and what LaTeX itself reads back."""

import json
import os
import re
import shutil
import subprocess

import pytest

from pardec.common.errors import UserError
from pardec.evidence.latex import SPECIAL, escaped, macro_name, macros

SET = re.compile(r"\\pardec@set\{([vi])\}\{([a-z0-9._~+/-]+)\}\{([^{}\\]*)\}")
COMMAND = re.compile(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}")


@pytest.fixture(scope="module")
def results(finished):
    return finished


@pytest.fixture(scope="module")
def collected(results):
    return json.loads((results / "values.json").read_text())


def test_every_line_is_a_macro_and_every_value_has_one(results, collected):
    head, _, rest = (
        (results / "values.tex").read_text().partition(r"\csname\pardec@name{#1}{#2}\endcsname{#3}}")
    )
    sets, commands = {}, {}
    for line in rest.strip().splitlines():
        if match := SET.fullmatch(line):
            assert match.group(1, 2) not in sets, line
            sets[match.group(1, 2)] = match[3]
        elif match := COMMAND.fullmatch(line):
            assert match[1] not in commands, line
            commands[match[1]] = match[2]
        else:
            assert line == r"\makeatother", line
    values = collected["values"]
    assert {ident: text for (kind, ident), text in sets.items() if kind == "v"} == {
        ident: value["text"] for ident, value in values.items() if value["text"] is not None
    }
    assert {ident for kind, ident in sets if kind == "i"} == {
        ident for ident, value in values.items() if None not in (value["text_low"], value["text_high"])
    }
    named = [i for i, value in values.items() if i.startswith("finding/") and value["text"] is not None]
    assert set(commands) == {macro_name(ident) for ident in named} and len(commands) == len(named)
    assert head.count("{") == head.count("}") + 1  # the one that closes behind the head


def test_words_are_escaped():
    text = "50 % of a_b & {c} #1 $x$ ~ ^ \\"
    assert escaped(text) == (
        r"50 \% of a\_b \& \{c\} \#1 \$x\$ \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert set(text) & set(SPECIAL) == set(SPECIAL)


def test_two_findings_of_one_name_are_refused_in_one_message():
    entry = {"text": "1", "text_low": None, "text_high": None}
    values = {f"finding/sequence/cache_mb/{name}/ar": entry for name in ("grid-8", "grid8")}
    with pytest.raises(UserError, match=r"grid8.*grid-8.*FindingSequenceCacheMbGridEightAr"):
        macros({"values": values})


@pytest.fixture(scope="module")
def latex(results):
    """A function that runs LaTeX on a document's body and returns its exit status and log."""
    program = shutil.which("pdflatex") or shutil.which("lualatex") or shutil.which("xelatex")
    if program is None:
        pytest.skip("no LaTeX: `apt-get install texlive-latex-base`")

    def run(folder, body):
        shutil.copy(results / "values.tex", folder)
        lines = [
            r"\documentclass{article}",
            r"\input{values.tex}",
            r"\begin{document}",
            body,
            r"\end{document}",
        ]
        (folder / "paper.tex").write_text("\n".join(lines))
        env = {**os.environ, "max_print_line": "2000"}
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, env=env, timeout=120)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    return run


def test_latex_prints_every_value(latex, collected, tmp_path):
    values = {ident: v["text"] for ident, v in collected["values"].items() if v["text"] is not None}
    message = "\n".join(rf"\typeout{{<\detokenize{{{ident}}}>\pardecvalue{{{ident}}}<}}" for ident in values)
    named = [ident for ident in values if ident.startswith("finding/")]
    used = " ".join(rf"\{macro_name(ident)}" for ident in named)
    status, log = latex(tmp_path, f"{message}\n{used}")
    assert status == 0, log[-2000:]
    assert dict(re.findall(r"^<(.+?)>(.*)<$", log, re.M)) == values


def test_latex_prints_an_interval_and_refuses_an_unknown_id(latex, collected, tmp_path):
    ident, value = next((i, v) for i, v in collected["values"].items() if v["text_low"] is not None)
    status, log = latex(tmp_path, rf"\typeout{{<\pardecinterval{{{ident}}}>}} x")
    assert status == 0 and f"<[{value['text_low']}, {value['text_high']}]>" in log
    status, log = latex(tmp_path, r"\pardecvalue{no/such/value}")
    assert status != 0 and "no value no/such/value" in log
