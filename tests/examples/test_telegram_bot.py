"""docs/examples/telegram_bot.py: a real process, between a Bot API and a LeadSquared on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from leadsquared_async import Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import bodies
from tests.examples.programs import DOWN, PLANTED, Program, free_port, running, until

pytestmark = pytest.mark.slow

TOKEN = "4711:AAE-fake-token-of-no-bot-at-all-0123456"
CHAT = 918273645546372
PHONE = "+91-9988776655"


class Telegram:
    """As much of the Bot API as the bot calls; it hands an update out until that is confirmed.

    Attributes:
        sent: what `sendMessage` was called with.
        asked: how often it was asked for updates.
        confirmed: updates below this one were confirmed, by the call for the next ones.
    """

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.asked = 0
        self.confirmed = 0
        self.url = ""

    def receive(self, number: int, **content: Any) -> None:
        person = {"id": CHAT, "is_bot": False, "first_name": PLANTED}
        chat = {"id": CHAT, "type": "private", "first_name": PLANTED}
        message = {"message_id": number, "date": 1_700_000_000, "chat": chat, "from": person, **content}
        self.updates.append({"update_id": number, "message": message})

    def receive_contact(self, number: int, whose: int = CHAT) -> None:
        contact = {"phone_number": "919988776655", "first_name": PLANTED, "user_id": whose}
        self.receive(number, contact=contact)

    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent]

    async def answer(self, request: Request) -> JSONResponse:
        assert request.path_params["token"] == TOKEN
        given = dict(await request.form())
        match request.path_params["method"]:
            case "getMe":
                return self._result({"id": 4711, "is_bot": True, "first_name": "Bot", "username": "a_bot"})
            case "getUpdates":
                self.asked += 1
                self.confirmed = max(self.confirmed, int(str(given.get("offset", 0))))
                return self._result(await self._wait_for_updates())
            case "sendMessage":
                self.sent.append(given)
                chat = {"id": CHAT, "type": "private"}
                return self._result({"message_id": 1, "date": 1_700_000_000, "chat": chat})
            case other:
                raise AssertionError(other)

    async def _wait_for_updates(self) -> list[dict[str, Any]]:
        for _ in range(50):
            if found := [update for update in self.updates if update["update_id"] >= self.confirmed]:
                return found
            await asyncio.sleep(0.02)
        return []

    def _result(self, result: Any) -> JSONResponse:
        return JSONResponse({"ok": True, "result": result})


@asynccontextmanager
async def telegram() -> AsyncIterator[Telegram]:
    """A Bot API on loopback."""
    api = Telegram()
    app = Starlette(routes=[Route("/bot{token}/{method}", api.answer, methods=["POST"])])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off", ws="none"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    api.url = f"http://127.0.0.1:{port}"
    yield api
    server.should_exit = server.force_exit = True
    await serving


@asynccontextmanager
async def bot(sandbox: Sandbox, api: Telegram, folder: Path) -> AsyncIterator[Program]:
    """The bot; neither its token nor a person shows in what it says."""
    settings = {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_API_URL": api.url}
    async with running("telegram_bot", sandbox=sandbox, folder=folder, **settings) as program:
        yield program
    for secret in (TOKEN, TOKEN.partition(":")[2], str(CHAT), "9988776655"):
        assert secret not in program.said, program.said


def chats(folder: Path) -> int:
    """How many chats are still to hear something."""
    with contextlib.closing(sqlite3.connect(folder / "chats.db")) as db:
        return int(db.execute("SELECT count(*) FROM chats").fetchone()[0])


async def test_an_update_that_comes_twice_is_one_lead(tmp_path: Path) -> None:
    """A contact is put and thanked for at once; the same update again, also after a crash, adds nothing."""
    async with Sandbox(limit=None) as sandbox, telegram() as api:
        api.receive_contact(1, whose=5)  # another person's: they are asked for their own
        api.receive_contact(2)
        api.receive_contact(2)
        async with bot(sandbox, api, tmp_path) as program:
            await until(lambda: len(sandbox.books.leads) == 1 and len(api.sent) == 3)
            await until(lambda: chats(tmp_path) == 0)
            program.kill()
        api.confirmed = 2  # it died before it confirmed this one
        async with bot(sandbox, api, tmp_path) as program:
            await until(lambda: api.confirmed == 3)
            assert await program.stopped() == 0
    assert [message["chat_id"] for message in api.sent] == [str(CHAT)] * len(api.sent)
    assert "request_contact" in api.sent[0]["reply_markup"]
    assert set(api.texts()[1:]) == {"Thank you. We will call you."}
    assert bodies(sandbox) == [{"FirstName": PLANTED, "Phone": PHONE}]
    assert chats(tmp_path) == 0
    async with Outbox(tmp_path / "leads.db") as outbox:
        (item,) = [item async for item in outbox.items()]
    assert item.reference == item.key  # with the update's id, so that a line of the log names the update


async def test_a_rejection_reaches_the_chat_after_a_restart(tmp_path: Path) -> None:
    """Thanked in an outage, stopped by SIGTERM, started again and refused: the chat is told, once."""
    async with Sandbox(limit=None, faults=DOWN) as sandbox, telegram() as api:
        async with bot(sandbox, api, tmp_path) as program:
            api.receive_contact(1)
            await until(lambda: api.texts() == ["Thank you. We will call you."])
            assert chats(tmp_path) == 1
            assert await program.stopped() == 0
        sandbox.books.faults = Faults(script=("500-mx",))
        async with bot(sandbox, api, tmp_path) as program:
            await until(lambda: len(api.sent) > 1 and chats(tmp_path) == 0)
            assert await program.stopped() == 0
    assert api.texts()[1:] == ["We could not save your number. Please call us."]


async def test_an_update_is_confirmed_once_its_lead_is_on_disk(tmp_path: Path) -> None:
    """While the file is locked, Telegram keeps the update; if a lead cannot be kept, the person hears so."""
    async with Sandbox(limit=None) as sandbox, telegram() as api, bot(sandbox, api, tmp_path) as program:
        await until(lambda: api.asked > 0)
        with contextlib.closing(sqlite3.connect(tmp_path / "leads.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            api.receive_contact(1)
            await until(lambda: chats(tmp_path) == 1)
            await asyncio.sleep(0.3)
            assert api.confirmed == 0
            db.execute("ROLLBACK")
        await until(lambda: api.confirmed == 2)
        (tmp_path / "leads.db").unlink()
        api.receive_contact(2)
        await until(lambda: len(api.sent) == 2)
        assert api.texts()[1] == "That did not work. Please try again in a minute."
        await program.says("update 2 failed with OutboxError")
        assert "Traceback" not in program.said
        await program.stopped()
