"""Exceptions whose messages are for the user."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input, reported as one message: its place, the fault, and the fix.

    Scripts print it without a traceback and exit with status 2.
    """

    def __init__(self, where: object, what: str, fix: str):
        self.where, self.what, self.fix = str(where), what, fix
        super().__init__(f"{where}: {what}\n  fix: {fix}")


class UnfitError(UserError):
    """An arm that cannot run: its model, settings, companions, prompts or engine do not fit each other. In a study this
    is a result like any other outcome: a row with its reason."""


@contextmanager
def unfit() -> Iterator[None]:
    """Convert a `UserError` inside the block into an `UnfitError`, with its notes."""
    try:
        yield
    except UserError as error:
        if isinstance(error, UnfitError):
            raise
        changed = UnfitError(error.where, error.what, error.fix)
        for note in getattr(error, "__notes__", ()):
            changed.add_note(note)
        raise changed from None
