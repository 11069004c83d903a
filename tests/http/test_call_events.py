"""What happens to a call, and the events that say so, in order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    Credentials,
    Delivery,
    Event,
    LeadSquared,
    LeadSquaredError,
    RateLimit,
    RetryPolicy,
    submissions,
)
from leadsquared_async.events import (
    Abandoned,
    AttemptFailed,
    CallEnded,
    CredentialsRenewed,
    DeadLetter,
    FieldsUnavailable,
    Processed,
    Retried,
    Sent,
    Throttled,
)
from leadsquared_async.sandbox import Books, Faults, Sandbox
from tests.clients import KEYS, LEAD, client_of, play
from tests.recorded import Recorded, recording

Act = Callable[[LeadSquared, Books], Awaitable[object]]
QUICK = RetryPolicy(base=0.001, attempts=3)


async def capture(lsq: LeadSquared, books: Books) -> None:
    with suppress(LeadSquaredError):
        await lsq.leads.capture(LEAD, reference="form-7", deadline=20.0)


async def capture_and_wait(lsq: LeadSquared, books: Books) -> None:
    await lsq.leads.wait(await lsq.leads.capture(LEAD, reference="form-7"))


async def capture_what_fails_later(lsq: LeadSquared, books: Books) -> None:
    receipt = await lsq.leads.capture({**LEAD, "mx_Nope": "x"}, reference="form-7")
    assert not (await lsq.leads.wait(receipt)).succeeded


async def twice_followed(lsq: LeadSquared, books: Books) -> None:
    receipt = await lsq.leads.capture(LEAD, reference="form-7")
    await asyncio.gather(lsq.leads.wait(receipt.request_id), lsq.leads.wait(receipt))


async def leave(lsq: LeadSquared, books: Books) -> None:
    task = asyncio.create_task(lsq.leads.capture(LEAD, reference="form-7"))
    await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(1.0)


async def leave_a_read(lsq: LeadSquared, books: Books) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await lsq.leads.metrics()
    await asyncio.sleep(1.0)


async def leave_results_unread(lsq: LeadSquared, books: Books) -> None:
    leads = (submissions.capture_lead(LEAD, reference=f"row-{n}") for n in range(2))
    async with lsq.leads.capture_many(leads, concurrency=1):
        await asyncio.sleep(5.0)


async def nothing_sent(lsq: LeadSquared, books: Books) -> None:
    with suppress(LeadSquaredError):
        await lsq.leads.capture({"Phone": ["not", "text"]})


@dataclasses.dataclass(frozen=True)
class Case:
    """What is done, the faults that it meets, and the events: each with the fields that are looked at."""

    act: Act
    script: tuple[str, ...]
    events: list[tuple[type[Event], dict[str, Any]]]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    account: dict[str, Any] = dataclasses.field(default_factory=dict)
    operation: str = "capture"


OF_FORM = {"operation": "leads.capture", "reference": "form-7"}
FIRST, SECOND, THIRD = ((Sent, {**OF_FORM, "attempts": number}) for number in (1, 2, 3))
ACCEPTED = {**OF_FORM, "delivery": "accepted", "fault": None, "kind": None, "status_code": 200}
POLL = [
    (Sent, {"operation": "leads.capture status"}),
    (CallEnded, {"operation": "leads.capture status", "delivery": "accepted", "status_code": 200}),
]
POLLS = {"processing_rate": 60_000}
CASES = {
    "a success": Case(capture, (), [FIRST, (CallEnded, {**ACCEPTED, "attempts": 1, "waited": 0.0})]),
    "a retried fault": Case(
        capture,
        ("503",),
        [
            FIRST,
            (
                Retried,
                {
                    **OF_FORM,
                    "attempts": 1,
                    "delivery": "unknown",
                    "fault": "server",
                    "kind": "ServerError",
                    "status_code": 503,
                    "reason": "LeadSquared failed (503)",
                },
            ),
            SECOND,
            (CallEnded, {**ACCEPTED, "attempts": 2}),
        ],
    ),
    "a lost answer": Case(
        capture,
        ("lost",),
        [
            FIRST,
            (Retried, {"kind": "ConnectionFailed", "delivery": "unknown", "status_code": None}),
            SECOND,
            (CallEnded, {"attempts": 2}),
        ],
    ),
    "attempts used up": Case(
        capture,
        ("503",) * 3,
        [
            *(FIRST, (Retried, {"attempts": 1}), SECOND, (Retried, {"attempts": 2}), THIRD),
            (CallEnded, {"delivery": "unknown", "fault": "server", "kind": "ServerError", "attempts": 3}),
        ],
    ),
    "a rejected lead": Case(
        capture,
        ("500-mx",),
        [
            FIRST,
            (
                CallEnded,
                {
                    "delivery": "rejected",
                    "fault": "lead",
                    "kind": "MXDuplicateEntryException",
                    "status_code": 500,
                },
            ),
        ],
    ),
    "no connection": Case(
        capture,
        ("refused",) * 3,
        [
            *(FIRST, (Retried, {"delivery": "not_sent"}), SECOND, (Retried, {"attempts": 2}), THIRD),
            (CallEnded, {"delivery": "not_sent", "kind": "ConnectionFailed", "status_code": None}),
        ],
    ),
    "429s, of which the first is told": Case(
        capture,
        ("429", "429"),
        [
            *(FIRST, (Throttled, {"what": "calls", "limit": RateLimit(25), "pause": None})),
            *((Retried, {"fault": "limit", "status_code": 429}), SECOND),
            *((Retried, {"attempts": 2}), THIRD, (CallEnded, {**ACCEPTED, "attempts": 3})),
        ],
    ),
    "a deadline": Case(
        capture,
        ("503",) * 99,
        [FIRST, (CallEnded, {"kind": "DeadlineExceeded", "delivery": "unknown", "attempts": 1})],
        {"retry": RetryPolicy(base=1e6, cap=1e6)},
    ),
    "a lead that cannot be encoded": Case(nothing_sent, (), []),
    "an outcome": Case(
        capture_and_wait,
        (),
        [
            *(FIRST, (CallEnded, ACCEPTED), *POLL),
            (Processed, {**OF_FORM, "succeeded": True, "kind": None}),
        ],
        account=POLLS,
    ),
    "a failure in LeadSquared": Case(
        capture_what_fails_later,
        (),
        [
            *(FIRST, (CallEnded, ACCEPTED), *POLL),
            (Processed, {**OF_FORM, "succeeded": False, "kind": "MXUnknownAttributeException"}),
        ],
        account={**POLLS, "attributes": set(LEAD)},
    ),
    "two that follow one request": Case(
        twice_followed, (), [FIRST, (CallEnded, ACCEPTED), *POLL, (Processed, OF_FORM)], account=POLLS
    ),
    "a caller that leaves": Case(
        leave,
        (),
        [FIRST, (Abandoned, {**OF_FORM, "delivery": "accepted", "lead_id": None, "item": None})],
    ),
    "a caller that leaves what may have arrived": Case(
        leave,
        ("lost",),
        [
            FIRST,
            (
                DeadLetter,
                {
                    **OF_FORM,
                    "owner": "call",
                    "item": None,
                    "state": "unknown",
                    "delivery": "unknown",
                    "kind": "ConnectionFailed",
                },
            ),
        ],
    ),
    "a caller that leaves what is rejected": Case(
        leave, ("500-mx",), [FIRST, (DeadLetter, {"owner": "call", "state": "rejected"})]
    ),
    "a caller that leaves a read": Case(leave_a_read, (), [(Sent, {"operation": "leads.capture metrics"})]),
    "results that nobody reads": Case(
        leave_results_unread,
        ("ok", "500-mx"),
        [
            *((Sent, {"reference": "row-0"}), (CallEnded, {"reference": "row-0", "delivery": "accepted"})),
            (Abandoned, {"reference": "row-0", "item": 0, "delivery": "accepted"}),
        ],
    ),
    "lead fields that cannot be read": Case(
        capture,
        ("403",),
        [
            (Sent, {"operation": "fields.list"}),
            (CallEnded, {"operation": "fields.list", "kind": "Forbidden", "fault": "account"}),
            (FieldsUnavailable, {"check": "without a check"}),
            *(FIRST, (CallEnded, ACCEPTED)),
        ],
        {"validate": "strict"},
        operation="fields",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_happens_to_a_call_is_told_in_order(case: Case) -> None:
    """Each event has what is expected, its record agrees, and all events name the client."""
    faults = Faults(latency=0.1, script=case.script, operations=(case.operation,))
    with recording() as recorded:
        options = {"retry": QUICK, "on_event": recorded, "name": "acme", **case.options}
        play(case.act, faults, options, **case.account)
    recorded.assert_records_agree()
    told = [event for event in recorded.events if not isinstance(event, AttemptFailed)]
    assert [event.name for event in told] == [kind.name for kind, _ in case.events]
    for event, (_, fields) in zip(told, case.events, strict=True):
        assert {name: getattr(event, name) for name in fields} == fields
        assert event.client == "acme"


def test_the_end_of_a_call_says_where_its_time_went() -> None:
    """Waits for the limit, pauses between attempts, and the time of the attempts add up to its duration."""

    async def two(lsq: LeadSquared, books: Books) -> None:
        await lsq.leads.capture(LEAD, reference="first")
        await lsq.leads.capture(LEAD, reference="second")

    recorded = Recorded()
    faults = Faults(latency=0.25, script=("ok", "503"), operations=("capture",))
    options = {"on_event": recorded, "rate_limit": RateLimit(1, per=2.0), "retry": RetryPolicy(base=100.0)}
    play(two, faults, options)
    first, second = recorded.of(CallEnded)
    (retried,) = recorded.of(Retried)
    assert isinstance(first, CallEnded)
    assert isinstance(second, CallEnded)
    assert isinstance(retried, Retried)
    assert (first.waited, first.waited_for_limit) == (0.0, 0.0)
    assert first.duration == pytest.approx(0.25, abs=0.01)
    assert second.waited_for_limit >= 2.0
    assert second.waited == pytest.approx(second.waited_for_limit + retried.delay, abs=0.001)
    assert second.duration == pytest.approx(second.waited + 2 * 0.25, abs=0.01)
    assert retried.waited == pytest.approx(2.0, abs=0.001)  # the first token; a second wait may follow


async def test_renewed_credentials_are_told_once_for_all_calls() -> None:
    """For the first 401 of many calls; not when the callable returns the same keys."""
    given = [Credentials(**KEYS), Credentials(**{**KEYS, "api_key": "another-key"})]

    async def provider() -> Credentials:
        return given.pop(0) if len(given) > 1 else given[0]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["x-api-key"] == KEYS["api_key"]:
            return httpx.Response(401, json={})
        return httpx.Response(200, json={"RequestID": "3f0c2c4e"})

    recorded, wide = Recorded(), RateLimit(1000, per=0.01)
    async with LeadSquared(
        credentials=provider,
        host="https://sandbox.invalid",
        transport=httpx.MockTransport(answer),
        rate_limit=wide,
        retry=QUICK,
        on_event=recorded,
    ) as lsq:
        await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(5)))
        assert len(recorded.of(CredentialsRenewed)) == 1
        given[0] = Credentials(**KEYS)  # they are rejected, and the callable has no others
        lsq._session.credentials._current = given[0]
        with pytest.raises(LeadSquaredError):
            await lsq.leads.capture(LEAD)
    assert len(recorded.of(CredentialsRenewed)) == 1


def test_a_submission_that_an_outbox_keeps_is_no_dead_letter_of_its_call() -> None:
    """Its row says what became of it, so only the abandoned call is told."""

    async def leave_recorded(lsq: LeadSquared, books: Books) -> None:
        lsq._parts = lsq._parts._replace(sender=dataclasses.replace(lsq._parts.sender, recorded=True))
        await leave(lsq, books)

    recorded = Recorded()
    play(leave_recorded, Faults(latency=0.1, script=("lost",)), {"on_event": recorded})
    assert [type(event) for event in recorded.events] == [Sent, AttemptFailed, Abandoned]
    assert recorded.of(Abandoned)[0].delivery is Delivery.UNKNOWN  # type: ignore[attr-defined]


def test_a_request_that_is_polled_many_times_is_told_once() -> None:
    """When it is final; each poll is a call of its own."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        await lsq.leads.wait(await lsq.leads.capture(LEAD))

    recorded = Recorded()
    play(follow, options={"on_event": recorded}, processing_rate=2)
    polls = [event for event in recorded.of(Sent) if event.operation == "leads.capture status"]  # type: ignore[attr-defined]
    assert len(polls) > 1
    assert len(recorded.of(Processed)) == 1
    assert recorded.names[-1] == "processed"


async def test_each_failed_attempt_is_told(sandbox: Sandbox) -> None:
    """Whether it is retried, was the last one, or its caller has left; "limit" is the fault of a 429."""
    recorded = Recorded()
    sandbox.books.faults = Faults(script=("429", "500-mx", "lost"), latency=0.05)
    async with client_of(sandbox, on_event=recorded, retry=QUICK) as lsq:
        with pytest.raises(LeadSquaredError):
            await lsq.leads.capture(LEAD, reference="form-1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lsq.leads.capture(LEAD, reference="form-2"), 0.02)
    failed = [event for event in recorded.events if isinstance(event, AttemptFailed)]
    assert [(it.reference, it.kind, it.status_code, it.fault) for it in failed] == [
        ("form-1", "MXAPIRateLimitExceededException", 429, "limit"),
        ("form-1", "MXDuplicateEntryException", 500, "lead"),
        ("form-2", "ConnectionFailed", None, "server"),
    ]
