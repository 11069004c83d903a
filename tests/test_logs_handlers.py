"""Handlers, record factories and callbacks of the program that the log and the events meet."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from leadsquared_async import Event, RetryPolicy
from leadsquared_async.events import Sent, StoreBack
from leadsquared_async.logs import ClientEvents
from leadsquared_async.sandbox import Account, Faults, SandboxTransport
from leadsquared_async.testing import client_of
from tests.clients import LEAD


class Refusing(logging.Handler):
    """As a handler or filter of the program that does not catch its errors."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("disk full")


async def test_a_handler_that_fails_harms_no_call(capsys: pytest.CaptureFixture[str]) -> None:
    """A lead that was accepted is not reported as failed because its log line cannot be written."""
    transport = SandboxTransport(Account(faults=Faults(script=("503",))))
    handler, logger = Refusing(), logging.getLogger("leadsquared_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        async with client_of(transport, retry=RetryPolicy(base=0.001)) as lsq:
            assert (await lsq.leads.capture(LEAD)).attempts == 2
            limit = lsq.snapshot().limit
            assert limit is not None
            assert limit.in_flight == 0
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)
    assert "OSError: disk full" in capsys.readouterr().err


def test_a_record_may_have_attributes_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    """As from a record factory that adds the id of a web request; those of an event replace them."""
    factory = logging.getLogRecordFactory()

    def with_request(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        record.client = record.reference = "of the web"
        return record

    events = ClientEvents("acme")
    logging.setLogRecordFactory(with_request)
    try:
        events.emit(StoreBack(store="outbox file"))
        events.log.error("%s failed", "it")
    finally:
        logging.setLogRecordFactory(factory)
    assert [(vars(it)["client"], vars(it)["reference"]) for it in caplog.records] == [
        ("acme", "of the web")
    ] * 2
    assert caplog.messages == ["[acme] the outbox file can be used again", "it failed"]


class Stopping(BaseException):
    """As `SystemExit`, or pytest's `fail`."""


async def test_a_callback_that_ends_the_program_takes_no_token() -> None:
    """Nothing was sent, so the call's token is free again."""

    def stop(event: Event) -> None:
        if isinstance(event, Sent):
            raise Stopping

    transport = SandboxTransport(Account())
    async with client_of(transport, on_event=stop) as lsq:
        with pytest.raises(Stopping):
            await lsq.leads.capture(LEAD)
        limit = lsq.snapshot().limit
        assert limit is not None
        assert limit.in_flight == 0
    assert transport.books.arrivals == []
