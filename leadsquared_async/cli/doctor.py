"""`leadsquared doctor`: what is configured, from where, and whether it works."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.doctor_checks import Check, Word
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, status_of
from leadsquared_async.cli.fields import NO_SYNC_HOST
from leadsquared_async.cli.files.private_files import files_of, open_private
from leadsquared_async.cli.options import FailOn, option
from leadsquared_async.cli.outboxes import counts_text, dead_letters, states_of, status_for
from leadsquared_async.cli.probe_report import report_draft, report_text
from leadsquared_async.cli.probing import ProbeOptions, Probes, run_probes
from leadsquared_async.cli.stopping import run_until_stopped
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.client import parts_of
from leadsquared_async.config import ENVIRONMENT, MASK, key_fault, setting
from leadsquared_async.errors import ConfigurationError, OutboxError
from leadsquared_async.outbox import check_account, has_modes, place_of
from leadsquared_async.resources.account_report import AccountCheck, examine

__all__ = ["doctor"]

WITHIN = 20.0
"""Seconds for one call."""
_SHAPES = {
    "access_key": (re.compile(r"u\$r[0-9a-f]{32}"), "u$r and 32 hexadecimal digits"),
    "secret_key": (re.compile(r"[0-9a-f]{40}"), "40 hexadecimal digits"),
    "api_key": (re.compile(r"[0-9A-Za-z]{40}"), "40 letters and digits"),
}


def doctor(
    connection: Connection,
    terminal: Terminal,
    probing: ProbeOptions,
    outbox: Annotated[Path | None, option("--outbox FILE", "An outbox to check as well.")] = None,
    require: Annotated[
        Collection[str], option("--require NAME", "A lead field that must exist; may be repeated.")
    ] = (),
    fail_on: FailOn = None,
) -> ExitStatus:
    """Check the configuration, with calls that change nothing.

    Exit status: 0 nothing is wrong, 2 the configuration is incomplete,
    3 LeadSquared does not answer, 4 somebody has to act on the account,
    5 the outbox has items in a state that --fail-on names.

    With --probe, 2 also means that the printed lines have to be configured.

    Example: leadsquared doctor --outbox leads.csv.outbox --require mx_City

    Example: leadsquared doctor --probe-keys --report report.md
    """
    states = states_of(fail_on)
    if states and outbox is None:
        raise CommandFailedError("--fail-on needs an outbox: pass its file with --outbox")
    with report_draft(probing.report, [] if outbox is None else files_of([outbox])) as draft:
        checks, probes = _account(connection, list(require), probing, terminal)
        if outbox is not None:
            checks.append(_outbox(outbox, states, connection))
        # A problem that stops all calls takes precedence over --fail-on.
        statuses = {check.status for check in checks}
        status = max(statuses - {ExitStatus.FAIL_ON}) or max(statuses)
        rows = [{**asdict(check), "status": int(check.status)} for check in checks]
        cells = [(check.verdict, check.name, check.detail) for check in checks]
        data = {"checks": rows, "exit": int(status), **({} if probes is None else {"probe": probes.data()})}
        terminal.table(("", "Check", "What was found"), cells, data)
        if probes is not None and not terminal.as_json and (lines := probes.lines()):
            terminal.exact("\n".join(lines))
        if draft is not None:
            with open_private(draft.part) as file:
                file.write(report_text(connection, checks, probes))
            terminal.say(f"the report is in {draft.place()}")
    return status


def _account(
    connection: Connection, required: Sequence[str], probing: ProbeOptions, terminal: Terminal
) -> tuple[list[Check], Probes | None]:
    """Check the configuration, and then the account if there is nothing wrong with it."""
    checks = [*map(_key, _SHAPES), *_checks_of("host", partial(_hosts, connection)), *_proxies(connection)]
    checks += _checks_of("rate limit", partial(_limit, connection))
    if not _is_wrong(checks):
        checks += _checks_of("options", partial(_options, connection))
    if not _is_wrong(checks):
        live, probes = run_until_stopped(_live(connection, required, probing, terminal))
        return [*checks, *live], probes
    detail = "none was made: fix the problems above first"
    return [*checks, Check("calls", "unknown", detail, ExitStatus.USAGE)], None


def _key(name: str) -> Check:
    """Check that a key is set and has the usual shape; its characters are never shown."""
    variable = ENVIRONMENT[name]
    value = setting(variable, os.environ)
    if value is None:
        return Check(name, "wrong", f"{variable} is not set", ExitStatus.USAGE)
    if (fault := key_fault(name, value)) is not None:
        return Check(name, "wrong", fault.replace(f"{name} (or {variable})", variable), ExitStatus.USAGE)
    shape, usual = _SHAPES[name]
    detail = f"{MASK}, {len(value)} characters, from {variable}"
    if shape.fullmatch(value):
        return Check(name, "ok", detail)
    return Check(name, "unknown", f"{detail}; it usually has {usual}")


def _checks_of(name: str, find: Callable[[], Iterable[Check]]) -> list[Check]:
    """What `find` returns; an invalid configuration is a check that failed."""
    try:
        return list(find())
    except ConfigurationError as error:
        return [Check(name, "wrong", str(error), ExitStatus.USAGE)]


def _hosts(connection: Connection) -> Iterator[Check]:
    """Both hosts and their sources; with an option, no variable of the environment is used."""
    hosts = connection.hosts
    if connection.host is not None or connection.region is not None:
        source = "--host" if connection.host is not None else "--region"
        sync_source = "--region"
    else:
        source, sync_source = (
            ENVIRONMENT[name if setting(ENVIRONMENT[name], os.environ) else "region"]
            for name in ("host", "sync_host")
        )
    yield Check("host", "ok", f"{hosts.host}, from {source}")
    if hosts.sync_host is None:
        yield Check("sync host", "unknown", NO_SYNC_HOST)
    else:
        yield Check("sync host", "ok", f"{hosts.sync_host}, from {sync_source}")


def _proxies(connection: Connection) -> list[Check]:
    """The proxy of each host, and the trusted certificates; a proxy's password is never shown."""
    try:
        hosts = connection.hosts
    except ConfigurationError:
        return []  # reported by `_hosts`
    checks = list[Check]()
    for name, origin in zip(("proxy", "sync proxy"), hosts, strict=True):
        if origin:
            checks += _checks_of(name, partial(_proxy, name, origin))
    if any(origin.startswith("https:") for origin in hosts if origin):
        checks += _checks_of("certificates", _certificates)
    return checks


def _certificates() -> Iterator[Check]:
    from leadsquared_async.http.environment import certificates  # noqa: PLC0415 - it imports httpx

    yield Check("certificates", "ok", certificates().source)


def _proxy(name: str, origin: str) -> Iterator[Check]:
    from leadsquared_async.http.environment import proxy_for  # noqa: PLC0415 - it imports httpx

    proxy = proxy_for(origin)
    if proxy is None:
        yield Check(name, "ok", f"none: {origin} is reached directly")
    else:
        login = ", with a user and password" if proxy.has_credentials else ""
        yield Check(name, "ok", f"{proxy.address}{login}, from {proxy.variable}")


def _limit(connection: Connection) -> Iterator[Check]:
    limit = connection.limit
    if connection.rate is not None:
        source = "--rate"
    else:
        variable = ENVIRONMENT["rate_limit"]
        source = variable if setting(variable, os.environ) else "default; a smaller plan needs its own"
    yield Check("rate limit", "ok", f"{limit.calls} calls in {limit.per:g} s, from {source}")


def _is_wrong(checks: Iterable[Check]) -> bool:
    return any(check.verdict == "wrong" for check in checks)


def _options(connection: Connection) -> Iterator[Check]:
    """The paths and the place of the keys, if they are configured."""
    names = [ENVIRONMENT[name] for name in ("paths", "keys_in")]
    if given := [name for name in names if setting(name, os.environ) is not None]:
        connection.client()
        yield Check("options", "ok", f"from {' and '.join(given)}")


async def _live(
    connection: Connection, required: Sequence[str], probing: ProbeOptions, terminal: Terminal
) -> tuple[list[Check], Probes | None]:
    async with connection.client(quick=True) as lsq:
        seen = await examine(parts_of(lsq.with_options(deadline=WITHIN)), required)
    checks = [Check(check.name, check.verdict, check.detail, _status(check)) for check in seen.checks]
    if not probing.is_wanted:
        return checks, None
    probes = await run_probes(connection, probing, terminal.say)
    return [*checks, *probes.checks()], probes


def _status(seen: AccountCheck) -> ExitStatus:
    if seen.verdict == "wrong":
        return ExitStatus.ACCOUNT
    if seen.verdict == "ok":
        return ExitStatus.DONE
    if seen.error is not None:
        return status_of(seen.error)
    # --require was passed, and there is no synchronous host to check it with.
    return ExitStatus.USAGE if seen.name == "fields" else ExitStatus.DONE


def _outbox(path: Path, fail_on: Collection[ItemState], connection: Connection) -> Check:
    kind, is_usable, risk = place_of(path)
    place = f"on {kind or 'an unknown file system'}"
    if not is_usable:
        detail = f"{place}, a network file system, where it would be damaged: choose a local disk"
        return Check("outbox", "wrong", detail, ExitStatus.USAGE)
    warning = "" if risk is None else f", {risk}"
    verdict: Word = "unknown" if warning else "ok"
    if not path.exists():
        if not os.access(path.parent, os.W_OK):
            return Check("outbox", "wrong", f"{path.parent}: cannot be written", ExitStatus.USAGE)
        return Check("outbox", verdict, f"{path}: does not exist yet; {place}{warning}")
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        counts = asyncio.run(_counts(path, connection))
    except OutboxError as error:
        return Check("outbox", "wrong", str(error), ExitStatus.USAGE)
    found = f"{path}: {counts_text(counts)}; {_readers(mode)}; {place}{warning}"
    if (dead := dead_letters(path, counts)) is not None:
        verdict, found = "look", f"{': '.join(dead)}; {found}"
    return Check("outbox", verdict, found, status_for(counts, fail_on))


def _readers(mode: int) -> str:
    """Who could read the file before it was opened, which makes it private."""
    if not has_modes():
        return "whoever may read its folder can read it"
    return f"mode {mode:04o}{'; other users could read it until now' if mode & 0o077 else ''}"


async def _counts(path: Path, connection: Connection) -> Mapping[ItemState, int]:
    async with Outbox(path) as outbox:
        with suppress(ConfigurationError):  # another check reports it
            await check_account(outbox, connection.client())
        return (await outbox.snapshot()).counts
