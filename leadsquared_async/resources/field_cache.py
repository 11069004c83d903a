"""The account's lead fields, cached, and the validation of leads against them: `validate=`."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from leadsquared_async.clock import clock
from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import (
    ClientClosed,
    DeadlineExceeded,
    Delivery,
    Fault,
    InvalidLead,
    LeadSquaredError,
    Scope,
    ServerError,
)
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import LEAD_FIELDS, Idempotency
from leadsquared_async.protocol import ExpectedBody
from leadsquared_async.submissions import Submission

if TYPE_CHECKING:
    from leadsquared_async.fields import FieldChecker, FieldProblem

__all__ = ["FieldCache", "FieldValidator", "ValidationMode"]

ValidationMode = Literal["off", "strict", "drop"]

LARGEST = 32 * 1024 * 1024
"""Bytes: hundreds of fields with their options are megabytes."""
WITHIN = 30.0
"""Seconds for one request of the fields, including retries."""
FIRST_WAIT = 5.0
"""Seconds that leads wait for the fields, counted from the first lead."""
TRY_AGAIN = 60.0
"""Seconds from a failed request to the next one for leads."""
RETRY = RetryPolicy(attempts=3, cap=4.0)
PROBLEMS_SHOWN = 5
IN_EVERY_ACCOUNT = frozenset({"EmailAddress", "Phone"})
"""An answer with neither of them is not the list of an account's fields."""


class FieldCache:
    """The account's fields, requested when needed, by one call at a time; valid for `ttl` seconds."""

    def __init__(self, sender: Sender, ttl: float = 3600.0) -> None:
        self._sender = Sender(sender.session, replace(sender.settings, deadline=WITHIN, retry=RETRY))
        self._ttl = ttl
        self._checker: FieldChecker | None = None
        self._until = 0.0
        self._not_before = 0.0
        self._patient_until: float | None = None
        self._leads_asked = False
        self._request: asyncio.Task[FieldChecker] | None = None

    async def current(self, within: float | None) -> FieldChecker:
        """The fields, no older than `ttl`; waits at most `within` seconds for them.

        Raises:
            DeadlineExceeded: there was no answer in time.
            LeadSquaredError: the call failed.
        """
        self._sender.session.check_usable()  # raises if the client may not be used here
        if self._checker is not None and clock.now() < self._until:
            return self._checker
        request = self._requested()
        # Other callers may wait for it too, so it outlives a caller that is cancelled or times out.
        await asyncio.wait([request], timeout=within)
        if not request.done():
            raise DeadlineExceeded(
                f"fields.list: no answer within {within:g} s",
                delivery=Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.OPERATION,
                operation="fields.list",
                safe_to_retry=True,
            )
        if request.cancelled():
            raise ClientClosed(
                "fields.list: the client was closed before the answer came", operation="fields.list"
            )
        try:
            return request.result()
        except LeadSquaredError as error:
            # A copy for each caller: a shared error would collect all their tracebacks.
            raise copy.copy(error) from error.__cause__

    async def for_lead(self, within: float | None = None) -> FieldChecker | None:
        """The fields for a lead, stale if necessary; None if they have never been read.

        Only the first leads wait for them, for a few seconds at most, and for at most half of the call's
        `within` seconds. After a failed request no lead waits.
        """
        try:
            self._sender.session.check_usable()
        except ClientClosed:  # sending raises it; an outbox accepts leads anyway
            return self._checker
        now = clock.now()
        if self._checker is not None and now < self._until:
            return self._checker
        self._leads_asked = True
        if self._request is None and now < self._not_before:
            return self._checker
        request = self._requested()
        if self._checker is None:
            if self._patient_until is None:
                self._patient_until = now + FIRST_WAIT
            patience = self._patient_until - now
            if within is not None:
                patience = min(patience, within / 2)
            if patience > 0:
                await asyncio.wait([request], timeout=patience)
        return self._checker

    def stop(self) -> set[asyncio.Task[FieldChecker]]:
        """Cancel the request. Returns the tasks to await."""
        tasks = set[asyncio.Task["FieldChecker"]]() if self._request is None else {self._request}
        for task in tasks:
            task.cancel()
        return tasks

    def _requested(self) -> asyncio.Task[FieldChecker]:
        if self._request is None:
            self._request = asyncio.create_task(self._fetch(), name="leadsquared_async lead fields")
            self._request.add_done_callback(self._fetched)
        return self._request

    def _fetched(self, request: asyncio.Task[FieldChecker]) -> None:
        self._request = None
        if request.cancelled():
            return
        error = request.exception()
        if error is None:
            self._checker = request.result()
            self._until = clock.now() + self._ttl
            return
        self._patient_until = clock.now()
        if self._leads_asked and clock.now() >= self._not_before:
            which = "after a check against old fields" if self._checker is not None else "without a check"
            from leadsquared_async.events import FieldsUnavailable  # noqa: PLC0415 - slow to import

            self._sender.events.emit(FieldsUnavailable(check=which, reason=_described(error)))
        self._not_before = clock.now() + TRY_AGAIN

    @without_locals
    async def _fetch(self) -> FieldChecker:
        call = Call(
            operation="fields.list",
            method="GET",
            path=LEAD_FIELDS.text,
            host=Host.SYNC,
            expect=ExpectedBody.JSON,
            repeat=Idempotency.READ,
            lane=Lane.INTERACTIVE,  # forms wait for them
            most=LARGEST,
        )
        sent = await self._sender.send(call)
        from leadsquared_async.fields import FieldChecker, read_fields  # noqa: PLC0415 - few need it

        fields = read_fields(sent.outcome.data) or ()
        if IN_EVERY_ACCOUNT.isdisjoint(field.schema_name for field in fields):
            what = "neither EmailAddress nor Phone, so it is not an account's list of" if fields else "no"
            raise ServerError(
                f"fields.list: the answer contains {what} lead fields",
                delivery=Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.OPERATION,
                attempts=sent.attempts,
                waited=sent.waited,
                operation="fields.list",
                status_code=sent.outcome.status_code,
            )
        return FieldChecker(fields)


class FieldValidator:
    """Checks submissions against the account's fields before they are encoded."""

    def __init__(self, cache: FieldCache, mode: Literal["strict", "drop"]) -> None:
        self._cache = cache
        self._mode = mode

    async def __call__(
        self, submission: Submission, within: float | None = None
    ) -> tuple[Submission, tuple[str, ...]]:
        """The submission, and the names of the attributes that were left out of it.

        Raises:
            InvalidLead: with "strict", any problem; in both modes, a name in the wrong letter case.
        """
        lead = submission.lead
        checker = await self._cache.for_lead(within)
        if checker is None or not isinstance(lead, Mapping):  # encoding rejects what is not a mapping
            return submission, ()
        if self._mode == "strict":
            if problems := checker.check(
                lead, partial=_may_exist(submission), search_by=submission.search_by
            ):
                raise _invalid(problems, submission)
            return submission, ()
        unknown = checker.unknown(lead)
        if not unknown:
            return submission, ()
        # Dropping a misspelt "emailaddress" would make it a different lead.
        if problems := checker.misspelt(lead):
            raise _invalid(problems, submission)
        kept = {key: value for key, value in lead.items() if key not in unknown}
        return replace(submission, lead=kept), tuple(unknown.values())


def _may_exist(submission: Submission) -> bool:
    """Whether the lead may exist already, so that no field is mandatory.

    A lead with SearchBy may exist. Without SearchBy it counts as new, even with an e-mail address:
    LeadSquared looks up every lead by that.
    """
    operation = submission.operation
    return operation.changes is not None or operation.needs_search_by or submission.search_by is not None


def _invalid(problems: tuple[FieldProblem, ...], submission: Submission) -> InvalidLead:
    said = " ".join(problem.message for problem in problems[:PROBLEMS_SHOWN])
    more = f" And {len(problems) - PROBLEMS_SHOWN} more." if len(problems) > PROBLEMS_SHOWN else ""
    error = InvalidLead(said + more, attribute=problems[0].attribute)
    error.operation, error.reference = submission.operation.name, submission.reference
    return error


def _described(error: BaseException) -> str:
    return error.summary if isinstance(error, LeadSquaredError) else type(error).__name__
