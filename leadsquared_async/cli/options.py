"""Options that several commands have, declared once."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated

import typer

from leadsquared_async.cli.durations import seconds_of, time_of_day
from leadsquared_async.operations import OPERATIONS

__all__ = [
    "AsJson",
    "BulkRate",
    "Columns",
    "Constants",
    "DateFormat",
    "Dates",
    "Delimiter",
    "Encoding",
    "FailOn",
    "Format",
    "Host",
    "Ignored",
    "InputFile",
    "KeyColumn",
    "NoConfirm",
    "OfOperation",
    "OutFile",
    "OutboxFile",
    "OutboxFiles",
    "Partial",
    "Rate",
    "Region",
    "RejectsFile",
    "SearchBy",
    "Timezone",
    "Verbatim",
    "clock_time",
    "duration",
    "pairs",
]

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
BulkRate = Annotated[
    str | None, typer.Option(help="Bulk calls in seconds, such as 5/5, as the plan allows them; else 1/5.")
]
OutboxFiles = Annotated[list[Path], typer.Argument(help="Outbox files.", metavar="FILE...")]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        metavar="STATES",
        help="Exit with 5 if the outbox has items in one of these states, such as rejected,unknown.",
    ),
]
NoConfirm = Annotated[bool, typer.Option("--no-confirm", help="Do not follow leads to their outcome.")]
OfOperation = Annotated[
    str,
    typer.Option("--operation", metavar="NAME", help=f"What was submitted: {', '.join(OPERATIONS)}."),
]

# How a file is read, and how its rows become leads.

InputFile = Annotated[str, typer.Argument(metavar="FILE", help="CSV or JSON; - for standard input.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=NAME", help="The schema name that a column becomes."),
]
Constants = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="What every lead gets, such as Source=Website."),
]
Ignored = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column that is not sent.")]
Verbatim = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column where 12E+3 or #N/A is meant, and no damage."),
]
Dates = Annotated[
    list[str] | None, typer.Option("--date", metavar="COLUMN", help="A column that holds dates or times.")
]
DateFormat = Annotated[
    str | None, typer.Option(help="How dates are written, such as %d/%m/%Y %H:%M; by default ISO 8601.")
]
Timezone = Annotated[str | None, typer.Option(help="The zone that times are in, such as Asia/Kolkata.")]
KeyColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Your own id of each row; by default all that is sent of it."),
]
SearchBy = Annotated[
    str | None, typer.Option(metavar="NAME", help="The attribute that LeadSquared finds a lead by.")
]
Format = Annotated[str | None, typer.Option(help="csv, jsonl or json; by default recognised.")]
Encoding = Annotated[str | None, typer.Option(help="Such as windows-1252; by default recognised.")]
Delimiter = Annotated[
    str | None, typer.Option(help='Between cells, one character or "tab"; by default recognised.')
]
OutboxFile = Annotated[
    Path | None,
    typer.Option(
        help="The file that leads wait in; by default FILE.outbox, for standard input "
        "leads-from-stdin.outbox in this folder, for a sandbox ….sandbox.outbox."
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(help="Write each row's result as CSV. Cells that would be formulas get a leading '."),
]
RejectsFile = Annotated[
    Path | None,
    typer.Option(
        help="Write the rows that need fixing, each with its reason. Cells are exact, so that the file can "
        "be passed in again; a spreadsheet runs cells that begin with =, +, - or @."
    ),
]
Partial = Annotated[
    bool,
    typer.Option("--partial", help="The leads are there already: what a new one has to have may be missing."),
]


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
