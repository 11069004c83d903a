"""Options, each declared once; a command takes groups of them as dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import time
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.durations import seconds_of, time_of_day
from leadsquared_async.cli.file_run import RunOptions
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.tables import Reading
from leadsquared_async.operations import OPERATIONS

__all__ = [
    "AsJson", "Columns", "Connecting", "Delivering", "FailOn", "InputFile", "OfOperation", "OutboxFiles",
    "Reads", "duration", "grouped", "option", "pairs",
]  # fmt: skip

FILE, COLUMNS, VALUES, LEADS, SENDING, ACCOUNT, RESULT = (
    "Reading the file", "Columns", "Values", "Leads", "Sending", "Account", "Result",
)  # fmt: skip


def option(*names: str, group: str | None = None, metavar: str | None = None, help: str) -> Any:  # noqa: A002
    """An option in a group of the help text."""
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=group)


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take dataclasses whose fields are its options."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in signature(command).parameters.items():
        if not is_dataclass(hints[name]):
            parameters.append(parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY))
            continue
        groups[name] = hints[name]
        annotations = get_type_hints(hints[name], include_extras=True)
        for each in fields(hints[name]):
            default = Parameter.empty if each.default is MISSING else each.default
            parameters.append(
                Parameter(
                    each.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotations[each.name]
                )
            )

    @wraps(command)
    def run(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        return command(**given)

    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


InputFile = Annotated[str, typer.Argument(metavar="FILE", help="CSV, JSON or .xlsx; - for standard input.")]
OutboxFiles = Annotated[list[Path], typer.Argument(help="Outbox files.", metavar="FILE")]
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


@dataclass(frozen=True, kw_only=True)
class Connecting:
    """Which account, and how fast."""

    host: Annotated[
        str | None,
        option("--host", group=ACCOUNT, metavar="URL", help="The asynchronous host; else LEADSQUARED_HOST."),
    ] = None
    region: Annotated[
        str | None,
        option("--region", group=ACCOUNT, metavar="NAME", help="in21, us11 or sg; else LEADSQUARED_REGION."),
    ] = None
    rate: Annotated[
        str | None,
        option(
            "--rate",
            group=ACCOUNT,
            metavar="CALLS/SECONDS",
            help="Such as 20/5, to leave room for others; else LEADSQUARED_RATE_LIMIT.",
        ),
    ] = None

    @property
    def connection(self) -> Connection:
        return Connection(self.host, self.region, self.rate)


@dataclass(frozen=True, kw_only=True)
class Reads:
    """How a file is read."""

    format: Annotated[
        Literal["csv", "jsonl", "json", "xlsx"] | None,
        option("--format", group=FILE, help="By default recognised by content."),
    ] = None
    encoding: Annotated[
        str | None,
        option(
            "--encoding",
            group=FILE,
            metavar="NAME",
            help="Such as cp1252; by default UTF-8, or what the file's byte order mark says.",
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        option(
            "--delimiter",
            group=FILE,
            metavar="CHARACTER",
            help='Between cells, or "tab"; by default recognised.',
        ),
    ] = None
    sheet: Annotated[
        str | None,
        option("--sheet", group=FILE, metavar="NAME", help="The sheet of a workbook, if it has several."),
    ] = None
    skip_rows: Annotated[
        int,
        typer.Option(
            "--skip-rows", min=0, metavar="N", help="Lines above the headings.", rich_help_panel=FILE
        ),
    ] = 0

    @property
    def reading(self) -> Reading:
        return Reading(self.format, self.encoding, self.delimiter, self.sheet, self.skip_rows)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How rows become leads. A column is named by its heading, or by its position, from 1."""

    columns: Annotated[
        list[str] | None,
        option("--map", group=COLUMNS, metavar="COLUMN=NAME", help="The schema name that a column becomes."),
    ] = None
    ignore: Annotated[
        list[str] | None,
        option("--ignore", group=COLUMNS, metavar="COLUMN", help="A column that is not sent."),
    ] = None
    constants: Annotated[
        list[str] | None,
        option(
            "--set", group=COLUMNS, metavar="NAME=VALUE", help="What every lead gets, such as Source=Website."
        ),
    ] = None
    key: Annotated[
        str | None,
        option(
            "--key",
            group=COLUMNS,
            metavar="COLUMN",
            help="Your own id of each row; by default all that is sent of it.",
        ),
    ] = None
    dates: Annotated[
        list[str] | None,
        option("--date", group=VALUES, metavar="COLUMN", help="A column that holds dates or times."),
    ] = None
    date_format: Annotated[
        str | None,
        option(
            "--date-format",
            group=VALUES,
            metavar="FORMAT",
            help="How they are written, such as %d/%m/%Y %H:%M; by default ISO 8601.",
        ),
    ] = None
    timezone: Annotated[
        str | None,
        option("--timezone", group=VALUES, metavar="ZONE", help="The zone of times, such as Asia/Kolkata."),
    ] = None
    phone: Annotated[
        str | None,
        option(
            "--phone",
            group=VALUES,
            metavar="COUNTRY",
            help="Write phone numbers as LeadSquared does; COUNTRY, such as IN, is for those without one.",
        ),
    ] = None
    empty: Annotated[
        list[str] | None,
        option("--empty", group=VALUES, metavar="TEXT", help="A cell that counts as empty, such as NULL."),
    ] = None
    values: Annotated[
        list[str] | None,
        option("--value", group=VALUES, metavar="COLUMN:WRONG=RIGHT", help="A cell that is sent as another."),
    ] = None
    verbatim: Annotated[
        list[str] | None,
        option(
            "--verbatim",
            group=VALUES,
            metavar="COLUMN",
            help="Send this column as is, even if a value looks like a spreadsheet's damage (12E+3, #N/A).",
        ),
    ] = None
    search_by: Annotated[
        str | None,
        option(
            "--search-by", group=LEADS, metavar="NAME", help="The attribute that LeadSquared finds a lead by."
        ),
    ] = None
    partial: Annotated[
        bool,
        option(
            "--partial", group=LEADS, help="The leads exist already: what a new one needs may be missing."
        ),
    ] = False

    @property
    def mapping(self) -> LeadMapping:
        return LeadMapping(
            columns=pairs("--map", self.columns),
            constants=pairs("--set", self.constants),
            ignored=self.ignore or (),
            dates=self.dates or (),
            date_format=self.date_format,
            timezone=self.timezone,
            verbatim=self.verbatim or (),
            empty=self.empty or (),
            values=self.values or (),
            phone_region=self.phone,
            key_column=self.key,
            search_by=self.search_by,
        )


RejectsFile = Annotated[
    Path | None,
    option(
        "--rejects",
        group=RESULT,
        metavar="FILE",
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


@dataclass(frozen=True, kw_only=True)
class Delivering:
    """How the rows of a file are sent, and where what became of them is written."""

    outbox: Annotated[
        Path | None,
        option(
            "--outbox",
            group=SENDING,
            metavar="FILE",
            help="The file that rows wait in; by default FILE.outbox, for a sandbox FILE.sandbox.outbox.",
        ),
    ] = None
    no_confirm: NoConfirm = False
    again: Annotated[
        bool, option("--again", group=SENDING, help="Send once more what was delivered in an earlier run.")
    ] = False
    left_over: Annotated[
        Literal["send", "drop"] | None,
        option(
            "--left-over", group=SENDING, help="What to do with pending rows that are no longer in the file."
        ),
    ] = None
    stop_at: Annotated[
        str | None, option("--stop-at", group=SENDING, metavar="HH:MM", help="Stop gracefully at this time.")
    ] = None
    dry_run: Annotated[
        bool, option("--dry-run", group=SENDING, help="Check the file, estimate the run, send nothing.")
    ] = False
    yes: Annotated[bool, option("--yes", "-y", group=SENDING, help="Do not prompt.")] = False
    out: Annotated[
        Path | None,
        option(
            "--out",
            group=RESULT,
            metavar="FILE",
            help="Write each row's outcome as CSV. Cells that would be formulas get a leading '.",
        ),
    ] = None
    out_columns: Annotated[
        str | None,
        option(
            "--out-columns",
            group=RESULT,
            metavar="COLUMN,...",
            help="Columns of the file that --out has as well.",
        ),
    ] = None
    rejects: RejectsFile = None

    @property
    def ends(self) -> time | None:
        return None if self.stop_at is None else clock_time("--stop-at", self.stop_at)

    def options(self, file: str, reads: Reads, connection: Connection, *, check: bool) -> RunOptions:
        return RunOptions(
            file=file,
            reading=reads.reading,
            connection=connection,
            outbox=self.outbox,
            out=self.out,
            out_columns=tuple(name.strip() for name in (self.out_columns or "").split(",") if name.strip()),
            rejects=self.rejects,
            confirm=not self.no_confirm,
            check=check,
            again=self.again,
            left_over=self.left_over,
            dry_run=self.dry_run,
            yes=self.yes,
        )


def pairs(name: str, given: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, each name once; what is given may be personal, so a message shows none of it.

    Raises:
        typer.BadParameter: it is written otherwise.
    """
    found: dict[str, str] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key.strip() in found:
            raise typer.BadParameter("is written as NAME=VALUE, each name once", param_hint=name)
        found[key.strip()] = value
    return found


def clock_time(name: str, text: str) -> time:
    """The time of 07:00.

    Raises:
        typer.BadParameter: it is written otherwise.
    """
    try:
        return time_of_day(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=name) from None


def duration(name: str, text: str) -> float:
    """The seconds of 10m.

    Raises:
        typer.BadParameter: it is written otherwise.
    """
    try:
        return seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=name) from None
