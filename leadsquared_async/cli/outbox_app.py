"""The options of `leadsquared outbox ...`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from leadsquared_async import ItemState
from leadsquared_async.cli.dead_letters import states_of
from leadsquared_async.cli.draining import run_drain
from leadsquared_async.cli.exits import Command, CommandFailedError, Group, ending
from leadsquared_async.cli.exporting import Form, run_export
from leadsquared_async.cli.options import (
    AsJson,
    BulkRate,
    Connecting,
    FailOn,
    NoConfirm,
    OutboxFiles,
    duration,
    grouped,
    pairs,
)
from leadsquared_async.cli.outboxes import (
    Mending,
    Wanted,
    check_files,
    run_forget,
    run_items,
    run_purge,
    run_requeue,
    run_stats,
)
from leadsquared_async.cli.terminal import Terminal, logs_shown

__all__ = ["outbox"]

outbox = typer.Typer(
    name="outbox",
    cls=Group,
    help="List, deliver, fix, export and erase the rows of outbox files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Reason = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Rows with this in their reason only, such as MXUnknownAttribute."),
]
State = Annotated[
    ItemState | None,
    typer.Option(metavar="STATE", help=f"Rows of this state only: {', '.join(ItemState)}."),
]


@outbox.command(cls=Command)
def stats(files: OutboxFiles, fail_on: FailOn = None, as_json: AsJson = False) -> None:
    """Count the rows of each file by state, and show how to list rejected and unknown ones.

    Example: leadsquared outbox stats leads.csv.outbox --fail-on rejected,unknown
    """
    terminal = Terminal(as_json=as_json)
    with ending("outbox stats", terminal), logs_shown(terminal):
        status = run_stats(files, terminal, states_of(fail_on))
    raise typer.Exit(status)


@outbox.command(cls=Command)
def items(
    files: OutboxFiles,
    state: State = None,
    reason: Reason = None,
    operation: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rows of this operation only.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Rows that did not change for so long, such as 1h.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List rows with their RequestIDs and states, without their values.

    Example: leadsquared outbox items leads.csv.outbox --state rejected
    """
    terminal = Terminal(as_json=as_json)
    with ending("outbox items", terminal), logs_shown(terminal):
        age = 0.0 if older_than is None else duration("--older-than", older_than)
        status = run_items(files, Wanted(state, reason, operation, age), terminal)
    raise typer.Exit(status)


@outbox.command(cls=Command)
@grouped
def drain(
    files: OutboxFiles,
    connecting: Connecting,
    within: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after a time, such as 10m.")
    ] = None,
    until_empty: Annotated[
        bool,
        typer.Option("--until-empty", help="Wait out a fault of the account, such as the day's quota, too."),
    ] = False,
    no_confirm: NoConfirm = False,
    bulk_rate: BulkRate = None,
    as_json: AsJson = False,
) -> None:
    """Deliver what is left in outbox files, until nothing is or the account lets nothing through.

    Exits as `leadsquared capture` does.

    Example: leadsquared outbox drain leads.csv.outbox --for 10m
    """
    terminal = Terminal(as_json=as_json)
    with ending("outbox drain", terminal), logs_shown(terminal):
        status = run_drain(
            files,
            replace(connecting.connection, bulk_rate=bulk_rate),
            terminal,
            within=None if within is None else duration("--for", within),
            until_empty=until_empty,
            confirm=not no_confirm,
        )
    raise typer.Exit(status)


@outbox.command(cls=Command)
def requeue(
    files: OutboxFiles,
    state: Annotated[
        Literal["rejected", "unknown"],
        typer.Option(help="Which rows. Look for unknown ones in LeadSquared first: they may be there."),
    ] = "rejected",
    reason: Reason = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="NAME", help="An attribute to leave out.")] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An attribute to set.")
    ] = None,
    search_by: Annotated[str | None, typer.Option(metavar="NAME", help="Another SearchBy.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many rows it would be, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put rejected or unknown rows back, changed or as they are; `drain` sends them.

    Example: leadsquared outbox requeue leads.csv.outbox --reason MXUnknownAttribute --drop mx_Foo
    """
    terminal = Terminal(as_json=as_json)
    mending = Mending(ItemState(state), reason, drop or (), pairs("--set", values), search_by)
    with ending("outbox requeue", terminal), logs_shown(terminal):
        status = run_requeue(files, mending, terminal, dry_run=dry_run)
    raise typer.Exit(status)


@outbox.command(cls=Command)
def forget(
    files: OutboxFiles,
    by: Annotated[
        str, typer.Option(metavar="NAME", help="The attribute that it is found by, such as EmailAddress.")
    ],
    as_json: AsJson = False,
) -> None:
    """Erase a person, by the value of an attribute; what waits to be sent is not sent.

    The value is asked for, or read from standard input: a command line stands in the shell's history.

    Example: leadsquared outbox forget leads.csv.outbox --by EmailAddress
    """
    terminal = Terminal(as_json=as_json)
    with ending("outbox forget", terminal), logs_shown(terminal):
        check_files(files)
        try:
            person = {by: terminal.line_of_input(by)}
        except ValueError as error:
            raise CommandFailedError(str(error)) from None
        status = run_forget(files, person, terminal)
    raise typer.Exit(status)


@outbox.command(cls=Command)
def export(
    files: OutboxFiles,
    state: State = None,
    form: Annotated[Form, typer.Option("--format", help="JSON lines or CSV.")] = "jsonl",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private to you; by default standard output.")
    ] = None,
    verbatim: Annotated[
        bool,
        typer.Option(
            "--verbatim",
            help="Write CSV cells unchanged. By default, cells that a spreadsheet would run as formulas "
            "get a leading '.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write rows with their values, keys and reasons: personal data.

    Example: leadsquared outbox export leads.csv.outbox --state rejected --out rejected.jsonl
    """
    terminal = Terminal(as_json=as_json)
    with ending("outbox export", terminal), logs_shown(terminal):
        status = run_export(files, state, out, form, terminal, verbatim=verbatim)
    raise typer.Exit(status)


@outbox.command(cls=Command)
def purge(
    files: OutboxFiles,
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Since when a row has to be final.")
    ] = "30d",
    as_json: AsJson = False,
) -> None:
    """Delete final rows, and their keys: what is captured again after that is sent again.

    Example: leadsquared outbox purge leads.csv.outbox --older-than 30d
    """
    terminal = Terminal(as_json=as_json)
    with ending("outbox purge", terminal), logs_shown(terminal):
        status = run_purge(files, duration("--older-than", older_than), terminal)
    raise typer.Exit(status)
