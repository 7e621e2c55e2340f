"""`pardec verify`: does every file follow from those below it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    results: Annotated[Path, typer.Argument(help="folder of results, or an archive")] = Path("results"),
    code: Annotated[
        bool | None,
        typer.Option(
            "--code/--no-code",
            help="whether the code that ran must be the code here; by default for a folder, not for an archive",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make everything above a run's records again and name each file that does not follow, the lowest first.

    Exit status 0 if all hold, 1 if any does not.
    """
    import time

    from rich.table import Table
    from rich.text import Text

    from pardec.audit.archive import open_run
    from pardec.audit.verify import verify as check
    from pardec.cli.guard import console
    from pardec.evidence.provenance import ROOT

    begin = time.monotonic()
    page = console()
    with open_run(results) as run:
        wanted = not run.archived if code is None else code
        beside = run.folder.parent  # the project the results lie in, whatever copy of pardec is installed
        root = beside if (beside / "Snakefile").is_file() else ROOT
        verdict = check(run, root if wanted else None)
    for note in verdict.notes:
        page.print(f"note: {note}", markup=False, style="dim", soft_wrap=True)
    counts = ", ".join(f"{number} {name}" for name, number in verdict.checked.items())
    spent = f"{counts}, {time.monotonic() - begin:.1f} s"
    if not verdict.faults:
        page.print(f"Every file follows from those below it ({spent}).", style="green")
        return
    table = Table("file", "what is wrong", title="Lowest first", title_justify="left")
    for fault in verdict.faults:
        table.add_row(Text(fault.path, overflow="fold"), Text(fault.why, overflow="fold"))
    page.print(table)
    lowest = verdict.faults[0]
    several = len(verdict.faults) > 1
    page.print(
        f"{len(verdict.faults)} {'files do' if several else 'file does'} not hold ({spent}). First: {lowest.path}",
        markup=False,
        style="red",
        soft_wrap=True,
    )
    raise typer.Exit(1)
