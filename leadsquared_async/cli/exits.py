"""What a command ends with: its exit status, and one sentence for what went wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum

import typer

from leadsquared_async.cli.files.mapping import Refused
from leadsquared_async.cli.files.rows import Unreadable
from leadsquared_async.cli.stopping import Interrupted
from leadsquared_async.cli.talk import Talk
from leadsquared_async.errors import ConfigurationError, Fault, LeadSquaredError, OutboxError

__all__ = ["CommandFailedError", "ExitStatus", "ending", "status_of"]


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


class CommandFailedError(Exception):
    """The command cannot go on; its text is for the user.

    Attributes:
        status: to exit with.
    """

    def __init__(self, what: str, status: ExitStatus = ExitStatus.USAGE) -> None:
        super().__init__(what)
        self.status = status


@contextmanager
def ending(command: str, talk: Talk) -> Generator[None]:
    """Make of each foreseeable fault one message and its exit status; never a traceback.

    Raises:
        typer.Exit: with the status.
    """
    try:
        yield
    except (CommandFailedError, Refused, Unreadable, LeadSquaredError) as error:
        talk.say(f"leadsquared {command}: {error}")
        raise typer.Exit(status_of(error)) from None
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        talk.say(f"leadsquared {command}: interrupted; the same command goes on where this one stopped")
        raise typer.Exit(ExitStatus.LEFT) from None
    except BrokenPipeError:
        raise  # whoever read the results has left: not to be talked about
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        talk.say(f"leadsquared {command}: {place}{error.strerror or type(error).__name__}")
        raise typer.Exit(ExitStatus.USAGE) from None


def status_of(error: Exception) -> ExitStatus:
    """The exit status that says whose fault an error is."""
    if isinstance(error, CommandFailedError):
        return error.status
    if not isinstance(error, LeadSquaredError) or isinstance(error, ConfigurationError | OutboxError):
        return ExitStatus.USAGE
    if error.fault is Fault.ACCOUNT:
        return ExitStatus.ACCOUNT
    return ExitStatus.NOT_ALL if error.fault is Fault.LEAD else ExitStatus.LEFT
