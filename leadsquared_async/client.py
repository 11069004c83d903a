"""`LeadSquared`: options, lifecycle, resources."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Iterable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Self,
    TypeVar,
    cast,
    get_args,
    overload,
)

from leadsquared_async.config import (
    Credentials,
    RateLimit,
    RetryPolicy,
    Secret,
    checked,
    checked_limit,
    credentials_from,
    keys_in_from,
    paths_from,
    rate_limit_from,
    seconds,
)
from leadsquared_async.errors import ClientClosed, ConfigurationError
from leadsquared_async.hosts import Hosts, hosts_from
from leadsquared_async.http.call import Settings
from leadsquared_async.http.redaction import call_without_locals, without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.http.session import Options, Session, Snapshot
from leadsquared_async.limiter.interface import AsyncLimiterAdapter, Limiter
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS
from leadsquared_async.printable import one_line
from leadsquared_async.resources.accepted_requests import Requests
from leadsquared_async.resources.account_fields import Fields
from leadsquared_async.resources.bulk import Bulk
from leadsquared_async.resources.custom_call import CustomCalls
from leadsquared_async.resources.field_cache import FieldCache, FieldValidator, ValidationMode
from leadsquared_async.resources.leads import Activities, Calls, Leads, Opportunities
from leadsquared_async.resources.prepare import Preparer
from leadsquared_async.resources.submit import CONCURRENCY, Parts, submit, submit_many
from leadsquared_async.results import Results
from leadsquared_async.source import Source
from leadsquared_async.submissions import Submission
from leadsquared_async.telemetry import is_set_up
from leadsquared_async.tracking import Trackers

if TYPE_CHECKING:
    import httpx
    from aiolimiter import AsyncLimiter

    from leadsquared_async.events import Event
    from leadsquared_async.limiter.local_limits import AccountLimits
    from leadsquared_async.limiter.redis_limits import SharedLimiter
    from leadsquared_async.resources.account_report import AccountReport

__all__ = ["LeadSquared", "parts_of"]

R = TypeVar("R")

GRACE = 8.0


class resource(property, Generic[R]):  # noqa: N801 - used like `property`
    """A resource of a client; on the class, the resource's class, so that `help()` shows its methods."""

    def __init__(self, kind: Callable[[Parts], R]) -> None:
        super().__init__(lambda client: kind(parts_of(client)))
        self._kind = kind
        self.__doc__ = inspect.getdoc(kind)

    @overload  # type: ignore[override] # on the class this is the resource's class, not a property
    def __get__(self, instance: None, owner: type | None = None, /) -> type[R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> R: ...
    def __get__(self, instance: object | None, owner: type | None = None, /) -> R | type[R]:
        return cast("type[R]", self._kind) if instance is None else super().__get__(instance, owner)


class LeadSquared(Requests, CustomCalls):
    """A client of one LeadSquared account, for one event loop: `async with LeadSquared(...) as lsq:`.

    Clients of one account in one process share one rate limit, across event loops and threads. A client can
    be opened once; `with_options` makes cheap copies that share its connections and limit. An empty or blank
    environment variable counts as not set.

    Example:
        async with LeadSquared(region="in21") as lsq:
            receipt = await lsq.leads.capture({"FirstName": "Bret", "Phone": "+91-9988776655"})
            status = await lsq.leads.wait(receipt)

    Args:
        access_key: LeadSquared's accessKey; else LEADSQUARED_ACCESS_KEY.
        secret_key: its secretKey; else LEADSQUARED_SECRET_KEY.
        api_key: the x-api-key; else LEADSQUARED_API_KEY.
        credentials: the keys, or an async callable that returns them, called at first use and once more after
            a 401.
        region: "in21", "us11" or "sg"; else LEADSQUARED_REGION.
        host: any other asynchronous host: scheme, host and port; else LEADSQUARED_HOST. Plain http:// is for
            loopback only. A trailing `/v2/`, as LeadSquared shows its hosts, is allowed.
        sync_host: the synchronous host, for lead fields and bulk; else LEADSQUARED_SYNC_HOST, else the
            region's.
        rate_limit: the account's limit; else LEADSQUARED_RATE_LIMIT, such as "10/5"; else 25 calls in
            5 seconds.
        bulk_limit: the account's limit for bulk calls, which count separately; by default 1 in 5 seconds.
        retry: when a call is retried; by default `RetryPolicy()`, with up to 6 attempts.
        timeout: seconds for one attempt, until the whole answer is read.
        deadline: seconds for a whole call, including waits for the rate limit; None for no bound. Use 10 in
            form handlers.
        limiter: a `SharedLimiter`, to share one limit between processes; or your own `Limiter` or an
            `aiolimiter.AsyncLimiter`, which limits every attempt as well.
        transport: your own httpx transport (proxy, TLS, a mock); the client never closes it.
        validate: how to treat a lead that LeadSquared would reject, according to the account's lead fields:
            "off" sends it, "strict" raises `InvalidLead`, "drop" leaves out attributes that the account does
            not have and lists them on the receipt. If the fields are not available, leads are not checked.
        normalize: a function from a lead to a lead, applied to every lead before it is checked,
            deduplicated and sent.
        paths: your account's paths where they differ from the defaults, by call name:
            {"leads.update status": "/..."}; else LEADSQUARED_PATHS, a JSON object. `leadsquared doctor
            --probe` finds them.
        keys_in: where calls have the access key and the secret key: "query", as LeadSquared documents it, or
            "headers"; else LEADSQUARED_KEYS_IN; else "query".
        on_event: called with each event (`leadsquared_async.events`) in the client's event loop, so it must
            not block. An exception that it raises is logged.
        name: a label for events, log lines and errors.

    Raises:
        ConfigurationError: an option is invalid, or keys or host are missing.
    """

    @call_without_locals
    def __init__(
        self,
        *,
        access_key: str | Secret | None = None,
        secret_key: str | Secret | None = None,
        api_key: str | Secret | None = None,
        credentials: Credentials | Callable[[], Awaitable[Credentials]] | None = None,
        region: str | None = None,
        host: str | None = None,
        sync_host: str | None = None,
        rate_limit: RateLimit | None = None,
        bulk_limit: RateLimit | None = None,
        retry: RetryPolicy | None = None,
        timeout: float = 30.0,
        deadline: float | None = 600.0,
        limiter: Limiter | AsyncLimiter | SharedLimiter | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        validate: Literal["off", "strict", "drop"] = "off",
        normalize: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        paths: Mapping[str, str] | None = None,
        keys_in: Literal["query", "headers"] | None = None,
        on_event: Callable[[Event], None] | None = None,
        name: str | None = None,
    ) -> None:
        if credentials is None:
            credentials = credentials_from(access_key, secret_key, api_key, os.environ)
        elif access_key or secret_key or api_key:
            raise ConfigurationError("pass either the three keys or credentials=, not both")
        elif not isinstance(credentials, Credentials) and not callable(credentials):
            raise ConfigurationError(
                "credentials must be a Credentials, or an async callable that returns one"
            )
        if normalize is not None and not callable(normalize):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError("normalize must be a function that takes and returns a lead")
        if on_event is not None and not _is_plain_function(on_event):
            raise ConfigurationError("on_event must be a function that takes an event, and not asynchronous")
        sharing, foreign = _limiters(limiter)
        self._session = Session(
            Options(
                hosts=hosts_from(host, sync_host, region, os.environ),
                credentials=credentials,
                rate_limit=rate_limit_from(rate_limit, os.environ),
                bulk_limit=checked_limit("bulk_limit", bulk_limit or RateLimit(1, per=5.0)),
                paths=paths_from(paths, _call_names(), os.environ),
                keys_in=keys_in_from(keys_in, os.environ),
                sharing=sharing,
                limiter=foreign,
                transport=_checked_transport(transport),
                on_event=on_event,
                name=None if name is None else one_line(name),
            )
        )
        settings = Settings(
            lane=None,
            deadline=_checked_deadline(deadline),
            timeout=seconds("timeout", timeout),
            retry=_checked_retry(retry or RetryPolicy()),
        )
        sender = Sender(self._session, settings)
        fields = FieldCache(sender)
        preparer = Preparer(normalize, _validator(validate, fields, self._session.options.hosts))
        self._parts = Parts(sender, Trackers(sender), preparer, fields)
        self._derived = False

    leads = resource(Leads)
    activities = resource(Activities)
    opportunities = resource(Opportunities)
    calls = resource(Calls)
    bulk = resource(Bulk)
    fields = resource(Fields)

    @without_locals
    async def verify(self, *, fields: Collection[str] = ()) -> AccountReport:
        """Check that the account is usable, with read-only calls; for the start of a program.

        Checks the host and the x-api-key, the access and secret key, the region, and the named lead fields.
        A server that does not answer is reported, not raised.

        Example:
            print(await lsq.verify(fields=["EmailAddress", "mx_City"]))

        Args:
            fields: schema names that your leads use.

        Raises:
            LeadSquaredError: keys, region or fields need fixing.
        """
        from leadsquared_async.resources.account_report import examine  # noqa: PLC0415 - few call it

        report = await examine(self._parts, fields)
        report.raise_for_account()
        return report

    @without_locals
    def submit(
        self, submission: Submission, *, deadline: float | Literal["client"] | None = "client"
    ) -> Awaitable[Receipt]:
        """Send a submission of any operation, and return LeadSquared's receipt.

        Example:
            receipt = await lsq.submit(submissions.create_activity(lead_id, event=201), deadline=10)

        Args:
            submission: made by a function of `leadsquared_async.submissions`.
            deadline: seconds for the whole call; by default the client's.

        Raises:
            InvalidLead: the submission is invalid. Nothing was sent.
            LeadSquaredError: the call failed; `delivery` says whether it may have arrived.
        """
        return submit(self._parts, submission, deadline=deadline)

    @call_without_locals
    def submit_many(
        self,
        submissions: Iterable[Submission] | AsyncIterable[Submission],
        *,
        follow: bool = False,
        concurrency: int = CONCURRENCY,
    ) -> Results[Submission]:
        """Send any number of submissions of any operations, like `leads.capture_many`.

        Example:
            async with lsq.submit_many([submissions.log_call(key, call) for call in calls]) as results:
                async for result in results:
                    print(result.index, result.receipt, result.error)

        Args:
            submissions: made by functions of `leadsquared_async.submissions`.
            follow: whether to follow each accepted submission, so that its result has the final `status`.
            concurrency: maximum submissions that are pulled and whose results are unread.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        return submit_many(
            self._parts,
            Source(submissions, "submit_many", "submissions"),
            lambda submission: submission,
            name="submit_many",
            concurrency=concurrency,
            follow=follow,
            mixed=True,
        )

    def with_options(
        self,
        *,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        deadline: float | Literal["client"] | None = "client",
        lane: Lane | None = None,
    ) -> LeadSquared:
        """A copy with other options; it shares this client's connections and limit, and closes with it.

        Example:
            form = lsq.with_options(deadline=10, retry=RetryPolicy(attempts=2))

        Args:
            retry: when its calls are retried.
            timeout: seconds for one attempt.
            deadline: seconds for a whole call; None for no bound.
            lane: the lane of all its calls.

        Raises:
            ConfigurationError: an option is invalid.
        """
        copy = object.__new__(LeadSquared)
        mine = self._parts.sender.until(deadline)
        settings = Settings(
            lane=mine.lane(lane, None),
            deadline=mine.settings.deadline,
            timeout=mine.settings.timeout if timeout is None else seconds("timeout", timeout),
            retry=mine.settings.retry if retry is None else _checked_retry(retry),
        )
        copy._session = self._session
        copy._parts = self._parts._replace(sender=Sender(copy._session, settings))
        copy._derived = True
        return copy

    def snapshot(self) -> Snapshot:
        """The current state: the rate limit, the waiting calls and the abandoned calls.

        Example:
            limit = lsq.snapshot().limit

        Raises:
            ClientClosed: the client is not open in this loop and process.
        """
        return self._session.snapshot()

    async def aclose(self, grace: float = GRACE) -> None:
        """Wait up to `grace` seconds for calls in flight, cancel the rest, and close; may be called twice.

        Example:
            await lsq.aclose(grace=2)

        Raises:
            ClientClosed: this is a derived copy, or the client belongs to another loop or process.
        """
        self._check_original("close")
        await self._session.aclose(grace, (self._parts.trackers.stop, self._parts.fields.stop))

    async def __aenter__(self) -> Self:
        self._check_original("enter")
        await self._open()
        return self

    @without_locals
    async def _open(self) -> None:
        self._session.open()
        if is_set_up("trace"):
            from leadsquared_async.telemetry.recorder import add_retry_to_span  # noqa: PLC0415 - as below

            self._session.events.subscribe(add_retry_to_span, logging.INFO)
        if is_set_up("metrics"):
            from leadsquared_async.client_metrics import record  # noqa: PLC0415 - it needs the extra `otel`

            record(self._session, self._parts.trackers)

    def _check_original(self, verb: str) -> None:
        if self._derived:
            raise ClientClosed(f"this is a copy made by with_options(): {verb} the original client")

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        options = self._session.options
        name = f"name={options.name!r}, " if options.name else ""
        return f"LeadSquared({name}host={options.hosts.host!r}, rate_limit={options.rate_limit})"


def parts_of(client: LeadSquared) -> Parts:
    """The parts of a client, for the outbox and the tasks."""
    return client._parts  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _validator(mode: ValidationMode, fields: FieldCache, hosts: Hosts) -> FieldValidator | None:
    if mode not in get_args(ValidationMode):
        raise ConfigurationError('validate must be "off", "strict" or "drop"')
    if mode == "off":
        return None
    if hosts.sync_host is None:
        raise ConfigurationError(
            f'validate="{mode}" needs the lead fields of the synchronous host, which is unknown: pass '
            "region= or sync_host="
        )
    return FieldValidator(fields, mode)


def _call_names() -> tuple[str, ...]:
    of_the_table = (f"{name}{kind}" for name in OPERATIONS for kind in ("", " status", " metrics"))
    return (*of_the_table, BULK_CREATE_OR_UPDATE.name)


def _is_plain_function(function: object) -> bool:
    """Whether it can be called, and does not return a coroutine as far as one can see."""
    kinds = (function, getattr(function, "__call__", None))  # noqa: B004 - of an instance
    return callable(function) and not any(map(inspect.iscoroutinefunction, kinds))


def _checked_deadline(deadline: float | None) -> float | None:
    return None if deadline is None else seconds("deadline", deadline)


def _limiters(
    limiter: Limiter | AsyncLimiter | SharedLimiter | None,
) -> tuple[AccountLimits, Limiter | None]:
    """The shared limits, and an additional limiter for every attempt."""
    # Imported here, since these modules are slow to import and few callers need them.
    from leadsquared_async.limiter.local_limits import LocalLimits  # noqa: PLC0415

    if limiter is None:
        return LocalLimits(), None
    if isinstance(limiter, Limiter):
        return LocalLimits(), limiter
    from leadsquared_async.limiter.redis_limits import SharedLimiter  # noqa: PLC0415

    if isinstance(limiter, SharedLimiter):
        return limiter, None
    from aiolimiter import AsyncLimiter  # noqa: PLC0415

    if not isinstance(limiter, AsyncLimiter):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            "limiter must be a SharedLimiter, an aiolimiter.AsyncLimiter, or a Limiter with acquire, "
            "release, release_unused and on_rate_limited"
        )
    if limiter.max_rate < 1:
        raise ConfigurationError("limiter: max_rate must be at least 1; a lower rate blocks every call")
    return LocalLimits(), AsyncLimiterAdapter(limiter)


def _checked_transport(transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncBaseTransport | None:
    if transport is None:
        return None
    import httpx  # noqa: PLC0415 - slow to import

    meant = "an httpx.AsyncBaseTransport, such as AsyncHTTPTransport(...)"
    return checked("transport", transport, httpx.AsyncBaseTransport, meant)


def _checked_retry(retry: RetryPolicy) -> RetryPolicy:
    return checked("retry", retry, RetryPolicy, "a RetryPolicy, such as RetryPolicy(attempts=3)")
