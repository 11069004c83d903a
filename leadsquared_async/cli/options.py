"""How options are declared, and those that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from leadsquared_async.operations import OPERATIONS

__all__ = [
    "ACCOUNT", "COLUMNS", "FILE", "LEADS", "RESULT", "SENDING", "VALUES", "AsJson", "BulkRate", "FailOn",
    "InputFile", "NoConfirm", "OfOperation", "OutboxFiles", "RejectsFile", "option", "pairs",
]  # fmt: skip

FILE, COLUMNS, VALUES, LEADS, SENDING, ACCOUNT, RESULT = (
    "Reading the file", "Columns", "Values", "Leads", "Sending", "Account", "Result",
)  # fmt: skip


def option(
    *names: str, group: str | None = None, parse: Callable[[str], Any] | None = None, **more: Any
) -> Any:
    """An option in a group of the help text; `parse` raises ValueError with what is to be written."""

    def parsed(given: Any) -> Any:
        try:
            return parse(given) if parse is not None and isinstance(given, str) else given
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(*names, rich_help_panel=group, parser=None if parse is None else parsed, **more)


def pairs(name: str, given: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, each name once; what is given may be personal, so a message shows none of it."""
    found = dict[str, str]()
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key.strip() in found:
            raise typer.BadParameter("is written as NAME=VALUE, each name once", param_hint=name)
        found[key.strip()] = value
    return found


InputFile = Annotated[str, typer.Argument(metavar="FILE", help="CSV, JSON or .xlsx; - for standard input.")]
OutboxFiles = Annotated[list[Path], typer.Argument(help="Outbox files.", metavar="FILE...")]
AsJson = Annotated[
    bool, option("--json", group=RESULT, help="Print the result as one line of JSON, for programs.")
]
OfOperation = Annotated[
    str, option("--operation", metavar="NAME", help=f"What was submitted: {', '.join(OPERATIONS)}.")
]
FailOn = Annotated[
    str | None,
    option(
        "--fail-on",
        metavar="STATES",
        help="Exit with 5 if the outbox has items in one of these states, such as rejected,unknown.",
    ),
]
RejectsFile = Annotated[
    Path | None,
    option(
        "--rejects",
        group=RESULT,
        help="Write the rows that need fixing, each with its reason; fixed, it can be passed in again.",
    ),
]
BulkRate = Annotated[
    str | None,
    option(
        "--bulk-rate",
        group=ACCOUNT,
        metavar="CALLS/SECONDS",
        help="Bulk calls, such as 5/5, as the plan allows; else 1/5.",
    ),
]
NoConfirm = Annotated[
    bool, option("--no-confirm", group=SENDING, help="Do not follow rows to their outcome.")
]
