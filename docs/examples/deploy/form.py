"""A form that only puts leads: it has no keys, and `leadsquared outbox serve` delivers its file.

uvicorn form:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from leadsquared_async import InvalidLead, Outbox, OutboxError

PAGE = """<!doctype html><meta charset="utf-8"><title>Ask us</title><form method="post">
<input type="email" name="EmailAddress" maxlength="200" required><button>Send</button></form>"""


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Outbox]]:
    async with Outbox(os.environ.get("LEADS_DB", "leads.db")) as outbox:  # no client: it only puts
        yield {"outbox": outbox}


async def form(_request: Request) -> Response:
    return HTMLResponse(PAGE)


async def send(request: Request) -> Response:
    values = dict(parse_qsl((await request.body()).decode(errors="replace")))
    address = values.get("EmailAddress", "")
    if "@" not in address:
        return PlainTextResponse("Please correct the e-mail address.", 422)
    try:
        await request.state.outbox.put({"EmailAddress": address})
    except InvalidLead as error:
        return PlainTextResponse(f"Please correct {error.attribute or 'the form'}.", 422)
    except OutboxError:
        return PlainTextResponse("We could not save that. Please try again in a minute.", 503)
    return PlainTextResponse("Thank you. We will be in touch.")


app = Starlette(routes=[Route("/", form), Route("/", send, methods=["POST"])], lifespan=lifespan)
