"""`lsq.leads`, `lsq.activities`, `lsq.opportunities` and `lsq.calls`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from leadsquared_async.encoding import check_update_behavior
from leadsquared_async.http.redaction import call_without_locals, without_locals
from leadsquared_async.models import Receipt
from leadsquared_async.operations import ACTIVITIES_CREATE, CALLS_LOG, LEADS_CAPTURE, OPPORTUNITIES_CAPTURE
from leadsquared_async.resources.accepted_requests import Requests
from leadsquared_async.resources.submit import CONCURRENCY, submission_of, submit, submit_many
from leadsquared_async.results import Results
from leadsquared_async.source import Source
from leadsquared_async.submissions import (
    Submission,
    UpdateBehavior,
    capture_lead,
    capture_opportunity,
    create_activity,
    create_lead_and_activity,
    log_call,
    update_lead,
    update_opportunity,
)

if TYPE_CHECKING:
    from uuid import UUID  # slow to import

    from leadsquared_async.resources.lead_search import FoundLead

__all__ = ["Activities", "Calls", "Leads", "Opportunities", "submitting"]

P = ParamSpec("P")
L = TypeVar("L", bound=Mapping[str, Any] | Submission)

RAISES = """

Raises:
    InvalidLead: the submission is invalid. Nothing was sent.
    LeadSquaredError: the call failed; `delivery` says whether it may have arrived.
"""


def submitting(
    name: str, make: Callable[P, Submission]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Receipt]]:
    """A method that submits the result of `make`, with its parameters and docstring."""

    def method(self: Requests, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[Receipt]:
        return submit(self._parts, make(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    myself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = inspect.signature(make).parameters.values()
    method.__signature__ = inspect.Signature([myself, *taken], return_annotation="Receipt")  # type: ignore[attr-defined]
    method.__qualname__, method.__name__ = name, name.partition(".")[2]
    method.__doc__ = (inspect.getdoc(make) or "") + RAISES
    return without_locals(method)


class Leads(Requests):
    """Submits leads, and follows their requests."""

    _usual = LEADS_CAPTURE
    _prefix = "leads."

    @without_locals
    def capture(
        self,
        lead: Mapping[str, Any],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        reference: str | None = None,
        deadline: float | Literal["client"] | None = "client",
    ) -> Awaitable[Receipt]:
        """Submit a new or existing lead, and return LeadSquared's receipt for it.

        A lead without ProspectID, EmailAddress, Phone and SearchBy is always a new one. Every capture posts a
        "Lead Capture" activity, even a repeated one, so automations on that activity run again.
        Source: apidocs.leadsquared.com, "Capture Leads (Async)".

        Example:
            receipt = await lsq.leads.capture({"FirstName": "Bret", "Phone": "+91-9988776655"})

        Args:
            lead: schema name to value. Aware datetimes are sent in UTC; None leaves an attribute out.
            search_by: the schema name by which LeadSquared looks for an existing lead, before its own order
                of ProspectID, EmailAddress, Phone.
            update_behavior: what to leave unchanged on an existing lead: "DoNotUpdate",
                "UpdateOnlyEmptyFields" or "DoNotUpdateUniqueFields"; by default every passed field is
                updated.
            reference: your own opaque id, never sent; shown on receipts, on errors and in logs.
            deadline: seconds for the whole call, including waits for the rate limit; None for no bound; by
                default the client's.

        Raises:
            InvalidLead: the lead is invalid; the message names the attribute. Nothing was sent.
            LeadSquaredError: the call failed; `delivery` says whether the lead may have arrived.
        """
        return submit(
            self._parts,
            capture_lead(lead, search_by=search_by, update_behavior=update_behavior, reference=reference),
            deadline=deadline,
        )

    @call_without_locals
    def capture_many(
        self,
        leads: Iterable[L] | AsyncIterable[L],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        follow: bool = False,
        concurrency: int = CONCURRENCY,
    ) -> Results[L]:
        """Submit any number of leads, and get their results as they complete, in no guaranteed order.

        A failed lead has its error in its result and does not stop the others; an account-level error ends
        the iteration, which raises it (see `Results`). The lane is BATCH, so form submissions go first.
        Submitting has no deadline, since many leads wait for the limit; the retry policy bounds each lead
        from its first attempt, but 429s are retried without a bound.

        Example:
            async with lsq.leads.capture_many(rows, search_by="Phone", follow=True) as results:
                async for result in results:
                    print(result.index, result.ok, result.receipt, result.status, result.error)

        Args:
            leads: any iterable or asynchronous iterable, endless ones too. A lead is a mapping, or
                `submissions.capture_lead(...)` with its own options and `reference`.
            search_by: as for `capture`, for each mapping.
            update_behavior: as for `capture`, for each mapping.
            follow: whether to follow each accepted lead, so that its result has the final `status`. Its error
                is `StillProcessing` if that takes longer than the client's `deadline` after acceptance. Up to
                1000 leads are followed while others are sent.
            concurrency: maximum leads that are pulled, not yet followed, and whose results are unread.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        check_update_behavior(update_behavior)

        def made(lead: Mapping[str, Any]) -> Submission:
            return capture_lead(lead, search_by=search_by, update_behavior=update_behavior)

        return submit_many(
            self._parts,
            Source(leads, "leads.capture_many", "leads"),
            lambda lead: submission_of(lead, LEADS_CAPTURE, made),
            name=LEADS_CAPTURE.name,
            concurrency=concurrency,
            follow=follow,
        )

    @without_locals
    async def find(
        self,
        *,
        email: str | None = None,
        phone: str | None = None,
        id: str | UUID | None = None,  # noqa: A002 - LeadSquared's name
        deadline: float | Literal["client"] | None = "client",
    ) -> FoundLead | None:
        """The lead with this e-mail address, phone number or id, as LeadSquared has it, or None.

        Use it before you send a lead again that may have arrived. A submission is not found before
        LeadSquared has processed it, and a few seconds longer. The call goes to the synchronous host and
        counts towards the account's rate limit. If several leads have the phone number, LeadSquared answers
        with the one that had the latest activity.
        Source: apidocs.leadsquared.com, "Get a Lead by Email", "... by Phone Number", "... by Id".

        Example:
            lead = await lsq.leads.find(phone="+91-9988776655")

        Args:
            email: an e-mail address.
            phone: a phone number in Phone or Mobile, with or without its country code.
            id: a ProspectID.
            deadline: seconds for the whole call; None for no bound; by default the client's.

        Raises:
            ConfigurationError: not exactly one of them is given, or no synchronous host is known.
            LeadSquaredError: the call failed.
        """
        from leadsquared_async.resources.lead_search import find  # noqa: PLC0415 - few call it

        return await find(self._parts.sender.until(deadline), email, phone, id)

    update = submitting("Leads.update", update_lead)
    """Change values of an existing lead; see `submissions.update_lead`."""


class Activities(Requests):
    """Activities of leads.

    With an unknown delivery, an activity is retried only with `RetryPolicy(unknown="always")`.
    """

    _usual = ACTIVITIES_CREATE
    _prefix = "activities."

    create = submitting("Activities.create", create_activity)
    """Post an activity on an existing lead; see `submissions.create_activity`."""
    create_with_lead = submitting("Activities.create_with_lead", create_lead_and_activity)
    """Submit a lead, and post an activity on it; see `submissions.create_lead_and_activity`."""


class Opportunities(Requests):
    """Opportunities of leads; like an activity, a capture with an unknown delivery is not retried."""

    _usual = OPPORTUNITIES_CAPTURE
    _prefix = "opportunities."

    capture = submitting("Opportunities.capture", capture_opportunity)
    """Submit an opportunity of a new or existing lead; see `submissions.capture_opportunity`."""
    update = submitting("Opportunities.update", update_opportunity)
    """Change values of an existing opportunity; see `submissions.update_opportunity`."""


class Calls(Requests):
    """Logs of telephone calls; like an activity, a log with an unknown delivery is not retried."""

    _usual = CALLS_LOG
    _prefix = "calls."

    log = submitting("Calls.log", log_call)
    """Log a call of a telephony connector; see `submissions.log_call`."""
