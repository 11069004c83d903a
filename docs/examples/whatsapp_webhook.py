"""A webhook of WhatsApp's Cloud API: each sender becomes a lead, and is notified if LeadSquared rejects it.

Needs leadsquared_async[outbox,phone], fastapi and uvicorn; WHATSAPP_APP_SECRET, WHATSAPP_VERIFY_TOKEN and
WHATSAPP_ACCESS_TOKEN. Meta sends the verify token in a URL, which an access log would store:

    uvicorn whatsapp_webhook:app --no-access-log
"""

import hashlib
import hmac
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, NamedTuple

import httpx
from fastapi import FastAPI, Header, HTTPException, Query, Request, Response

from leadsquared_async import (
    InvalidLead,
    ItemState,
    KeyReused,
    LeadSquared,
    Outbox,
    OutboxError,
    OutboxItem,
    phone,
)

logger = logging.getLogger("whatsapp_webhook")

REFUSED = "Sorry, we could not save your enquiry. Please call us."


class Message(NamedTuple):
    id: str
    sender: str | None
    name: str | None
    phone_number_id: str
    """Meta's id of our own number, from which the chat is answered."""


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, object]]:
    app_secret, verify_token, access_token = map(
        configured, ("WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN", "WHATSAPP_ACCESS_TOKEN")
    )
    graph = httpx.AsyncClient(
        base_url=os.environ.get("WHATSAPP_API_URL", "https://graph.facebook.com/v23.0"),
        headers={"Authorization": f"Bearer {access_token}"},
    )
    async with graph, LeadSquared(normalize=phone("IN")) as lsq:
        outbox = Outbox(os.environ.get("LEADS_DB", "leads.db"), lsq)
        outbox.on_final(
            partial(tell_the_chat, graph)
        )  # before it opens, to get items that were final before a crash
        async with outbox:
            yield {
                "outbox": outbox,
                "app_secret": app_secret.encode(),
                "verify_token": verify_token.encode(),
            }


def configured(name: str) -> str:
    value = os.environ.get(name)
    if not value:  # with an empty secret, anyone could sign
        raise RuntimeError(f"{name} is not set")
    return value


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/webhook")
async def subscribe(
    request: Request,
    mode: Annotated[str, Query(alias="hub.mode")],
    token: Annotated[str, Query(alias="hub.verify_token")],
    challenge: Annotated[str, Query(alias="hub.challenge")],
) -> Response:
    """Confirm to Meta, once, that this URL is ours."""
    if mode != "subscribe" or not hmac.compare_digest(token.encode(), request.state.verify_token):
        raise HTTPException(403)
    return Response(challenge, media_type="text/plain")


@app.post("/webhook")
async def receive(
    request: Request, signature: Annotated[str, Header(alias="X-Hub-Signature-256")] = ""
) -> Response:
    """Answer 200 once all messages are on disk. After any other answer, Meta sends them again, for days."""
    body = await request.body()
    expected = "sha256=" + hmac.digest(request.state.app_secret, body, hashlib.sha256).hex()
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise HTTPException(401)
    for message in messages_in(json.loads(body)):
        await keep(message, request.state.outbox)
    return Response()


@app.exception_handler(OutboxError)
async def not_kept(_request: Request, error: OutboxError) -> Response:
    logger.error("a message was not stored, and Meta will send it again: %s", error)
    return Response(status_code=503)


def messages_in(payload: Any) -> Iterator[Message]:
    """The messages from people; not statuses of our messages, nor other events."""
    for entry in payload["entry"]:
        for change in entry["changes"]:
            if change["field"] != "messages":
                continue
            value = change["value"]
            names = {
                contact.get("wa_id"): contact.get("profile", {}).get("name")
                for contact in value.get("contacts", ())
            }
            for message in value.get("messages", ()):
                sender = message.get("from")
                yield Message(message["id"], sender, names.get(sender), value["metadata"]["phone_number_id"])


async def keep(message: Message, outbox: Outbox) -> None:
    if message.sender is None:
        logger.warning("a message without a number was ignored: its sender hides it behind a username")
        return
    # Without the +, `phone` would read it as a number of its region.
    lead = {"Phone": f"+{message.sender}", "FirstName": message.name, "Source": "WhatsApp"}
    # A repeated message has the same id. It is hashed because it contains the number, and keys are kept.
    key = hashlib.sha256(message.id.encode()).hexdigest()
    put = partial(outbox.put, key=key, reference=message.phone_number_id)
    try:
        await put(lead)
    except InvalidLead:
        await put({**lead, "FirstName": None})  # an invalid profile name must not lose the number
    except KeyReused:
        pass  # a repeated message, with a changed profile name


async def tell_the_chat(graph: httpx.AsyncClient, item: OutboxItem) -> None:
    """Send a message to the sender of a rejected lead; after a crash, perhaps twice.

    If this raises, the outbox calls it again at the next start. So it raises only temporary errors.
    """
    # The number to reply to is only in the rejected lead, which is kept for 30 days.
    if item.state is ItemState.CONFIRMED:
        return
    # The reason may quote the lead: `leadsquared outbox export` has it.
    logger.error("row %d of the outbox is %s", item.id, item.state)
    if item.state is not ItemState.REJECTED or item.lead is None:
        return
    number = "".join(filter(str.isdigit, item.lead["Phone"]))
    text = {"messaging_product": "whatsapp", "to": number, "type": "text", "text": {"body": REFUSED}}
    answer = await graph.post(f"/{item.reference}/messages", json=text)
    if answer.status_code == 429 or answer.is_server_error:
        answer.raise_for_status()
    if answer.is_error:  # such as a chat without a message from the person for 24 hours
        logger.error("row %d: the chat cannot be answered: HTTP %d", item.id, answer.status_code)
