"""Sends calls for a client or a derived copy with its own settings."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from leadsquared_async.config import seconds
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.http.call import Call, Host, Settings
from leadsquared_async.http.session import Session
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.logs import ClientEvents
from leadsquared_async.operations import Certainty, Keys
from leadsquared_async.telemetry import is_set_up

if TYPE_CHECKING:
    from leadsquared_async.http.run import BeforeRetry, BeforeSend, Sent

__all__ = ["Sender"]

L = TypeVar("L", Lane, None)


@dataclass(frozen=True, slots=True)
class Sender:
    """A session, and the settings of the calls sent through it.

    Attributes:
        session: the shared connections and limits.
        settings: the options of each call.
        recorded: whether an outbox or a task records and logs the outcomes of submissions.
        before_retry: called with the delivery so far when an attempt has failed and will be retried; if it
            raises, the call ends.
        links: contexts of the spans that caused its calls, as W3C traceparents: the span of each call begins
            a trace and is linked to these. None if it belongs to the current span.
    """

    session: Session
    settings: Settings
    recorded: bool = False
    before_retry: BeforeRetry | None = None
    links: tuple[str, ...] | None = None

    @property
    def events(self) -> ClientEvents:
        """What gets the client's events."""
        return self.session.events

    def send(self, call: Call, before_send: BeforeSend | None = None) -> Coroutine[Any, Any, Sent]:
        """Make a call.

        Args:
            call: what to send.
            before_send: awaited before each attempt, once it has its token; if it raises, nothing is sent.

        Raises:
            LeadSquaredError: the call failed.
        """
        from leadsquared_async.http.run import run  # noqa: PLC0415 - it imports tenacity, which is slow

        if call.host is Host.SYNC and self.session.options.hosts.sync_host is None:
            raise ConfigurationError(
                f"{call.operation}: this client has no synchronous host: pass region= or sync_host="
            )
        options = self.session.options
        path = options.paths.get(call.operation)
        if path is not None:
            call = replace(call, path=path, certainty=Certainty.GIVEN)
        if options.keys_in == "headers" and call.keys is Keys.ALL:
            call = replace(call, keys=Keys.HEADERS)
        if self.recorded:
            call = replace(call, recorded=True)
        self.session.check_usable()
        if not is_set_up("trace"):
            return run(self.session, call, self.settings, before_send, self.before_retry)
        from leadsquared_async.http.spans import in_span  # noqa: PLC0415 - it needs the extra `otel`

        work = partial(run, self.session, call, self.settings, before_send, self.before_retry)
        return in_span(self.session, call, self.links, work)

    def lane(self, chosen: Lane | None, usual: L) -> Lane | L:
        """The lane of a call: the one chosen for it, else the client's, else `usual`."""
        mine = self.settings.lane if chosen is None else chosen
        if mine is None:
            return usual
        if not isinstance(mine, Lane):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("lane must be Lane.INTERACTIVE, Lane.BATCH or Lane.STATUS")
        return mine

    def until(self, deadline: float | Literal["client"] | None) -> Sender:
        """A copy with another deadline in seconds, if one is given."""
        if deadline == "client":
            return self
        checked = None if deadline is None else seconds("deadline", deadline)
        return replace(self, settings=replace(self.settings, deadline=checked))
