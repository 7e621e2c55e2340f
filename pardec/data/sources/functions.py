"""Requests about the functions of a Python library: training prompts for a draft of a chat model.

Each function with a docstring gives up to four: to complete it after its docstring, to rename one of its variables, to
replace a word of its description, and to say what it does. The library is a pinned wheel, which is read and never run.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.packages import Wheel, texts
from pardec.data.sources.base import Prepared, Source
from pardec.data.split import heldout_keys, record

NAMES = [
    "amount",
    "current",
    "entry",
    "first",
    "group",
    "label",
    "number",
    "other",
    "part",
    "result",
    "source",
    "total",
]
"""New names of variables, and new words."""
MARKUP = re.compile("[-=]{3}|>>>")
"""What paragraphs of a docstring have that are no prose."""
MOST_LINES = 14
"""Longest function that is to be written again, in lines without its docstring."""


class Functions(Wheel, Source):
    """Requests about the functions of a pinned wheel, as one model's chat template asks them."""

    source: Literal["functions"]
    """Where the data comes from."""
    model: str = Field(min_length=1)
    """The study's model that is to answer; its tokenizer and its chat template are those of the records."""
    mask: str = Field(min_length=1)
    """A special token of its vocabulary that no text has: the mask token of a draft that learns from the answers."""
    about: str = Field("a Python library", min_length=1)
    """What the library is, as questions call it."""
    most_characters: int = Field(600, ge=1)
    """Longest request."""
    train: int = Field(1200, ge=4, le=1_000_000)
    """Most training records, as many of each kind of request."""
    heldout: int = Field(24, ge=1, le=100_000)
    """Held-out functions, at most; none of their requests is learned."""

    def build(self, seed: int) -> Prepared:
        files = texts(self, ".py")
        functions = {f"{path}:{one.name}": one for path, text in files for one in documented(path, text)}
        if not functions:
            raise UserError(f"package {self.name}", "has no function with a docstring", "name another one")
        kept = heldout_keys(functions, seed, self.heldout)
        sides: dict[bool, dict[str, list[dict]]] = {True: {}, False: {}}
        for key, one in functions.items():
            for task, prompt, answer in requests(one, self.about, Random(f"{seed}/{key}")):
                if len(prompt) <= self.most_characters:
                    sides[key in kept].setdefault(task, []).append(record(task, prompt, answer))
        if not all(sides.values()):
            what = f"has no request of at most {self.most_characters} characters"
            raise UserError(f"package {self.name}", what, "raise most_characters, or name another library")
        share = self.train // len(sides[False])
        train = [row for rows in sides[False].values() for row in _sample(rows, share, seed)]
        heldout = [row for rows in sides[True].values() for row in rows]
        read = hashlib.sha256("".join(text for _, text in files).encode()).hexdigest()
        facts = {
            "text": {"name": f"{self.name} {self.version}", "wheel_sha256": self.sha256, "sha256": read},
            "functions": {"train": len(functions) - len(kept), "heldout": len(kept)},
            "model": self.model,
        }
        return Prepared(train, heldout, None, True, facts)


class Documented:
    """A function of a library: its name, header, docstring and body as text."""

    def __init__(self, text: str, node: ast.FunctionDef):
        lines = text.split("\n")
        first, body = node.lineno - 1, node.body
        self.name = node.name
        self.header = "\n".join(lines[first : body[0].lineno - 1])
        self.paragraphs = [
            " ".join(part.split()) for part in re.split(r"\n\s*\n", ast.get_docstring(node) or "")
        ]
        self.body = "\n".join(lines[body[0].end_lineno : node.end_lineno]).strip("\n")
        bound = [argument.arg for argument in node.args.args]
        inner = [one for part in body[1:] for one in ast.walk(part)]
        bound += [one.id for one in inner if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        used = Counter(one.id for one in inner if isinstance(one, ast.Name))
        self.variables = sorted({name for name in bound if used[name] > 1 and len(name) > 1})
        self.words = set(re.findall(r"[A-Za-z_]\w*", self.header + self.body))

    @property
    def short(self) -> str:
        """Return the function without its docstring."""
        return f"{self.header}\n{self.body}"


def documented(path: str, text: str) -> Iterator[Documented]:
    """Yield the public functions of a Python file that have a docstring and a body behind it; tests have none.

    Raises:
        UserError: this Python cannot read the file.
    """
    if "/tests/" in path:
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        version = ".".join(map(str, sys.version_info[:2]))
        fix = "name another version of the package"
        raise UserError(path, f"cannot be read by Python {version} ({error})", fix) from None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            plain = ast.get_docstring(node) and len(node.body) > 1 and node.body[0].lineno > node.lineno
            if plain:
                yield Documented(text, node)


def requests(function: Documented, library: str, rng: Random) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, request, an answer to it) of a function of `library`, each kind at most once."""
    about = function.paragraphs[0]
    yield "complete", f'{function.header}\n    """ {about}\n    """\n', function.body
    free = [name for name in NAMES if name not in function.words]
    if function.variables and free and len(function.short.split("\n")) <= MOST_LINES:
        old, new = rng.choice(function.variables), rng.choice(free)
        asked = (
            f"Rename the variable `{old}` to `{new}` and write the whole function again:\n\n{function.short}"
        )
        yield "rename", asked, re.sub(rf"\b{old}\b", new, function.short)
    longer = [part for part in function.paragraphs if 20 <= len(part.split()) <= 70]
    longer = [part for part in longer if not MARKUP.search(part)]
    if longer:
        text = rng.choice(longer)
        old, new = rng.choice(sorted(set(re.findall(r"\b[a-z]{4,}\b", text))) or ["the"]), rng.choice(NAMES)
        asked = f'Replace "{old}" with "{new}" and write the whole text again:\n\n{text}'
        yield "replace", asked, re.sub(rf"\b{old}\b", new, text)
    asked = rng.choice(
        (
            f"What does a function `{function.name}` of {library} do? Answer in three sentences.",
            f"Explain in simple words: {about}",
            f"Give me three examples of when this is useful: {about}",
        )
    )
    yield "explain", asked, about


def _sample(rows: list[dict], count: int, seed: int) -> list[dict]:
    kept = heldout_keys((row["prompt"] for row in rows), seed, count)
    return list({row["prompt"]: row for row in rows if row["prompt"] in kept}.values())
