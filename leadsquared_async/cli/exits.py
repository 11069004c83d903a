"""What a command ends with: its exit status, and one sentence for what went wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from leadsquared_async.cli.files.mapping import MappingError
from leadsquared_async.cli.files.rows import Unreadable
from leadsquared_async.cli.stopping import Interrupted
from leadsquared_async.cli.terminal import Terminal, discard_results
from leadsquared_async.errors import ConfigurationError, Fault, LeadSquaredError, OutboxError
from leadsquared_async.printable import printable

__all__ = [
    "Command", "CommandFailedError", "ExitStatus", "Group", "Interruptible", "ending", "some_left",
    "status_of", "told",
]  # fmt: skip


_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""Of click, or of the copy of it that later versions of typer have inside."""


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
    """The command cannot go on; its text is for the user.

    Attributes:
        status: to exit with.
    """

    def __init__(self, what: str, status: ExitStatus = ExitStatus.USAGE) -> None:
        super().__init__(what)
        self.status = status


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    """In a help text, a flag does not look as if it took a value."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class Interruptible(Group):
    """All commands; a Ctrl-C outside of what they listen for ends with the same status as one inside."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the arguments."""
        with _interruptible("nothing was sent"):
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _interruptible("the same command goes on where this one stopped"):
            return super().invoke(ctx)


@contextmanager
def _interruptible(what: str) -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"leadsquared: interrupted; {what}", err=True)
        raise typer.Exit(ExitStatus.LEFT) from None
    except _UsageError as error:  # its text may repeat what was given
        error.message = printable(error.message)
        raise


@contextmanager
def ending(command: str, terminal: Terminal) -> Generator[None]:
    """Make of each foreseeable fault one message and its exit status; never a traceback.

    Raises:
        typer.Exit: with the status.
    """
    try:
        yield
    except (CommandFailedError, MappingError, Unreadable, LeadSquaredError) as error:
        first, *others = str(error).splitlines() or [""]
        for line in (f"leadsquared {command}: {first}", *(f"  {other}" for other in others)):
            terminal.say(line)
        raise typer.Exit(status_of(error)) from None
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        terminal.say(f"leadsquared {command}: interrupted; the same command goes on where this one stopped")
        raise typer.Exit(ExitStatus.LEFT) from None
    except BrokenPipeError:
        discard_results()  # whoever read them has left: not to be talked about, and no row's failure
        raise typer.Exit(ExitStatus.DONE) from None
    except OSError as error:
        terminal.say(f"leadsquared {command}: {told(error)}")
        raise typer.Exit(ExitStatus.USAGE) from None


@contextmanager
def some_left() -> Generator[None]:
    """What goes wrong once rows are put is no bad usage: something may have been sent, the rest is left.

    Raises:
        CommandFailedError: it went wrong.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailedError(told(error), ExitStatus.LEFT) from None
    except OutboxError as error:
        raise CommandFailedError(str(error), ExitStatus.LEFT) from None


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
