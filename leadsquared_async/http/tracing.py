"""A span for each call, where the program traces with OpenTelemetry; elsewhere nothing is loaded.

The spans stand in for those of OpenTelemetry's httpx instrumentation, which would export the keys.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from leadsquared_async.errors import LeadSquaredError
from leadsquared_async.http.call import Call

__all__ = ["traced"]


@contextmanager
def traced(call: Call) -> Generator[dict[str, Any]]:
    """Run a call in a span; what is put into the dict becomes its attributes, under `leadsquared.`."""
    facts: dict[str, Any] = {"reference": call.reference}
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield facts
        return
    tracer = trace.get_tracer("leadsquared_async")
    # Exceptions are not recorded as such: their stack traces would go out with them.
    with tracer.start_as_current_span(
        call.operation, kind=trace.SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield facts
        except BaseException as error:
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            if isinstance(error, LeadSquaredError):
                facts.update(delivery=error.delivery.value, attempts=error.attempts, waited=error.waited)
            raise
        finally:
            known = {f"leadsquared.{name}": value for name, value in facts.items() if value is not None}
            span.set_attributes(known)
