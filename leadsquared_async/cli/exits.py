"""Exit statuses, and the error that ends a command."""

from __future__ import annotations

import errno
import os
from enum import IntEnum

from leadsquared_async.errors import ConfigurationError, Fault, LeadSquaredError, OutboxError

__all__ = ["CommandFailedError", "ExitStatus", "error_text", "is_closed_pipe", "status_of"]


class ExitStatus(IntEnum):
    DONE = 0
    """Everything was delivered, or nothing is wrong."""
    NOT_ALL = 1
    """Some leads were rejected or are unknown."""
    USAGE = 2
    """An option, the environment or the input is invalid; nothing was sent."""
    LEFT = 3
    """Interrupted, or no answer: the same command continues with what is not delivered yet."""
    ACCOUNT = 4
    """The account rejects all calls: keys, host, permissions or quota."""
    FAIL_ON = 5
    """An outbox has items in a state that `--fail-on` names; nothing else is wrong."""


class CommandFailedError(Exception):
    """Ends the command: its text is shown to the user, and `status` is the exit status."""

    def __init__(self, what: str, status: ExitStatus = ExitStatus.USAGE) -> None:
        super().__init__(what)
        self.status = status


def is_closed_pipe(error: OSError) -> bool:
    """Whether the reader of a pipe has closed it, such as `head`; Windows reports an invalid argument."""
    is_windows = os.name == "nt" and error.errno == errno.EINVAL and error.filename is None
    return is_windows or isinstance(error, BrokenPipeError)


def error_text(error: Exception) -> str:
    """The message of an error; of the system's errors with the file."""
    if not isinstance(error, OSError):
        return str(error)
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or type(error).__name__}"


def status_of(error: Exception) -> ExitStatus:
    if isinstance(error, CommandFailedError):
        return error.status
    if not isinstance(error, LeadSquaredError) or isinstance(error, ConfigurationError | OutboxError):
        return ExitStatus.USAGE
    if error.fault is Fault.ACCOUNT:
        return ExitStatus.ACCOUNT
    return ExitStatus.NOT_ALL if error.fault is Fault.LEAD else ExitStatus.LEFT
