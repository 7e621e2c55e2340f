"""The `pardec` command."""

from __future__ import annotations

import typer

from pardec.cli.archive import archive
from pardec.cli.compare import compare
from pardec.cli.guard import guarded
from pardec.cli.merge import merge
from pardec.cli.plan import plan
from pardec.cli.publish import publish
from pardec.cli.status import status
from pardec.cli.trace import trace
from pardec.cli.verify import verify

app = typer.Typer(
    name="pardec",
    help="Check the numbers of a run: where each comes from, whether it follows, whether another run agrees.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (trace, verify, compare, archive, publish, merge, status, plan):
    app.command()(guarded(command))
