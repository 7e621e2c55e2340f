"""How every subcommand ends when its input is bad, and what it prints on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from pardec.common.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 20_000
"""Columns outside a terminal: no id or command is cut in a pipe or a log."""


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return `command`, with a `UserError` printed without a traceback and exit status 2."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None

    return run


def console() -> Console:
    """Return standard output: a terminal at its width, anything else wide and plain."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=WIDE, no_color=True)
