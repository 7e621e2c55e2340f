"""`pardec publish`: a finished run as what other machines are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def publish(
    results: Annotated[
        Path,
        typer.Argument(help="folder of results, or an archive: everything except its records is made again"),
    ] = Path("results"),
    study: Annotated[str, typer.Option(help="the study whose run is to be published")] = "paper",
    to: Annotated[Path, typer.Option(help="folder to write to")] = Path("results/published"),
    picture: Annotated[Path | None, typer.Option(help="where to copy the figure `pareto`")] = None,
    level: Annotated[
        int,
        typer.Option(
            min=1, max=19, help="compression: 19 takes minutes, and saves a tenth or more against 9"
        ),
    ] = 19,
) -> None:
    """Write a run's archive, page, claims and, apart from them, the weights that it trained.

    A training of the same recipe then takes these weights, and `make all` compares itself with this run. Of an archive,
    tables, figures, values, verdicts, page and crate are made again from its records by the code here, which takes some
    minutes and measures nothing; records, outputs and scores stay byte for byte.
    """
    from pardec.audit.archive import open_run
    from pardec.audit.derive import derive
    from pardec.audit.publish import publish_run
    from pardec.cli.guard import console
    from pardec.common.errors import UserError

    with open_run(results) as run:
        name = (run.json("results/study.json") or {}).get("name")
        if name != study:
            raise UserError(
                results, f"contains a run of study {name!r}", f"run `make {study}`, or give --study {name}"
            )
        written = publish_run(derive(run) if run.archived else run, to, picture, run.archived, level)
    total = sum(path.stat().st_size for path in written)
    for path in written:
        console().print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", markup=False, soft_wrap=True)
    console().print(
        f"{len(written)} files, {total / 1e6:.1f} MB. Now: git add {to}", markup=False, soft_wrap=True
    )
