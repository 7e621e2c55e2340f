"""The one exception a user is meant to read."""


class UserError(Exception):
    """Bad input, told once: where it is, what is wrong, and how to mend it.

    Scripts print it without a traceback and exit with status 2.
    """

    def __init__(self, where: str, what: str, fix: str):
        self.where, self.what, self.fix = str(where), what, fix
        super().__init__(f"{where}: {what}\n  fix: {fix}")
