"""The page of commands has the help of each: `python -m tests.cli.test_commands_page` writes it anew."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Literal, get_args, get_origin

from typer.models import ArgumentInfo

from leadsquared_async.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """\
# Commands and options

Every command with its options, as `leadsquared COMMAND --help` shows them. How to use them, and the exit
statuses: [the command line](command-line.md).
"""


def page() -> str:
    return "\n".join([HEAD, *(line for name, command in commands() for line in section(name, command))])


def commands() -> Iterator[tuple[str, Callable[..., object]]]:
    """The commands with their names, those of the group `outbox` at the end."""
    (group,) = app.registered_groups
    assert group.typer_instance is not None
    for prefix, registered in (("", app), ("outbox ", group.typer_instance)):
        for command in registered.registered_commands:
            assert command.callback is not None
            yield f"leadsquared {prefix}{command.callback.__name__}", command.callback


def section(name: str, command: Callable[..., object]) -> Iterator[str]:
    yield f"## {name}\n"
    for paragraph in (inspect.getdoc(command) or "").split("\n\n"):
        text, _, example = paragraph.replace("\n", " ").partition("Example: ")
        if text:
            yield f"{text.strip()}\n"
        if example:
            yield f"```sh\n{example}\n```\n"
    yield "| Option | Effect |\n|---|---|"
    yield "\n".join(row(parameter) for parameter in inspect.signature(command).parameters.values()) + "\n"


def row(parameter: inspect.Parameter) -> str:
    kind, info = get_args(parameter.annotation)
    if isinstance(info, ArgumentInfo):
        names = (info.metavar or parameter.name).upper()
    else:  # typer keeps the first name of an option as its default
        names = ", ".join([info.default, *(info.param_decls or ())]) + f" {info.metavar or ''}"
    choices = "" if info.metavar else ", ".join(choices_of(kind))
    return f"| `{names.strip()}` | {f'{choices}. ' if choices else ''}{info.help} |".replace("<", "&lt;")


def choices_of(kind: object) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(member.value for member in kind)
    return next(filter(None, map(choices_of, get_args(kind))), ())


def test_the_page_has_each_command_as_it_is() -> None:
    """Each command, with its help and the help of its options."""
    assert PAGE.read_text() == page(), "changed on purpose? python -m tests.cli.test_commands_page"


if __name__ == "__main__":
    PAGE.write_text(page())
