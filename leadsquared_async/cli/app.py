"""The commands and their options; what they do is in a module each."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from leadsquared_async import __version__
from leadsquared_async.cli.demo import LIMIT, run_demo
from leadsquared_async.cli.sandbox import run_sandbox, sandbox_options

app = typer.Typer(
    name="leadsquared",
    help="Send leads to LeadSquared's Async API, and try it without an account.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show local variables: keys and leads
    context_settings={"help_option_names": ["-h", "--help"]},
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


@app.command()
def demo(
    leads: Annotated[int, typer.Option(min=1, max=1000, help="How many leads to send.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same latencies and faults.")] = 1,
) -> None:
    """Send leads to a sandbox on this machine, through faults, and follow each to its outcome.

    No account, no network. About 45 seconds for 100 leads, since the status calls share the limit of 25 calls
    in 5 seconds. Exits with 0 if every lead arrived, else with 1.

    Example: leadsquared demo --leads 50
    """
    console = Console()
    try:
        arrived = asyncio.run(run_demo(console, leads, seed))
    except KeyboardInterrupt:
        console.print("interrupted")
        raise typer.Exit(130) from None
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
    seed: Annotated[int, typer.Option(help="The same seed and calls give the same answers.")] = 0,
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
            seed=seed,
        )
        asyncio.run(run_sandbox(port, options))
    except (ValueError, ImportError) as error:
        typer.echo(f"leadsquared sandbox: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"leadsquared sandbox: cannot listen on port {port}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
