"""The error of a failed call: what happened and whether it may have arrived; no personal data. Pure."""

from __future__ import annotations

from leadsquared_async.errors import APIError, Delivery, Facts, LeadSquaredError, NotFound
from leadsquared_async.http.call import Call
from leadsquared_async.http.redaction import masked
from leadsquared_async.operations import Certainty
from leadsquared_async.protocol import Outcome

__all__ = ["DELIVERY_SENTENCES", "delivery_sentence", "error_from"]

DELIVERY_SENTENCES = {
    Delivery.NOT_SENT: "Not sent.",
    Delivery.REJECTED: "Not accepted.",
    Delivery.UNKNOWN: "It may have arrived.",
    Delivery.ACCEPTED: "It was accepted.",
}


def error_from(outcome: Outcome, call: Call, facts: Facts, label: str) -> LeadSquaredError:
    """The error to raise for a failed call."""
    assert outcome.error is not None
    kind = outcome.error
    summary = f"{outcome.summary}{_doubt_about_path(kind, call)}"
    message = f"{label}{summary}{_exception(outcome, call)}{delivery_sentence(call, facts)}"
    facts = facts | Facts(summary=summary)
    if not issubclass(kind, APIError):
        return kind(message, **facts)
    return kind(
        message,
        status_code=outcome.status_code,
        exception_type=outcome.exception_type,
        exception_message=outcome.exception_message,
        body=outcome.body,
        **facts,
    )


def delivery_sentence(call: Call, facts: Facts) -> str:
    """Whether a write may have arrived; empty for a read."""
    if not call.writes:
        return ""
    attempts = facts.get("attempts", 0)
    tries = f" ({attempts} attempts)" if attempts > 1 else ""
    return f". {DELIVERY_SENTENCES[facts.get('delivery', Delivery.NOT_SENT)]}{tries}"


def _doubt_about_path(kind: type[LeadSquaredError], call: Call) -> str:
    """A hint that the path may be wrong, if LeadSquared's documentation does not confirm it."""
    if not issubclass(kind, NotFound) or call.certainty is not Certainty.INFERRED:
        return ""
    return (
        f" (LeadSquared's documentation does not confirm the path {call.path}; `leadsquared doctor --probe` "
        f'looks for others, and paths={{"{call.operation}": "/..."}} sets one)'
    )


def _exception(outcome: Outcome, call: Call) -> str:
    """LeadSquared's own message, without the lead's values."""
    said = ": ".join(part for part in (outcome.exception_type, outcome.exception_message) if part)
    return f": {masked(said, call.private)}" if said else ""
