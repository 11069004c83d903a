"""What a command ends with: its exit status, and the error whose text is for the user."""

from __future__ import annotations

from enum import IntEnum

from leadsquared_async.errors import ConfigurationError, Fault, LeadSquaredError, OutboxError

__all__ = ["CommandFailedError", "ExitStatus", "status_of", "told"]


class ExitStatus(IntEnum):
    """How a command ended."""

    DONE = 0
    """All is delivered, or all is well."""
    NOT_ALL = 1
    """Some leads were rejected, or are unknown."""
    USAGE = 2
    """An option, the environment or the input makes no sense; nothing was sent."""
    LEFT = 3
    """Interrupted, or without an answer: something is left, and the same command goes on with it."""
    ACCOUNT = 4
    """Keys, host, permissions or quota: somebody has to act before anything gets through."""
    FAIL_ON = 5
    """An outbox has items in a state that `--fail-on` names; nothing else is wrong."""


class CommandFailedError(Exception):
    """The command cannot go on; its text is for the user, its `status` to exit with."""

    def __init__(self, what: str, status: ExitStatus = ExitStatus.USAGE) -> None:
        super().__init__(what)
        self.status = status


def told(error: OSError) -> str:
    """What the system has refused, and where."""
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or type(error).__name__}"


def status_of(error: Exception) -> ExitStatus:
    """The exit status that says whose fault an error is."""
    if isinstance(error, CommandFailedError):
        return error.status
    if not isinstance(error, LeadSquaredError) or isinstance(error, ConfigurationError | OutboxError):
        return ExitStatus.USAGE
    if error.fault is Fault.ACCOUNT:
        return ExitStatus.ACCOUNT
    return ExitStatus.NOT_ALL if error.fault is Fault.LEAD else ExitStatus.LEFT
