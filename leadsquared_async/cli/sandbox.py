"""`leadsquared sandbox`."""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, cast

import typer

from leadsquared_async import ConfigurationError, RateLimit
from leadsquared_async.cli.demo import LIMIT
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.options import option, pairs
from leadsquared_async.encoding import SCHEMA_NAME
from leadsquared_async.printable import one_line
from leadsquared_async.sandbox import FAULTS, Books, Faults, Sandbox
from leadsquared_async.sandbox.counters import COUNTERS
from leadsquared_async.sandbox.settings import Options

__all__ = ["sandbox"]


def _limit(text: str) -> tuple[int, float] | None:
    try:
        limit = None if text == "none" else RateLimit.parse(text)
    except ConfigurationError:
        raise ValueError('is written as calls/seconds, such as 25/5, or "none"') from None
    return None if limit is None else (limit.calls, limit.per)


def _names(text: str) -> list[str]:
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    if not all(map(SCHEMA_NAME.fullmatch, names)):
        raise ValueError("is written as schema names, such as EmailAddress,FirstName")
    return names


def _attributes(text: str) -> str | list[str] | None:
    return {"account": "account", "any": None}[text] if text in {"account", "any"} else _names(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    limit: Annotated[Any, option("--limit CALLS/SECONDS", 'The rate limit, or "none".', parse=_limit)] = (
        f"{LIMIT[0]}/{LIMIT[1]:g}"
    )
    bulk_limit: Annotated[
        Any, option("--bulk-limit CALLS/SECONDS", 'That of bulk calls, or "none".', parse=_limit)
    ] = "1/5"
    counting: Annotated[str, option("--counting NAME", f"How calls are counted: {', '.join(COUNTERS)}.")] = (
        "sliding-log"
    )
    latency: Annotated[float, option("--latency SECONDS", "Of a round trip.", least=0)] = 0.05
    jitter: Annotated[
        float, option("--jitter SECONDS", "At most, added to a round trip at random.", least=0)
    ] = 0.05
    fault: Annotated[
        Collection[str],
        option(
            "--fault NAME=SHARE",
            "The share of calls that fail like this, such as 500=0.03; may be repeated: "
            f"{', '.join(FAULTS)}.",
        ),
    ] = ()
    processing_rate: Annotated[
        float, option("--processing-rate N", "Requests processed a minute.", least=0.01)
    ] = 600.0
    speed: Annotated[
        float,
        option("--speed N", "How many times faster than real time requests are processed.", least=0.01),
    ] = 1.0
    attributes: Annotated[
        Any,
        option(
            "--attributes NAME,NAME",
            'The schema names that exist: a lead with another one is rejected; "account" for those of a '
            'realistic account, "any" for all.',
            parse=_attributes,
        ),
    ] = "account"
    mandatory: Annotated[
        Any, option("--mandatory NAME,NAME", "The schema names that a new lead must have.", parse=_names)
    ] = "none"
    unique: Annotated[
        Any,
        option(
            "--unique NAME,NAME",
            'Schema names whose values no two leads may share, or "none".',
            parse=_names,
        ),
    ] = "EmailAddress,Phone"
    fields: Annotated[
        int, option("--fields N", "How many fields the realistic account has.", least=1, most=10_000)
    ] = 60
    seed: Annotated[
        int | None,
        option(
            "--seed N",
            "With a seed, the same calls give the same answers. Without, each run has its own ids.",
        ),
    ] = None

    def as_settings(self) -> Options:
        """As `Sandbox` takes them; raises ValueError if a share is not a number."""
        chosen = asdict(self)
        try:
            shares = pairs("--fault", chosen.pop("fault"))
            probabilities = {name: float(share) for name, share in shares.items()}
        except ValueError:
            raise ValueError("--fault is written as NAME=SHARE, such as 500=0.03") from None
        latency, jitter = chosen.pop("latency"), chosen.pop("jitter")
        faults = Faults(latency=latency, jitter=jitter, probabilities=probabilities)
        return cast("Options", {**chosen, "faults": faults})


def sandbox(
    options: SandboxOptions,
    port: Annotated[
        int, option("--port N", "Where to listen on 127.0.0.1; 0 takes any free port.", least=0, most=65535)
    ] = 8025,
    quiet: Annotated[bool, option("--quiet", "Do not print a line for each call.")] = False,
) -> ExitStatus:
    """Run a local LeadSquared emulator, and print the environment to use it.

    It runs until Ctrl-C. Paste the lines that it prints into another terminal, and type the commands there.

    Example: leadsquared sandbox --fault 500=0.05 --fault lost+taken=0.01
    """
    try:
        asyncio.run(run_sandbox(port, options.as_settings(), quiet=quiet))
    except (ValueError, ImportError) as error:
        raise CommandFailedError(one_line(str(error))) from None
    except OSError as error:
        raise CommandFailedError(f"cannot listen on port {port}: {error.strerror}") from None
    except KeyboardInterrupt:
        pass
    return ExitStatus.DONE


async def run_sandbox(port: int, options: Options, *, quiet: bool) -> None:
    """Serve until cancelled, and print the environment, a line for each call, and a summary at the end."""
    async with Sandbox(port=port, on_call=None if quiet else _print_call, **options) as sandbox:
        try:
            _print_environment(sandbox)
            await asyncio.Event().wait()
        finally:
            if not quiet:
                _print_aside(summary_of(sandbox.books))


def summary_of(books: Books) -> str:
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


def _print_call(line: str) -> None:
    _print_aside(f"{datetime.now().astimezone():%H:%M:%S} {line}")


def _print_aside(text: str) -> None:
    """Print to standard error; a closed terminal ends no call."""
    with suppress(OSError):
        typer.echo(text, err=True)


def _print_environment(sandbox: Sandbox) -> None:
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
        f"# its window, for a browser: {sandbox.window_url}",
        "# paste these lines into another terminal, and type the commands there",
        "# Ctrl-C stops it",
    ]
    try:
        typer.echo("\n".join(lines))
    except OSError as error:  # not one of the port
        raise ValueError(f"the environment cannot be printed: {error.strerror}") from None
