"""Makes commands of functions: flattens their options, prints errors, exits with the returned status."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, error_text, is_closed_pipe, status_of
from leadsquared_async.cli.options import AsJson, pairs
from leadsquared_async.cli.stopping import Interrupted
from leadsquared_async.cli.terminal import Terminal, discard_results, logs_shown
from leadsquared_async.errors import LeadSquaredError, OutboxError
from leadsquared_async.printable import printable

__all__ = ["INTERRUPTED", "Interruptible", "register", "some_left"]

INTERRUPTED = "interrupted; to continue, run the same command again"
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""From click, or from the copy that later versions of typer vendor."""


def register(group: typer.Typer, panel: str | None, *commands: Callable[..., ExitStatus]) -> None:
    """Make commands of functions that return the exit status, and show them in a panel of the help text.

    A parameter that is a dataclass stands for the options that its annotated fields declare, a `Terminal` for
    the option `--json`.
    """
    prefix = "" if group.info.name == "leadsquared" else f"{group.info.name} "
    for command in commands:
        group.command(cls=_Command, rich_help_panel=panel)(_runnable(f"{prefix}{command.__name__}", command))


def _runnable(name: str, command: Callable[..., ExitStatus]) -> Callable[..., None]:
    hints = get_type_hints(command, include_extras=True)
    groups = dict[str, tuple[Callable[..., Any], list[str]]]()
    parameters = list[tuple[Parameter, Any]]()
    for each, parameter in signature(command).parameters.items():
        if hints[each] is Terminal:
            parameters.append((parameter.replace(name="as_json", default=False), AsJson))
        elif is_dataclass(hints[each]):
            group: Any = hints[each]
            types = get_type_hints(group, include_extras=True)
            own = [one for one in signature(group).parameters if get_origin(types[one]) is Annotated]
            groups[each] = group, own
            parameters += [(signature(group).parameters[one], types[one]) for one in own]
        else:
            parameters.append((parameter, hints[each]))
    options = [_option(*each) for each in parameters]

    @wraps(command)
    def run(**given: Any) -> None:
        for parameter, hint in parameters:
            kind = get_origin(get_args(hint)[0])
            if kind is Mapping:
                # typer keeps the first name of an option here
                given[parameter.name] = pairs(get_args(hint)[1].default, given[parameter.name])
            elif kind is Collection:
                given[parameter.name] = given[parameter.name] or parameter.default
        terminal = Terminal(as_json=given.pop("as_json", False))
        for each, (group, own) in groups.items():
            given[each] = group(**{one: given.pop(one) for one in own})
        given |= {each: terminal for each, hint in hints.items() if hint is Terminal}
        with _ending(name, terminal), logs_shown(terminal):
            status = command(**given)
        raise typer.Exit(status)

    run.__signature__ = Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _option(parameter: Parameter, hint: Any) -> Parameter:
    """Convert to what typer accepts, which is lists only."""
    kind, *metadata = get_args(hint)
    if get_origin(kind) in {Collection, Mapping}:
        hint = Annotated[list[str] | None, *metadata]
        parameter = parameter.replace(default=None)
    return parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY)


class _Command(TyperCommand):
    """A command whose help text shows no metavar for flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class Interruptible(TyperGroup):
    """A group of commands; Ctrl-C before or after a command runs exits with the same status."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _interruptible("interrupted; nothing was sent"):
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _interruptible(INTERRUPTED):
            return super().invoke(ctx)


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


@contextmanager
def _interruptible(what: str) -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"leadsquared: {what}", err=True)
        raise typer.Exit(ExitStatus.LEFT) from None
    except _UsageError as error:  # its text may quote the arguments
        error.message = printable(error.message)
        raise


@contextmanager
def _ending(command: str, terminal: Terminal) -> Generator[None]:
    """Turn each expected error into a message and an exit status; never a traceback."""
    try:
        yield
    except (CommandFailedError, LeadSquaredError) as error:
        first, *details = str(error).splitlines() or [""]
        for line in (f"leadsquared {command}: {first}", *(f"  {detail}" for detail in details)):
            terminal.say(line)
        raise typer.Exit(status_of(error)) from None
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        terminal.say(f"leadsquared {command}: {INTERRUPTED}")
        raise typer.Exit(ExitStatus.LEFT) from None
    except OSError as error:
        if is_closed_pipe(error):
            discard_results()  # not an error
            raise typer.Exit(ExitStatus.DONE) from None
        terminal.say(f"leadsquared {command}: {error_text(error)}")
        raise typer.Exit(ExitStatus.USAGE) from None


@contextmanager
def some_left() -> Generator[None]:
    """Exit with LEFT on errors after delivery began: some rows may have been sent."""
    try:
        yield
    except (OSError, OutboxError) as error:
        if isinstance(error, OSError) and is_closed_pipe(error):
            raise
        raise CommandFailedError(error_text(error), ExitStatus.LEFT) from None
