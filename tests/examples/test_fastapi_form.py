"""docs/examples/fastapi_form.py: real servers and real requests, before a LeadSquared on this machine."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from leadsquared_async import ItemState, Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import bodies
from tests.examples.programs import DOWN, PLANTED, browser, numbers, running, until

pytestmark = pytest.mark.slow

UVICORN = ("uvicorn", "fastapi_form:app", "--port", "{port}")
GUNICORN = ("gunicorn", "--preload", "--bind", "127.0.0.1:{port}", "--no-control-socket", "fastapi_form:app")


def visitor(number: int) -> dict[str, str]:
    """What a visitor types."""
    return {"FirstName": PLANTED, "EmailAddress": f"{PLANTED}-{number}@example.com", "Phone": ""}


async def shown(client: httpx.AsyncClient, **query: str) -> dict[str, str]:
    """The hidden fields of the form, as a browser sends them back."""
    page = await client.get("/", params=query)
    assert page.status_code == 200
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))


async def send(client: httpx.AsyncClient, number: int) -> None:
    """Open the form, and send it."""
    sent = await client.post("/", data={**await shown(client), **visitor(number)})
    assert (sent.status_code, sent.headers["location"]) == (303, "/thanks")


async def test_a_form_becomes_a_lead_with_its_campaign_and_its_visits(tmp_path: Path) -> None:
    """Source and tracking id go along, the phone is spelt as LeadSquared does, an empty field is left out."""
    visits = "7f3c1a52-9d0e-4b6a-8f21-0c9b8d7e6f5a"
    async with (
        Sandbox(limit=None, attributes="account") as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
        browser(program) as client,
    ):
        hidden = await shown(client, utm_source='"><b>news', utm_campaign="summer")
        assert hidden["Source"] == "&quot;&gt;&lt;b&gt;news"
        hidden |= {"Source": '"><b>news', "ProspectID": visits}
        sent = await client.post(
            "/", data={**hidden, **visitor(1), "Phone": "099887 76655"}, follow_redirects=True
        )
        assert sent.status_code == 200
        assert "Thank you" in sent.text
        await until(lambda: len(sandbox.books.leads) == 1)
        assert (await client.get("/health")).json()["blocked"] is None
        with closing(sqlite3.connect(tmp_path / "leads.db")) as connection:
            connection.execute("UPDATE items SET state = 'rejected', is_open = 0")
            connection.commit()
        health = await client.get("/health")
        assert health.json()["dead_letters"] == {"rejected": 1, "unknown": 0}
    assert bodies(sandbox) == [
        {
            "FirstName": PLANTED,
            "EmailAddress": f"{PLANTED}-1@example.com",
            "Phone": "+91-9988776655",
            "ProspectID": visits,
            "Source": '"><b>news',
            "SourceCampaign": "summer",
        }
    ]
    assert list(sandbox.books.leads) == [visits]


async def test_a_form_sent_twice_is_one_lead_and_a_corrected_one_an_update(tmp_path: Path) -> None:
    """A double click is one capture; the same form with other values is another one of the same lead."""
    async with (
        Sandbox(limit=None) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
        browser(program) as client,
    ):
        form = {**await shown(client), **visitor(1), "ProspectID": "no id"}
        answers = await asyncio.gather(*(client.post("/", data=form) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {303}
        await until(lambda: len(bodies(sandbox)) == 1)
        corrected = await client.post("/", data={**form, "Phone": "+91-9988776655"})
        assert corrected.status_code == 303
        await until(
            lambda: (
                [lead.attributes.get("Phone") for lead in sandbox.books.leads.values()] == ["+91-9988776655"]
            )
        )
    first, second = bodies(sandbox)
    assert "Phone" not in first  # "" would clear what LeadSquared has
    assert "ProspectID" not in second


async def test_no_visitor_notices_an_outage_nor_a_restart_in_it(tmp_path: Path) -> None:
    """Forms are thanked at once while LeadSquared is down; what waits at SIGTERM goes out once, later."""
    async with Sandbox(limit=None, faults=DOWN) as sandbox:
        async with running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program:
            async with browser(program) as client:
                started = time.monotonic()
                await asyncio.gather(*(send(client, number) for number in range(10)))
                assert time.monotonic() - started < 2  # of ten, on a busy machine
                await until(lambda: sandbox.books.by_outcome.get("503", 0) > 0)
            await program.stopped()
            assert "Traceback" not in program.said
        assert numbers(sandbox) == []
        async with running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program:
            async with browser(program) as client:
                await send(client, 10)
            sandbox.books.faults = Faults()
            await until(lambda: len(sandbox.books.leads) == 11)
            await program.stopped()
        assert numbers(sandbox) == list(range(11))
        assert sandbox.books.duplicates == 0


async def test_what_is_on_its_way_at_the_end_is_finished(tmp_path: Path) -> None:
    """SIGTERM while LeadSquared works on a lead: its RequestID is waited for, and the lead not sent again."""
    async with Sandbox(limit=None) as sandbox:
        async with running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program:
            sandbox.books.faults = Faults(latency=1.0)
            async with browser(program) as client:
                await send(client, 1)
            await until(lambda: len(bodies(sandbox)) == 1)
            assert await program.stopped() in {0, -signal.SIGTERM}  # uvicorn ends by the signal that it got
        async with Outbox(tmp_path / "leads.db") as outbox:
            (item,) = [item async for item in outbox.items()]
    assert item.state in {ItemState.ACCEPTED, ItemState.CONFIRMED}
    assert item.attempts == 1


async def test_a_leadsquared_that_does_not_answer_delays_nothing(tmp_path: Path) -> None:
    """The form starts and takes leads though every call hangs, and says nothing of the account."""
    silent = Faults(probabilities={"hang": 1.0})
    async with (
        Sandbox(limit=None, faults=silent) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
    ):
        async with browser(program) as client:
            assert (await client.get("/health")).status_code == 200
            await send(client, 1)
        assert "not delivered until this is fixed" not in program.said


async def test_a_visitor_who_hangs_up_is_a_lead(tmp_path: Path) -> None:
    """A browser that is closed right after sending loses nothing, and leaves no traceback."""
    async with (
        Sandbox(limit=None) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
    ):
        for number in range(20):
            form = urlencode({"token": f"token-of-sixteen-{number}", **visitor(number)})
            with socket.create_connection(("127.0.0.1", program.port)) as connection:
                connection.sendall(
                    b"POST / HTTP/1.1\r\nHost: form.example\r\n"
                    b"Content-Type: application/x-www-form-urlencoded\r\n"
                    + f"Content-Length: {len(form)}\r\n\r\n{form}".encode()
                )
        await until(lambda: len(bodies(sandbox)) == 20)
        assert numbers(sandbox) == list(range(20))
        await program.stopped()
        assert "Traceback" not in program.said


async def test_what_a_visitor_has_to_correct_is_named_and_not_repeated(tmp_path: Path) -> None:
    """Bad input is answered 422 with the field's name; its value is in no page and no log."""
    bad = {
        "EmailAddress": f"{PLANTED} at example.com",
        "Phone": PLANTED * 10,
        "FirstName": f"{PLANTED}\x00",  # what only the outbox refuses
        "token": PLANTED[:3],
    }
    async with (
        Sandbox(limit=None) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
        browser(program) as client,
    ):
        good = {**await shown(client), **visitor(1)}
        for field, value in bad.items():
            answer = await client.post("/", data={**good, field: value})
            assert answer.status_code == 422
            assert field in answer.text
            assert value not in answer.text
        nothing = await client.post("/", data={})
        assert "EmailAddress, FirstName, token" in nothing.text
        query = await client.post("/?EmailAddress=x", data={**good, "EmailAddress": ""})
        assert query.status_code == 422
    assert bodies(sandbox) == []


async def test_a_lead_that_cannot_be_kept_is_not_thanked_for(tmp_path: Path) -> None:
    """Without its file the form says that it did not work, and to try again; the log says why."""
    async with (
        Sandbox(limit=None) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
    ):
        async with browser(program) as client:
            form = await shown(client)
            (tmp_path / "leads.db").unlink()
            answer = await client.post("/", data={**form, **visitor(1)})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert "the outbox cannot be used" in program.said


@pytest.mark.parametrize("fault", ["401", "403"])
async def test_revoked_keys_stop_no_form_and_are_said_loudly(tmp_path: Path, fault: str) -> None:
    """With keys that are refused the form starts and keeps leads, and /health says why they are held."""
    revoked = Faults(probabilities={fault: 1.0})
    async with Sandbox(limit=None, faults=revoked) as sandbox:
        async with running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program:
            await program.says("but not delivered until this is fixed")
            async with browser(program) as client:
                await send(client, 1)
                health = await client.get("/health")
            assert health.status_code == 503
            assert health.json()["blocked"]
            for secret in (PLANTED, sandbox.access_key, sandbox.secret_key, sandbox.api_key):
                assert secret not in health.text
            await program.stopped()
        sandbox.books.faults = Faults()
        async with running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program:
            await until(lambda: len(sandbox.books.leads) == 1)
            async with browser(program) as client:
                assert (await client.get("/health")).status_code == 200
    assert numbers(sandbox) == [1]


async def test_what_was_mended_is_held_against_nobody(tmp_path: Path) -> None:
    """/health is well again by itself, without a restart."""
    revoked = Faults(probabilities={"401": 1.0})
    async with (
        Sandbox(limit=None, faults=revoked) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path, VERIFY_EVERY="0.1") as program,
    ):
        await program.says("but not delivered until this is fixed")
        sandbox.books.faults = Faults()
        async with browser(program) as client, asyncio.timeout(10):
            while (await client.get("/health")).status_code != 200:  # noqa: ASYNC110 - a test may poll
                await asyncio.sleep(0.05)
        assert program.said.count("not delivered until this is fixed") == 1


async def test_a_field_that_the_account_does_not_have_is_said_at_the_start(tmp_path: Path) -> None:
    """Before a lead fails for it, the log and /health name the field."""
    async with (
        Sandbox(limit=None, attributes={"FirstName", "EmailAddress", "Phone", "Source"}) as sandbox,
        running(*UVICORN, sandbox=sandbox, folder=tmp_path) as program,
    ):
        await program.says("SourceMedium")
        async with browser(program) as client:
            health = await client.get("/health")
            assert health.status_code == 503
            assert "SourceMedium" in health.json()["blocked"]


async def test_a_burst_of_forms_gets_through_a_narrow_limit_on_uvloop(tmp_path: Path) -> None:
    """Where calls wait, on the loop of uvicorn[standard]: all leads arrive once, without a 429."""
    command = (*UVICORN, "--loop", "uvloop")
    async with (
        Sandbox(limit=(20, 0.4)) as sandbox,
        running(*command, sandbox=sandbox, folder=tmp_path, LEADSQUARED_RATE_LIMIT="20/0.4") as program,
    ):
        async with browser(program) as client:
            await asyncio.gather(*(send(client, number) for number in range(80)))
        await until(lambda: len(sandbox.books.leads) == 80)
        await program.stopped()
        assert "Traceback" not in program.said, program.said
        assert numbers(sandbox) == list(range(80))
        assert sandbox.books.over_limit == 0


@pytest.mark.parametrize(
    "command",
    [
        (*UVICORN, "--workers", "2"),
        (*GUNICORN, "--workers", "2", "--worker-class", "asgi"),
    ],
    ids=["uvicorn", "gunicorn"],
)
async def test_several_workers_fill_one_outbox(tmp_path: Path, command: Sequence[str]) -> None:
    """Every worker takes forms, one delivers, each lead arrives once; gunicorn may preload the program."""
    async with (
        Sandbox(limit=None) as sandbox,
        running(*command, sandbox=sandbox, folder=tmp_path) as program,
    ):
        delivering = set()
        for number in range(30):
            async with browser(
                program
            ) as client:  # a connection of its own, so that either worker may get it
                await send(client, number)
                delivering.add((await client.get("/health")).json()["delivers"])
        await until(lambda: len(sandbox.books.leads) == 30)
        assert delivering == {True, False}
        assert await program.stopped() == 0
        assert "Traceback" not in program.said
        assert numbers(sandbox) == list(range(30))
        async with Outbox(tmp_path / "leads.db") as outbox:
            counts = (await outbox.snapshot()).counts
        assert sum(counts.values()) == 30
        assert counts[ItemState.SENDING] == 0
