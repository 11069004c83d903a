"""`lsq.fields`: the account's lead fields, kept for a while, and what is checked with them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
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
from leadsquared_async.values import type_name

if TYPE_CHECKING:
    from leadsquared_async.fields import FieldChecker, FieldProblem, LeadField

__all__ = ["FieldCache", "Fields", "Validate", "Validation"]

Validate = Literal["off", "strict", "drop"]

LARGEST = 32 * 1024 * 1024
"""Bytes: hundreds of fields with their options are megabytes."""
WITHIN = 30.0
"""Seconds in which the fields are asked for."""
FIRST_WAIT = 5.0
"""Seconds for which leads wait for the fields, from the first lead of all on."""
TRY_AGAIN = 60.0
"""Seconds until fields that could not be had are asked for again on behalf of leads."""
RETRY = RetryPolicy(attempts=3, cap=4.0)
FLAWS_SHOWN = 5
IN_EVERY_ACCOUNT = frozenset({"EmailAddress", "Phone"})
"""An answer with none of them cannot be the list of an account's fields."""


class FieldCache:
    """The account's fields, asked for when somebody needs them, by one call at a time.

    Args:
        sender: makes the call.
        ttl: seconds for which they are taken for current.
    """

    def __init__(self, sender: Sender, ttl: float = 3600.0) -> None:
        self._sender = Sender(sender.session, replace(sender.settings, deadline=WITHIN, retry=RETRY))
        self._ttl = ttl
        self._checker: FieldChecker | None = None
        self._until = 0.0
        self._not_before = 0.0
        self._patient_until: float | None = None
        self._leads_asked = False
        self._question: asyncio.Task[FieldChecker] | None = None

    async def current(self, within: float | None) -> FieldChecker:
        """The fields, not older than their time to live.

        Args:
            within: seconds to wait for them at most; None for no bound but that of the call.

        Raises:
            DeadlineExceeded: they did not come in time.
            LeadSquaredError: they could not be had.
        """
        self._sender.session.check_usable()  # raises here if it may not be used
        if self._checker is not None and self._now() < self._until:
            return self._checker
        question = self._ask()
        # Others may wait for it too: it outlives a caller who is cancelled or has no more time.
        await asyncio.wait([question], timeout=within)
        if not question.done():
            raise DeadlineExceeded(
                f"fields.list: no answer within {within:g} s",
                delivery=Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.OPERATION,
                operation="fields.list",
                safe_to_retry=True,
            )
        if question.cancelled():
            raise ClientClosed(
                "fields.list: the client was closed before the answer came", operation="fields.list"
            )
        try:
            return question.result()
        except LeadSquaredError as error:
            # A copy each: an error that many raise would gather the tracebacks of all of them.
            raise copy.copy(error) from error.__cause__

    async def at_hand(self, within: float | None = None) -> FieldChecker | None:
        """The fields for a lead that is not to wait: stale ones rather than none, none rather than late.

        Only the first leads of all wait for them, for some seconds at most. Once that was in vain no lead
        waits again.

        Args:
            within: seconds that the lead's whole call may take: it waits for half of them at most, so that
                there is time to send it.
        """
        try:
            self._sender.session.check_usable()
        except ClientClosed:  # who sends hears of it, and an outbox takes leads all the same
            return self._checker
        now = self._now()
        if self._checker is not None and now < self._until:
            return self._checker
        self._leads_asked = True
        if self._question is None and now < self._not_before:
            return self._checker
        question = self._ask()
        if self._checker is None:
            if self._patient_until is None:
                self._patient_until = now + FIRST_WAIT
            patience = self._patient_until - now
            if within is not None:
                patience = min(patience, within / 2)
            if patience > 0:
                await asyncio.wait([question], timeout=patience)
        return self._checker

    def stop(self) -> set[asyncio.Task[FieldChecker]]:
        """Stop asking. Returns the tasks that have to end."""
        tasks = set[asyncio.Task["FieldChecker"]]() if self._question is None else {self._question}
        for task in tasks:
            task.cancel()
        return tasks

    def _ask(self) -> asyncio.Task[FieldChecker]:
        if self._question is None:
            self._question = asyncio.create_task(self._answer(), name="leadsquared_async lead fields")
            self._question.add_done_callback(self._answered)
        return self._question

    def _answered(self, question: asyncio.Task[FieldChecker]) -> None:
        self._question = None
        if question.cancelled():
            return
        error = question.exception()
        if error is None:
            self._checker = question.result()
            self._until = self._now() + self._ttl
            return
        self._patient_until = self._now()
        if self._leads_asked and self._now() >= self._not_before:
            which = "with fields from before" if self._checker is not None else "without a check"
            self._sender.log.warning("leads go on %s: %s", which, _words(error), extra={"event": "no_fields"})
        self._not_before = self._now() + TRY_AGAIN

    @without_locals
    async def _answer(self) -> FieldChecker:
        call = Call(
            operation="fields.list",
            method="GET",
            path=LEAD_FIELDS.text,
            host=Host.SYNC,
            expect=ExpectedBody.JSON,
            repeat=Idempotency.READ,
            lane=Lane.INTERACTIVE,  # forms wait for it
            most=LARGEST,
        )
        sent = await self._sender.send(call)
        from leadsquared_async.fields import FieldChecker, read_fields  # noqa: PLC0415 - most never ask

        fields = read_fields(sent.outcome.data) or ()
        if IN_EVERY_ACCOUNT.isdisjoint(field.schema_name for field in fields):
            what = "neither EmailAddress nor Phone, so it is not an account's list of" if fields else "no"
            raise ServerError(
                f"fields.list: the answer holds {what} lead fields",
                delivery=Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.OPERATION,
                attempts=sent.attempts,
                waited=sent.waited,
                operation="fields.list",
                status_code=sent.outcome.status_code,
            )
        return FieldChecker(fields)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class Validation:
    """Checks submissions against the account's fields before they are encoded.

    Args:
        cache: of the fields.
        mode: "strict" refuses what has a flaw, "drop" leaves out what the account does not have.
    """

    def __init__(self, cache: FieldCache, mode: Literal["strict", "drop"]) -> None:
        self._cache = cache
        self._mode = mode

    async def __call__(
        self, submission: Submission, within: float | None = None
    ) -> tuple[Submission, tuple[str, ...]]:
        """The submission, and the names of attributes that were left out of it.

        Args:
            submission: with a lead.
            within: seconds that its whole call may take; None for no bound.

        Raises:
            InvalidLead: it has a flaw, in the strict mode; a name with other letter case, in any.
        """
        lead = submission.lead
        checker = await self._cache.at_hand(within)
        if checker is None or not isinstance(lead, Mapping):  # what is no lead is refused when it is encoded
            return submission, ()
        if self._mode == "strict":
            if flaws := checker.check(
                lead, partial=_may_be_there(submission), search_by=submission.search_by
            ):
                raise _refusal(flaws, submission)
            return submission, ()
        unknown = checker.unknown(lead)
        if not unknown:
            return submission, ()
        # Without its "emailaddress" a lead would be another lead.
        if flaws := checker.misspelt(lead):
            raise _refusal(flaws, submission)
        kept = {key: value for key, value in lead.items() if key not in unknown}
        return replace(submission, lead=kept), tuple(unknown.values())


class Fields:
    """The fields that leads of this account have, by their schema names."""

    def __init__(self, cache: FieldCache, within: float | None) -> None:
        self._cache = cache
        self._within = within

    @without_locals
    async def list(self) -> tuple[LeadField, ...]:
        """All of them, in LeadSquared's order; asked for once an hour.

        Raises:
            LeadSquaredError: they could not be had; ConfigurationError if no synchronous host is known.
        """
        return tuple((await self._cache.current(self._within)).fields.values())

    @without_locals
    async def get(self, schema_name: str) -> LeadField:
        """One of them.

        Raises:
            ConfigurationError: there is none of that name; the message says which one was probably meant.
            LeadSquaredError: they could not be had.
        """
        await self.require(schema_name)
        return (await self._cache.current(self._within)).fields[schema_name]

    @without_locals
    async def check(self, lead: Mapping[str, Any], *, partial: bool = False) -> tuple[FieldProblem, ...]:
        """What LeadSquared would refuse about a lead; empty if nothing.

        Args:
            lead: schema name to value, as for `leads.capture`.
            partial: whether it changes a lead that is there: then nothing is missing. Nor is anything of a
                lead with SearchBy or a ProspectID, which may be there.

        Raises:
            LeadSquaredError: the fields could not be had.
        """
        if not isinstance(lead, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(f"a lead is a mapping from schema name to value, not {type_name(lead)}.")
        return (await self._cache.current(self._within)).check(lead, partial=partial)

    @without_locals
    async def require(self, *schema_names: str) -> None:
        """See that the account has all of these, as at the start of a program that sends them.

        Raises:
            ConfigurationError: naming all that it has not, and which ones were probably meant.
            LeadSquaredError: the fields could not be had.
        """
        checker = await self._cache.current(self._within)
        missing = [name for name in schema_names if name not in checker.fields]
        if missing:
            named = ", ".join(
                f"{name} (did you mean {near}?)" if (near := checker.nearest(name)) else name
                for name in missing
            )
            raise ConfigurationError(
                f"this account has no lead field {named}; LeadSquared shows schema names under Settings > "
                "Leads > Lead Fields",
                fault=Fault.ACCOUNT,
                scope=Scope.OPERATION,
                operation="fields.require",
            )


def _may_be_there(submission: Submission) -> bool:
    """Whether LeadSquared may have the lead, by what is asked of it; then it lacks nothing.

    One that names what it is looked for by may be there. Without that it is taken for new, even with an
    e-mail address: by that LeadSquared looks for every lead.
    """
    operation = submission.operation
    return operation.changes is not None or operation.needs_search_by or submission.search_by is not None


def _refusal(flaws: tuple[FieldProblem, ...], submission: Submission) -> InvalidLead:
    said = " ".join(flaw.message for flaw in flaws[:FLAWS_SHOWN])
    more = f" And {len(flaws) - FLAWS_SHOWN} more." if len(flaws) > FLAWS_SHOWN else ""
    error = InvalidLead(said + more, attribute=flaws[0].attribute)
    error.operation, error.reference = submission.operation.name, submission.reference
    return error


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, LeadSquaredError) else type(error).__name__
