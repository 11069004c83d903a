"""The events of a client: what happens to its calls, items and limits. Pure.

Pass `LeadSquared(on_event=...)` to receive them. Each one is also a record of the logger `leadsquared_async`.
No event contains a key, a value of a lead or text from LeadSquared. The import takes milliseconds, so the
package imports this module when it emits the first event.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from leadsquared_async.config import RateLimit
    from leadsquared_async.errors import Delivery, Fault

__all__ = [
    "Abandoned",
    "AttemptFailed",
    "CallEnded",
    "CallbackFailed",
    "CredentialsRenewed",
    "DeadLetter",
    "Delivered",
    "DeliveryStopped",
    "Event",
    "FieldsUnavailable",
    "Held",
    "LimitDoubted",
    "LimitLowered",
    "LimitRaised",
    "Processed",
    "Resumed",
    "Retried",
    "Sent",
    "StoreBack",
    "StoreLost",
    "Throttled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base class of all events.

    Attributes:
        name: the event's name, such as "retried"; the record's attribute `event`.
        level: the level of its log record.
        template: the message of its log record, in the %-format of `logging`.
        client: the client's `name=`.
    """

    name: ClassVar[str] = "event"
    level: ClassVar[int] = logging.DEBUG
    template: ClassVar[str] = ""

    client: str | None = None


# Calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Event):
    """An attempt of a call is being sent.

    Attributes:
        operation: what is called, such as "leads.capture".
        reference: the caller's own id.
        attempts: the number of this attempt, from 1.
        waited: seconds that the call has waited so far, for the rate limit and between attempts.
    """

    name = "sent"
    template = (
        "%(operation)s: sending attempt %(attempts)d after waiting %(waited).2f s (reference %(reference)s)"
    )

    operation: str
    reference: str | None
    attempts: int
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Event):
    """An attempt of a call failed; emitted whether or not it is retried or its caller has left.

    Attributes:
        operation: what was called.
        reference: the caller's own id.
        delivery: whether the attempt may have arrived.
        fault: who has to act; "limit" if LeadSquared rejected it because the account is over its rate limit.
        kind: LeadSquared's exception name, else the error class.
        status_code: the HTTP status, if there was an answer.
    """

    name = "attempt_failed"
    template = (
        "%(operation)s: attempt failed: %(kind)s, HTTP status %(status_code)s, %(delivery)s "
        "(reference %(reference)s)"
    )

    operation: str
    reference: str | None
    delivery: Delivery
    fault: Fault | None
    kind: str
    status_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """An attempt failed, and the call is retried after a pause.

    Attributes:
        operation: what is called.
        reference: the caller's own id.
        attempts: attempts so far.
        waited: seconds waited so far, not counting this pause.
        delay: seconds of the pause.
        delivery: whether the attempt may have arrived.
        fault: who has to act.
        kind: LeadSquared's exception name, else the error class, such as "ServerError".
        status_code: the HTTP status, if there was an answer.
        reason: what happened.
    """

    name = "retried"
    level = logging.INFO
    template = (
        "%(operation)s: %(reason)s; retrying in %(delay).2f s (attempt %(attempts)d, reference %(reference)s)"
    )

    operation: str
    reference: str | None
    attempts: int
    waited: float
    delay: float
    delivery: Delivery
    fault: Fault | None
    kind: str
    status_code: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Event):
    """A call ended, and its caller got the answer or the error.

    Attributes:
        operation: what was called.
        lane: the lane in which it waited: "interactive", "batch" or "status".
        reference: the caller's own id.
        request_id: the RequestID of an accepted submission.
        delivery: whether it arrived; "accepted" if the call succeeded.
        fault: who has to act; None if it succeeded.
        kind: LeadSquared's exception name, else the error class; None if it succeeded.
        attempts: the number of attempts.
        waited: seconds spent waiting for the rate limit and between attempts.
        waited_for_limit: the part of `waited` that was for the rate limit.
        duration: seconds that the whole call took.
        status_code: the HTTP status of the last answer.
    """

    name = "call_ended"
    template = (
        "%(operation)s: %(delivery)s, error %(kind)s, in %(duration).2f s and %(attempts)d attempts "
        "(reference %(reference)s, RequestID %(request_id)s)"
    )

    operation: str
    lane: str
    reference: str | None
    request_id: str | None
    delivery: Delivery
    fault: Fault | None
    kind: str | None
    attempts: int
    waited: float
    waited_for_limit: float
    duration: float
    status_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned(Event):
    """A submission ended, but its caller was cancelled or did not read the result.

    If it was rejected or may have arrived, it is a `DeadLetter` instead, unless an outbox or a task keeps it.

    Attributes:
        operation: what was called.
        reference: the caller's own id.
        request_id: the RequestID, if it was accepted.
        delivery: whether it arrived.
        lead_id: the lead's id, if it is known.
        item: its index in the batch whose result was not read.
    """

    name = "abandoned"
    level = logging.WARNING
    template = (
        "%(operation)s: abandoned by its caller (reference %(reference)s, item %(item)s): %(delivery)s, "
        "RequestID %(request_id)s, lead %(lead_id)s"
    )

    operation: str
    reference: str | None
    request_id: str | None
    delivery: Delivery
    lead_id: str | None = None
    item: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed(Event):
    """LeadSquared has processed a followed request, with success or failure.

    Attributes:
        operation: what was submitted.
        reference: the caller's own id, if the code that follows the request knows it.
        request_id: the RequestID.
        succeeded: whether it succeeded.
        kind: LeadSquared's exception name; None if it succeeded.
        waited: seconds from the start of following to the outcome.
    """

    name = "processed"
    template = (
        "%(operation)s: request %(request_id)s was processed, succeeded: %(succeeded)s, exception %(kind)s "
        "(reference %(reference)s)"
    )

    operation: str
    reference: str | None
    request_id: str
    succeeded: bool
    kind: str | None
    waited: float


# Items of an outbox, and tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Event):
    """Delivery is on hold after errors that would affect other items too; one item is tried periodically.

    Attributes:
        owner: "outbox" or "tasks".
        what: what is on hold, such as "every item of leads.capture".
        operation: the operation on hold; None for all.
        fault: who has to act: "account" or "server".
        kind: LeadSquared's exception name, else the error class.
        reason: what happened.
        delay: seconds until the next probe.
    """

    name = "held"
    level = logging.WARNING
    template = "%(owner)s: holding %(what)s; the next probe is in %(delay).0f s: %(kind)s: %(reason)s"

    owner: str
    what: str
    operation: str | None
    fault: Fault
    kind: str
    reason: str
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """A hold has ended: an item was sent or followed successfully.

    Attributes:
        owner: "outbox" or "tasks".
        what: what was on hold.
        operation: its operation; None for all.
    """

    name = "resumed"
    level = logging.WARNING
    template = "%(owner)s: delivering %(what)s again"

    owner: str
    what: str
    operation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Event):
    """An item is final, and LeadSquared has it.

    Attributes:
        owner: "outbox" or "tasks".
        item: the row or task.
        state: "confirmed", or "accepted" if outcomes are not followed.
        operation: what was submitted.
        reference: the caller's own id.
        request_id: the RequestID, if it has one.
    """

    name = "delivered"
    template = "%(owner)s: item %(item)s of %(operation)s ended %(state)s (reference %(reference)s)"

    owner: str
    item: int | str
    state: str
    operation: str
    reference: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter(Event):
    """A submission ended rejected or unknown, and no caller got the error; it needs manual review.

    Attributes:
        owner: who had it: "outbox", "tasks", "batch" (its result was not read) or "call" (its caller left).
        item: the row, the task, or the index in the batch.
        state: "rejected", or "unknown" if it may have arrived.
        operation: what was submitted.
        reference: the caller's own id.
        request_id: the RequestID, if it was accepted before.
        delivery: whether it arrived.
        kind: LeadSquared's exception name, such as "MXDuplicateEntryException", else the error class.
        reason: what happened.
    """

    name = "dead_letter"
    level = logging.ERROR
    template = (
        "%(owner)s: item %(item)s of %(operation)s ended %(state)s: %(kind)s: %(reason)s "
        "(reference %(reference)s)"
    )

    owner: str
    item: int | str | None
    state: str
    operation: str
    reference: str | None
    request_id: str | None
    delivery: Delivery
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStopped(Event):
    """An outbox has stopped delivering; it resumes only when it is opened again.

    Attributes:
        owner: "outbox".
        reason: what happened.
    """

    name = "delivery_stopped"
    level = logging.ERROR
    template = "%(owner)s: delivery has stopped: %(reason)s"

    owner: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLost(Event):
    """A store is unavailable; it is retried until it is available again.

    Attributes:
        store: "outbox file" (nothing is sent), "task store" (no task is taken) or "limit store" (each process
            uses its own share of the limit).
        reason: what happened.
    """

    name = "store_lost"
    level = logging.WARNING
    template = "the %(store)s cannot be used: %(reason)s"

    store: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBack(Event):
    """A lost store is available again.

    Attributes:
        store: as in `StoreLost`.
    """

    name = "store_back"
    level = logging.WARNING
    template = "the %(store)s can be used again"

    store: str


# The account's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(Event):
    """LeadSquared answered 429 for the first time in at least a minute.

    Attributes:
        what: what is limited: "calls" or "bulk calls".
        limit: the limit in force.
        pause: seconds until the next call may be sent (Retry-After); None if LeadSquared does not say.
    """

    name = "throttled"
    level = logging.WARNING
    template = (
        "the account is over its rate limit (429) although this client stays within %(limit)s for %(what)s: "
        "another program may be using the account"
    )

    what: str
    limit: RateLimit
    pause: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLowered(Event):
    """A lower rate limit applies: LeadSquared stated it, or another client or process declared it.

    Attributes:
        what: what is limited: "calls" or "bulk calls".
        before: the limit until now.
        limit: the limit from now on.
        reason: who set it, and what to do.
    """

    name = "limit_lowered"
    level = logging.WARNING
    template = "rate limit lowered from %(before)s to %(limit)s: %(reason)s"

    what: str
    before: RateLimit
    limit: RateLimit
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRaised(Event):
    """A higher rate limit applies.

    Attributes:
        what: what is limited: "calls" or "bulk calls".
        before: the limit until now.
        limit: the limit from now on.
    """

    name = "limit_raised"
    level = logging.INFO
    template = "rate limit raised from %(before)s to %(limit)s"

    what: str
    before: RateLimit
    limit: RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDoubted(Event):
    """LeadSquared stated a limit far below the one in force; it applies once a second answer confirms it.

    Attributes:
        what: what is limited: "calls" or "bulk calls".
        limit: the limit in force.
        stated: the limit that LeadSquared stated.
        setting: the option that configures it.
    """

    name = "limit_doubted"
    level = logging.WARNING
    template = (
        "LeadSquared states that the account's limit is %(stated)s, which is far below %(limit)s: it applies "
        "once a second answer confirms it; if it is right, configure it with %(setting)s"
    )

    what: str
    limit: RateLimit
    stated: RateLimit
    setting: str


# What belongs to the application


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRenewed(Event):
    """The credentials callable returned new keys after LeadSquared had rejected the old ones."""

    name = "credentials_renewed"
    level = logging.INFO
    template = "LeadSquared rejected the keys (401); the callable returned new keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackFailed(Event):
    """A callback of the application, or the source of a batch, raised an exception that no caller gets.

    Attributes:
        callback: "on_final" (called again later), "on_event" (reported once for each event and exception; not
            passed to callbacks), or "source" (of a batch that was left).
        kind: the exception.
        item: the row or task of `on_final`; the event's name for `on_event`; the batch of a source.
        reference: the caller's own id for the item.
    """

    name = "callback_failed"
    level = logging.ERROR
    template = "%(callback)s failed with %(kind)s for %(item)s (reference %(reference)s)"

    callback: str
    kind: str
    item: int | str
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsUnavailable(Event):
    """The account's lead fields cannot be read, so `validate=` checks less.

    Attributes:
        check: how leads are sent meanwhile: "without a check" or "after a check against old fields".
        reason: what happened.
    """

    name = "fields_unavailable"
    level = logging.WARNING
    template = "leads are sent %(check)s: %(reason)s"

    check: str
    reason: str
