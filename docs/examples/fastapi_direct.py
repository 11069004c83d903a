"""A web form without an outbox: the visitor waits for LeadSquared, 10 s at most, and sees the result.

Nothing is stored here, so a lead that LeadSquared does not accept is lost unless the visitor sends it again;
`fastapi_form.py` keeps leads instead. Needs leadsquared_async, fastapi, python-multipart and uvicorn:

    uvicorn fastapi_direct:app
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

from fastapi import FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from leadsquared_async import Delivery, Fault, LeadSquared, LeadSquaredError

logger = logging.getLogger("fastapi_direct")

DEADLINE = float(os.environ.get("DEADLINE", "10"))
"""The most seconds that a visitor waits, including retries and waits for the rate limit."""


def answer_to(error: LeadSquaredError) -> tuple[int, str]:
    """The HTTP status and the sentence for the visitor."""
    match error:
        case LeadSquaredError(safe_to_retry=True):  # LeadSquared is down or busy; no second lead can result
            return 503, "We could not save that. Please try again in a minute."
        case LeadSquaredError(fault=Fault.LEAD):  # InvalidLead, Rejected, BadRequest
            return 422, "Please go back and check what you have typed."
        case LeadSquaredError(delivery=Delivery.UNKNOWN):  # only for a lead that LeadSquared cannot match
            return 202, "We have probably got that. If you do not hear from us, please call 0123 456 789."
        case _:  # the account: keys, quota, host, proxy
            return 503, "Our form does not work at the moment. Please call 0123 456 789."


class Enquiry(BaseModel):
    """A lead with LeadSquared's names."""

    FirstName: str = Field(min_length=1, max_length=200)
    EmailAddress: str = Field(max_length=200, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, object]]:
    async with LeadSquared() as lsq:  # one client for all visitors: they share its limit
        yield {"lsq": lsq}


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/")
async def form() -> HTMLResponse:
    return page(
        """<form method="post">
<label>Name <input name="FirstName" maxlength="200" required></label>
<label>E-mail <input name="EmailAddress" type="email" maxlength="200" required></label>
<button>Send</button></form>"""
    )


@app.post("/")
async def send(enquiry: Annotated[Enquiry, Form()], request: Request) -> HTMLResponse:
    lsq: LeadSquared = request.state.lsq
    # LeadSquared finds an existing lead by EmailAddress, so a form that is sent twice is one lead.
    await lsq.leads.capture(enquiry.model_dump(), deadline=DEADLINE, reference=f"form-{uuid4()}")
    return page("<p>Thank you. We will be in touch.</p>")


@app.exception_handler(LeadSquaredError)
async def failed(_request: Request, error: LeadSquaredError) -> HTMLResponse:
    logger.error("%s: %s", error.reference, error)  # the message has neither keys nor values of the lead
    status, sentence = answer_to(error)
    return page(f"<p>{sentence}</p>", status, {"Retry-After": "60"} if status == 503 else None)


@app.exception_handler(RequestValidationError)
async def incomplete(_request: Request, _error: RequestValidationError) -> HTMLResponse:
    return page("<p>Please go back and check what you have typed.</p>", 422)


def page(body: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(f'<!doctype html><meta charset="utf-8"><title>Ask us</title>{body}', status, headers)
