"""`leadsquared sandbox`."""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from leadsquared_async import ConfigurationError, RateLimit
from leadsquared_async.cli.demo import LIMIT
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.encoding import SCHEMA_NAME
from leadsquared_async.printable import one_line
from leadsquared_async.sandbox import FAULTS, Books, Faults, Sandbox
from leadsquared_async.sandbox.counters import COUNTERS
from leadsquared_async.sandbox.settings import Attributes, Options, Settings

__all__ = ["sandbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """What a sandbox is like, in the words of the command line."""

    limit: Annotated[str, typer.Option(metavar="CALLS/SECONDS", help='The rate limit, or "none".')] = (
        f"{LIMIT[0]}/{LIMIT[1]:g}"
    )
    counting: Annotated[
        str, typer.Option(metavar="NAME", help=f"How calls are counted: {', '.join(COUNTERS)}.")
    ] = "sliding-log"
    latency: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Of a round trip.")] = 0.05
    jitter: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="At most, added to a round trip at random.")
    ] = 0.05
    fault: Annotated[
        Collection[str],
        typer.Option(
            metavar="NAME=SHARE",
            help=f"The share of calls that fail so, such as 500=0.03; may be repeated: {', '.join(FAULTS)}.",
        ),
    ] = ()
    processing_rate: Annotated[
        float, typer.Option(min=0.01, metavar="N", help="Requests processed a minute.")
    ] = 600.0
    speed: Annotated[
        float,
        typer.Option(
            min=0.01, metavar="N", help="How many times faster than real time requests are processed."
        ),
    ] = 1.0
    attributes: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            help='The schema names that exist: a lead with another one is rejected; "account" for those of a '
            'believable account, "any" for all.',
        ),
    ] = "account"
    mandatory: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="The schema names that a new lead has to have.")
    ] = None
    unique: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME", help='Schema names whose values no two leads may share, or "none".'
        ),
    ] = "EmailAddress,Phone"
    fields: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="How many fields the believable account has.")
    ] = 60
    bulk_limit: Annotated[
        str, typer.Option(metavar="CALLS/SECONDS", help='That of bulk calls, or "none".')
    ] = "1/5"
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With a seed, the same calls give the same answers. Without, each run has its own ids.",
        ),
    ] = None

    def parsed(self) -> Options:
        """As `Sandbox` takes them; ValueError if one is invalid."""
        options = Options(
            limit=_limit("--limit", self.limit),
            bulk_limit=_limit("--bulk-limit", self.bulk_limit),
            counting=self.counting,
            processing_rate=self.processing_rate,
            speed=self.speed,
            attributes=_attributes(self.attributes),
            mandatory=[] if self.mandatory is None else _names("--mandatory", self.mandatory),
            unique=[] if self.unique == "none" else _names("--unique", self.unique),
            fields=self.fields,
            seed=self.seed,
            faults=Faults(
                latency=self.latency, jitter=self.jitter, probabilities=dict(map(_share, self.fault))
            ),
        )
        Settings(**options)  # refuses here what it would refuse later
        return options


def sandbox(
    options: SandboxOptions,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen on 127.0.0.1; 0 takes any.")
    ] = 8025,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print a line for each call.")] = False,
) -> ExitStatus:
    """Run a local LeadSquared emulator, and print the environment to use it.

    It runs until Ctrl-C. Paste the lines that it prints into another terminal, and type the commands there.

    Example: leadsquared sandbox --fault 500=0.05 --fault lost+taken=0.01
    """
    try:
        asyncio.run(run_sandbox(port, options.parsed(), quiet=quiet))
    except (ValueError, ImportError) as error:
        raise CommandFailedError(one_line(str(error))) from None
    except OSError as error:
        raise CommandFailedError(f"cannot listen on port {port}: {error.strerror}") from None
    except KeyboardInterrupt:
        pass
    return ExitStatus.DONE


def _limit(option: str, text: str) -> tuple[int, float] | None:
    if text == "none":
        return None
    try:
        limit = RateLimit.parse(text)
    except ConfigurationError:
        raise ValueError(f'{option} is written as calls/seconds, such as 25/5, or "none"') from None
    return limit.calls, limit.per


def _attributes(text: str) -> Attributes:
    if text == "account":
        return "account"
    return None if text == "any" else _names("--attributes", text)


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(map(SCHEMA_NAME.fullmatch, names)):
        raise ValueError(f"{option} is written as schema names, such as EmailAddress,FirstName")
    return names


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise ValueError(
            f"--fault is written as NAME=SHARE, such as 500=0.03; the names are {', '.join(FAULTS)}"
        ) from None


async def run_sandbox(port: int, options: Options, *, quiet: bool) -> None:
    """Serve until cancelled, and say how to reach it; a line for each call, and a summary at the end."""
    async with Sandbox(port=port, on_call=None if quiet else _tell_call, **options) as sandbox:
        try:
            _tell(sandbox)
            await asyncio.Event().wait()
        finally:
            if not quiet:
                _say(summary_of(sandbox.books))


def summary_of(books: Books) -> str:
    """What a sandbox has received, in a line."""
    calls = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(books.by_outcome.items()))
    states = Counter(request["status"] for request in books.requests)
    requests = ", ".join(f"{count} {status}" for status, count in sorted(states.items()))
    return "; ".join(
        f"{what}: {total}" + (f" ({detail})" if detail else "")
        for what, total, detail in (
            ("calls", len(books.arrivals), calls),
            ("requests", books.accepted, requests),
            ("leads", len(books.leads), ""),
        )
    )


def _tell_call(line: str) -> None:
    _say(f"{datetime.now().astimezone():%H:%M:%S} {line}")


def _say(text: str) -> None:
    """Beside the lines to export; a terminal that has gone ends no call."""
    with suppress(OSError):
        typer.echo(text, err=True)


def _tell(sandbox: Sandbox) -> None:
    environment = {
        "LEADSQUARED_HOST": sandbox.url,
        "LEADSQUARED_ACCESS_KEY": sandbox.access_key,
        "LEADSQUARED_SECRET_KEY": sandbox.secret_key,
        "LEADSQUARED_API_KEY": sandbox.api_key,
        "LEADSQUARED_SYNC_HOST": sandbox.url,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines += [
        f"# the emulator listens on {sandbox.url}",
        f"# its calls and records: {sandbox.url}/_sandbox/",
        "# paste these lines into another terminal, and type the commands there",
        "# Ctrl-C stops it",
    ]
    try:
        typer.echo("\n".join(lines))
    except OSError as error:  # which would be taken for a port in use
        raise ValueError(f"its environment cannot be printed: {error.strerror}") from None
