"""One lead through the whole client, against a sandbox that fails, in virtual time."""

from __future__ import annotations

import asyncio
import inspect
import weakref

import pytest

from leadsquared_async import (
    APIError,
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    Fault,
    InvalidLead,
    LeadSquared,
    LeadSquaredError,
    RateLimit,
    RateLimited,
    Rejected,
    RetryPolicy,
    ServerError,
    Timeout,
)
from leadsquared_async.sandbox import Books, Faults
from tests.clients import LEAD, play

NOBODY = {"FirstName": "Bret"}


class WatchedLead(dict[str, str]):
    """A lead that can be referred to weakly."""


def failing(*script: str) -> Faults:
    return Faults(script=script, latency=0.1, operations=("capture",))


async def capture(lsq: LeadSquared, books: Books) -> tuple[int, int, int]:
    receipt = await lsq.leads.capture(LEAD)
    await asyncio.sleep(60)  # time to be processed
    return receipt.attempts, len(books.leads), books.repeated


@pytest.mark.parametrize(
    ("script", "attempts", "repeated"),
    [
        ((), 1, 0),
        (("500",), 2, 0),
        (("500", "503", "502", "504", "reset"), 6, 0),
        (("refused", "refused"), 3, 0),
        (("lost+taken",), 2, 1),
        (("half-body+taken",), 2, 1),
        (("504+taken", "html+taken", "empty+taken"), 4, 3),
        (("huge+taken", "empty-object+taken"), 3, 2),
        (("hang",), 2, 0),
        (("drip-body",), 1, 0),
        (("429",) * 12, 13, 0),
    ],
)
def test_a_lead_that_can_be_matched_gets_through(
    script: tuple[str, ...], attempts: int, repeated: int
) -> None:
    """An identified lead arrives despite temporary faults, and exists once."""
    assert play(capture, failing(*script)) == (attempts, 1, repeated)


@pytest.mark.parametrize(
    ("fault", "error", "delivery", "attempts"),
    [
        ("lost+taken", ConnectionFailed, Delivery.UNKNOWN, 1),
        ("lost", ConnectionFailed, Delivery.UNKNOWN, 1),
        ("504", ServerError, Delivery.UNKNOWN, 1),
        ("hang+taken", Timeout, Delivery.UNKNOWN, 1),
        ("html+taken", ServerError, Delivery.UNKNOWN, 1),
        ("500-mx", Rejected, Delivery.REJECTED, 1),
        ("200-mx", Rejected, Delivery.REJECTED, 1),
        ("redirect", APIError, Delivery.REJECTED, 1),
    ],
)
def test_a_lead_that_would_be_made_twice_is_not_sent_twice(
    fault: str, error: type[LeadSquaredError], delivery: Delivery, attempts: int
) -> None:
    """Without an identifier an unknown delivery is not retried, and the error says it may have arrived."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        with pytest.raises(error) as caught:
            await lsq.leads.capture(NOBODY, reference="form-1")
        assert (caught.value.delivery, caught.value.attempts) == (delivery, attempts)
        assert (caught.value.reference, caught.value.operation) == ("form-1", "leads.capture")
        assert ("may have arrived" in str(caught.value)) is (delivery is Delivery.UNKNOWN)
        await asyncio.sleep(60)
        assert len(books.leads) <= 1

    play(send, failing(fault))


def test_a_call_that_may_have_arrived_once_never_says_it_did_not() -> None:
    """A lost answer, then a refused connection: the whole call is unknown."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        with pytest.raises(ConnectionFailed) as caught:
            await lsq.leads.capture(LEAD)
        assert caught.value.delivery is Delivery.UNKNOWN
        assert caught.value.attempts == 3

    play(send, failing("lost+taken", "refused", "refused"), {"retry": RetryPolicy(attempts=3)})


def test_refusals_by_the_limit_use_up_the_deadline_only() -> None:
    """Endless 429s end the call at its deadline, with RateLimited as the cause and the last outcome in the
    message."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = asyncio.get_running_loop().time()
        last = "last attempt: the account is over its rate limit"
        with pytest.raises(DeadlineExceeded, match=last) as caught:
            await lsq.leads.capture(LEAD, deadline=100)
        assert caught.value.attempts > 6
        assert caught.value.delivery is Delivery.REJECTED
        assert isinstance(caught.value.__cause__, RateLimited)
        assert asyncio.get_running_loop().time() - start <= 100 + 1e-6

    play(send, Faults(probabilities={"429": 1.0}))


def test_a_retry_after_silences_the_whole_client() -> None:
    """After a 429 with Retry-After 7 nothing is sent for 7 seconds."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        await asyncio.gather(*(lsq.leads.capture({"EmailAddress": f"b{n}@example.com"}) for n in range(6)))
        times = [arrival.time for arrival in books.arrivals]
        refused = next(arrival.time for arrival in books.arrivals if arrival.over_limit)
        assert not [time for time in times if refused + 0.2 < time < refused + 7]

    play(send, limit=(2, 5.0), retry_after="7", options={"rate_limit": RateLimit(3, per=5.0)})


def test_a_lower_limit_is_learnt_from_the_answer() -> None:
    """A limit of 10 in 5 seconds in an answer applies from then on."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        await asyncio.gather(*(lsq.leads.capture({"EmailAddress": f"b{n}@example.com"}) for n in range(60)))
        limit = lsq.snapshot().limit
        assert limit is not None
        assert (limit.limit.calls, limit.limit.per) == (10, 5.0)
        late = [arrival for arrival in books.arrivals if arrival.time > books.arrivals[0].time + 15]
        assert late
        assert not any(arrival.over_limit for arrival in late)

    play(send, limit=(10, 5.0))


def test_the_whole_client_keeps_to_the_limit() -> None:
    """1,000 captures at once through the whole client over a slow network: no 429, all accepted."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        leads = ({"EmailAddress": f"b{number}@example.com"} for number in range(1000))
        receipts = await asyncio.gather(*(lsq.leads.capture(lead) for lead in leads))
        assert len({receipt.request_id for receipt in receipts}) == 1000
        assert (books.over_limit, books.most_arrivals()) == (0, 25)
        assert books.arrivals[-1].time - books.arrivals[0].time <= 1.06 * 195

    play(send, Faults(latency=0.04, tail=0.02), count_refused=True)


def test_an_attempt_is_bounded_however_slowly_the_server_drips() -> None:
    """`timeout` bounds the whole attempt, not each read of it."""

    async def send(lsq: LeadSquared, books: Books) -> float:
        start = asyncio.get_running_loop().time()
        with pytest.raises(Timeout):
            await lsq.leads.capture(NOBODY)
        return asyncio.get_running_loop().time() - start

    took = play(send, Faults(script=("drip-body",), drip=0.9), {"timeout": 2.0})
    assert took == pytest.approx(2.0, abs=0.1)


def test_a_deadline_bounds_the_whole_call() -> None:
    """A form's deadline of 10 s holds while LeadSquared is down."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded) as caught:
            await lsq.leads.capture(LEAD, deadline=10)
        assert asyncio.get_running_loop().time() - start <= 10 + 1e-6
        assert caught.value.fault is Fault.SERVER

    play(
        send,
        Faults(probabilities={"503": 1.0}, latency=0.5),
        {"retry": RetryPolicy(attempts=100)},
    )


def test_a_form_gets_the_last_error_not_that_its_deadline_was_near() -> None:
    """Six attempts within a deadline of 600 s end with the last error's type."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        with pytest.raises(ServerError) as caught:
            await lsq.leads.capture(LEAD)
        assert caught.value.attempts == 6

    play(send, Faults(probabilities={"500": 1.0}))


def test_a_refused_lead_carries_its_reference() -> None:
    """InvalidLead has the reference too."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        with pytest.raises(InvalidLead) as caught:
            await lsq.leads.capture({"Tags": ["x"]}, reference="row-7")
        assert (caught.value.reference, caught.value.operation) == ("row-7", "leads.capture")

    play(send)


@pytest.mark.parametrize("name", ["leads.capture", "leads.update", "submit"])
def test_a_submission_is_a_coroutine_function(name: str) -> None:
    """Mocks and frameworks ask for it; a wrong lead is an error of the `await`, not of the call."""

    async def main(lsq: LeadSquared, books: Books) -> None:
        del books
        resource, _, method = name.rpartition(".")
        function = getattr(getattr(lsq, resource) if resource else lsq, method)
        assert inspect.iscoroutinefunction(function)
        running = function({}) if name != "leads.update" else function("", {})
        with pytest.raises(InvalidLead):
            await running

    play(main)


def test_no_lead_is_held_while_its_call_waits_for_the_limit() -> None:
    """Its body is enough, so 100,000 waiting forms need little memory."""

    async def main(lsq: LeadSquared, books: Books) -> None:
        await lsq.leads.capture(LEAD)
        lead = WatchedLead(LEAD)
        held = weakref.ref(lead)
        waiting = asyncio.create_task(lsq.leads.capture(lead))
        del lead
        await asyncio.sleep(1.0)
        assert len(books.submitted()) == 1
        assert held() is None
        await waiting
        assert len(books.submitted()) == 2

    play(main, options={"rate_limit": RateLimit(1, per=60.0)})
