"""The one kind of error that a user is meant to read."""


class PullbackError(Exception):
    """Something a user can mend: its text says what is wrong, where, and what to do, in one line a problem."""
