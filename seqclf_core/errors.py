"""Errors whose message is meant for the user: what was given, what was expected, what to do."""


class UserError(Exception):
    """A mistake at the door. Commands print its message, without a traceback, and exit with status 2."""


class DataError(UserError):
    """Reviews that cannot be used; the message names the file and row where there is one."""


class SavedError(UserError):
    """A model folder or checkpoint that cannot be used; the message names the file."""


class NotFiniteError(Exception):
    """The loss left the real numbers: an outcome of a run, not a fault of the machine."""
