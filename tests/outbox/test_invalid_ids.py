"""An answer to a row whose RequestID is invalid ends that row; an answer without one is no answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import submissions
from leadsquared_async.delivery.hold import FEW
from leadsquared_async.delivery.item_retries import ATTEMPTS, ROUNDS
from tests.outbox.machine import Machine, by_state, items, lead, play, until

pytestmark = pytest.mark.slow

INVALID = [
    None,
    "",
    "  ",
    "a b",
    "..",
    "é",
    "x" * 101,
    "x" * 5000,
    "id\x1b[31m",
    "=1+1",
    "\ud800",
    4711,
    [],
    {},
]
PORTAL = ["<html>Log in</html>", "", "{}", "[]", "null", '{"Data":{"RequestID":"a b"}}', '"RequestID"']
OTHERS = 10


class Answering(httpx.AsyncBaseTransport):
    """Whatever is submitted with these words gets this answer."""

    def __init__(self, machine: Machine, words: str, body: str) -> None:
        self.inner = machine._transport
        self.calls = 0
        self._words = words
        self._body = body
        machine._transport = self  # type: ignore[assignment]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or self._words not in (await request.aread()).decode():
            return await self.inner.handle_async_request(request)
        self.calls += 1
        return httpx.Response(200, text=self._body, request=request)


@pytest.mark.parametrize(
    ("name", "request_id"),
    [*(("RequestID", value) for value in INVALID), ("requestid", "a b")],
    ids=lambda value: ascii(value)[:20],
)
def test_a_row_ends_whose_requestid_is_invalid(name: str, request_id: object, tmp_path: Path) -> None:
    """After a few rounds it is unknown, with that reason; the others are confirmed meanwhile."""

    async def deliver(machine: Machine) -> None:
        start = machine.now
        odd = Answering(machine, "odd@", json.dumps({name: request_id, "Status": "Success"}))
        async with machine.process() as outbox:
            await outbox.put_many([lead(0), {"EmailAddress": "odd@example.com"}])
            await outbox.put_many([lead(number) for number in range(1, OTHERS)])
            await until(lambda: confirmed(outbox))
            assert machine.now - start < 120.0
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": OTHERS, "unknown": 1}
            (item,) = await items(outbox, "unknown")
            assert "RequestID in the answer is invalid" in str(item.reason)
            assert item.lead == {"EmailAddress": "odd@example.com"}
            await outbox.put(lead(OTHERS))
            async with asyncio.timeout(60.0):
                await outbox.drained()
            assert (await outbox.snapshot()).blocked is None
        assert 2 <= odd.calls <= ATTEMPTS * ROUNDS

    play(tmp_path, deliver, look_every=5.0, processing_rate=6000)


async def confirmed(outbox: Any) -> bool:
    return (await by_state(outbox)).get("confirmed", 0) == OTHERS


def test_what_cannot_be_sent_twice_is_unknown_at_once(tmp_path: Path) -> None:
    """It is sent once."""

    async def deliver(machine: Machine) -> None:
        odd = Answering(machine, "ActivityEvent", '{"RequestID":"a b"}')
        async with machine.process() as outbox:
            activity = submissions.create_activity("00000000-0000-4000-8000-000000000000", event=201)
            await outbox.put(activity)
            await outbox.drained()
            assert await by_state(outbox) == {"unknown": 1}
        assert odd.calls == 1

    play(tmp_path, deliver)


def test_many_rows_end_however_all_their_requestids_are_invalid(tmp_path: Path) -> None:
    """None is sent for ever, and the outbox drains."""

    async def deliver(machine: Machine) -> None:
        Answering(machine, "@", '{"RequestID":"a b"}')
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(FEW + 2))
            await outbox.drained()
            assert await by_state(outbox) == {"unknown": FEW + 2}

    play(tmp_path, deliver, look_every=20.0)


@pytest.mark.parametrize("body", PORTAL)
def test_an_answer_without_a_requestid_holds_the_rows(body: str, tmp_path: Path) -> None:
    """It may be the page of a network that asks for a login: nothing ends, and all is confirmed later."""

    async def deliver(machine: Machine) -> None:
        portal = Answering(machine, "@", body)
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(20))
            await asyncio.sleep(3600.0)
            assert await by_state(outbox) == {"pending": 20}
            assert (await outbox.snapshot()).blocked is not None
            assert portal.calls < 100
            portal._words = "nowhere"
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 20}

    play(tmp_path, deliver, look_every=5.0)
