"""`lsq.verify`: whether an account can be used, found out by calls that change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from enum import StrEnum

from leadsquared_async.config import REGIONS, Hosts
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Fault,
    LeadSquaredError,
    NotFound,
    Scope,
)
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.session import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import field_of, id_in
from leadsquared_async.operations import USER, Idempotency
from leadsquared_async.protocol import Expect, host_in
from leadsquared_async.resources.lead_fields import Fields
from leadsquared_async.resources.leads import Leads

__all__ = ["Check", "Verdict", "Verification", "examine"]


class Verdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    WRONG = "wrong"
    """The account, or what the client was told of it, has to be mended."""
    UNKNOWN = "unknown"
    """There was no answer, or nothing to ask."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the thing: "x-api-key", "keys", "region" or "fields".
        verdict: what came of it.
        detail: that in a sentence; holds no key.
        error: what it ran into, if it did.
    """

    name: str
    verdict: Verdict
    detail: str
    error: LeadSquaredError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether an account can be used, as far as that can be seen without sending a lead.

    Attributes:
        checks: what was looked at.
    """

    checks: tuple[Check, ...]

    @property
    def succeeded(self) -> bool:
        """Whether everything was seen to work."""
        return all(check.verdict is Verdict.OK for check in self.checks)

    def raise_for_account(self) -> None:
        """Raise what the account's owner has to mend, if anything is.

        Raises:
            LeadSquaredError: of the first check that is WRONG.
        """
        for check in self.checks:
            if check.verdict is Verdict.WRONG and check.error is not None:
                raise check.error

    def __str__(self) -> str:
        return "\n".join(f"{check.verdict:<8} {check.name:<10} {check.detail}" for check in self.checks)


async def examine(sender: Sender, leads: Leads, fields: Fields, required: Collection[str]) -> Verification:
    """Look at everything, and raise nothing of it.

    Raises:
        ClientClosed: the client is not open here, or was closed meanwhile.
        ConfigurationError: `required` is one string.
    """
    if isinstance(required, str):
        raise ConfigurationError(
            'fields has to be a list of schema names, such as ["mx_City"], not one string', operation="verify"
        )
    sender.session.pipeline()
    hosts = sender.session.options.hosts
    checks = [await _api_key(leads)]
    if hosts.sync_host is None:
        checks.append(_without_sync_host("keys"))
    else:
        checks += [check async for check in _keys(sender, hosts)]
    if required:
        checks.append(
            _without_sync_host("fields") if hosts.sync_host is None else await _fields(fields, required)
        )
    return Verification(tuple(checks))


async def _api_key(leads: Leads) -> Check:
    """Ask for the queue: that takes the x-api-key only."""
    try:
        queue = await leads.metrics()
    except NotFound as error:
        # Where the queue is measured is a guess: the host answers, and that is as much as can be said.
        return Check("x-api-key", Verdict.UNKNOWN, f"the host answers, and has no metrics: {error}")
    except LeadSquaredError as error:
        return _failed("x-api-key", error)
    return Check("x-api-key", Verdict.OK, f"accepted; {queue.pending:,} requests are queued")


async def _keys(sender: Sender, hosts: Hosts) -> AsyncIterator[Check]:
    call = Call(
        operation="verify",
        method="GET",
        path=USER.text,
        host=Host.SYNC,
        expect=Expect.JSON,
        repeat=Idempotency.READ,
        lane=Lane.INTERACTIVE,
    )
    try:
        user = (await sender.send(call)).outcome.data
    except LeadSquaredError as error:
        yield _failed("keys", error)
        return
    if id_in(field_of(user, "Id")) or id_in(field_of(user, "UserId")):
        yield Check("keys", Verdict.OK, "LeadSquared knows the user of the access key")
    else:
        yield Check("keys", Verdict.UNKNOWN, "the answer does not name a user: check sync_host")
    yield _region(hosts, field_of(field_of(user, "LSQCommonServiceURLs"), "api"))


def _region(hosts: Hosts, named: object) -> Check:
    """Whether the account is at home where the client sends to."""
    home = _host_of(named) if isinstance(named, str) else ""
    if not home:
        return Check("region", Verdict.UNKNOWN, "LeadSquared did not say where the account is at home")
    mine = {_host_of(hosts.host), _host_of(hosts.sync_host or "")}
    if home in mine:
        return Check("region", Verdict.OK, f"the account is at home on {home}")
    region = next((name for name, it in REGIONS.items() if _host_of(it.sync_host) == home), None)
    if region is not None and any(
        mine & {_host_of(known.host), _host_of(known.sync_host)} for known in REGIONS.values()
    ):
        error = ConfigurationError(
            f"the account is at home in the region {region} ({home}), and this client is not: pass "
            f'region="{region}"',
            fault=Fault.ACCOUNT,
            scope=Scope.ACCOUNT,
            operation="verify",
        )
        return Check("region", Verdict.WRONG, str(error), error)
    return Check(
        "region",
        Verdict.UNKNOWN,
        f"the account is at home on {home}; whether {_host_of(hosts.host)} belongs to it is not known",
    )


def _host_of(url: str) -> str:
    """The host name of an origin, or of a host that is named without one; "" if there is none in it."""
    return host_in(url if "//" in url else f"//{url}")


async def _fields(fields: Fields, required: Collection[str]) -> Check:
    try:
        await fields.require(*required)
    except LeadSquaredError as error:
        return _failed("fields", error)
    return Check("fields", Verdict.OK, f"the account has {', '.join(required)}")


def _failed(name: str, error: LeadSquaredError) -> Check:
    if isinstance(error, ClientClosed):
        raise error  # by the caller's own program: that says nothing of the account
    verdict = Verdict.WRONG if error.fault is Fault.ACCOUNT else Verdict.UNKNOWN
    return Check(name, verdict, str(error), error)


def _without_sync_host(name: str) -> Check:
    return Check(
        name, Verdict.UNKNOWN, "not checked: no synchronous host is known; pass region= or sync_host="
    )
