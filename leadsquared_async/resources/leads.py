"""`lsq.leads`, `lsq.activities`, `lsq.opportunities`, `lsq.calls`: thin, over `submit` and `Requests`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from leadsquared_async.batch import Results, Source
from leadsquared_async.encoding import check_update_behavior
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.models import Receipt
from leadsquared_async.operations import ACTIVITIES_CREATE, CALLS_LOG, LEADS_CAPTURE, OPPORTUNITIES_CAPTURE
from leadsquared_async.resources.requests import Requests
from leadsquared_async.resources.submit import CONCURRENCY, submission_of, submit, submit_many
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

__all__ = ["Activities", "Calls", "Leads", "Opportunities", "submits"]

P = ParamSpec("P")
L = TypeVar("L", bound=Mapping[str, Any] | Submission)


def submits(
    make: Callable[P, Submission],
) -> Callable[[Callable[[Any], None]], Callable[Concatenate[Any, P], Coroutine[Any, Any, Receipt]]]:
    """Make a method that submits what `make` makes, and that takes what `make` takes."""

    def decorate(described: Callable[[Any], None]) -> Callable[..., Coroutine[Any, Any, Receipt]]:
        @without_locals
        @functools.wraps(described)
        async def method(self: Requests, *args: P.args, **kwargs: P.kwargs) -> Receipt:
            return await submit(self._parts, make(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

        own, taken = inspect.signature(described), inspect.signature(make)
        parameters = [*own.parameters.values(), *taken.parameters.values()]
        method.__signature__ = inspect.Signature(parameters, return_annotation="Receipt")  # type: ignore[attr-defined]
        return method

    return decorate


class Leads(Requests):
    """Leads in, RequestIDs out, and their outcomes."""

    _usual = LEADS_CAPTURE
    _prefix = "leads."

    @without_locals
    async def capture(
        self,
        lead: Mapping[str, Any],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        reference: str | None = None,
        deadline: float | Literal["client"] | None = "client",
    ) -> Receipt:
        """Submit a new or existing lead, and return LeadSquared's receipt for it.

        A lead without ProspectID, EmailAddress, Phone and SearchBy is always a new one. Every capture posts a
        "Lead Capture" activity, also a repeated one, so automations on that activity run again
        (apidocs.leadsquared.com, "Capture Leads (Async)").

        Args:
            lead: schema name to value. Aware datetimes are sent in UTC; None leaves an attribute out.
            search_by: the schema name by which LeadSquared looks for an existing lead, before its own order
                of ProspectID, EmailAddress, Phone.
            update_behavior: what to leave alone on an existing lead; by default all that is passed is
                updated.
            reference: your own opaque id, never sent; on the receipt, on errors and in log lines.
            deadline: seconds for the whole call, the wait for a token included; None for no bound; by
                default the client's.

        Raises:
            InvalidLead: naming the attribute that cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the lead may have arrived.
        """
        submission = capture_lead(
            lead, search_by=search_by, update_behavior=update_behavior, reference=reference
        )
        return await submit(self._parts, submission, deadline=deadline)

    @submits(update_lead)
    def update(self) -> None:
        """Change values of an existing lead; what is not passed stays
        (apidocs.leadsquared.com, "Update a Lead (Async)").

        Args:
            lead_id: its ProspectID.
            fields: schema name to value; "" clears a field.
            post_updated_lead: whether automations, webhooks and rules run on the change.
            reference: as for `capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the update may have arrived.
        """

    def capture_many(
        self,
        leads: Iterable[L] | AsyncIterable[L],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        follow: bool = False,
        concurrency: int = CONCURRENCY,
    ) -> Results[L]:
        """Submit any number of leads, and get their results as they complete, in no promised order.

        `async with lsq.leads.capture_many(rows) as results: async for result in results: ...`. A lead that
        fails has its error in its result and stops no other. An account-level error would hit every lead:
        nothing more is pulled and sent, and the iteration raises it after the last result, as it does with an
        error of the source. Leaving the block early cancels what is not sent yet and awaits what is. A result
        that was not read is logged: the RequestID of an accepted lead as a warning, a lead that was rejected
        or may have arrived as an error. A generator is closed when the block ends.

        Submitting has no deadline, since many leads wait for the limit; the retry policy bounds each lead
        from its first attempt on, except that 429s are retried for as long as it takes.

        Args:
            leads: any iterable or asynchronous iterable, endless ones too; the next lead is pulled when
                there is room. One that waits for something has to be asynchronous. A lead is a mapping, or
                `submissions.capture_lead(...)` with its own options and `reference`.
            search_by: as for `capture`, for each mapping.
            update_behavior: as for `capture`, for each mapping.
            follow: whether to follow each accepted lead, so that its result has the final `status` as well.
                Its error is `StillProcessing` if that takes longer than the client's `deadline`, from its
                acceptance on. Up to 1000 leads are followed while others are sent.
            concurrency: leads that are pulled and neither followed nor taken as results, at most.

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


class Activities(Requests):
    """What happened to leads.

    Submitting one twice posts two activities. So none is sent again on an unknown delivery, unless
    `RetryPolicy(unknown="always")` asks for it.
    """

    _usual = ACTIVITIES_CREATE
    _prefix = "activities."

    @submits(create_activity)
    def create(self) -> None:
        """Post an activity on an existing lead
        (apidocs.leadsquared.com, "Post an Activity to a Lead (Async)").

        Args:
            lead_id: the lead's ProspectID.
            event: the code of the activity type.
            note: text.
            at: when it happened: an aware datetime, or UTC written YYYY-MM-DD HH:MM:SS; by default now.
            fields: schema name to value, such as {"mx_Custom_1": "Blue"}; a nested mapping is a field set.
            reference: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the activity may have arrived.
        """

    @submits(create_lead_and_activity)
    def create_with_lead(self) -> None:
        """Submit a new or existing lead, and post an activity on it
        (apidocs.leadsquared.com, "Create a Lead and Activity (Async)").

        Args:
            lead: schema name to value, as for `leads.capture`.
            search_by: the schema name by which LeadSquared looks for an existing lead.
            event: the code of the activity type.
            note: text.
            at: when it happened, as for `create`.
            fields: of the activity, as for `create`.
            reference: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
        """


class Opportunities(Requests):
    """Opportunities of leads."""

    _usual = OPPORTUNITIES_CAPTURE
    _prefix = "opportunities."

    @submits(capture_opportunity)
    def capture(self) -> None:
        """Submit an opportunity of a new or existing lead
        (apidocs.leadsquared.com, "Capture Opportunities (Async)").

        Submitted twice it makes two opportunities, unless the account has rules that find duplicates. So it
        is not sent again on an unknown delivery, unless `RetryPolicy(unknown="always")` asks for it.

        Args:
            lead: schema name to value; the page asks for unique fields only.
            search_by: the schema name by which LeadSquared looks for an existing lead.
            event_code: the code of the opportunity type.
            note: text.
            at: an aware datetime, or UTC written YYYY-MM-DD HH:MM:SS; by default now.
            fields: of the opportunity, schema name to value; a nested mapping is a field set.
            overwrite_fields: overwrite the values of an existing opportunity.
            update_empty_fields: fill in what an existing opportunity lacks; not with `overwrite_fields`.
            do_not_post_duplicate_activity: post no activity when a duplicate is found.
            do_not_change_owner: leave the lead's owner.
            reference: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
        """

    @submits(update_opportunity)
    def update(self) -> None:
        """Change values of an existing opportunity; what is not passed stays
        (apidocs.leadsquared.com, "Update an Opportunity (Async)").

        Args:
            opportunity_id: its ProspectOpportunityId.
            note: text.
            fields: schema name to value; a nested mapping is a field set.
            reference: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the update may have arrived.
        """


class Calls(Requests):
    """Telephone calls that were made."""

    _usual = CALLS_LOG
    _prefix = "calls."

    @submits(log_call)
    def log(self) -> None:
        """Log a call of a telephony connector (apidocs.leadsquared.com, "Post a Call Log (Async)").

        Submitted twice it is logged twice. So it is not sent again on an unknown delivery, unless
        `RetryPolicy(unknown="always")` asks for it. The connector's key shows in no log and no error.

        Args:
            connector_key: the key of the connector, from its page at LeadSquared.
            call: LeadSquared's names to values: SourceNumber, CallerSource, DestinationNumber, DisplayNumber,
                StartTime, EndTime, CallDuration, Status, ResourceURL, Direction, CallSessionId, LeadId, Tag,
                UserId. The times are aware datetimes, or UTC written YYYY-MM-DD HH:MM:SS.
            instance: the connector's instance, if it has several.
            reference: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the call may have arrived.
        """
