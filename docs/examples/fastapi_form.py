"""A web form. It thanks the visitor as soon as the lead is on disk, whether or not LeadSquared answers.

Needs leadsquared_async[outbox,phone], fastapi, python-multipart, and uvicorn or gunicorn:

    uvicorn fastapi_form:app --workers 2
    gunicorn --preload --workers 2 --worker-class asgi fastapi_form:app
"""

import asyncio
import html
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, BeforeValidator, Field

from leadsquared_async import (
    InvalidLead,
    ItemState,
    KeyReused,
    LeadSquared,
    LeadSquaredError,
    Outbox,
)
from leadsquared_async import phone as spelt_phone

logger = logging.getLogger("fastapi_form")

LATE = 900.0
"""Seconds; if a lead waits longer, `/health` reports it."""
VERIFY_EVERY = float(os.environ.get("VERIFY_EVERY", "60"))
"""Seconds between checks whether the account's owner has fixed a problem."""

SOURCES = {
    "utm_source": "Source",
    "utm_medium": "SourceMedium",
    "utm_campaign": "SourceCampaign",
    "utm_content": "SourceContent",
}

# LeadSquared's tracking code, if the site has it, sets MXCProspectId, which links the visits to the lead.
FORM = """<form method="post">{hidden}
<label>Name <input name="FirstName" maxlength="200" required></label>
<label>E-mail <input name="EmailAddress" type="email" maxlength="200" required></label>
<label>Phone <input name="Phone" type="tel" maxlength="50"></label>
<button>Send</button></form>
<script>document.forms[0].addEventListener("submit", event => {{
  if (typeof MXCProspectId !== "undefined") event.target.elements.ProspectID.value = MXCProspectId
}})</script>"""


def uuid_or_none(text: str | None) -> UUID | None:
    """The id, or None if it is invalid, because the visitor did not type it and cannot correct it."""
    try:
        return UUID(text)
    except (TypeError, ValueError):
        return None


class Enquiry(BaseModel):
    """A lead with LeadSquared's names; an empty field is None, and is left out."""

    token: str = Field(min_length=16, max_length=64)
    FirstName: str = Field(max_length=200)
    EmailAddress: str = Field(max_length=200, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    Phone: str | None = Field(None, max_length=50)
    ProspectID: Annotated[UUID | None, BeforeValidator(uuid_or_none)] = None
    Source: str | None = Field(None, max_length=200)
    SourceMedium: str | None = Field(None, max_length=200)
    SourceCampaign: str | None = Field(None, max_length=200)
    SourceContent: str | None = Field(None, max_length=200)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, object]]:
    """Open client and outbox in each worker process, after any fork."""
    path = os.environ.get("LEADS_DB", "leads.db")  # a local disk that outlives the container
    async with LeadSquared(deadline=10, normalize=spelt_phone("IN")) as lsq, Outbox(path, lsq) as outbox:
        account = Account()
        verifying = asyncio.create_task(verify(lsq, account))
        yield {"lsq": lsq, "outbox": outbox, "account": account}
        verifying.cancel()


@dataclass
class Account:
    flaw: str | None = None
    """The problem that its owner must fix; contains no key."""


async def verify(lsq: LeadSquared, account: Account) -> None:
    """Report problems that the account's owner must fix, and check until they are fixed.

    The form works in the meantime: with revoked keys it still accepts leads, and the outbox keeps them until
    there are new keys. An outage of LeadSquared is not a problem of the account.
    """
    while True:
        try:
            await lsq.verify(fields=Enquiry.model_fields.keys() - {"token"})
        except LeadSquaredError as error:
            if account.flaw is None:
                logger.error("leads are kept, but not delivered until this is fixed: %s", error)  # noqa: TRY400
            account.flaw = str(error)
        else:
            account.flaw = None
            return
        await asyncio.sleep(VERIFY_EVERY)


async def outbox_of(request: Request) -> Outbox:
    outbox: Outbox = request.state.outbox
    return outbox


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/")
async def form(request: Request) -> HTMLResponse:
    # Each form has its own token, so a double click is one lead.
    values = {"token": secrets.token_urlsafe(16), "ProspectID": ""}
    values |= {name: request.query_params.get(utm, "")[:200] for utm, name in SOURCES.items()}
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}" autocomplete="off">'
        for name, value in values.items()
    )
    return page(FORM.format(hidden=hidden), headers={"Cache-Control": "no-store"})


@app.post("/")
async def send(
    enquiry: Annotated[Enquiry, Form()], outbox: Annotated[Outbox, Depends(outbox_of)]
) -> RedirectResponse:
    lead = enquiry.model_dump(exclude={"token"})
    try:
        # On disk when this returns, even if the visitor has disconnected.
        await outbox.put(lead, key=f"form-{enquiry.token}")
    except KeyReused:
        # The visitor went back and corrected something: another capture, which updates the lead.
        await outbox.put(lead)
    return RedirectResponse("/thanks", status_code=303)


@app.get("/thanks")
async def thanks() -> HTMLResponse:
    return page("<p>Thank you. We will be in touch.</p>")


@app.exception_handler(RequestValidationError)
async def incomplete(_request: Request, error: RequestValidationError) -> HTMLResponse:
    return to_correct(*{str(fault["loc"][-1]) for fault in error.errors()})


@app.exception_handler(LeadSquaredError)
async def failed(_request: Request, error: LeadSquaredError) -> HTMLResponse:
    """Nothing was stored: the status and the sentence for the visitor."""
    match error:
        case InvalidLead():  # what LeadSquared cannot take, such as a control character
            return to_correct(error.attribute or "the form")
        case _:  # OutboxError: the disk is full, the file is gone
            logger.error("the outbox cannot be used: %s", error)
            again = {"Retry-After": "60"}
            return page("<p>We could not save that. Please try again in a minute.</p>", 503, again)


@app.get("/health")
async def health(request: Request) -> JSONResponse:
    """Whether leads are delivered, for the person on call; not public.

    Do not use it for a load balancer, which would remove the form whenever LeadSquared is down, or for
    restarts, which fix nothing. Use `/thanks` for both.
    """
    outbox = await request.state.outbox.snapshot()
    limit = request.state.lsq.snapshot().limit
    # Only the process that delivers knows why delivery is on hold; all know the age of the oldest lead.
    reason = request.state.account.flaw or outbox.blocked
    is_well = reason is None and (outbox.oldest is None or outbox.oldest < LATE)
    shown = {
        "blocked": reason,
        "counts": outbox.counts,
        # Each needs manual review: `leadsquared outbox items leads.db --state rejected`.
        "dead_letters": {state: outbox.counts[state] for state in (ItemState.REJECTED, ItemState.UNKNOWN)},
        "oldest": outbox.oldest,
        "delivers": outbox.delivers,
        "free": None if limit is None else limit.free,
    }
    return JSONResponse(shown, 200 if is_well else 503)


def to_correct(*names: str) -> HTMLResponse:
    return page(f"<p>Please go back and correct: {', '.join(sorted(names))}</p>", 422)


def page(body: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(f'<!doctype html><meta charset="utf-8"><title>Ask us</title>{body}', status, headers)
