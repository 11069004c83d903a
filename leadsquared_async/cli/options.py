"""How options are declared, and those that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    declared: str,
    what: str,
    group: str | None = None,
    *,
    parse: Callable[[str], Any] | None = None,
    least: float | None = None,
    most: float | None = None,
    default: bool = True,
) -> Any:
    """An option, declared as "--stop-at HH:MM", with its help text and the group that it is shown in.

    `parse` raises ValueError with a text that says how to write it. `least` and `most` bound a number.
    `default` is whether the help text shows the default.
    """
    names = [word for word in declared.split() if word.startswith("-")]

    def parsed(given: Any) -> Any:
        try:
            return parse(given) if parse is not None and isinstance(given, str) else given
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(
        *names,
        metavar=" ".join(declared.split()[len(names) :]) or None,
        help=what,
        rich_help_panel=group,
        parser=None if parse is None else parsed,
        min=least,
        max=most,
        show_default=default,
    )


def pairs(name: str, given: Iterable[str] | None) -> dict[str, str]:
    """Parse NAME=VALUE, each name once; messages show nothing of `given`, which may be personal data."""
    found = dict[str, str]()
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key.strip() in found:
            raise typer.BadParameter("is written as NAME=VALUE, each name once", param_hint=name)
        found[key.strip()] = value
    return found


InputFile = Annotated[str, typer.Argument(metavar="FILE", help="CSV, JSON or .xlsx; - for standard input.")]
OutboxFiles = Annotated[list[Path], typer.Argument(help="Outbox files.", metavar="FILE")]
AsJson = Annotated[bool, option("--json", "Print the result as one line of JSON, for programs.", RESULT)]
OfOperation = Annotated[str, option("--operation NAME", f"What was submitted: {', '.join(OPERATIONS)}.")]
FailOn = Annotated[
    str | None,
    option(
        "--fail-on STATES",
        "Exit with 5 if the outbox has items in one of these states, such as rejected,unknown.",
    ),
]
RejectsFile = Annotated[
    Path | None,
    option(
        "--rejects FILE",
        "Write the rows that need fixing, each with its reason; fixed, it can be passed in again.",
        RESULT,
    ),
]
BulkRate = Annotated[
    str | None,
    option("--bulk-rate CALLS/SECONDS", "The rate limit of bulk calls. Default: 1/5.", ACCOUNT),
]
NoConfirm = Annotated[bool, option("--no-confirm", "Do not follow rows to their outcome.", SENDING)]
