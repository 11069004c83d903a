"""`on_event=`: who gets an event, where, and what a callback may do."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from leadsquared_async import ConfigurationError, Event, LeadSquared, Outbox, RateLimit, RetryPolicy
from leadsquared_async.events import CallEnded, LimitLowered, LimitRaised, Retried, Sent, Throttled
from leadsquared_async.logs import ClientEvents
from leadsquared_async.sandbox import Account, Books, Faults, Sandbox
from tests import virtual
from tests.clients import LEAD, client_of, play, virtual_client
from tests.recorded import Recorded, recording
from tests.virtual import stand_still

QUICK = RetryPolicy(base=0.001)
SENT_AND_ENDED = [Sent, CallEnded]


def failing(kind: type[BaseException] = ZeroDivisionError) -> Callable[[Event], None]:
    def fail(event: Event) -> None:
        raise kind("not a word of this")

    return fail


@pytest.mark.parametrize("kind", [ZeroDivisionError, asyncio.CancelledError])
def test_a_callback_that_raises_harms_no_call_and_is_logged_once_for_each_event(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """One ERROR record for each kind of event and exception, without its words; not passed to callbacks."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        for _ in range(3):
            await lsq.leads.capture(LEAD)
        assert books.accepted == 3

    play(send, Faults(script=("503",)), {"on_event": failing(kind), "retry": QUICK, "name": "acme"})
    failures = [vars(record) for record in caplog.records if record.levelno == logging.ERROR]
    told = sorted(failure["item"] for failure in failures)
    assert told == ["attempt_failed", "call_ended", "retried", "sent"]
    for failure in failures:
        assert (failure["event"], failure["callback"]) == ("callback_failed", "on_event")
        assert (failure["kind"], failure["client"]) == (kind.__name__, "acme")
    assert "not a word" not in caplog.text


def test_other_subscribers_get_the_event_on_which_one_fails() -> None:
    """A failing callback does not hide events from, say, metrics."""
    events, told = ClientEvents(None), Recorded()
    events.subscribe(failing())
    events.subscribe(told)
    events.emit(Sent(operation="leads.capture", reference=None, attempts=1, waited=0.0))
    assert told.names == ["sent"]


def test_a_subscriber_gets_events_from_its_level_on() -> None:
    """Others are not created for it, and those that somebody else wants do not reach it."""
    events, told = ClientEvents(None), list[Event]()
    events.subscribe(told.append, logging.INFO)
    assert (events.wants(logging.DEBUG), events.wants(logging.INFO)) == (False, True)
    leave = events.subscribe(lambda event: None)
    assert events.wants(logging.DEBUG)
    events.emit(Sent(operation="leads.capture", reference=None, attempts=1, waited=0.0))
    assert told == []
    leave()
    assert not events.wants(logging.DEBUG)


def test_a_subscriber_can_leave() -> None:
    """Also while it is called."""
    events, told = ClientEvents(None), Recorded()

    def once(event: Event) -> None:
        told(event)
        leave()

    leave = events.subscribe(once)
    for _ in range(2):
        events.emit(Sent(operation="leads.capture", reference=None, attempts=1, waited=0.0))
    assert told.names == ["sent"]
    assert not events.wants(logging.DEBUG)


def test_a_slow_callback_delays_calls_and_breaks_no_limit() -> None:
    """It blocks the event loop: calls are late, all arrive, and none is over the limit."""

    def slow(event: Event) -> None:
        stand_still(0.3)

    async def send(lsq: LeadSquared, books: Books) -> None:
        await asyncio.gather(*(lsq.leads.capture({"Phone": str(number)}) for number in range(60)))
        assert books.accepted == 60
        assert books.over_limit == 0

    play(send, Faults(latency=0.1), {"on_event": slow})


def test_a_callback_may_call_the_client() -> None:
    """It starts a call in a task, and asks for a snapshot; neither waits for the event's own call."""
    tasks: list[asyncio.Task[Any]] = []
    granted: list[int] = []

    async def send(lsq: LeadSquared, books: Books) -> None:
        def again(event: Event) -> None:
            limit = lsq.snapshot().limit
            granted.append(0 if limit is None else limit.granted)
            if isinstance(event, Retried):
                tasks.append(asyncio.create_task(lsq.leads.capture({"Phone": "2"}, reference="again")))

        lsq._session.events.subscribe(again)
        await lsq.leads.capture(LEAD)
        await asyncio.gather(*tasks)
        assert books.accepted == 2

    play(send, Faults(script=("503",)), {"retry": QUICK})
    assert len(tasks) == 1
    assert granted == sorted(granted)


def test_a_copy_shares_the_callback() -> None:
    """Calls of `with_options` are told to the client's callback."""
    recorded = Recorded()

    async def send(lsq: LeadSquared, books: Books) -> None:
        await lsq.with_options(deadline=5).leads.capture(LEAD)

    play(send, options={"on_event": recorded})
    assert list(map(type, recorded.events)) == SENT_AND_ENDED


async def asynchronous(event: Event) -> None:
    """Nobody would await it."""


class Asynchronous:
    async def __call__(self, event: Event) -> None:
        """Nobody would await it."""


@pytest.mark.parametrize("callback", ["not a function", asynchronous, Asynchronous()])
def test_a_callback_that_cannot_be_called_is_rejected_at_once(callback: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="on_event"):
        virtual_client(Account(), on_event=callback)


def test_without_a_callback_a_call_makes_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the log at INFO as well: a successful capture costs no event object."""

    def forbidden(self: ClientEvents, event: Event) -> None:
        raise AssertionError(event.name)

    async def send(lsq: LeadSquared, books: Books) -> None:
        monkeypatch.setattr(ClientEvents, "emit", forbidden)
        made = len([it for it in gc.get_objects() if isinstance(it, Event)])
        await lsq.leads.wait(await lsq.leads.capture(LEAD))
        assert len([it for it in gc.get_objects() if isinstance(it, Event)]) == made

    logging.getLogger("leadsquared_async").setLevel(logging.INFO)
    try:
        play(send, processing_rate=60_000)
    finally:
        logging.getLogger("leadsquared_async").setLevel(logging.NOTSET)


# Which client, and in which loop


def test_an_event_about_the_limit_goes_to_the_first_open_client_of_the_account() -> None:
    """Once, not once for each client; after that client has closed, to the next one."""
    first, second = Recorded(), Recorded()

    async def main() -> None:
        account = Account(faults=Faults(script=("429", "ok", "429"), operations=("capture",)))
        one, transport = virtual_client(account, on_event=first, name="first", retry=QUICK)
        two, _ = virtual_client(account, on_event=second, name="second", retry=QUICK, transport=transport)
        async with two:
            async with one:
                await one.leads.metrics()
                await two.leads.capture(LEAD)
            await asyncio.sleep(120.0)
            await two.leads.capture(LEAD)

    with recording() as recorded:
        virtual.run(main)
    throttled = [vars(record) for record in recorded.records if vars(record).get("event") == "throttled"]
    assert [record["client"] for record in throttled] == ["first", "second"]
    assert len(first.of(Throttled)) == len(second.of(Throttled)) == 1


def test_a_limit_that_leadsquared_names_is_told_when_it_begins_and_when_it_ends() -> None:
    """The declared limit is tried again after some windows without a 429."""
    recorded = Recorded()
    refusal = {"Status": "Error", "ExceptionMessage": "API calls exceeded the limit of 10 in 5 second(s)"}
    answers = [httpx.Response(429, json=refusal)]

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else httpx.Response(200, json={"RequestID": "3f0c2c4e"})

    async def main() -> None:
        lsq, _ = virtual_client(
            Account(), on_event=recorded, retry=QUICK, transport=httpx.MockTransport(answer)
        )
        async with lsq:
            for _ in range(100):
                await lsq.leads.capture(LEAD)
                await asyncio.sleep(1.0)

    virtual.run(main)
    told = recorded.of(LimitLowered, LimitRaised)
    assert [(type(event), str(event.before), str(event.limit)) for event in told] == [  # type: ignore[attr-defined]
        (LimitLowered, "25/5", "10/5"),
        (LimitRaised, "10/5", "25/5"),
    ]


async def test_an_event_of_another_thread_reaches_the_callback_in_its_own_loop(sandbox: Sandbox) -> None:
    """A client of the same account in another thread gets the 429; the callback runs in the client's loop."""
    told: list[tuple[str, int]] = []

    def note(event: Event) -> None:
        if isinstance(event, Throttled):
            asyncio.get_running_loop()
            told.append((event.name, threading.get_ident()))

    async def elsewhere() -> None:
        sandbox.books.faults = Faults(script=("429",), operations=("capture",))
        async with client_of(sandbox, retry=QUICK) as lsq:
            await lsq.leads.capture(LEAD)

    async with client_of(sandbox, on_event=note) as lsq:
        await lsq.leads.metrics()
        await asyncio.to_thread(asyncio.run, elsewhere())
        async with asyncio.timeout(5.0):
            while not told:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
    assert told == [("throttled", threading.get_ident())]


async def test_an_event_for_a_loop_that_has_ended_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It raises nothing where it was emitted."""
    loop = asyncio.new_event_loop()
    events, told = ClientEvents("gone"), Recorded()
    events.loop = loop
    events.subscribe(told)
    loop.close()
    events.emit(Throttled(what="calls", limit=RateLimit(25), pause=None))
    assert told.names == []
    assert [vars(record)["client"] for record in caplog.records] == ["gone"]


async def test_an_outbox_without_a_client_logs_its_events(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no callback."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        outbox._lifecycle.opened().block("written", outbox._lifecycle.opened()._too_late())
    assert [vars(record).get("event") for record in caplog.records] == ["store_lost"]
