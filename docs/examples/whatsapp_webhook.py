"""A webhook of WhatsApp's Cloud API: whoever writes becomes a lead, and is told if LeadSquared refuses it.

Needs leadsquared_async[outbox,phone], fastapi and uvicorn; WHATSAPP_APP_SECRET, WHATSAPP_VERIFY_TOKEN and
WHATSAPP_ACCESS_TOKEN. Meta sends the verify token in an address, and an access log would keep it:

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

REFUSED = "Sorry, we could not note your enquiry. Please call us."


class Message(NamedTuple):
    id: str
    sender: str | None
    name: str | None
    phone_number_id: str
    """Meta's id of our own number: through it the chat is answered."""


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
        outbox.on_final(partial(tell_the_chat, graph))  # before it opens: also of what ended before a crash
        async with outbox:
            yield {
                "outbox": outbox,
                "app_secret": app_secret.encode(),
                "verify_token": verify_token.encode(),
            }


def configured(name: str) -> str:
    value = os.environ.get(name)
    if not value:  # an empty secret would let anybody sign
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
    """Meta asks once whether this address is ours."""
    if mode != "subscribe" or not hmac.compare_digest(token.encode(), request.state.verify_token):
        raise HTTPException(403)
    return Response(challenge, media_type="text/plain")


@app.post("/webhook")
async def receive(
    request: Request, signature: Annotated[str, Header(alias="X-Hub-Signature-256")] = ""
) -> Response:
    """Answer 200 once all is on disk. Whatever else is answered, Meta sends all of it again, for days."""
    body = await request.body()
    expected = "sha256=" + hmac.digest(request.state.app_secret, body, hashlib.sha256).hex()
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise HTTPException(401)
    for message in messages_in(json.loads(body)):
        await keep(message, request.state.outbox)
    return Response()


@app.exception_handler(OutboxError)
async def not_kept(_request: Request, error: OutboxError) -> Response:
    logger.error("a message was not kept, and will come again: %s", error)
    return Response(status_code=503)


def messages_in(payload: Any) -> Iterator[Message]:
    """What people wrote; not the statuses of what we wrote, nor other events."""
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
        logger.warning("a message without a number, as of people who hide it behind a username, is no lead")
        return
    # A number without its + would be taken for one of the region that `phone` was given.
    lead = {"Phone": f"+{message.sender}", "FirstName": message.name, "Source": "WhatsApp"}
    # The message's id is the same when it is sent again. It has the person's number in it, and a key is kept.
    key = hashlib.sha256(message.id.encode()).hexdigest()
    put = partial(outbox.put, key=key, reference=message.phone_number_id)
    try:
        await put(lead)
    except InvalidLead:
        await put({**lead, "FirstName": None})  # what some put there for a name must not cost us their number
    except KeyReused:
        pass  # sent again, and meanwhile they changed their name


async def tell_the_chat(graph: httpx.AsyncClient, item: OutboxItem) -> None:
    """Answer whoever wrote a refused lead. After a crash it may be a second time.

    What it raises for makes the outbox call it again at the next start; so only what may be better then.
    """
    # A refused lead is kept for 30 days, and with it the number to answer to: here, and nowhere else.
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
    if answer.is_error:  # such as a chat in which nobody has written for 24 hours
        logger.error("row %d: the chat cannot be answered: HTTP %d", item.id, answer.status_code)
