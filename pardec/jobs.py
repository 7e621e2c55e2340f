"""What every script does around its own work: note when it began, what it read and what it loaded by name; write
where its results came from; and end with one message where the input is bad.

    with job() as this:
        options = parser.parse_args()
        this.read(options.table)
        ...
        this.seal(options.out, body)            # a JSON file that contains its own provenance
        this.sign(options.out_csv, figure)      # or a file beside others that cannot
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.evidence.provenance import hashed, now, provenance, sealed, sidecar, signed

BAD_INPUT = 2
"""Exit status after a `UserError`; any other exception is a fault of this project, and keeps its traceback."""


class Job:
    """One run of a script.

    argv: the script and its arguments. begin: when it began. rule: where it is not named after the script.
    wildcards, seed: of the rule that runs it; may be set later. facts: further entries of its provenance.
    """

    def __init__(self, argv: Sequence[str] | None = None, begin: str | None = None):
        self.argv = list(sys.argv if argv is None else argv)
        self.begin = begin or now()
        self.rule: str | None = None
        self.wildcards: dict[str, str] = {}
        self.seed: int | None = None
        self.facts: dict[str, Any] = {}
        self._read: dict[Path, tuple[int, ...]] = {}
        self._modules: dict[str, None] = {}

    def read(self, *paths: str | Path) -> None:
        """Note files as inputs. Called before they are read, it makes sure that they stay as they are until the
        provenance is written."""
        for path in map(Path, paths):
            self._read.setdefault(path, _state(path))

    def load(self, *modules: str) -> None:
        """Note project modules that are loaded by name, which no import in the script's text shows."""
        self._modules.update(dict.fromkeys(modules))

    def load_models(self, *folders: str | Path) -> None:
        """Note the modules that models in `folders` load by name."""
        self.load(*loaded_models(*folders))

    @property
    def inputs(self) -> list[dict[str, str]]:
        """The files noted as inputs, with their hashes."""
        return hashed(self._read)

    def provenance(self, outputs: Sequence[str | Path] = ()) -> dict[str, Any]:
        """Return the provenance block up to now. outputs: files already written.

        Raises:
            UserError: an input is not what it was when it was noted.
        """
        for path, state in self._read.items():
            if _state(path) != state:
                raise UserError(path, "changed while this job read it", "run the same command again")
        block = provenance(
            self.argv,
            self.begin,
            list(self._read),
            modules=list(self._modules),
            wildcards=self.wildcards,
            seed=self.seed,
            rule=self.rule,
            outputs=outputs,
        )
        return block | self.facts if block else block

    def seal(self, path: str | Path, body: dict[str, Any]) -> None:
        """Write `body` as JSON with its own provenance under the key `provenance`."""
        write_json(path, sealed(path, {**body, "provenance": self.provenance()}))

    def sign(self, *paths: str | Path, beside: str | Path | None = None) -> None:
        """Write the provenance of `paths`, which this job has just written, to the file `beside` them: by default
        `<name of the first>.provenance.json`. Within `unrecorded` nothing is written: another job may be reading the
        provenance that lies there."""
        if block := self.provenance(paths):
            write_json(beside or sidecar(paths[0]), signed(block))


def loaded_models(*folders: str | Path) -> list[str]:
    """Return the modules that models in `folders` load by name; a model whose config.json is damaged loads none."""
    from pardec.models.checkpoints.configs import modules_of

    modules: list[str] = []
    for folder in folders:
        with suppress(UserError):
            modules += modules_of(folder)
    return modules


@contextmanager
def job(argv: Sequence[str] | None = None, begin: str | None = None) -> Iterator[Job]:
    """A `Job` that begins now; a `UserError` in its body is printed without a traceback and ends the process with
    status 2. What a job prints goes to its log, which the rule keeps."""
    leave_script_folder()
    try:
        yield Job(argv, begin)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None


def leave_script_folder() -> None:
    """Take a script's own folder off the import path, where Python puts it first: our scripts/tabulate.py would hide
    the package tabulate that sacrebleu imports."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and sys.path and sys.path[0] == os.path.dirname(os.path.abspath(script)):
        del sys.path[0]


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written again, in place or under a new inode."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
