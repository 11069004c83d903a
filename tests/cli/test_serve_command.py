"""`leadsquared outbox serve`: delivers for processes that only put; kills, outages and revoked keys."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import run, until
from tests.examples.programs import PLANTED, Program, browser, numbers, running

pytestmark = pytest.mark.slow

SERVE = ("leadsquared_async", "outbox", "serve", "leads.db", "--listen", "127.0.0.1:{port}")


@asynccontextmanager
async def served(sandbox: Sandbox, folder: Path, *more: str, **env: str) -> AsyncIterator[Program]:
    async with running(*SERVE, *more, sandbox=sandbox, folder=folder, **env) as program:
        yield program


async def ready(program: Program) -> dict[str, Any]:
    """What `/readyz` shows."""
    async with browser(program) as client:
        response = await client.get("/readyz")
    assert PLANTED not in response.text
    assert (response.status_code == 200) is response.json()["ready"]
    shown: dict[str, Any] = response.json()["outboxes"][0]
    return shown


async def until_reason(program: Program, text: str | None, within: float = 20.0) -> dict[str, Any]:
    """Wait until `/readyz` has a reason with this text, or none."""
    async with asyncio.timeout(within):
        while True:
            shown = await ready(program)
            reason = shown["reason"]
            if (text is None and reason is None) or (text is not None and text in (reason or "")):
                return shown
            await asyncio.sleep(0.05)


async def put(folder: Path, *visitors: int) -> None:
    """Put leads as a web process does: without a client."""
    async with Outbox(folder / "leads.db") as outbox:
        for visitor in visitors:
            lead = {"EmailAddress": f"{PLANTED}-{visitor}@example.com"}
            await outbox.put(lead, reference=f"form-{visitor}")


def log_of(program: Program) -> list[dict[str, Any]]:
    """The records that it has logged."""
    return [json.loads(line) for line in program.said.splitlines()]


def events_of(program: Program) -> list[str]:
    return [record["event"] for record in log_of(program)]


async def test_a_lead_that_another_process_puts_is_sent_within_a_second(tmp_path: Path) -> None:
    """The file is created, the process that puts has no keys, and SIGTERM ends with 0."""
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path) as program:
        await until_reason(program, None)
        code = (
            "import asyncio\nfrom leadsquared_async import Outbox\n"
            "async def main():\n    async with Outbox('leads.db') as outbox:\n"
            f"        await outbox.put({{'EmailAddress': '{PLANTED}-7@example.com'}})\nasyncio.run(main())"
        )
        env = {name: it for name, it in os.environ.items() if not name.startswith("LEADSQUARED_")}
        putting = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=tmp_path, env=env)
        assert await putting.wait() == 0
        await until(lambda: numbers(sandbox) == [7], within=1.0)
        assert await program.stopped() == 0
    assert events_of(program) == ["listening", "delivering", "stopping", "stopped"]


async def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """After `kill -9` another process delivers; only leads that were being sent are sent twice."""
    rate = ("--rate", "40/1")
    async with (
        Sandbox(limit=None, faults=Faults(latency=0.1)) as sandbox,
        served(sandbox, tmp_path, *rate) as first,
    ):
        await until_reason(first, None)
        await put(tmp_path, *range(60))
        await until(lambda: len(numbers(sandbox)) >= 15)
        async with served(sandbox, tmp_path, *rate) as second:
            await until_reason(second, "another process delivers this file")
            first.kill()
            await until(lambda: len(set(numbers(sandbox))) == 60)
            await until_reason(second, None)
            assert await second.stopped() == 0
    assert events_of(second)[:3] == ["listening", "waiting", "delivering"]
    assert len(numbers(sandbox)) - 60 <= 40


@pytest.fixture
def hang_up_ends_processes() -> Iterator[None]:
    """Even if the tests run under nohup, which lets them and their children ignore SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_ends_processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda it: it.name)
async def test_a_stop_waits_for_calls_in_flight(tmp_path: Path, number: signal.Signals) -> None:
    """What LeadSquared was answering at the signal is accepted in the file, and is not sent again."""
    async with Sandbox(limit=None, faults=Faults(latency=2.0)) as sandbox:
        async with served(sandbox, tmp_path) as program:
            await until_reason(program, None)
            await put(tmp_path, 0, 1, 2)
            await until(lambda: len(sandbox.books.arrivals) >= 1)
            os.kill(program.pid, number)
            assert await program.ended() == 0
        sandbox.books.faults = Faults()
        async with served(sandbox, tmp_path) as program:
            await until(lambda: sandbox.books.accepted >= 3)
            await until_reason(program, None)
        assert numbers(sandbox) == [0, 1, 2]


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """With 3, while a call is in flight."""
    faults = Faults(latency=6.0)
    async with Sandbox(limit=None, faults=faults) as sandbox, served(sandbox, tmp_path) as program:
        await until_reason(program, None)
        await put(tmp_path, 0)
        await asyncio.sleep(0.5)
        os.kill(program.pid, signal.SIGTERM)
        await program.says("stopping")
        await asyncio.sleep(0.4)
        assert await program.stopped(within=2.0) == 3


async def test_revoked_keys_hold_until_a_restart_with_new_ones(tmp_path: Path) -> None:
    """It does not end, log, page and `outbox stats` say why, it stops within seconds, and loses nothing."""
    await put(tmp_path, 0, 1)
    async with Sandbox(limit=None) as sandbox:
        # Keys that LeadSquared does not accept, and that a restart replaces.
        async with served(sandbox, tmp_path, LEADSQUARED_SECRET_KEY="0" * 40) as program:
            await program.says('"event": "held"')
            shown = await until_reason(program, "does not accept the keys")
            assert shown["fault"] == "account"
            assert shown["counts"]["pending"] == 2
            await program.says('"event": "held"')
            stats = await run("outbox", "stats", tmp_path / "leads.db", "--json")
            assert "does not accept the keys" in stats.json["outboxes"][0]["held"]
            assert await program.stopped(within=5.0) == 0
        said = events_of(program)
        assert "delivering" not in said[said.index("held") :]
        async with served(sandbox, tmp_path) as program:
            await until(lambda: numbers(sandbox) == [0, 1], within=5.0)
            await until_reason(program, None)
            await program.says('"event": "delivering"')
        stats = await run("outbox", "stats", tmp_path / "leads.db", "--json")
        assert stats.json["outboxes"][0]["held"] is None


async def test_readiness_through_an_outage(tmp_path: Path) -> None:
    """`/readyz` turns to 503 with the reason and back to 200, while `/healthz` stays at 200."""
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path) as program:
        await until_reason(program, None)
        sandbox.books.faults = Faults(probabilities={"503": 1.0})
        await put(tmp_path, 0)
        shown = await until_reason(program, "503")
        assert shown["fault"] == "server"
        async with browser(program) as client:
            assert (await client.get("/healthz")).status_code == 200
        sandbox.books.faults = Faults()
        await until_reason(program, None, within=40.0)
        assert numbers(sandbox) == [0]


async def test_a_dead_letter_is_counted_and_logged(tmp_path: Path) -> None:
    """With its reference and RequestID, on `/readyz` and `/metrics`, and without its values."""
    pytest.importorskip("opentelemetry.exporter.prometheus")
    async with (
        Sandbox(limit=None, attributes=["FirstName"]) as sandbox,
        served(sandbox, tmp_path, "--name", "acme") as program,
    ):
        await put(tmp_path, 5)
        await program.says('"event": "dead_letter"')
        await asyncio.sleep(1.2)  # it looks at the file each second
        assert (await ready(program))["dead_letters"] == 1
        async with browser(program) as client:
            metrics = (await client.get("/metrics")).text
    assert PLANTED not in metrics
    (line,) = [
        line
        for line in metrics.splitlines()
        if line.startswith("leadsquared_outbox_items{") and '"rejected"' in line
    ]
    assert 'leadsquared_client="acme"' in line
    assert line.endswith(" 1.0")
    (record,) = [record for record in log_of(program) if record["event"] == "dead_letter"]
    assert record["level"] == "ERROR"
    assert (record["client"], record["operation"], record["reference"]) == ("acme", "leads.capture", "form-5")
    assert record["request_id"]


async def test_a_file_that_cannot_be_used_is_tried_again(tmp_path: Path) -> None:
    """A missing folder does not end it: it says so once, and delivers once the folder is there."""
    file = tmp_path / "volume" / "leads.db"
    command = [*SERVE[:3], str(file), *SERVE[4:]]
    async with (
        Sandbox(limit=None) as sandbox,
        running(*command, sandbox=sandbox, folder=tmp_path) as program,
    ):
        await until_reason(program, "cannot be opened")
        file.parent.mkdir()
        await until_reason(program, None)
    assert events_of(program)[:3] == ["listening", "unusable", "delivering"]


async def test_a_file_that_is_named_twice_is_delivered_once(tmp_path: Path) -> None:
    """It would wait for its own lock for ever, and never be ready."""
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path, "./leads.db") as program:
        await until_reason(program, None)
        async with browser(program) as client:
            response = await client.get("/readyz")
    assert response.status_code == 200
    assert len(response.json()["outboxes"]) == 1


async def test_a_loop_of_links_is_named_and_tried_again(tmp_path: Path) -> None:
    """The other file is delivered meanwhile, and the first once the loop is mended."""
    (tmp_path / "a.db").symlink_to("b.db")
    (tmp_path / "b.db").symlink_to("a.db")
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path, "a.db") as program:
        await program.says('"event": "unusable"')
        await put(tmp_path, 4)
        await until(lambda: numbers(sandbox) == [4])
        (tmp_path / "b.db").unlink()
        await program.says("a.db: delivering")


async def test_a_deleted_file_is_noticed(tmp_path: Path) -> None:
    """Nothing is put by this process, so that no commit fails; the new file is delivered."""
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path) as program:
        await until_reason(program, None)
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"leads.db{suffix}").unlink()
        await program.says('"event": "delivery_stopped"', within=5.0)
        await put(tmp_path, 4)
        await until(lambda: numbers(sandbox) == [4])
        await until_reason(program, None)


async def test_a_deleted_lock_file_is_locked_again(tmp_path: Path) -> None:
    """Delivery stops, because another process may deliver, and the file is opened again."""
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path) as program:
        await until_reason(program, None)
        (tmp_path / "leads.db.lock").unlink()
        await program.says('"event": "delivery_stopped"')
        await until_reason(program, None)
        await put(tmp_path, 3)
        await until(lambda: numbers(sandbox) == [3])


async def test_what_prevents_the_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """Missing keys, an invalid address and a used port end it with 2, and say so."""
    file = tmp_path / "leads.db"
    nothing = {"LEADSQUARED_ACCESS_KEY": "", "LEADSQUARED_HOST": "", "LEADSQUARED_REGION": "in21"}
    missing = await run("outbox", "serve", file, "--listen", "127.0.0.1:0", env=nothing)
    assert (missing.code, "LEADSQUARED_ACCESS_KEY" in missing.err) == (2, True)
    invalid = await run("outbox", "serve", file, "--listen", "8026")
    assert (invalid.code, "HOST:PORT" in invalid.err) == (2, True)
    port = httpx.URL(sandbox.url).port
    used = await run("outbox", "serve", file, "--listen", f"127.0.0.1:{port}", env=nothing)
    assert (used.code, f"cannot listen on 127.0.0.1:{port}" in used.err) == (2, True)
    assert not file.exists()
