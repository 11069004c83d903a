"""The commands and their options; what they do is in a module each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from leadsquared_async import __version__
from leadsquared_async.cli.dead_letters import states_of
from leadsquared_async.cli.demo import LIMIT, run_demo
from leadsquared_async.cli.doctor import run_doctor
from leadsquared_async.cli.exits import Command, CommandFailedError, ExitStatus, Interruptible, ending, told
from leadsquared_async.cli.fields import NO_SYNC_HOST, run_fields
from leadsquared_async.cli.file_run import FileRun, RunOptions, run_file
from leadsquared_async.cli.files.makers import LeadRows, SubmissionRows
from leadsquared_async.cli.following import Asked, run_metrics, run_status, run_wait
from leadsquared_async.cli.options import (
    LEADS,
    SENDING,
    AsJson,
    BulkRate,
    Columns,
    Connecting,
    Delivering,
    FailOn,
    InputFile,
    OfOperation,
    Reads,
    RejectsFile,
    duration,
    grouped,
    option,
)
from leadsquared_async.cli.outbox_app import outbox as outbox_app
from leadsquared_async.cli.sandbox import run_sandbox, sandbox_options
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import Terminal, logs_shown
from leadsquared_async.operations import LEADS_CAPTURE, OPERATIONS, operation_named
from leadsquared_async.printable import one_line
from leadsquared_async.sandbox import FAULTS
from leadsquared_async.sandbox.counters import COUNTERS
from leadsquared_async.submissions import UpdateBehavior

SEND, FOLLOW, LOOK, TRY = "Send a file", "See what became of it", "The account", "Without an account"

app = typer.Typer(
    name="leadsquared",
    help="Send leads to LeadSquared's Async API, and try it without an account.\n\n"
    "First: leadsquared demo. Then leadsquared sandbox, and in another terminal leadsquared check leads.csv",
    no_args_is_help=True,
    cls=Interruptible,
    pretty_exceptions_enable=False,  # they show local variables: keys and leads
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(outbox_app, rich_help_panel=FOLLOW)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="RequestIDs.")]
IdFile = Annotated[
    str | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="A file with one a line, or with a column RequestID, and maybe Operation, as --out writes it.",
    ),
]
OfOutbox = Annotated[
    Path | None, typer.Option("--outbox", metavar="FILE", help="An outbox: those of its accepted rows.")
]
OutcomesFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the outcomes with LeadSquared's reasons, as CSV."),
]


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


@app.command(cls=Command, rich_help_panel=SEND)
@grouped
def capture(
    file: InputFile,
    reads: Reads,
    columns: Columns,
    delivering: Delivering,
    connecting: Connecting,
    update_behavior: Annotated[
        UpdateBehavior | None,
        option("--update-behavior", group=LEADS, help="What to leave alone on a lead that exists."),
    ] = None,
    bulk: Annotated[
        bool,
        option(
            "--bulk", group=SENDING, help="Send 25 rows in a call of the synchronous API; posts no activity."
        ),
    ] = False,
    bulk_rate: BulkRate = None,
    no_check: Annotated[
        bool,
        option(
            "--no-check", group=LEADS, help="Send rows even if they do not fit the account's lead fields."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send the rows of a file, and follow each to its outcome.

    The same command again continues where it stopped.

    Exit status: 0 all delivered, 1 some rejected, 2 nothing sent,
    3 some left, 4 the account lets nothing through.

    Example: leadsquared capture leads.csv --map "E-mail=EmailAddress" --set Source=Website
    """
    terminal = Terminal(as_json=as_json)
    if bulk and update_behavior is not None:
        raise typer.BadParameter("bulk calls update all that is sent", param_hint="--update-behavior")
    with ending("capture", terminal), logs_shown(terminal):
        connection = replace(connecting.connection, bulk_rate=bulk_rate)
        if bulk and not connection.has_sync_host:
            raise CommandFailedError(f"--bulk uses the synchronous host: {NO_SYNC_HOST}")
        maker = LeadRows(
            columns.mapping,
            update_behavior=update_behavior,
            bulk=bulk,
            partial=columns.partial,
            host=connection.origin,
        )
        options = delivering.options(file, reads, connection, check=not no_check)
        status = run_file(options, maker, terminal, "capture", delivering.ends)
    raise typer.Exit(status)


@app.command(cls=Command, rich_help_panel=SEND)
@grouped
def check(
    file: InputFile,
    reads: Reads,
    columns: Columns,
    connecting: Connecting,
    rejects: RejectsFile = None,
    as_json: AsJson = False,
) -> None:
    """Read a file as `capture` does, show what is wrong with its rows, and send nothing.

    Exit status: 0 nothing wrong, 1 some rows would be refused, 2 it cannot begin,
    3 no answer, 4 the account lets nothing through.

    Example: leadsquared check leads.csv --map "E-mail=EmailAddress"
    """
    terminal = Terminal(as_json=as_json)
    with ending("check", terminal), logs_shown(terminal):
        connection = connecting.connection
        maker = LeadRows(
            columns.mapping, update_behavior=None, bulk=False, partial=columns.partial, host=connection.origin
        )
        options = RunOptions(
            file=file, reading=reads.reading, connection=connection, rejects=rejects, dry_run=True
        )
        with Stop(ExitStatus.LEFT) as stop:
            status = asyncio.run(FileRun(options, maker, terminal, stop, "check").check())
    raise typer.Exit(status)


@app.command(cls=Command, rich_help_panel=LOOK)
@grouped
def fields(
    connecting: Connecting,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Schema names of fields to show in detail.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the lead fields of the account, or all about some of them.

    Exits with 2 if there is no field of a name.

    Example: leadsquared fields ProspectStage mx_City
    """
    terminal = Terminal(as_json=as_json)
    with ending("fields", terminal), logs_shown(terminal):
        ended = run_fields(names or (), connecting.connection, terminal)
    raise typer.Exit(ended)


@app.command(cls=Command, rich_help_panel=SEND)
@grouped
def submit(
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help=f"One of {', '.join(OPERATIONS)}.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON; - for standard input.")],
    delivering: Delivering,
    connecting: Connecting,
    as_json: AsJson = False,
) -> None:
    """Send the objects of a JSON file by any operation.

    The same command again continues where it stopped. Each object has some of lead, search_by, details,
    query, suffix, with LeadSquared's own names inside, and may have a key and a reference. Exit status as of
    `leadsquared capture`.

    Example: leadsquared submit activities.create activities.jsonl
    """
    terminal = Terminal(as_json=as_json)
    with ending("submit", terminal), logs_shown(terminal):
        connection = connecting.connection
        maker = SubmissionRows(operation_named(operation), connection.origin)
        options = delivering.options(file, Reads(), connection, check=False)
        status = run_file(options, maker, terminal, f"submit {operation}", delivering.ends)
    raise typer.Exit(status)


@app.command(cls=Command, rich_help_panel=FOLLOW)
@grouped
def status(
    connecting: Connecting,
    ids: Ids = None,
    file: IdFile = None,
    outbox: OfOutbox = None,
    operation: OfOperation = LEADS_CAPTURE.name,
    out: OutcomesFile = None,
    as_json: AsJson = False,
) -> None:
    """Look once at what became of RequestIDs.

    Exits with 0 if all succeeded, 1 if some failed or are not known, 3 if some are not finished.

    Example: leadsquared status 3f2a1c9e-5b7d-4e0f-9a68-1c2d3e4f5a6b
    """
    terminal = Terminal(as_json=as_json)
    with ending("status", terminal), logs_shown(terminal):
        asked = Asked(ids or (), file, outbox, out, operation)
        ended = run_status(asked, connecting.connection, terminal)
    raise typer.Exit(ended)


@app.command(cls=Command, rich_help_panel=FOLLOW)
@grouped
def wait(
    connecting: Connecting,
    ids: Ids = None,
    file: IdFile = None,
    outbox: OfOutbox = None,
    operation: OfOperation = LEADS_CAPTURE.name,
    out: OutcomesFile = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait at most, for all of them.")
    ] = "10m",
    as_json: AsJson = False,
) -> None:
    """Follow RequestIDs until LeadSquared has finished with them.

    Exits with 0 if all succeeded, 1 if some failed or are not known, 3 if some are not finished in time.

    Example: leadsquared wait --file outcomes.csv --timeout 30m
    """
    terminal = Terminal(as_json=as_json)
    seconds = duration("--timeout", timeout)
    with ending("wait", terminal), logs_shown(terminal):
        asked = Asked(ids or (), file, outbox, out, operation)
        ended = run_wait(asked, connecting.connection, terminal, seconds)
    raise typer.Exit(ended)


@app.command(cls=Command, rich_help_panel=LOOK)
@grouped
def metrics(
    connecting: Connecting,
    operation: OfOperation = LEADS_CAPTURE.name,
    as_json: AsJson = False,
) -> None:
    """Show the length and the pace of LeadSquared's queue.

    Example: leadsquared metrics --json
    """
    terminal = Terminal(as_json=as_json)
    with ending("metrics", terminal), logs_shown(terminal):
        ended = run_metrics(connecting.connection, terminal, operation)
    raise typer.Exit(ended)


@app.command(cls=Command, rich_help_panel=LOOK)
@grouped
def doctor(
    connecting: Connecting,
    outbox: Annotated[Path | None, typer.Option(metavar="FILE", help="An outbox to look at as well.")] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A lead field that has to be there; may be repeated."),
    ] = None,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, with calls that change nothing.

    Exits with 0 if nothing is wrong, 2 if the configuration is incomplete, 3 if LeadSquared does not answer,
    4 if somebody has to act on the account, else 5 if the outbox has items in a state that --fail-on names.

    Example: leadsquared doctor --outbox leads.csv.outbox --require mx_City
    """
    terminal = Terminal(as_json=as_json)
    with ending("doctor", terminal), logs_shown(terminal):
        states = states_of(fail_on)
        ended = run_doctor(connecting.connection, outbox, terminal, require or (), states)
    raise typer.Exit(ended)


@app.command(cls=Command, rich_help_panel=TRY)
def demo(
    leads: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many leads to send.")] = 60,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same latencies and faults.")
    ] = 1,
) -> None:
    """Watch leads go to a LeadSquared on this machine, through faults.

    No account, no network. About half a minute for 60 leads, since the status calls
    share the limit of 25 calls in 5 seconds. Exits with 0 if every lead arrived, else with 1.

    Example: leadsquared demo --leads 50
    """
    console = Console()
    try:
        arrived = asyncio.run(run_demo(console, leads, seed))
    except KeyboardInterrupt:
        console.print("interrupted")
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(f"leadsquared demo: {told(error)}", err=True)
        raise typer.Exit(ExitStatus.USAGE) from None
    raise typer.Exit(0 if arrived else 1)


@app.command(cls=Command, rich_help_panel=TRY)
def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen on 127.0.0.1; 0 takes any.")
    ] = 8025,
    limit: Annotated[
        str, typer.Option(metavar="CALLS/SECONDS", help='The rate limit, or "none".')
    ] = f"{LIMIT[0]}/{LIMIT[1]:g}",
    counting: Annotated[
        str, typer.Option(metavar="NAME", help=f"How calls are counted: {', '.join(COUNTERS)}.")
    ] = "sliding-log",
    latency: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Of a round trip.")] = 0.05,
    jitter: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="At most, added to a round trip at random.")
    ] = 0.05,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help=f"The share of calls that fail so, such as 500=0.03; may be repeated: {', '.join(FAULTS)}.",
        ),
    ] = None,
    processing_rate: Annotated[
        float, typer.Option(min=0.01, metavar="N", help="Requests processed a minute.")
    ] = 600.0,
    speed: Annotated[
        float,
        typer.Option(
            min=0.01, metavar="N", help="How many times faster than real time requests are processed."
        ),
    ] = 1.0,
    attributes: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            help='The schema names that exist: a lead with another one is rejected; "account" for those of a '
            'believable account, "any" for all.',
        ),
    ] = "account",
    mandatory: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="The schema names that a new lead has to have.")
    ] = None,
    unique: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME", help='Schema names whose values no two leads may share, or "none".'
        ),
    ] = "EmailAddress,Phone",
    fields: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="How many fields the believable account has.")
    ] = 60,
    bulk_limit: Annotated[
        str, typer.Option(metavar="CALLS/SECONDS", help='That of bulk calls, or "none".')
    ] = "1/5",
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With a seed, the same calls give the same answers. Without, each run has its own ids.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print a line for each call.")] = False,
) -> None:
    """Run a LeadSquared on this machine, and print the environment to use it.

    It runs until Ctrl-C. Paste the lines that it prints into another terminal, and type the commands there.

    Example: leadsquared sandbox --fault 500=0.05 --fault lost+taken=0.01
    """
    try:
        options = sandbox_options(
            limit=limit,
            counting=counting,
            latency=latency,
            jitter=jitter,
            faults=fault or [],
            processing_rate=processing_rate,
            speed=speed,
            attributes=attributes,
            mandatory=mandatory,
            unique=unique,
            fields=fields,
            bulk_limit=bulk_limit,
            seed=seed,
        )
        asyncio.run(run_sandbox(port, options, quiet=quiet))
    except (ValueError, ImportError) as error:
        typer.echo(one_line(f"leadsquared sandbox: {error}"), err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"leadsquared sandbox: cannot listen on port {port}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
