"""Entry and exit of every script."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pardec.common.errors import UserError


def main_guard(main: Callable[[], object]) -> int:
    """Run `main` and return the exit status: 0, or 2 after a `UserError`, which is printed without a traceback.

    Any other exception is a fault of this project and propagates.
    """
    _leave_script_folder()
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _leave_script_folder() -> None:
    # Python puts a script's own folder first on the import path, where our scripts/tabulate.py would hide the
    # package tabulate that sacrebleu imports.
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and sys.path and sys.path[0] == os.path.dirname(os.path.abspath(script)):
        del sys.path[0]
