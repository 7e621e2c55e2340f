"""The exceptions that a user is meant to read."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input, told once: where it is, what is wrong, and how to mend it.

    Scripts print it without a traceback and exit with status 2.
    """

    def __init__(self, where: str, what: str, fix: str):
        self.where, self.what, self.fix = str(where), what, fix
        super().__init__(f"{where}: {what}\n  fix: {fix}")


class UnfitError(UserError):
    """An arm that cannot run: its model, settings, companions, prompts or engine do not fit each other. In a study it
    is a result like any other ending, with a row and its reason."""


@contextmanager
def unfit() -> Iterator[None]:
    """Turn a `UserError` from inside into an `UnfitError`, notes kept."""
    try:
        yield
    except UserError as error:
        if isinstance(error, UnfitError):
            raise
        changed = UnfitError(error.where, error.what, error.fix)
        for note in getattr(error, "__notes__", ()):
            changed.add_note(note)
        raise changed from None
