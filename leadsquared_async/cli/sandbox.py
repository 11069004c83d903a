"""`leadsquared sandbox`."""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from contextlib import suppress
from datetime import datetime

import typer

from leadsquared_async import ConfigurationError, RateLimit
from leadsquared_async.encoding import SCHEMA_NAME
from leadsquared_async.sandbox import FAULTS, Books, Faults, Sandbox
from leadsquared_async.sandbox.settings import Attributes, Options, Settings

__all__ = ["run_sandbox", "sandbox_options", "summary_of"]


def sandbox_options(
    *,
    limit: str,
    counting: str,
    latency: float,
    jitter: float,
    faults: list[str],
    processing_rate: float,
    speed: float,
    attributes: str,
    mandatory: str | None,
    unique: str,
    fields: int,
    bulk_limit: str,
    seed: int | None,
) -> Options:
    """The options of a sandbox from those of the command line.

    Raises:
        ValueError: one of them makes no sense.
    """
    options = Options(
        limit=_limit("--limit", limit),
        bulk_limit=_limit("--bulk-limit", bulk_limit),
        counting=counting,
        processing_rate=processing_rate,
        speed=speed,
        attributes=_attributes(attributes),
        mandatory=[] if mandatory is None else _names("--mandatory", mandatory),
        unique=[] if unique == "none" else _names("--unique", unique),
        fields=fields,
        seed=seed,
        faults=Faults(latency=latency, jitter=jitter, probabilities=dict(map(_share, faults))),
    )
    Settings(**options)  # refuses here what it would refuse later
    return options


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
    """What a sandbox has seen, in a line."""
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
        f"# a LeadSquared listens on {sandbox.url}; its calls and records are at {sandbox.url}/_sandbox/",
        "# paste these lines into another terminal, and type the commands there; stop it with Ctrl-C",
    ]
    try:
        typer.echo("\n".join(lines))
    except OSError as error:  # which would be taken for a port in use
        raise ValueError(f"its environment cannot be printed: {error.strerror}") from None
