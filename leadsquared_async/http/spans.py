"""A span of OpenTelemetry for each call. Imported only in programs that have set up tracing.

The spans replace those of OpenTelemetry's httpx instrumentation, which would export the keys.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach

from leadsquared_async._version import __version__
from leadsquared_async.errors import LeadSquaredError, kind_of_error
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.session import Session
from leadsquared_async.telemetry import operation_kind

if TYPE_CHECKING:
    from leadsquared_async.http.run import Sent

__all__ = ["current_traceparent", "in_span"]

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)


async def in_span(
    session: Session, call: Call, links: Collection[str] | None, work: Callable[[], Awaitable[Sent]]
) -> Sent:
    """Make a call in a span of its own, which ends with the outcome.

    Args:
        session: the call's client.
        call: names the span.
        links: see `Sender.links`.
        work: makes the call.
    """
    tracer = _tracer_of(trace.get_tracer_provider())
    span = tracer.start_span(
        operation_kind(call.operation),
        context=None if links is None else Context(),
        kind=trace.SpanKind.CLIENT,
        attributes=_request(session, call),
        links=_links(links) if links else None,
    )
    # `use_span` would do this, but it is slow, and it would record exceptions with their stack traces.
    token = attach(trace.set_span_in_context(span))
    try:
        sent = await work()
    except BaseException as error:
        if span.is_recording():
            failure = _failure(error)
            span.set_status(trace.StatusCode.ERROR, str(failure["error.type"]))
            span.set_attributes(failure)
        raise
    else:
        if span.is_recording():
            span.set_attributes(_success(sent))
        return sent
    finally:
        detach(token)
        try:
            span.end()
        except Exception as error:  # a span processor is the program's code, and the lead may be accepted
            session.events.log.error(  # noqa: TRY400 - without values
                "%s: ending the span failed with %s", call.operation, type(error).__name__
            )


def current_traceparent() -> str | None:
    """The current span's context as W3C Trace Context writes it; None outside a span."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _links(traceparents: Collection[str]) -> list[trace.Link]:
    return [trace.Link(context) for it in traceparents if (context := _span_context(it)) is not None]


def _span_context(traceparent: str) -> trace.SpanContext | None:
    """The context in a traceparent; None if it is not one, since a stored one may be damaged."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
    return context if context.is_valid else None


@lru_cache(maxsize=1)  # a tracer takes longer to make than a span
def _tracer_of(provider: trace.TracerProvider) -> trace.Tracer:
    return provider.get_tracer("leadsquared_async", __version__)


@lru_cache(maxsize=64)
def _server(host: str) -> tuple[str, int]:
    url = urlsplit(host)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


Attributes = dict[str, str | int | float]


def _request(session: Session, call: Call) -> Attributes:
    hosts = session.options.hosts
    address, port = _server(hosts.host if call.host is Host.ASYNC else hosts.sync_host or "")
    attributes: Attributes = {
        "http.request.method": call.method,
        "server.address": address,
        "server.port": port,
        "leadsquared.operation": call.operation,
    }
    if operation_kind(call.operation) == call.operation:  # otherwise the path may hold an id
        attributes["url.template"] = call.path + "/{id}" * len(call.suffix)
    if call.reference is not None:
        attributes["leadsquared.reference"] = call.reference
    if session.options.name is not None:
        attributes["leadsquared.client"] = session.options.name
    return attributes


def _success(sent: Sent) -> Attributes:
    attributes = _outcome(sent.outcome.delivery, sent.attempts, sent.waited, sent.outcome.status_code)
    if sent.outcome.request_id is not None:
        attributes["leadsquared.request_id"] = sent.outcome.request_id
    return attributes


def _failure(error: BaseException) -> Attributes:
    if not isinstance(error, LeadSquaredError):
        return {"error.type": type(error).__name__}
    status_code: int | None = getattr(error, "status_code", None)
    outcome = _outcome(error.delivery, error.attempts, error.waited, status_code)
    return {"error.type": kind_of_error(error), **outcome}


def _outcome(delivery: str, attempts: int, waited: float, status_code: int | None) -> Attributes:
    attributes: Attributes = {
        "leadsquared.delivery": str(delivery),
        "leadsquared.attempts": attempts,
        "leadsquared.waited": waited,
    }
    if attempts > 1:
        attributes["http.request.resend_count"] = attempts - 1
    if status_code is not None:
        attributes["http.response.status_code"] = status_code
    return attributes
