"""`pardec trace`: the chain of one number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.tree import Tree

    from pardec.audit.trace import Link


def trace(
    value: Annotated[str, typer.Argument(help="id of a value, as in values.json or a link of the report")],
    results: Annotated[Path, typer.Option(help="folder of results, or an archive", show_default=True)] = Path(
        "results"
    ),
) -> None:
    """Print where a value came from, down to its samples and data, and where it is printed.

    Exit status 1 if a file in the chain is not the one that was recorded.
    """
    from rich.tree import Tree

    from pardec.audit.archive import open_run
    from pardec.audit.trace import trace as follow
    from pardec.cli.guard import console

    with open_run(results) as run:
        chain = follow(run, value.removeprefix("#"))
    page = console()
    page.print(grown(Tree("", hide_root=True), chain.value), soft_wrap=True)
    page.print("printed in" if chain.printed else "printed nowhere", style="bold")
    for place in chain.printed:
        page.print(f"  {place}", markup=False, soft_wrap=True)
    if broken(chain.value):
        page.print("A file above is not the one that was recorded: see `pardec verify`.", style="bold red")
        raise typer.Exit(1)


def grown(tree: Tree, link: Link) -> Tree:
    """Return `tree` with `link` and all below it as branches."""
    from rich.text import Text

    mark, style = {True: ("✓ ", "green"), False: ("✗ ", "red"), None: ("", "")}[link.matches]
    title = Text(mark, style=style).append(link.title, style="bold")
    branch = tree.add(title)
    for name, text in link.facts:
        branch.add(Text(f"{name}: ", style="dim").append(text, style="none"))
    for below in link.below:
        grown(branch, below)
    return tree


def broken(link: Link) -> bool:
    """Return whether this link, or any below it, no longer matches its hash."""
    return link.matches is False or any(map(broken, link.below))
