"""Every answer of LeadSquared, its gateway or a proxy has one meaning."""

from __future__ import annotations

import json
import time
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    APIError,
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    Delivery,
    Duplicate,
    Fault,
    Forbidden,
    LeadSquaredError,
    NoSuchPath,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Scope,
    ServerError,
    Timeout,
)
from leadsquared_async.errors import ABOUT_DUPLICATE
from leadsquared_async.protocol import (
    MAX_BODY,
    ExpectedBody,
    Outcome,
    Reply,
    RetryHint,
    classify,
    outcome_without_answer,
)

NOW = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"
ACCEPTED = (
    '{"Status":"Request accepted. Please use below request id to check the status",'
    '"RequestID":"5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"}'
)


def outcome_of(
    status: int,
    body: str = "",
    headers: dict[str, str] | None = None,
    *,
    expect: ExpectedBody = ExpectedBody.REQUEST_ID,
    cut_off: bool = False,
) -> Outcome:
    return classify(Reply(status, headers or {}, body, cut_off), expect, NOW)


def mx(kind: str, message: str = "") -> str:
    return f'{{"Status":"Error","ExceptionType":"{kind}","ExceptionMessage":"{message}"}}'


A_SECOND = "API calls exceeded the limit of 25 in 5 second(s)"
UNKNOWN_FIELD = mx("MXUnknownAttributeException", "Attribute(s) does not exist - a, b.")
DUPLICATE = mx("MXDuplicateEntryException", "A Lead with same Email already exists.")
LIMIT = mx("MXAPIRateLimitExceededException", A_SECOND)
UNAUTHORIZED = mx("MXUnAuthorizedAccessException", "Unauthorized")
MESSAGE = '{"message":"%s"}'
QUOTA = MESSAGE % "Limit Exceeded"
NO_TOKEN = MESSAGE % "Missing Authentication Token"

# What came back, and its row: the error, delivery, fault, scope, is it made again.
accepted = (None, Delivery.ACCEPTED, None, None, RetryHint.NO)
lead = (Rejected, Delivery.REJECTED, Fault.LEAD, Scope.LEAD, RetryHint.NO)
throttled = (RateLimited, Delivery.REJECTED, Fault.LIMIT, None, RetryHint.YES)
quota = (QuotaExceeded, Delivery.REJECTED, Fault.ACCOUNT, Scope.ACCOUNT, RetryHint.NO)
keys = (AuthenticationFailed, Delivery.REJECTED, Fault.ACCOUNT, Scope.ACCOUNT, RetryHint.NO)
forbidden = (Forbidden, Delivery.REJECTED, Fault.ACCOUNT, Scope.ACCOUNT, RetryHint.NO)
not_found = (NotFound, Delivery.REJECTED, Fault.ACCOUNT, Scope.OPERATION, RetryHint.NO)
no_path = (NoSuchPath, Delivery.REJECTED, Fault.ACCOUNT, Scope.OPERATION, RetryHint.NO)
host = (APIError, Delivery.REJECTED, Fault.ACCOUNT, Scope.OPERATION, RetryHint.NO)
body = (BadRequest, Delivery.REJECTED, Fault.LEAD, Scope.LEAD, RetryHint.NO)
failed = (ServerError, Delivery.UNKNOWN, Fault.SERVER, Scope.OPERATION, RetryHint.YES)
named = (ServerError, Delivery.UNKNOWN, Fault.SERVER, Scope.LEAD, RetryHint.A_FEW_TIMES)
unknown = (ServerError, Delivery.UNKNOWN, Fault.SERVER, Scope.OPERATION, RetryHint.IF_REPEATABLE)
invalid_id = (ServerError, Delivery.UNKNOWN, Fault.SERVER, Scope.LEAD, RetryHint.IF_REPEATABLE)

TABLE = [
    # accepted
    (200, ACCEPTED, accepted),
    (201, ACCEPTED, accepted),
    (202, ACCEPTED, accepted),
    (200, "\ufeff" + ACCEPTED, accepted),
    (200, f' \r\n{{"requestid": "{GUID}"}}\n', accepted),
    (200, f'{{"RequestId":"{GUID}","message":"{A_SECOND}"}}', accepted),
    (200, f'{{"RequestId":"{GUID}","message":"Limit Exceeded"}}', accepted),
    # an MX body under any status
    *[
        (status, UNKNOWN_FIELD, lead)
        for status in (200, 201, 202, 204, 302, 400, 405, 409, 413, 500, 502, 503)
    ],
    (500, DUPLICATE, (Duplicate, *lead[1:])),
    (500, mx("MXInvalidInputException", "Invalid SearchBy value provided"), lead),
    (500, mx("MXMandatoryAttributeMissingException"), lead),
    (500, mx("MXInvalidActivityFieldsException"), lead),
    (500, mx("MXInvalidActivityException"), lead),
    (500, mx("MXUnknownProspectActivityException"), lead),
    (500, mx("mxSomethingNew"), lead),
    (200, '{"Status":"Error","ExceptionMessage":"No","IsMXException":true}', lead),
    (500, '{"status":"Error","exceptiontype":"MXNew","exceptionmessage":"No"}', lead),
    (200, UNKNOWN_FIELD[:-1] + f',"RequestID":"{GUID}"}}', lead),
    # the rate limit, under any status
    *[(status, LIMIT, throttled) for status in (200, 401, 403, 404, 429, 500, 503)],
    *[(status, MESSAGE % A_SECOND, throttled) for status in (400, 403, 429, 500)],
    (429, "", throttled),
    (429, MESSAGE % "Too Many Requests", throttled),
    (429, "<html>slow down</html>", throttled),
    (429, UNKNOWN_FIELD, throttled),
    (200, '{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException"}', throttled),
    # the day's quota
    *[(status, QUOTA, quota) for status in (200, 403, 429, 500)],
    # keys, paths, hosts
    (401, "", keys),
    (401, UNAUTHORIZED, keys),
    (401, "not json", keys),
    (200, UNAUTHORIZED, keys),
    (500, UNAUTHORIZED, keys),
    (500, mx("MXAuthenticationFailedException"), keys),
    (403, MESSAGE % "Forbidden", forbidden),
    (403, "<html>", forbidden),
    (403, UNAUTHORIZED, forbidden),
    (403, NO_TOKEN, no_path),
    (200, NO_TOKEN, no_path),
    (401, NO_TOKEN, no_path),
    (404, "", not_found),
    (404, UNKNOWN_FIELD, not_found),
    (415, MESSAGE % "Unsupported Media Type", host),
    *[(status, "", host) for status in (300, 301, 302, 304, 399)],
    (303, "", (APIError, Delivery.UNKNOWN, *host[2:])),  # may follow a submission that was accepted
    (308, ACCEPTED, host),
    (399, MESSAGE % A_SECOND, host),
    (405, "", host),
    (410, "", host),
    (422, "{}", host),
    (499, "", host),
    (100, "", host),
    # the body
    *[(status, '{"Status":"Error","ExceptionType":"JsonException"}', body) for status in (400, 413)],
    (400, "", body),
    (413, MESSAGE % "Request Too Long", body),
    # failed, or nobody knows
    (500, MESSAGE % "Internal server error", failed),
    (500, "", failed),
    # an exception that is not LeadSquared's own, under any status
    *[
        (status, f'{{"Status":"Error","ExceptionType":"{kind}"}}', named)
        for status in (200, 202, 204, 302, 405, 408, 500, 502, 504)
        for kind in ("NullReferenceException", "ArgumentNullException", "System.FormatException")
    ],
    (500, '{"ExceptionType":"NullReferenceException"}', named),
    (200, f'{{"ExceptionType":"NullReferenceException","RequestID":"{GUID}"}}', named),
    # a refusal without a type, under any status
    *[
        (status, f'{{"Status":"{word}","ExceptionMessage":"Delete is not enabled for you"}}', lead)
        for status in (200, 201, 202, 204, 302, 400, 405, 413, 500, 502, 503, 504)
        for word in ("Error", "ERROR ", "error")
    ],
    (200, '{"Status":"Error"}', lead),
    (200, f'{{"Status":"Error","RequestID":"{GUID}"}}', lead),
    *[
        (status, f'{{"Status":"Error","ExceptionMessage":"{words}"}}', keys)
        for status in (200, 400, 500)
        for words in ("Invalid User Details!", "unauthorized", "Access is denied.", "Invalid Access Key")
    ],
    (200, mx("UnauthorizedAccessException", "no"), keys),
    # which a visitor cannot say for the account
    (200, '{"Status":"Error","ExceptionMessage":"No lead called Invalid User Details!"}', lead),
    (200, mx("MXNew", "Invalid User Details!"), lead),
    (200, mx("MXInvalidAuthorException", "no"), lead),
    (500, '{"Status":"Error","ExceptionType":"MXNew"', failed),
    (500, '{"IsMXException":"true"}', failed),
    (503, MESSAGE % "Service Unavailable", failed),
    (502, MESSAGE % "Internal server error", unknown),
    (504, MESSAGE % "Endpoint request timed out", unknown),
    (501, "", unknown),
    (520, "<html>", unknown),
    (599, "", unknown),
    (408, "", unknown),
    # a success that says nothing of a RequestID
    (200, "", unknown),
    (200, "null", unknown),
    (200, "{}", unknown),
    (200, "[]", unknown),
    (200, "<html>maintenance</html>", unknown),
    (200, ACCEPTED[:-1], unknown),
    (200, f"[{ACCEPTED}]", unknown),
    (200, json.dumps(ACCEPTED), unknown),
    (200, "[" * 100_000 + "]" * 100_000, unknown),
    (200, "9" * 5_000, unknown),
    (200, '{"RequestID":null}', invalid_id),
    (200, '{"RequestID":""}', invalid_id),
    (200, '{"RequestID":"  "}', invalid_id),
    (200, '{"RequestID":4711}', invalid_id),
    (200, f'{{"Data":{{"RequestID":"{GUID}"}}}}', unknown),
    # what is no RequestID, or no JSON that can be kept
    *[
        (200, json.dumps({"RequestID": value}), invalid_id)
        for value in ("a b", "é", "x" * 101, "i\nd", "id\x1b[31m", "=1+1", "\ud800", "'id'", "a\u202eb", [])
    ],
    *[
        (200, ACCEPTED[:-1] + more + "}", unknown)
        for more in (
            ',"Number":NaN',
            ',"Number":-Infinity',
            ',"Number":1e999',
            f',"Number":{"9" * 5_000}',
            f',"RequestID":"{GUID}"',
            ',"Deep":' + "[" * 900 + "]" * 900,
        )
    ],
    (203, ACCEPTED, unknown),
    (204, "", unknown),
    (206, ACCEPTED, unknown),
    (299, ACCEPTED, unknown),
    (199, ACCEPTED, host),
]


@pytest.mark.parametrize(
    ("status", "content", "row"), TABLE, ids=[f"{row[0]}-{row[1][:60]!a}" for row in TABLE]
)
def test_what_an_answer_means(status: int, content: str, row: Any) -> None:
    """The body is read first and the status second, and each pair has one meaning."""
    outcome = outcome_of(status, content)
    assert (outcome.error, outcome.delivery, outcome.fault, outcome.scope, outcome.retry) == row
    assert outcome.succeeded is (row is accepted)
    assert outcome.throttled is (row is throttled)
    assert outcome.request_id == GUID or row is not accepted
    assert outcome.status_code == status
    assert outcome.body == content
    assert outcome.counted


@pytest.mark.parametrize(
    ("status", "content", "row"),
    [
        (200, '{"PendingMessages":1}', accepted),
        (200, "[1,2]", accepted),
        (200, "", accepted),
        (200, " \r\n", accepted),
        (200, "null", accepted),
        (200, "\ufeffnull\n", accepted),
        (200, "\ufeff", accepted),
        (204, "", accepted),
        (206, "{}", accepted),
        (299, "{}", accepted),
        (199, "{}", host),
        (300, "{}", host),
        (200, "false", accepted),
        (200, "<html>", unknown),
        (204, "x", unknown),
        (200, '{"PendingMessages":', unknown),
        (200, UNKNOWN_FIELD, lead),
        (200, LIMIT, throttled),
        (200, QUOTA, quota),
        (404, "", not_found),
        (500, "", failed),
        (302, "", host),
    ],
)
def test_what_an_answer_to_a_read_means(status: int, content: str, row: Any) -> None:
    """A read is answered by any JSON, or by nothing; errors mean what they mean to a write."""
    outcome = outcome_of(status, content, expect=ExpectedBody.JSON)
    assert (outcome.error, outcome.delivery, outcome.fault, outcome.scope, outcome.retry) == row


MOVED = "the host redirects (%s) to another address, and redirects with keys are not followed: check the host"


@pytest.mark.parametrize(
    ("status", "content", "summary"),
    [
        (200, ACCEPTED, "accepted"),
        (200, "", "the answer contains no RequestID"),
        (200, "<html>", "the answer contains no RequestID"),
        (200, '{"Data":{"RequestID":"a b"}}', "the answer contains no RequestID"),
        (200, '{"RequestID":"a b"}', "the RequestID in the answer is invalid"),
        (202, '{"requestid":null}', "the RequestID in the answer is invalid"),
        (400, "", "LeadSquared cannot read the body (400)"),
        (403, "", "the gateway rejected the call: check the x-api-key"),
        (404, "", "unknown path or RequestID (404): check the host"),
        (408, "", "LeadSquared timed out (408)"),
        (413, "", "the body is too large for LeadSquared (413)"),
        (415, "", "the host does not accept JSON (415): check the host"),
        (300, "", MOVED % 300),
        (399, "", MOVED % 399),
        (418, "", "the host rejected the call (418): check the host"),
        (429, "", "the account is over its rate limit (429)"),
        (429, QUOTA, "the account's daily quota of calls is used up"),
        (500, DUPLICATE, f"LeadSquared rejected the lead: {ABOUT_DUPLICATE}"),
        (500, mx("MXNewException", "no"), "LeadSquared rejected the lead"),
        (500, "", "LeadSquared failed (500)"),
        (504, "", "LeadSquared failed (504)"),
    ],
)
def test_the_words_of_an_outcome(status: int, content: str, summary: str) -> None:
    """Each outcome says in a few words what happened, and what to check where that is known."""
    assert outcome_of(status, content).summary == summary


def test_a_long_answer_is_no_json() -> None:
    """An answer that was cut off at 1 MB is not decoded, even if its first MB could be."""
    assert MAX_BODY == 1_000_000
    for expect in ExpectedBody:
        outcome = outcome_of(200, ACCEPTED, expect=expect, cut_off=True)
        assert (outcome.error, outcome.delivery, outcome.fault, outcome.scope, outcome.retry) == unknown
        assert outcome.data is None
    assert outcome_of(200, "", expect=ExpectedBody.JSON, cut_off=True).summary == (
        "the answer is longer than 1 MB (200)"
    )
    assert outcome_of(200, "<", expect=ExpectedBody.JSON).summary == "the answer is not JSON (200)"


def test_what_was_said_is_kept_by_name_and_not_shown() -> None:
    """LeadSquared's words are in attributes; the repr of a reply and an outcome holds none of them."""
    content = mx("MXDuplicateEntryException", "A Lead with bret.lee@example.com already exists.")
    outcome = outcome_of(500, content, {"x-note": "bret.lee@example.com"})
    assert outcome.exception_type == "MXDuplicateEntryException"
    assert outcome.exception_message == "A Lead with bret.lee@example.com already exists."
    assert outcome.data["Status"] == "Error"
    assert "bret" not in repr(outcome)
    assert "bret" not in repr(Reply(500, {"x": "bret"}, "bret"))


@pytest.mark.parametrize(
    ("value", "name"), [(Reply(200, {}, ""), "body"), (outcome_of(200, ACCEPTED), "summary")]
)
def test_answers_and_outcomes_are_values(value: Any, name: str) -> None:
    """They cannot be changed."""
    assert not hasattr(value, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "other")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (MESSAGE % "Use api-us11.leadsquared.com", "api-us11.leadsquared.com"),
        (MESSAGE % "Please use https://api-in21.leadsquared.com/v2/.", "api-in21.leadsquared.com"),
        (mx("MXAuthenticationFailedException", "It is ASYNCAPI.LeadSquared.com"), "ASYNCAPI.LeadSquared.com"),
        (MESSAGE % "leadsquared.com.example.org", None),
        (MESSAGE % "Unauthorized", None),
        ("api-us11.leadsquared.com", None),
        ("", None),
    ],
)
def test_a_wrong_host_is_named(content: str, named: str | None) -> None:
    """The error passes on the host that a 401 names."""
    assert outcome_of(401, content).summary == (
        f"LeadSquared does not accept the keys on this host and names {named}: pass region= or host="
        if named
        else "LeadSquared does not accept the keys: check them, the region, and that their user is active"
    )


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example.com/in?accessKey=SECRET", "login.example.com"),
        ("//login.example.com:8443/", "login.example.com"),
        ("https://SECRET:SECRET@login.example.com/", "login.example.com"),
        ("/moved?accessKey=SECRET", "another address"),
        ("", "another address"),
        ("https://[SECRET", "another address"),
        ("https://SECRET$SECRET/", "another address"),
        (f"https://{'SECRET' * 50}/", "another address"),
    ],
)
def test_a_redirect_names_its_host_and_nothing_else(location: str, shown: str) -> None:
    """The error has the Location's host, not its query, which repeats the keys."""
    outcome = outcome_of(307, "", {"location": location})
    assert outcome.summary == (
        f"the host redirects (307) to {shown}, and redirects with keys are not followed: check the host"
    )


@pytest.mark.parametrize(
    ("sent", "timed_out", "delivery", "again", "error"),
    [
        (False, False, Delivery.NOT_SENT, RetryHint.YES, ConnectionFailed),
        (False, True, Delivery.NOT_SENT, RetryHint.YES, Timeout),
        (True, False, Delivery.UNKNOWN, RetryHint.IF_REPEATABLE, ConnectionFailed),
        (True, True, Delivery.UNKNOWN, RetryHint.IF_REPEATABLE, Timeout),
    ],
)
def test_what_no_answer_means(
    sent: bool, timed_out: bool, delivery: Delivery, again: RetryHint, error: type[LeadSquaredError]
) -> None:
    """Without an answer a call was not sent or is unknown, and the server may still count the latter."""
    outcome = outcome_without_answer(sent=sent, timed_out=timed_out, cause="it broke")
    assert (outcome.delivery, outcome.retry, outcome.error) == (delivery, again, error)
    assert (outcome.fault, outcome.summary, outcome.counted) == (Fault.SERVER, "it broke", not sent)
    assert outcome.scope is (Scope.OPERATION if sent else Scope.SERVER)
    assert not outcome.throttled
    assert not outcome.succeeded


field_names = st.text(max_size=3) | st.sampled_from(
    ["Status", "RequestID", "requestId", "ExceptionType", "ExceptionMessage", "IsMXException", "message"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(A_SECOND),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(field_names, inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary().map(lambda raw: raw.decode("utf-8", "replace")),
    st.text(),
    json_values.map(json.dumps),
    st.sampled_from([ACCEPTED, LIMIT, QUOTA, NO_TOKEN, UNKNOWN_FIELD]).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda end: text[:end])
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    status=st.integers(100, 599) | st.sampled_from([0, 200, 401, 429, 500, 999]),
    content=bodies,
    headers=st.fixed_dictionaries({}, optional={"retry-after": st.text(), "location": st.text()}),
    expect=st.sampled_from(ExpectedBody),
    cut_off=st.booleans(),
)
@example(200, "[" * 2000, {}, ExpectedBody.JSON, False)
@example(200, '{"RequestID":"\\ud800"}', {}, ExpectedBody.REQUEST_ID, False)
def test_any_answer_means_something(
    status: int, content: str, headers: dict[str, str], expect: ExpectedBody, cut_off: bool
) -> None:
    """Whatever comes back is classified, and only a RequestID or a read's JSON makes a success."""
    outcome = outcome_of(status, content, headers, expect=expect, cut_off=cut_off)
    assert outcome.succeeded == (outcome.delivery is Delivery.ACCEPTED)
    assert outcome.summary
    if outcome.succeeded:
        assert 200 <= status < 300
        assert outcome.request_id or expect is ExpectedBody.JSON
        assert (outcome.fault, outcome.retry, outcome.pause) == (None, RetryHint.NO, None)
    else:
        assert issubclass(outcome.error or object, LeadSquaredError)
    if outcome.throttled:
        assert (outcome.delivery, outcome.fault, outcome.scope, outcome.retry) == throttled[1:]
    assert outcome.pause is None or 0 <= outcome.pause <= 3600


def test_a_hostile_answer_takes_no_time() -> None:
    """A megabyte made to be searched again and again is read in a second or less."""
    before = time.process_time()
    for word in ("a-" * 500_000, "limit of " * 110_000, "limit of" + " " * 990_000, "." * 1_000_000):
        for status in (200, 401, 429, 500):
            outcome_of(status, json.dumps({"message": word}))
    assert time.process_time() - before < 16
