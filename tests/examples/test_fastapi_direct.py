"""docs/examples/fastapi_direct.py: a real server, before a LeadSquared on this machine."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from leadsquared_async import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    Forbidden,
    InvalidLead,
    LeadSquaredError,
    NoSuchPath,
    QuotaExceeded,
    RateLimited,
    Rejected,
    ServerError,
    Timeout,
)
from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.testing import make_error
from tests.examples.programs import EXAMPLES, PLANTED, browser, running

VISITOR = {"FirstName": PLANTED, "EmailAddress": f"{PLANTED}@example.com"}
LATER, CORRECT, CALL, PROBABLY = (
    "try again in a minute",
    "check what you have typed",
    "Please call",
    "probably",
)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (make_error(RateLimited), 503, LATER),
        (make_error(ServerError), 503, LATER),
        (make_error(ConnectionFailed), 503, LATER),
        (make_error(Timeout), 503, LATER),
        (make_error(DeadlineExceeded), 503, LATER),
        (make_error(InvalidLead), 422, CORRECT),
        (make_error(Rejected), 422, CORRECT),
        (make_error(BadRequest), 422, CORRECT),
        (make_error(Timeout, safe_to_retry=False), 202, PROBABLY),
        (make_error(DeadlineExceeded, delivery=Delivery.UNKNOWN, safe_to_retry=False), 202, PROBABLY),
        (make_error(AuthenticationFailed), 503, CALL),
        (make_error(Forbidden), 503, CALL),
        (make_error(NoSuchPath), 503, CALL),
        (make_error(QuotaExceeded), 503, CALL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, LeadSquaredError) else "",
)
def test_each_failure_has_a_sentence_for_the_visitor(
    error: LeadSquaredError, status: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whether another attempt helps, and who has to act; no answer repeats the error."""
    monkeypatch.syspath_prepend(EXAMPLES)
    answer = importlib.import_module("fastapi_direct").answer_to(error)
    assert answer[0] == status
    assert sentence in answer[1]
    assert str(error) not in answer[1]


@pytest.mark.slow
async def test_a_visitor_learns_how_it_went(tmp_path: Path) -> None:
    """Within the deadline; what LeadSquared took is thanked for, and nothing else is."""
    command = ("uvicorn", "fastapi_direct:app", "--port", "{port}")
    async with (
        Sandbox(limit=None) as sandbox,
        running(*command, sandbox=sandbox, folder=tmp_path, DEADLINE="1") as program,
        browser(program) as client,
    ):
        assert 'name="EmailAddress"' in (await client.get("/")).text
        assert "EmailAddress" not in (await client.post("/", data={**VISITOR, "EmailAddress": "x"})).text
        for fault, status, sentence in (
            ("ok", 200, "Thank you"),
            ("200-mx", 422, CORRECT),
            ("401", 503, CALL),
            ("503", 503, LATER),
            ("refused", 503, LATER),
        ):
            sandbox.faults = Faults(probabilities={fault: 1.0})
            sent = await client.post("/", data=VISITOR)
            assert (sent.status_code, sentence in sent.text) == (status, True), fault
            assert sent.headers.get("retry-after") == ("60" if status == 503 else None)
            assert PLANTED not in sent.text
        sandbox.assert_captured(count=1, **VISITOR)
        invalid = await client.post("/", data={**VISITOR, "FirstName": "a\x00b"})
        assert invalid.status_code == 422
        await program.stopped()
        assert "Traceback" not in program.said
        assert "form-" in program.said
