"""docs/examples/flask_form.py: real servers and real requests, before a LeadSquared on this machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from leadsquared_async import ItemState, Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from tests.examples.programs import DOWN, PLANTED, Program, browser, free_port, numbers, running, until

pytestmark = pytest.mark.slow

GUNICORN = ("gunicorn", "--config", "python:flask_form", "--bind", "127.0.0.1:{port}")
PRELOADED = (*GUNICORN, "--preload")

USED_BEFORE_THE_FORK = '''
"""The form, whose master process has put a lead before it makes workers."""
from flask_form import *
account.start()
account.call(lambda outbox: outbox.put({"EmailAddress": "zqplanted4711-99@example.com"}, key="form-99"))
'''


async def shown(client: httpx.AsyncClient, number: int) -> dict[str, str]:
    """A form that was opened and filled in."""
    page = await client.get("/")
    assert page.status_code == 200
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    return {**hidden, "FirstName": PLANTED, "EmailAddress": f"{PLANTED}-{number}@example.com", "Phone": ""}


async def send(program: Program, number: int) -> None:
    """A visitor of their own, so that any worker may serve them."""
    async with browser(program) as client:
        sent = await client.post("/", data=await shown(client, number))
        assert (sent.status_code, sent.text) == (200, "Thank you. We will be in touch.")


async def rows(folder: Path) -> list[ItemState]:
    """The state of each row that is in the outbox."""
    async with Outbox(folder / "leads.db") as outbox:
        return [item.state async for item in outbox.items()]


@pytest.mark.parametrize("command", [GUNICORN, PRELOADED], ids=["each imports", "preloaded"])
async def test_no_visitor_notices_an_outage_nor_a_restart_in_it(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Forms are thanked at once while LeadSquared is down; what waits at SIGTERM goes out once, later."""
    async with Sandbox(limit=None, faults=DOWN) as sandbox:
        async with running(*command, "flask_form:app", sandbox=sandbox, folder=tmp_path) as program:
            started = time.monotonic()
            await asyncio.gather(*(send(program, number) for number in range(16)))
            assert time.monotonic() - started < 4  # of sixteen, on a busy machine
            await until(lambda: sandbox.books.by_outcome.get("503", 0) > 0)
            assert await program.stopped() == 0
            assert "Traceback" not in program.said
        assert numbers(sandbox) == []
        sandbox.books.faults = Faults()
        async with running(*command, "flask_form:app", sandbox=sandbox, folder=tmp_path) as program:
            await until(lambda: len(sandbox.books.leads) == 16)  # before anybody comes
            await send(program, 16)
            await until(lambda: len(sandbox.books.leads) == 17)
            assert await program.stopped() == 0
            assert "Traceback" not in program.said
        assert numbers(sandbox) == list(range(17))


async def test_a_master_that_used_it_before_the_fork_hangs_no_worker(tmp_path: Path) -> None:
    """With --preload, what the master had open is closed before a fork; workers open their own, and end."""
    (tmp_path / "used_before.py").write_text(USED_BEFORE_THE_FORK)
    command = (*PRELOADED, "--pythonpath", str(tmp_path), "used_before:app")
    async with (
        Sandbox(limit=None) as sandbox,
        running(*command, sandbox=sandbox, folder=tmp_path) as program,
    ):
        await asyncio.gather(*(send(program, number) for number in range(8)))
        await until(lambda: len(sandbox.books.leads) == 9)
        assert await program.stopped() == 0
        assert "Traceback" not in program.said
        assert numbers(sandbox) == [*range(8), 99]


async def test_a_double_click_is_one_lead_and_a_corrected_form_an_update(tmp_path: Path) -> None:
    """The same form is one capture, also at two workers at once; with other values it is a second capture."""
    async with (
        Sandbox(limit=None) as sandbox,
        running(*GUNICORN, "flask_form:app", sandbox=sandbox, folder=tmp_path) as program,
        browser(program) as client,
    ):
        form = await shown(client, 1)
        answers = await asyncio.gather(*(client.post("/", data=form) for _ in range(6)))
        assert {answer.status_code for answer in answers} == {200}
        await until(lambda: numbers(sandbox) == [1])
        corrected = await client.post("/", data={**form, "Phone": "+91-9988776655"})
        assert corrected.status_code == 200
        await until(lambda: numbers(sandbox) == [1, 1])
        assert (await client.post("/", data={**form, "token": PLANTED})).status_code == 400
        assert (await client.post("/", data={"token": str(uuid4())})).status_code == 422
    assert len(await rows(tmp_path)) == 2


async def test_what_is_on_its_way_at_the_end_is_finished(tmp_path: Path) -> None:
    """SIGTERM while LeadSquared works on a lead: its answer is waited for, and is on disk at the end."""
    async with (
        Sandbox(limit=None, faults=Faults(latency=1.0)) as sandbox,
        running(*GUNICORN, "flask_form:app", sandbox=sandbox, folder=tmp_path) as program,
    ):
        await send(program, 1)
        await until(lambda: len(sandbox.books.arrivals) == 1)
        assert await program.stopped() == 0
    assert set(await rows(tmp_path)) <= {ItemState.ACCEPTED, ItemState.CONFIRMED}


async def test_flasks_own_server_ends_in_order_by_ctrl_c(tmp_path: Path) -> None:
    """While it is written, the form runs without gunicorn."""
    port = free_port()
    async with (
        Sandbox(limit=None) as sandbox,
        running("flask_form", sandbox=sandbox, folder=tmp_path, PORT=str(port)) as program,
    ):
        program.port = port
        await program.listens()
        await send(program, 1)
        os.kill(program.pid, signal.SIGINT)
        assert await program.ended() == 0
        assert "Traceback" not in program.said
