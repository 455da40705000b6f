"""Errors whose message is meant for the user: what was given, what was expected, what to do."""

from __future__ import annotations

import errno
import re

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UserError(Exception):
    """Invalid input. Commands print its message, without a traceback, and exit with status 2."""


class DataError(UserError):
    """Reviews that cannot be used; the message names the file and row where there is one."""


class SavedError(UserError):
    """A model folder or checkpoint that cannot be used; the message names the file."""


class DeviceError(UserError):
    """A device that was asked for and is not here; another machine may have it."""


class NotFiniteError(Exception):
    """The loss is NaN or infinite: an outcome of a run, not a fault of the machine."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is the cause of an error; each library reports it in its own way."""
    if error is None:
        return False
    if isinstance(error, OSError) and (
        error.errno in _FULL or re.search(r"requested and \d+ written", str(error))
    ):
        return True  # the second is NumPy's
    number = re.search(r"\(os error (\d+)\)", str(error))  # of libraries in Rust
    return bool(number and int(number[1]) in _FULL) or is_disk_full(error.__cause__)


_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_FILES = {errno.EMFILE, errno.ENFILE}


def machine_refusal(error: BaseException | None) -> str | None:
    """Say in a line what the machine does not allow, where that is the cause of an error; else None."""
    if error is None:
        return None
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in _REFUSED:
            return f"{where}{error.strerror}. Mend the permission, or name a folder that can be written to."
        if error.errno in NO_LOCKS:
            return f"{where}its file system has no locks ({error.strerror}). Name a folder on a local disk."
        if error.errno in _NO_FILES:
            return f"{where}{error.strerror}. `ulimit -n 1024` lets this shell's commands open more at a time."
    return machine_refusal(error.__cause__)
