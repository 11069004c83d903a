"""The program: registers all commands, and defines those that read a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, get_args

import typer

from leadsquared_async import __version__
from leadsquared_async.cli.adopting import adopt
from leadsquared_async.cli.commands import Interruptible, register
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.demo import demo
from leadsquared_async.cli.doctor import doctor
from leadsquared_async.cli.draining import drain
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.exporting import export
from leadsquared_async.cli.fields import NO_SYNC_HOST, fields
from leadsquared_async.cli.file_run import FileRun
from leadsquared_async.cli.files.makers import LeadRows, SubmissionRows
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.tables import Reading
from leadsquared_async.cli.following import metrics, status, wait
from leadsquared_async.cli.options import LEADS, SENDING, BulkRate, InputFile, RejectsFile, option
from leadsquared_async.cli.outboxes import discard, forget, items, purge, requeue, stats
from leadsquared_async.cli.resolving import resolve
from leadsquared_async.cli.run_options import RunOptions
from leadsquared_async.cli.sandbox import sandbox
from leadsquared_async.cli.serving import serve
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.operations import OPERATIONS, operation_named
from leadsquared_async.submissions import UpdateBehavior

app = typer.Typer(
    name="leadsquared",
    help="Send leads to LeadSquared's Async API, and try it without an account.\n\n"
    "First: leadsquared demo. Then leadsquared sandbox, and in another terminal leadsquared check leads.csv",
    no_args_is_help=True,
    cls=Interruptible,
    pretty_exceptions_enable=False,  # they show local variables: keys and leads
    context_settings={"help_option_names": ["-h", "--help"]},
)
outbox = typer.Typer(
    name="outbox",
    cls=Interruptible,
    help="List, deliver, fix, export and erase the rows of outbox files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def leadsquared(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Send leads to LeadSquared's Async API, and try it without an account."""


def capture(
    file: InputFile,
    reading: Reading,
    mapping: LeadMapping,
    options: RunOptions,
    connection: Connection,
    terminal: Terminal,
    update_behavior: Annotated[
        UpdateBehavior | None,
        option(
            "--update-behavior NAME",
            f"What not to change on an existing lead: {', '.join(get_args(UpdateBehavior))}.",
            LEADS,
        ),
    ] = None,
    bulk: Annotated[
        bool, option("--bulk", "Send 25 rows per call of the synchronous API; posts no activity.", SENDING)
    ] = False,
    bulk_rate: BulkRate = None,
    no_check: Annotated[
        bool, option("--no-check", "Send rows even if they do not fit the account's lead fields.", LEADS)
    ] = False,
) -> ExitStatus:
    """Send the rows of a file, and follow each to its outcome.

    Run the same command again to continue an interrupted run.

    Exit status: 0 all delivered, 1 some rejected, 2 nothing sent,
    3 some not delivered yet, 4 the account rejects all calls.

    Example: leadsquared capture leads.csv --map "E-mail=EmailAddress" --set Source=Website
    """
    if bulk and update_behavior is not None:
        raise typer.BadParameter("cannot be combined with --bulk", param_hint="--update-behavior")
    connection = replace(connection, bulk_rate=bulk_rate)
    if bulk and not connection.has_sync_host:
        raise CommandFailedError(f"--bulk needs the synchronous host: {NO_SYNC_HOST}")
    maker = LeadRows(mapping, connection.origin, update_behavior, bulk=bulk, is_checked=not no_check)
    return FileRun("capture", file, maker, connection, terminal, options, reading).send()


def check(
    file: InputFile,
    reading: Reading,
    mapping: LeadMapping,
    connection: Connection,
    terminal: Terminal,
    rejects: RejectsFile = None,
) -> ExitStatus:
    """Read a file as `capture` does, show the problems of its rows, and send nothing.

    Exit status: 0 no problems, 1 some rows would not be sent, 2 invalid options or file,
    3 no answer, 4 the account rejects all calls.

    Example: leadsquared check leads.csv --map "E-mail=EmailAddress"
    """
    maker, options = LeadRows(mapping, connection.origin), RunOptions(rejects=rejects, dry_run=True)
    return FileRun("check", file, maker, connection, terminal, options, reading).check()


def submit(
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help=f"One of {', '.join(OPERATIONS)}.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON; - for standard input.")],
    options: RunOptions,
    connection: Connection,
    terminal: Terminal,
) -> ExitStatus:
    """Send the objects of a JSON file by any operation.

    Run the same command again to continue an interrupted run. An object has some of lead, search_by, details,
    query, suffix, with LeadSquared's own names inside, and may have a key and a reference. The exit status is
    the same as for `leadsquared capture`.

    Example: leadsquared submit activities.create activities.jsonl
    """
    maker = SubmissionRows(operation_named(operation), connection.origin)
    return FileRun(f"submit {operation}", file, maker, connection, terminal, options).send()


FOLLOW = "Follow the outcomes"
register(app, "Send a file", capture, check, submit)
register(app, FOLLOW, status, wait)
register(app, "The account", fields, metrics, doctor)
register(app, "Without an account", demo, sandbox)
register(outbox, None, stats, items, drain, serve, resolve, requeue, discard, forget, export, purge, adopt)
app.add_typer(outbox, rich_help_panel=FOLLOW)
