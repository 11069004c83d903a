"""`lsq.verify`: checks an account with read-only calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Literal

from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Fault,
    LeadSquaredError,
    NotFound,
    Scope,
)
from leadsquared_async.hosts import REGIONS, Hosts
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import field_of, id_in
from leadsquared_async.operations import USER, Idempotency
from leadsquared_async.protocol import ExpectedBody, host_in
from leadsquared_async.resources.accepted_requests import Requests
from leadsquared_async.resources.account_fields import Fields
from leadsquared_async.resources.submit import Parts

__all__ = ["AccountCheck", "AccountReport", "examine"]

PROBE = "`leadsquared doctor --probe` looks for the path, or says that the host is wrong"


@dataclass(frozen=True, slots=True)
class AccountCheck:
    """The result of one check.

    Attributes:
        name: "x-api-key", "keys", "region" or "fields".
        verdict: "ok"; "wrong" if the account or the client's options need fixing; "unknown" if there was no
            answer, or no host to ask.
        detail: the same in a sentence; contains no key.
        error: the check's error, if any.
    """

    name: str
    verdict: Literal["ok", "wrong", "unknown"]
    detail: str
    error: LeadSquaredError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccountReport:
    """Whether an account is usable, as far as can be checked without sending a lead.

    Attributes:
        checks: the checks, each with `name`, `verdict` ("ok", "wrong" or "unknown"), `detail` and
            `error`.
    """

    checks: tuple[AccountCheck, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every check is ok."""
        return all(check.verdict == "ok" for check in self.checks)

    def raise_for_account(self) -> None:
        """Raise if keys, region or fields need fixing.

        Raises:
            LeadSquaredError: the error of the first check that is "wrong".
        """
        for check in self.checks:
            if check.verdict == "wrong" and check.error is not None:
                raise check.error

    def __str__(self) -> str:
        return "\n".join(f"{check.verdict:<8} {check.name:<10} {check.detail}" for check in self.checks)


async def examine(parts: Parts, required: Collection[str]) -> AccountReport:
    """Run every check, without raising their errors.

    Raises:
        ClientClosed: the client is not open in this loop and process, or was closed meanwhile.
        ConfigurationError: `required` is one string.
    """
    if isinstance(required, str) or not isinstance(required, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            'fields must be a list of schema names, such as ["mx_City"], not one string', operation="verify"
        )
    sender = parts.sender
    sender.session.check_usable()
    hosts = sender.session.options.hosts
    checks = [await _api_key(Requests(parts))]
    if hosts.sync_host is None:
        checks.append(_without_sync_host("keys"))
    else:
        checks += [check async for check in _keys(sender, hosts)]
    if required:
        known = hosts.sync_host is not None
        checks.append(await _fields(Fields(parts), required) if known else _without_sync_host("fields"))
    return AccountReport(tuple(checks))


async def _api_key(requests: Requests) -> AccountCheck:
    """Fetch the queue's metrics, which needs the x-api-key only."""
    try:
        queue = await requests.metrics()
    except NotFound as error:
        # The path of the metrics is inferred, so a 404 shows only that the host answers.
        where = f"not at the path of {error.operation}, so the key is not checked"
        return AccountCheck("x-api-key", "unknown", f"the host answers, but {where}; {PROBE}")
    except LeadSquaredError as error:
        return _failed("x-api-key", error)
    return AccountCheck("x-api-key", "ok", f"accepted; {queue.pending:,} waiting in LeadSquared's queue")


async def _keys(sender: Sender, hosts: Hosts) -> AsyncIterator[AccountCheck]:
    call = Call(
        operation="verify",
        method="GET",
        path=USER.text,
        host=Host.SYNC,
        expect=ExpectedBody.JSON,
        repeat=Idempotency.READ,
        lane=Lane.INTERACTIVE,
    )
    try:
        user = (await sender.send(call)).outcome.data
    except LeadSquaredError as error:
        yield _failed("keys", error)
        return
    if id_in(field_of(user, "Id")) or id_in(field_of(user, "UserId")):
        yield AccountCheck("keys", "ok", "LeadSquared knows the user of the access key")
    else:
        yield AccountCheck("keys", "unknown", "the answer does not name a user: check sync_host")
    yield _region(hosts, field_of(field_of(user, "LSQCommonServiceURLs"), "api"))


def _region(hosts: Hosts, named: object) -> AccountCheck:
    """Whether the account belongs to the host that the client sends to."""
    home = _host_of(named) if isinstance(named, str) else ""
    if not home:
        return AccountCheck("region", "unknown", "LeadSquared did not name the account's host")
    mine = {_host_of(hosts.host), _host_of(hosts.sync_host or "")}
    if home in mine:
        return AccountCheck("region", "ok", f"the account's host is {home}")
    regions = {name: {_host_of(host or "") for host in hosts} for name, hosts in REGIONS.items()}
    region = next((name for name, known in regions.items() if home in known), None)
    if region is not None and any(mine & known for known in regions.values()):
        error = ConfigurationError(
            f"the account is in the region {region} ({home}), but this client uses another one: pass "
            f'region="{region}"',
            fault=Fault.ACCOUNT,
            scope=Scope.ACCOUNT,
            operation="verify",
        )
        return AccountCheck("region", "wrong", str(error), error)
    return AccountCheck(
        "region",
        "unknown",
        f"the account's host is {home}; whether {_host_of(hosts.host)} belongs to it is not known",
    )


def _host_of(url: str) -> str:
    """The host name in an origin, or in a host without a scheme; "" if there is none."""
    return host_in(url if "//" in url else f"//{url}")


async def _fields(fields: Fields, required: Collection[str]) -> AccountCheck:
    try:
        await fields.require(*required)
    except LeadSquaredError as error:
        return _failed("fields", error)
    return AccountCheck("fields", "ok", f"the account has {', '.join(required)}")


def _failed(name: str, error: LeadSquaredError) -> AccountCheck:
    if isinstance(error, ClientClosed):
        raise error  # the caller's own program closed it
    verdict: Literal["wrong", "unknown"] = "wrong" if error.fault is Fault.ACCOUNT else "unknown"
    return AccountCheck(name, verdict, str(error), error)


def _without_sync_host(name: str) -> AccountCheck:
    return AccountCheck(
        name, "unknown", "not checked: no synchronous host is known; pass region= or sync_host="
    )
