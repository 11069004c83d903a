"""`leadsquared sandbox`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from leadsquared_async import ConfigurationError, RateLimit
from leadsquared_async.attributes import SCHEMA_NAME
from leadsquared_async.cli.demo import LIMIT
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.options import option, pairs
from leadsquared_async.cli.shell_lines import setting_lines
from leadsquared_async.cli.stopping import Interrupted, run_until_stopped
from leadsquared_async.printable import one_line
from leadsquared_async.sandbox import COUNTERS, FAULTS, Faults
from leadsquared_async.sandbox.settings import KEY_PLACES, Options

if TYPE_CHECKING:
    from leadsquared_async.sandbox import Books, Sandbox

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
    limit: Annotated[
        Any, option("--limit CALLS/SECONDS", 'The rate limit; "none": no limit.', parse=_limit)
    ] = f"{LIMIT[0]}/{LIMIT[1]:g}"
    bulk_limit: Annotated[
        Any,
        option("--bulk-limit CALLS/SECONDS", 'The rate limit of bulk calls; "none": no limit.', parse=_limit),
    ] = "1/5"
    counting: Annotated[str, option("--counting NAME", f"How calls are counted: {', '.join(COUNTERS)}.")] = (
        "sliding-log"
    )
    latency: Annotated[float, option("--latency SECONDS", "Round-trip time of each call.", least=0)] = 0.05
    jitter: Annotated[
        float, option("--jitter SECONDS", "Maximum random delay added to each round trip.", least=0)
    ] = 0.05
    fault: Annotated[
        Collection[str],
        option(
            "--fault NAME=SHARE",
            "Share of the calls that get this fault, such as 500=0.03. Repeatable. Faults: "
            f"{', '.join(FAULTS)}.",
        ),
    ] = ()
    processing_rate: Annotated[
        float, option("--processing-rate N", "Requests processed per minute.", least=0.01)
    ] = 600.0
    speed: Annotated[
        float,
        option("--speed N", "Speed-up of request processing over real time.", least=0.01),
    ] = 1.0
    attributes: Annotated[
        Any,
        option(
            "--attributes NAME,NAME",
            'The attributes that exist; a lead with any other is rejected. "account": those of a realistic '
            'account; "any": all.',
            parse=_attributes,
        ),
    ] = "account"
    mandatory: Annotated[
        Any, option("--mandatory NAME,NAME", "The attributes that a new lead must have.", parse=_names)
    ] = "none"
    unique: Annotated[
        Any,
        option(
            "--unique NAME,NAME",
            'The attributes whose values must be unique among leads, or "none".',
            parse=_names,
        ),
    ] = "EmailAddress,Phone"
    fields: Annotated[
        int, option("--fields N", "The number of fields of the realistic account.", least=1, most=10_000)
    ] = 60
    path: Annotated[
        Collection[str],
        option(
            "--path NAME=PATH",
            'Serve a call at another path, such as "activity status=/activity/status"; without a PATH the '
            "call does not exist. Repeatable.",
        ),
    ] = ()
    keys: Annotated[
        str, option("--keys PLACE", f"Where submissions have their keys: {', '.join(KEY_PLACES)}.")
    ] = "query"
    seed: Annotated[
        int | None,
        option(
            "--seed N",
            "With a seed, the same calls get the same replies. Without one, ids differ in each run.",
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
        paths = {name: path or None for name, path in pairs("--path", chosen.pop("path")).items()}
        return cast("Options", {**chosen, "faults": faults, "paths": paths})


def sandbox(
    options: SandboxOptions,
    port: Annotated[
        int, option("--port N", "The port on 127.0.0.1; 0 picks a free port.", least=0, most=65535)
    ] = 8025,
    quiet: Annotated[bool, option("--quiet", "Do not print a line for each call.")] = False,
) -> ExitStatus:
    """Run a local LeadSquared emulator and print the environment variables to use it.

    It runs until Ctrl-C or SIGTERM. Paste the printed lines into another terminal and run your commands
    there.

    Example: leadsquared sandbox --fault 500=0.05 --fault lost+taken=0.01
    """
    try:
        run_until_stopped(run_sandbox(port, options.as_settings(), quiet=quiet))
    except (ValueError, ImportError) as error:
        raise CommandFailedError(one_line(str(error))) from None
    except OSError as error:
        raise CommandFailedError(f"cannot listen on port {port}: {error.strerror}") from None
    except Interrupted:
        pass
    return ExitStatus.DONE


async def run_sandbox(port: int, options: Options, *, quiet: bool) -> None:
    """Serve until cancelled, and print the environment, a line for each call, and a summary at the end."""
    from leadsquared_async.sandbox import Sandbox  # noqa: PLC0415 - slow to import

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
    lines = [
        *setting_lines(environment),
        f"# the emulator listens on {sandbox.url}",
        f"# to see calls and leads in a browser, open {sandbox.window_url}",
        "# paste these lines into another terminal and run your commands there",
        "# Ctrl-C stops it",
    ]
    try:
        typer.echo("\n".join(lines))
    except OSError as error:  # not one of the port
        raise ValueError(f"the environment cannot be printed: {error.strerror}") from None
