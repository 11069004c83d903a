"""Log records that name the client they are about."""

from __future__ import annotations

import ast
import asyncio
import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import leadsquared_async
from leadsquared_async import LeadSquaredError, RateLimit, RetryPolicy
from leadsquared_async.sandbox import Account, Faults, SandboxTransport
from tests import virtual
from tests.clients import LEAD, virtual_client

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
    assert events >= {"retry", "abandoned", "rejected", "unknown", "no_fields", "source_failed"}
    said = " ".join(record["message"] for record in records)
    assert "the transport failed" in said
    assert "rate limit" in said
    assert [record["message"] for record in records if record["client"] != name] == []


def loggers(path: Path) -> list[str]:
    """Where a module gets a logger for itself."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [
        f"{path.name}:{call.lineno}"
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "getLogger"
    ]


def test_what_makes_calls_has_no_logger_of_its_own() -> None:
    """There is one place that writes the records of a client, so that none lacks its name."""
    modules = [PACKAGE / "batch.py", *(PACKAGE / "sending").rglob("*.py")]
    modules += [*(PACKAGE / "resources").rglob("*.py"), *(PACKAGE / "tracking").rglob("*.py")]
    found: list[Any] = [place for path in modules for place in loggers(path)]
    # keyed.py puts a filter on the loggers of httpx and httpcore.
    assert {place.partition(":")[0] for place in found} == {"logs.py", "keyed.py"}
