"""Options that several commands have, declared once."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated

import typer

from leadsquared_async.cli.durations import seconds_of, time_of_day

__all__ = ["AsJson", "Host", "OutboxFiles", "Rate", "Region", "clock_time", "duration", "pairs"]

AsJson = Annotated[bool, typer.Option("--json", help="Give the result as one line of JSON, for programs.")]
Host = Annotated[
    str | None, typer.Option(help="The asynchronous host, such as https://...; else LEADSQUARED_HOST.")
]
Region = Annotated[str | None, typer.Option(help="in21, us11 or sg; else LEADSQUARED_REGION.")]
Rate = Annotated[
    str | None,
    typer.Option(
        help="Calls in seconds, such as 20/5, to leave room for others; else LEADSQUARED_RATE_LIMIT."
    ),
]
OutboxFiles = Annotated[list[Path], typer.Argument(help="Outbox files.", metavar="FILE...")]


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, each name once; what is given may be personal, so a message shows none of it.

    Raises:
        typer.BadParameter: it is written otherwise.
    """
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or name.strip() in found:
            raise typer.BadParameter("is written as NAME=VALUE, each name once", param_hint=option)
        found[name.strip()] = value
    return found


def duration(option: str, text: str) -> float:
    """The seconds of 10m.

    Raises:
        typer.BadParameter: it is written otherwise.
    """
    try:
        return seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def clock_time(option: str, text: str) -> time:
    """The time of 07:00.

    Raises:
        typer.BadParameter: it is written otherwise.
    """
    try:
        return time_of_day(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
