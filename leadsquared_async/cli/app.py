"""The commands and their options; what they do is in a module each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from leadsquared_async import __version__
from leadsquared_async.cli.capture import CaptureOptions, run_capture
from leadsquared_async.cli.checking import CheckOptions, run_check
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.dead_letters import states_of
from leadsquared_async.cli.demo import LIMIT, run_demo
from leadsquared_async.cli.doctor import run_doctor
from leadsquared_async.cli.exits import ExitStatus, Interruptible, ending, told
from leadsquared_async.cli.fields import run_fields
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.source import Reading
from leadsquared_async.cli.following import Asked, run_metrics, run_status, run_wait
from leadsquared_async.cli.options import (
    AsJson,
    BulkRate,
    Columns,
    Constants,
    DateFormat,
    Dates,
    Delimiter,
    Encoding,
    FailOn,
    Format,
    Host,
    Ignored,
    InputFile,
    KeyColumn,
    NoConfirm,
    OfOperation,
    OutboxFile,
    OutFile,
    Partial,
    Rate,
    Region,
    RejectsFile,
    SearchBy,
    Timezone,
    Verbatim,
    clock_time,
    duration,
    pairs,
)
from leadsquared_async.cli.outbox_app import outbox as outbox_app
from leadsquared_async.cli.sandbox import run_sandbox, sandbox_options
from leadsquared_async.cli.submitting import SubmitOptions, run_submit
from leadsquared_async.cli.talk import Talk, logs_told
from leadsquared_async.operations import LEADS_CAPTURE, OPERATIONS
from leadsquared_async.printable import one_line
from leadsquared_async.submissions import UpdateBehavior

app = typer.Typer(
    name="leadsquared",
    help="Send leads to LeadSquared's Async API, and try it without an account.",
    no_args_is_help=True,
    cls=Interruptible,
    pretty_exceptions_enable=False,  # they show local variables: keys and leads
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(outbox_app)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="RequestIDs.")]
IdFile = Annotated[
    str | None,
    typer.Option(
        "--file",
        help="A file with one a line, or with a column RequestID, and maybe Operation, as --out writes it.",
    ),
]
OfOutbox = Annotated[Path | None, typer.Option("--outbox", help="An outbox: those of its accepted rows.")]
OutcomesFile = Annotated[
    Path | None, typer.Option("--out", help="Write the outcomes with LeadSquared's reasons, as CSV.")
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


@app.command()
def capture(  # noqa: PLR0917 - each parameter is an option of the command line
    file: InputFile,
    columns: Columns = None,
    constants: Constants = None,
    ignore: Ignored = None,
    verbatim: Verbatim = None,
    dates: Dates = None,
    date_format: DateFormat = None,
    timezone: Timezone = None,
    key: KeyColumn = None,
    search_by: SearchBy = None,
    update_behavior: Annotated[
        UpdateBehavior | None, typer.Option(help="What to leave alone on a lead that is found.")
    ] = None,
    format: Format = None,  # noqa: A002 - the option's name
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    outbox: OutboxFile = None,
    out: OutFile = None,
    rejects: RejectsFile = None,
    no_confirm: NoConfirm = False,
    bulk: Annotated[
        bool,
        typer.Option(
            "--bulk", help="Send 25 rows in a call of the synchronous API, beside captures; no activity."
        ),
    ] = False,
    no_check: Annotated[
        bool,
        typer.Option("--no-check", help="Do not refuse rows that do not fit the account's lead fields."),
    ] = False,
    partial: Partial = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the whole file, say what it will cost, and send nothing.")
    ] = False,
    stop_at: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Stop in good order at this time of day.")
    ] = None,
    left_over: Annotated[
        Literal["send", "drop"] | None,
        typer.Option(help="What to do with rows of an earlier run that this file does not make any more."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    rate: Rate = None,
    bulk_rate: BulkRate = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Send the rows of a file, each to its outcome; the same command again goes on where it stopped.

    Exits with 0 if all are delivered, 1 if some are rejected, 2 if nothing could be sent, 3 if some are left,
    4 if the account lets nothing through.

    Example: leadsquared capture leads.csv --map "E-mail=EmailAddress" --set Source=Website
    """
    talk = Talk(as_json=as_json)
    names, values = pairs("--map", columns), pairs("--set", constants)
    if bulk and update_behavior is not None:
        raise typer.BadParameter("bulk calls update all that is passed", param_hint="--update-behavior")
    with ending("capture", talk), logs_told(talk):
        options = CaptureOptions(
            file=file,
            reading=Reading(format=format, encoding=encoding, delimiter=delimiter),
            mapping=LeadMapping(
                columns=names,
                constants=values,
                ignored=ignore or (),
                dates=dates or (),
                date_format=date_format,
                timezone=timezone,
                verbatim=verbatim or (),
                key_column=key,
                search_by=search_by,
            ),
            update_behavior=update_behavior,
            connection=Connection(host, region, rate, bulk_rate),
            outbox=outbox,
            out=out,
            rejects=rejects,
            confirm=not no_confirm,
            bulk=bulk,
            check=not no_check,
            partial=partial,
            dry_run=dry_run,
            stop_at=None if stop_at is None else clock_time("--stop-at", stop_at),
            left_over=left_over,
            yes=yes,
        )
        status = run_capture(options, talk)
    raise typer.Exit(status)


@app.command()
def check(  # noqa: PLR0917 - each parameter is an option of the command line
    file: InputFile,
    columns: Columns = None,
    constants: Constants = None,
    ignore: Ignored = None,
    verbatim: Verbatim = None,
    dates: Dates = None,
    date_format: DateFormat = None,
    timezone: Timezone = None,
    key: KeyColumn = None,
    search_by: SearchBy = None,
    format: Format = None,  # noqa: A002 - the option's name
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    partial: Partial = False,
    rejects: RejectsFile = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Compare the rows of a file with the account's lead fields, and send nothing.

    Exits with 0 if nothing is wrong, 1 if some rows would be rejected, 2 if it cannot begin, 3 without an
    answer, 4 if the account lets nothing through.

    Example: leadsquared check leads.csv --map "E-mail=EmailAddress"
    """
    talk = Talk(as_json=as_json)
    names, values = pairs("--map", columns), pairs("--set", constants)
    with ending("check", talk), logs_told(talk):
        options = CheckOptions(
            file=file,
            reading=Reading(format=format, encoding=encoding, delimiter=delimiter),
            mapping=LeadMapping(
                columns=names,
                constants=values,
                ignored=ignore or (),
                dates=dates or (),
                date_format=date_format,
                timezone=timezone,
                verbatim=verbatim or (),
                key_column=key,
                search_by=search_by,
            ),
            partial=partial,
            connection=Connection(host, region),
            rejects=rejects,
        )
        ended = run_check(options, talk)
    raise typer.Exit(ended)


@app.command()
def fields(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Fields to show in detail.")
    ] = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Show the lead fields that the account has; those that are named with all that is known of them.

    Exits with 2 if there is no field of a name.

    Example: leadsquared fields ProspectStage mx_City
    """
    talk = Talk(as_json=as_json)
    with ending("fields", talk), logs_told(talk):
        ended = run_fields(names or (), Connection(host, region), talk)
    raise typer.Exit(ended)


@app.command()
def submit(  # noqa: PLR0917 - each parameter is an option of the command line
    operation: Annotated[
        str, typer.Argument(metavar="OPERATION", help=f"What is submitted: {', '.join(OPERATIONS)}.")
    ],
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON; - for standard input.")],
    outbox: OutboxFile = None,
    out: OutFile = None,
    rejects: RejectsFile = None,
    no_confirm: NoConfirm = False,
    rate: Rate = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Send the objects of a file of JSON by any operation; the same command again goes on where it stopped.

    Each object has some of lead, search_by, details, query, suffix, with LeadSquared's own names inside, and
    may have a key and a reference. Exits as `leadsquared capture` does.

    Example: leadsquared submit activities.create activities.jsonl
    """
    talk = Talk(as_json=as_json)
    with ending("submit", talk), logs_told(talk):
        options = SubmitOptions(
            operation=operation,
            file=file,
            connection=Connection(host, region, rate),
            outbox=outbox,
            out=out,
            rejects=rejects,
            confirm=not no_confirm,
        )
        ended = run_submit(options, talk)
    raise typer.Exit(ended)


@app.command()
def status(  # noqa: PLR0917 - each parameter is an option of the command line
    ids: Ids = None,
    file: IdFile = None,
    outbox: OfOutbox = None,
    operation: OfOperation = LEADS_CAPTURE.name,
    out: OutcomesFile = None,
    rate: Rate = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Look once at what became of RequestIDs.

    Exits with 0 if all succeeded, 1 if some failed or are not known, 3 if some are not finished.

    Example: leadsquared status 3f2a1c9e-5b7d-4e0f-9a68-1c2d3e4f5a6b
    """
    talk = Talk(as_json=as_json)
    with ending("status", talk), logs_told(talk):
        asked = Asked(ids or (), file, outbox, out, operation)
        ended = run_status(asked, Connection(host, region, rate), talk)
    raise typer.Exit(ended)


@app.command()
def wait(  # noqa: PLR0917 - each parameter is an option of the command line
    ids: Ids = None,
    file: IdFile = None,
    outbox: OfOutbox = None,
    operation: OfOperation = LEADS_CAPTURE.name,
    out: OutcomesFile = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait at most, for all of them.")
    ] = "10m",
    rate: Rate = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Follow RequestIDs until LeadSquared has finished with them.

    Exits with 0 if all succeeded, 1 if some failed or are not known, 3 if some are not finished in time.

    Example: leadsquared wait --file outcomes.csv --timeout 30m
    """
    talk = Talk(as_json=as_json)
    seconds = duration("--timeout", timeout)
    with ending("wait", talk), logs_told(talk):
        asked = Asked(ids or (), file, outbox, out, operation)
        ended = run_wait(asked, Connection(host, region, rate), talk, seconds)
    raise typer.Exit(ended)


@app.command()
def metrics(
    operation: OfOperation = LEADS_CAPTURE.name,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Show how long LeadSquared's queue of an operation is, and how fast it is processed.

    Example: leadsquared metrics --json
    """
    talk = Talk(as_json=as_json)
    with ending("metrics", talk), logs_told(talk):
        ended = run_metrics(Connection(host, region), talk, operation)
    raise typer.Exit(ended)


@app.command()
def doctor(  # noqa: PLR0917 - each parameter is an option of the command line
    outbox: Annotated[Path | None, typer.Option(help="An outbox to look at as well.")] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A lead field that has to be there; may be repeated."),
    ] = None,
    fail_on: FailOn = None,
    rate: Rate = None,
    host: Host = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Show what is configured and from where, and check it with calls that change nothing.

    Exits with 0 if nothing is wrong, 2 if the configuration is incomplete, 3 if LeadSquared does not answer,
    4 if somebody has to act on the account, else 5 if the outbox has items in a state that --fail-on names.

    Example: leadsquared doctor --outbox leads.csv.outbox --require mx_City
    """
    talk = Talk(as_json=as_json)
    with ending("doctor", talk), logs_told(talk):
        states = states_of(fail_on)
        ended = run_doctor(Connection(host, region, rate), outbox, talk, require or (), states)
    raise typer.Exit(ended)


@app.command()
def demo(
    leads: Annotated[int, typer.Option(min=1, max=1000, help="How many leads to send.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same latencies and faults.")] = 1,
) -> None:
    """Send leads to a sandbox on this machine, through faults, and follow each to its outcome.

    No account, no network. About a minute for 100 leads, since the status calls share the limit of 25 calls
    in 5 seconds. Exits with 0 if every lead arrived, else with 1.

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


@app.command()
def sandbox(  # noqa: PLR0917 - each parameter is an option of the command line
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes any.")
    ] = 8025,
    limit: Annotated[str, typer.Option(help='Calls in seconds, or "none".')] = f"{LIMIT[0]}/{LIMIT[1]:g}",
    counting: Annotated[str, typer.Option(help="How calls are counted.")] = "sliding-log",
    latency: Annotated[float, typer.Option(min=0, help="Seconds of a round trip.")] = 0.05,
    jitter: Annotated[float, typer.Option(min=0, help="Up to so many seconds more.")] = 0.05,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SHARE of calls that fail so, such as 500=0.03; may be repeated."),
    ] = None,
    processing_rate: Annotated[float, typer.Option(min=0.01, help="Requests processed a minute.")] = 600.0,
    speed: Annotated[float, typer.Option(min=0.01, help="Processing seconds in one real second.")] = 1.0,
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
        int, typer.Option(min=1, max=10_000, help="How many fields the believable account has.")
    ] = 60,
    bulk_limit: Annotated[str, typer.Option(help='Bulk calls in seconds, or "none".')] = "1/5",
    seed: Annotated[
        int | None,
        typer.Option(
            help="With a seed, the same calls give the same answers. Without, each run has its own ids."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print a line for each call.")] = False,
) -> None:
    """Run a LeadSquared on this machine until Ctrl-C, and print the environment that points a client to it.

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
