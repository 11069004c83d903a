"""No event and no record of one has a key, a value of a lead or text of LeadSquared that repeats them."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    Credentials,
    Event,
    LeadSquared,
    LeadSquaredError,
    Outbox,
    OutboxItem,
    RetryPolicy,
    events,
    submissions,
)
from leadsquared_async.outbox.store import Store
from tests import virtual
from tests.clients import KEYS
from tests.leaks import ECHO, PERSON, assert_nothing_secret
from tests.outboxes import virtual_files
from tests.recorded import Recorded, recording

REFERENCE = "form-7"
SAID = f"zqplanted4711 {ECHO}"
"""What LeadSquared and callbacks say."""
SUBMISSION = submissions.capture_lead(PERSON, reference=REFERENCE)
OTHER_KEYS = {**KEYS, "api_key": "another-key"}


def gateway(status: int, message: str = SAID) -> httpx.Response:
    return httpx.Response(status, json={"message": message, "echo": SAID})


def mx(status: int, kind: str = "MXEchoException") -> httpx.Response:
    return httpx.Response(status, json={"ExceptionType": kind, "ExceptionMessage": SAID})


def accepted() -> httpx.Response:
    return httpx.Response(200, json={"RequestID": "3f0c2c4e", "Status": SAID})


def processed(state: str) -> httpx.Response:
    task = {"Status": state, "StatusReason": f"MXEchoException: {SAID}", "Message": SAID}
    return httpx.Response(200, json={"RequestID": "3f0c2c4e", "TaskStatus": task})


def stating(limit: str) -> httpx.Response:
    return gateway(429, f"API calls exceeded the limit of {limit} second(s)")


def client(
    told: Recorded, answers: list[httpx.Response], state: str = "Success", **options: Any
) -> LeadSquared:
    """A client that gets these answers to its submissions, then a RequestID; and a state for each request."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        if request.url.path.endswith("status"):
            return processed(state)
        if request.method == "GET":
            return gateway(500)  # lead fields
        return answers.pop(0) if answers else accepted()

    options = {"retry": RetryPolicy(attempts=2, base=0.001), "name": "acme", "on_event": told, **options}
    keys = {} if "credentials" in options else KEYS
    host = "https://sandbox.invalid"
    transport = httpx.MockTransport(answer)
    return LeadSquared(**{**keys, "host": host, "sync_host": host, "transport": transport, **options})


async def calls(told: Recorded, folder: Path) -> None:
    """A retry, an outcome that is a failure, and a check against fields that cannot be read."""
    async with client(told, [gateway(503)], "Failure", validate="drop") as lsq:
        await lsq.leads.wait(await lsq.leads.capture(PERSON, reference=REFERENCE))


async def left(told: Recorded, folder: Path) -> None:
    """Calls whose callers leave: one is accepted, one is rejected; and a source that fails."""

    def rows() -> Any:
        try:
            while True:
                yield SUBMISSION
        finally:
            raise ZeroDivisionError(SAID)

    async with client(told, [accepted(), mx(500)]) as lsq:
        for _ in range(2):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await lsq.submit(SUBMISSION)
        async with lsq.submit_many(rows(), concurrency=2):
            await asyncio.sleep(1.0)


async def limits(told: Recorded, folder: Path) -> None:
    """A limit that is doubted, one that applies, and its end."""
    async with client(told, [stating("1 in 3600"), stating("10 in 5")]) as lsq:
        for _ in range(100):
            with suppress(LeadSquaredError):
                await lsq.leads.capture(PERSON)
            await asyncio.sleep(2.0)


async def credentials(told: Recorded, folder: Path) -> None:
    """Keys that LeadSquared rejects and repeats."""
    given = [Credentials(**KEYS), Credentials(**OTHER_KEYS)]

    async def provider() -> Credentials:
        return given.pop(0)

    async with client(told, [mx(401)], credentials=provider) as lsq:
        await lsq.leads.capture(PERSON)


async def outbox(told: Recorded, folder: Path) -> None:
    """A hold, a dead letter, a full disk, callbacks that fail, and a lock that is deleted."""
    answers = [mx(401, "MXAuthenticationFailedException"), mx(500)]
    async with client(told, answers) as lsq, Outbox(folder / "leads.db", lsq) as running:

        @running.on_final
        def fail(item: OutboxItem) -> None:
            raise ValueError(f"{SAID} {item.lead}")

        await running.put(SUBMISSION)
        await running.put(submissions.capture_lead({**PERSON, "Phone": "1"}, reference=REFERENCE))
        await running.drained()
        await running.put(SUBMISSION)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "begin", full)
            await asyncio.sleep(40.0)
        await asyncio.sleep(60.0)
        (folder / "leads.db.lock").unlink()
        await asyncio.sleep(5.0)


def full(self: Store) -> None:
    raise sqlite3.OperationalError("database or disk is full")


SCENES: list[Callable[[Recorded, Path], Awaitable[None]]] = [calls, left, limits, credentials, outbox]


def test_no_event_and_no_record_shows_a_key_a_person_or_words_of_leadsquared(tmp_path: Path) -> None:
    """Every event there is has happened, each with LeadSquared repeating the keys and the person."""
    with recording() as recorded, virtual_files():
        for scene in SCENES:
            virtual.run(lambda scene=scene: scene(recorded, tmp_path))  # type: ignore[misc]
    kinds = {thing for thing in vars(events).values() if inspect.isclass(thing) and issubclass(thing, Event)}
    assert {type(event) for event in recorded.events} == kinds - {Event}
    recorded.assert_records_agree()
    for event in recorded.events:
        assert_nothing_said(f"{event!r} {pickle.dumps(event).decode('latin-1')}")
    for record in recorded.records:
        assert_nothing_said(f"{record.getMessage()} {vars(record)}")


def assert_nothing_said(text: str) -> None:
    assert_nothing_secret(text)
    assert "zqplanted4711" not in text


def test_a_value_in_an_event_is_found() -> None:
    """The test can fail."""
    event = events.FieldsUnavailable(check="without a check", reason=PERSON["EmailAddress"])
    with pytest.raises(AssertionError, match="shows in"):
        assert_nothing_secret(pickle.dumps(event).decode("latin-1"))
