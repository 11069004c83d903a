"""Log records that name the client they are about."""

from __future__ import annotations

import ast
import asyncio
import itertools
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import leadsquared_async
from leadsquared_async import LeadSquaredError, OutboxError, RateLimit, RetryPolicy, submissions
from leadsquared_async.integrations.taskiq import TaskOutcome
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Account, Faults, SandboxTransport
from tests import virtual
from tests.clients import LEAD, virtual_client
from tests.integrations.in_memory import World, capture
from tests.integrations.in_memory import play as play_tasks
from tests.outbox.machine import Machine, lead, play

PACKAGE = Path(leadsquared_async.__file__).parent


def endless() -> Iterator[dict[str, str]]:
    try:
        yield from ({"EmailAddress": f"b{number}@example.com"} for number in itertools.count())
    finally:
        raise ZeroDivisionError


class Failing(SandboxTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["acme", "100 % acme", None])
def test_every_record_about_a_call_names_its_client(
    name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """In the attribute `client`, whatever the record is of: what a handler filters or routes by."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")

    async def main() -> None:
        script = ("503", "ok", "429", "ok", "500-mx", "504")
        account = Account(faults=Faults(latency=1.0, script=script, operations=("capture",)))
        lsq, _ = virtual_client(account, name=name, rate_limit=RateLimit(30, per=5.0))
        async with lsq:
            await lsq.leads.capture(LEAD)
            await lsq.leads.capture(LEAD)
            once = lsq.with_options(retry=RetryPolicy(attempts=1))
            async with once.leads.capture_many(endless(), concurrency=4):
                await asyncio.sleep(30.0)
            left = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0.5)
            left.cancel()
            await asyncio.sleep(3.0)
        faults = Faults(probabilities={"503": 1.0}, operations=("fields",))
        lsq, _ = virtual_client(Account(faults=faults), name=name, validate="drop")
        async with lsq:
            await lsq.leads.capture(LEAD)
        lsq, _ = virtual_client(account, name=name, transport=Failing(account))
        async with lsq:
            with suppress(LeadSquaredError):
                await lsq.leads.capture(LEAD)

    virtual.run(main)
    records = [vars(record) for record in caplog.records if record.name == "leadsquared_async"]
    events = {record.get("event") for record in records}
    assert events >= {"sent", "retried", "call_ended", "abandoned", "dead_letter", "throttled"}
    assert events >= {"fields_unavailable", "callback_failed"}
    said = " ".join(record["message"] for record in records)
    assert "the transport failed" in said
    assert "rate limit" in said
    assert [record["message"] for record in records if record["client"] != name] == []
    label = f"[{name}] " if name else ""
    retries = {record["message"].partition(":")[0] for record in records if record.get("event") == "retried"}
    assert retries == {f"{label}leads.capture", f"{label}fields.list"}


def loggers(path: Path) -> list[str]:
    """Where a module gets a logger for itself."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [
        f"{path.name}:{call.lineno}"
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "getLogger"
    ]


def test_only_these_modules_have_a_logger_of_their_own() -> None:
    """There is one place that writes the records of a client, so that none lacks its name."""
    found = {place.partition(":")[0] for path in PACKAGE.rglob("*.py") for place in loggers(path)}
    # redaction.py filters the records of httpx and httpcore; terminal.py shows records;
    # log_lines.py writes those of a command to standard error; server.py is uvicorn's, of the sandbox.
    assert found == {"logs.py", "redaction.py", "terminal.py", "log_lines.py", "server.py"}


@pytest.mark.parametrize("name", ["acme", "100 % acme", None])
def test_every_record_about_an_outbox_names_its_client(
    name: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Holds, dead letters, callbacks, a file that cannot be read or written, a lock that was deleted."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")

    async def use(machine: Machine) -> None:
        sync = {"sync_host": "https://sandbox.invalid"}
        async with machine.process(sync) as outbox:

            @outbox.on_final
            def fails(_: object) -> None:
                raise ZeroDivisionError

            await outbox.put_many([lead(number) for number in range(20)])
            await outbox.put(submissions.bulk_lead({"Phone": "1"}))
            await outbox.put({"mx_Nowhere": "x"})
            await asyncio.sleep(120.0)
            machine.books.faults = Faults()
            await outbox.drained()
            writer = outbox._lifecycle.opened()

            def broken(*_: object) -> None:
                raise TypeError

            with pytest.MonkeyPatch.context() as patch, suppress(OutboxError):
                patch.setattr(Store, "oldest", broken)
                await writer.read(lambda store: store.oldest())
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Store, "sending", full)
                await outbox.put(lead(30))
                await asyncio.sleep(5.0)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("leadsquared_async.outbox.deliver.send_encoded", broken)
                patch.setattr("leadsquared_async.outbox.deliver.send_rows", broken)
                await outbox.put(lead(31))
                await outbox.put(submissions.bulk_lead({"Phone": "2"}))
                await asyncio.sleep(30.0)
            Path(f"{machine.path}.lock").unlink()
            await asyncio.sleep(10.0)

    outage = {"401": 1.0}
    play(tmp_path, use, Faults(probabilities=outage), {"name": name}, look_every=1.0, attributes=["Phone"])
    records = [vars(record) for record in caplog.records if record.name == "leadsquared_async"]
    events = {record.get("event") for record in records}
    assert events >= {
        "held",
        "resumed",
        "dead_letter",
        "delivered",
        "callback_failed",
        "store_lost",
        "store_back",
    }
    assert "delivery_stopped" in events
    said = " ".join(record["message"] for record in records)
    for words in (
        "cannot be read: TypeError",
        "the outbox file cannot be used: nothing is sent because it cannot be written: ",
        "the outbox file can be used again",
        "failed with TypeError",
        "lock file was deleted",
    ):
        assert words in said, words
    assert len(re.findall(r"row \d+ failed with TypeError", said)) == 3  # two alone, and a bulk call
    assert [record["message"] for record in records if record["client"] != name] == []


def full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize("name", ["acme", None])
def test_every_record_about_tasks_names_its_client(
    name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Holds, dead letters, and what failed in a callback."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")

    async def use(world: World) -> None:
        @world.tasks.on_final
        def fails(outcome: TaskOutcome) -> None:
            if outcome.reference == "form-3":
                raise ZeroDivisionError

        world.books.faults = Faults(probabilities={"503": 1.0})
        await world.tasks.submit(capture(1))
        await asyncio.sleep(300.0)
        world.books.faults = Faults()
        await world.tasks.submit(submissions.update_lead("0" * 32, {"mx_Nowhere": "x"}))
        await world.tasks.submit(capture(3))
        await world.reported(3)
        await asyncio.sleep(10.0)

    play_tasks(use, client={"name": name})
    records = [vars(record) for record in caplog.records if record.name == "leadsquared_async"]
    assert {record.get("event") for record in records} >= {"held", "resumed", "dead_letter"}
    assert any("on_final failed with" in record["message"] for record in records)
    assert [record["message"] for record in records if record["client"] != name] == []
