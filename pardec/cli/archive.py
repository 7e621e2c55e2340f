"""`pardec archive`: a run in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def archive(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="[RESULTS] OUT.tar.zst", help="folder of results, and the file to write"),
    ],
) -> None:
    """Write a run as one archive with a manifest; the same run gives the same bytes.

    The archive contains everything but logs and other archives; `verify`, `compare` and `trace` read it.
    """
    from pardec.audit.archive import open_run, write_archive
    from pardec.cli.guard import console
    from pardec.common.errors import UserError
    from pardec.common.files import sha256

    if len(paths) > 2:
        raise UserError(str(paths[2]), "is one name too many", "name the results and the file to write")
    results, out = paths if len(paths) == 2 else (Path("results"), paths[0])
    if not results.is_dir():
        raise UserError(
            results, "is not a folder", "name the folder of results first, then the file to write"
        )
    with open_run(results) as run:
        manifest = write_archive(run, out)
    total = sum(entry["bytes"] for entry in manifest["files"].values())
    console().print(
        f"{out}: {len(manifest['files'])} files, {total / 1e6:.1f} MB in {out.stat().st_size / 1e6:.1f} MB,"
        f" sha256 {sha256(out)}",
        markup=False,
        soft_wrap=True,
    )
