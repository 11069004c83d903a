"""docs/examples/whatsapp_webhook.py: signed events over HTTP, LeadSquared and a Graph API on loopback."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import ItemState, Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import bodies
from tests.examples.programs import DOWN, PLANTED, Program, running, until

pytestmark = pytest.mark.slow

APP_SECRET, VERIFY_TOKEN, ACCESS_TOKEN = "zqappsecret", "zqverifytoken", "zqaccesstoken"
OUR_NUMBER = "106540352242922"

Webhook = Callable[..., AbstractAsyncContextManager[Program]]


@dataclass
class Graph:
    """What the Graph API was asked for: path, Authorization, body; and what it answers."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    status: int = 200

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines[1:-1])
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.asked.append((lines[0].split()[1], headers["authorization"], body))
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    """A Graph API on loopback."""
    api = Graph()
    async with await asyncio.start_server(api.serve, "127.0.0.1", 0) as server:
        api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield api


@pytest.fixture
def webhook(graph: Graph, tmp_path: Path) -> Webhook:
    """Runs the program before a sandbox; its secrets are in nothing that it says."""

    @asynccontextmanager
    async def run(sandbox: Sandbox) -> AsyncIterator[Program]:
        async with running(
            *("uvicorn", "whatsapp_webhook:app", "--port", "{port}", "--no-access-log"),
            sandbox=sandbox,
            folder=tmp_path,
            WHATSAPP_API_URL=graph.url,
            WHATSAPP_APP_SECRET=APP_SECRET,
            WHATSAPP_VERIFY_TOKEN=VERIFY_TOKEN,
            WHATSAPP_ACCESS_TOKEN=ACCESS_TOKEN,
        ) as program:
            yield program
        for secret in (APP_SECRET, VERIFY_TOKEN, ACCESS_TOKEN, "998877665"):
            assert secret not in program.said, program.said

    return run


def message_id(number: int, sender: str = "919988776655") -> str:
    """An id as Meta makes them: the sender's number is in it."""
    return "wamid." + base64.b64encode(f"\x1c\x18\x0c{sender}\x15{number}".encode()).decode()


def event(*numbers: int, name: str = PLANTED, sender: str | None = "919988776655") -> dict[str, Any]:
    """Messages that one person wrote."""
    identity = {} if sender is None else {"wa_id": sender}
    origin = {"user_id": "IN.13491208655302741918"} if sender is None else {"from": sender}
    return of_field(
        "messages",
        contacts=[{"profile": {"name": name}, **identity}],
        messages=[
            {"id": message_id(number), "timestamp": "1", "type": "text", "text": {"body": PLANTED}, **origin}
            for number in numbers
        ],
    )


def of_field(field: str, **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550000000", "phone_number_id": OUR_NUMBER}
    change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


async def deliver(program: Program, payload: object, signature: str | None = None) -> int:
    """Send an event as Meta does, and return the status."""
    body = json.dumps(payload).encode()
    signed = "sha256=" + hmac.new(APP_SECRET.encode(), body, "sha256").hexdigest()
    headers = {"X-Hub-Signature-256": (signed if signature is None else signature).encode()}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{program.port}") as meta:
        return (await meta.post("/webhook", content=body, headers=headers)).status_code


async def test_meta_is_answered_its_challenge_for_the_right_token_only(webhook: Webhook) -> None:
    """The handshake echoes the challenge; another token or mode is refused."""
    async with Sandbox() as sandbox, webhook(sandbox) as program:
        right = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
        wrong: Sequence[dict[str, str]] = (
            {**right, "hub.verify_token": "é"},
            {**right, "hub.verify_token": ""},
            {**right, "hub.mode": "unsubscribe"},
        )
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{program.port}") as meta:
            answer = await meta.get("/webhook", params=right)
            assert (answer.status_code, answer.text) == (200, "1158201444")
            for query in wrong:
                assert (await meta.get("/webhook", params=query)).status_code == 403


async def test_only_what_meta_signed_is_taken(webhook: Webhook) -> None:
    """Without the signature of the body nothing becomes a lead."""
    async with Sandbox(limit=None) as sandbox, webhook(sandbox) as program:
        unsigned = hmac.new(b"", b"", "sha256").hexdigest()
        for signature in ("", "sha256=", "sha256=é", f"sha256={unsigned}", unsigned):
            assert await deliver(program, event(1), signature) == 401
        assert await deliver(program, event(2)) == 200
        await until(lambda: len(sandbox.books.leads) == 1)
        assert len(bodies(sandbox)) == 1


async def test_a_message_is_a_lead_and_sent_again_it_is_the_same_one(
    webhook: Webhook, tmp_path: Path
) -> None:
    """Number and name go along; a redelivery adds nothing; once all is delivered, no number is on disk."""
    async with Sandbox(limit=None, attributes="account") as sandbox, webhook(sandbox) as program:
        assert await deliver(program, event(1)) == 200
        await until(lambda: len(sandbox.books.leads) == 1)
        assert await deliver(program, event(1)) == 200
        assert await deliver(program, event(1, name=f"{PLANTED} Lee")) == 200
        assert await deliver(program, event(1, 2)) == 200
        async with Outbox(tmp_path / "leads.db") as outbox:
            await outbox.drained()
            assert [item.state async for item in outbox.items()] == [ItemState.CONFIRMED] * 2
        await program.stopped()
    lead = {"Phone": "+91-9988776655", "FirstName": PLANTED, "Source": "WhatsApp"}
    assert bodies(sandbox) == [lead, lead]
    kept = (tmp_path / "leads.db").read_bytes()
    for personal in (PLANTED, "9988776655", message_id(1)):
        assert personal.encode() not in kept


async def test_what_nobody_wrote_to_us_is_no_lead(webhook: Webhook) -> None:
    """Statuses and other events are answered 200, and a hidden number, too; a strange name costs no lead."""
    async with Sandbox(limit=None) as sandbox, webhook(sandbox) as program:
        statuses = [{"id": message_id(1), "status": "read", "recipient_id": "919988776655"}]
        for payload in (
            of_field("messages", statuses=statuses),
            of_field("account_update", event="VERIFIED_ACCOUNT"),
            of_field("standby", messages=[{"id": message_id(1), "from": "919988776655"}]),
            event(2, sender=None),
        ):
            assert await deliver(program, payload) == 200
        await program.says("a message without a number")
        assert await deliver(program, event(3, name="Bret\x00", sender="16502530000")) == 200
        await until(lambda: len(bodies(sandbox)) == 1)
        assert bodies(sandbox) == [{"Phone": "+1-6502530000", "Source": "WhatsApp"}]


async def test_no_message_is_lost_in_an_outage_and_a_restart(webhook: Webhook) -> None:
    """Meta is answered while LeadSquared is down; what waits at SIGTERM goes out once, later."""
    async with Sandbox(limit=None, faults=DOWN) as sandbox:
        async with webhook(sandbox) as program:
            for number in range(10):
                sender = f"91998877665{number}"
                assert await deliver(program, event(number, sender=sender)) == 200
            await until(lambda: sandbox.books.by_outcome.get("503", 0) > 0)
            await program.stopped()
        assert bodies(sandbox) == []
        sandbox.books.faults = Faults()
        async with webhook(sandbox) as program:
            assert await deliver(program, event(9, sender="919988776659")) == 200  # Meta saw no answer
            await until(lambda: len(sandbox.books.leads) == 10)
            await program.stopped()
        assert sorted(body["Phone"] for body in bodies(sandbox)) == [
            f"+91-998877665{number}" for number in range(10)
        ]


@pytest.mark.parametrize(
    ("status", "told"), [(200, [1, 2]), (400, [1, 2]), (503, [1, 1, 2]), (429, [1, 1, 2])]
)
async def test_the_chat_of_a_refused_lead_is_told(
    webhook: Webhook, graph: Graph, status: int, told: list[int]
) -> None:
    """LeadSquared's later refusal reaches the chat, after a restart if WhatsApp is down or busy at first."""
    graph.status = status
    async with Sandbox(limit=None, attributes={"FirstName", "Phone"}) as sandbox:  # and no Source
        async with webhook(sandbox) as program:
            assert await deliver(program, event(1, sender="919988776651")) == 200
            await until(lambda: len(graph.asked) == 1)
            await program.stopped()
        graph.status = 200
        async with webhook(sandbox) as program:
            assert await deliver(program, event(2, sender="919988776652")) == 200
            await until(lambda: len(graph.asked) == len(told))
            await program.stopped()
    assert [body["to"] for _, _, body in graph.asked] == [f"91998877665{number}" for number in told]
    for path, authorization, body in graph.asked:
        assert path == f"/v1/{OUR_NUMBER}/messages"
        assert authorization == f"bearer {ACCESS_TOKEN}"
        assert body["text"]["body"].startswith("Sorry")


async def test_without_a_secret_it_does_not_start(graph: Graph, tmp_path: Path) -> None:
    """A missing or empty secret would let anybody sign: the start fails, and names it."""
    start = partial(running, "uvicorn", "whatsapp_webhook:app", "--port", "0", folder=tmp_path)
    async with Sandbox() as sandbox, start(sandbox=sandbox, WHATSAPP_APP_SECRET="") as program:
        assert await program.ended() != 0
    assert "WHATSAPP_APP_SECRET is not set" in program.said


async def test_what_cannot_be_kept_meta_sends_again(webhook: Webhook, tmp_path: Path) -> None:
    """Without its file the webhook answers 503, and the log says why."""
    async with Sandbox() as sandbox, webhook(sandbox) as program:
        (tmp_path / "leads.db").unlink()
        assert await deliver(program, event(1)) == 503
        assert "a message was not stored" in program.said
