"""What an answer says about a path."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from leadsquared_async.cli.probe_answers import Answer, Finding, finding_of
from leadsquared_async.errors import Facts
from leadsquared_async.http.call import Call
from leadsquared_async.http.error_messages import error_from
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import ExpectedBody, Reply, classify

CALL = Call(operation="x", method="GET", path="/x", repeat=Idempotency.READ, lane=Lane.STATUS)


def answer(status: int, body: str = "") -> Answer:
    """The answer as the client reads it."""
    outcome = classify(Reply(status, {}, body), ExpectedBody.JSON, datetime.now(UTC))
    error = None if outcome.succeeded else error_from(outcome, CALL, Facts(), "")
    return Answer(status, error, outcome.data, body)


def mx(name: str) -> str:
    return json.dumps({"Status": "Error", "ExceptionType": name, "ExceptionMessage": "no such request"})


@pytest.mark.parametrize(
    ("kind", "status", "body", "finding"),
    [
        ("status", 403, '{"message":"Missing Authentication Token"}', Finding.MISSING),
        ("metrics", 403, '{"message":"Missing Authentication Token"}', Finding.MISSING),
        ("status", 404, '{"message":"Not Found"}', Finding.EXISTS),
        ("metrics", 404, '{"message":"Not Found"}', Finding.UNCLEAR),
        ("status", 200, "", Finding.EXISTS),
        ("status", 200, "{}", Finding.EXISTS),
        ("metrics", 200, "{}", Finding.UNCLEAR),
        (
            "metrics",
            200,
            '{"PendingMessages":1,"MaxDelayInSeconds":0,"ProcessingRatePerMinute":2}',
            Finding.EXISTS,
        ),
        ("status", 400, "", Finding.EXISTS),
        ("status", 500, mx("MXInvalidInputException"), Finding.EXISTS),
        ("status", 200, mx("MXInvalidInputException"), Finding.EXISTS),
        ("status", 500, mx("NullReferenceException"), Finding.EXISTS),
        ("status", 500, '{"message":"Internal server error"}', Finding.UNCLEAR),
        ("status", 401, mx("MXUnAuthorizedAccessException"), Finding.REJECTED),
        ("status", 403, '{"message":"Forbidden"}', Finding.REJECTED),
        ("status", 429, '{"message":"Limit Exceeded"}', Finding.REJECTED),
        ("status", 429, "", Finding.NO_ANSWER),
        ("status", 405, "", Finding.UNCLEAR),
        ("status", 302, "", Finding.UNCLEAR),
        ("status", 403, "\ufeff <html>", Finding.UNCLEAR),
        ("status", 404, "<!doctype html>", Finding.UNCLEAR),
    ],
)
def test_what_an_answer_says(kind: str, status: int, body: str, finding: Finding) -> None:
    """If the gateway tells of unknown paths, any answer of LeadSquared's own means that a path exists."""
    assert finding_of(answer(status, body), kind, is_404_missing=False)[0] is finding


@pytest.mark.parametrize(("kind", "finding"), [("status", Finding.UNCLEAR), ("metrics", Finding.MISSING)])
def test_a_host_that_answers_404_for_unknown_paths(kind: str, finding: Finding) -> None:
    """A 404 of a status may then be about the RequestID."""
    assert finding_of(answer(404, '{"message":"Not Found"}'), kind, is_404_missing=True)[0] is finding


def test_the_words_repeat_no_text_of_the_server() -> None:
    """Only the name of an exception is quoted."""
    for body in (mx("MXInvalidInputException"), mx("zq planted 4711"), '{"message":"zq planted"}'):
        for status in (200, 400, 401, 403, 404, 418, 500):
            _, words = finding_of(answer(status, body), "status", is_404_missing=False)
            assert "planted" not in words
            assert "no such request" not in words
