"""A web form in Flask, with synchronous handlers.

Needs leadsquared_async[outbox,phone], flask and gunicorn:

    gunicorn --config python:flask_form flask_form:app

Each worker process has one client and one outbox on the same file. One of them delivers; if it ends, another
one takes over. So any number of workers share one limit.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from account import Account
from flask import Flask, Response, render_template_string, request

from leadsquared_async import InvalidLead, KeyReused, LeadSquared, Outbox, OutboxError, phone

FIELDS = ("FirstName", "EmailAddress", "Phone")

FORM = """<!doctype html><title>Ask us</title>
<form method="post"><input type="hidden" name="token" value="{{ token }}" autocomplete="off">
<label>Name <input name="FirstName" maxlength="200" required></label>
<label>E-mail <input name="EmailAddress" type="email" maxlength="200" required></label>
<label>Phone <input name="Phone" type="tel" maxlength="50"></label>
<button>Send</button></form>"""


@asynccontextmanager
async def opened() -> AsyncIterator[Outbox]:
    path = os.environ.get("LEADS_DB", "leads.db")
    async with LeadSquared(normalize=phone("IN")) as lsq, Outbox(path, lsq) as outbox:
        yield outbox


account = Account(opened)
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 16_384


@app.get("/")
def form() -> Response:
    # Each form has its own token, so a double click is one lead.
    response = Response(render_template_string(FORM, token=uuid4()))
    response.headers["Cache-Control"] = "no-store"
    return response


@app.post("/")
def send() -> tuple[str, int]:
    try:
        token = UUID(request.form["token"])  # keys are kept, so they must not hold typed text
    except ValueError:
        return "Please open the form again.", 400
    lead = {name: request.form.get(name) or None for name in FIELDS}
    try:
        account.call(lambda outbox: outbox.put(lead, key=f"form-{token}"))  # on disk when this returns
    except KeyReused:
        # The visitor went back and corrected something: another capture, which updates the lead.
        account.call(lambda outbox: outbox.put(lead))
    return "Thank you. We will be in touch.", 200


@app.errorhandler(InvalidLead)
def invalid(error: InvalidLead) -> tuple[str, int]:
    return f"Please go back and correct: {error.attribute or 'the form'}", 422


@app.errorhandler(OutboxError)
def not_kept(error: OutboxError) -> tuple[str, int]:
    app.logger.error("the outbox cannot be used: %s", error)
    return "We could not save that. Please try again in a minute.", 503


# gunicorn's settings, for --config. A worker opens the outbox at its start, not at its first form, so that
# leads of an earlier run do not wait for a visitor. It closes the outbox in `worker_exit`, not by `atexit`,
# which runs when threads can no longer start work.

worker_class = "gthread"
workers = 2
threads = 8


def post_worker_init(_worker: object) -> None:
    account.start()


def worker_exit(_server: object, _worker: object) -> None:
    account.stop()


if __name__ == "__main__":  # Flask's own server, for development: SIGTERM kills it, Ctrl-C closes it cleanly
    account.start()
    try:
        app.run(port=int(os.environ.get("PORT", "5000")))
    finally:
        account.stop()
