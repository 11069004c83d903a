"""Calls and their answers, against literals copied by hand from LeadSquared's documentation."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import FAULTS, Account, Books, Faults, How, Request
from leadsquared_async.sandbox.control import answer
from leadsquared_async.sandbox.server import LONGEST_LINE, line_of

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    BULK,
    FIELDS,
    HEADERS,
    KEYS,
    SECRET_KEY,
    USER,
    bulk_request,
    capture,
    capture_request,
    content,
    metrics_request,
    row,
    status_request,
    submission,
    task_status,
)
from .documented import CALL

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def test_a_status_of_success():
    """After a request is processed its Message is the synchronous API's answer, as JSON within JSON."""
    account = Account()
    request_id = json.loads(account.decide(capture_request(BRET), 0.0).body)["RequestID"]
    status = task_status(account, request_id, 1.0)
    assert status["Status"] == "Success"
    assert status["RequestBody"] == BRET.decode()
    message = json.loads(status["Message"] or "")
    (lead_id,) = account.records.leads
    activity_id = message["Message"]["Id"]
    assert re.fullmatch(GUID, activity_id)
    assert message == {
        "Status": "Success",
        "Message": {"Id": activity_id, "RelatedId": lead_id, "IsCreated": True},
    }


def test_an_unknown_attribute_is_accepted_and_fails_later():
    """One unknown attribute rejects the whole lead, and only the status says so."""
    account = Account(attributes={"FirstName"})
    status = task_status(account, capture(account, 0.0, FirstName="B", mx_A="1", mx_B="2"), 1.0)
    assert status["Status"] == "FAILURE"
    assert status["Message"] is None
    assert status["StatusReason"] == (
        "MXUnknownAttributeException: Attribute(s) does not exist - mx_A, mx_B."
    )
    assert account.records.leads == {}


def test_the_metrics():
    """The metrics are queue length, largest delay, and requests a minute over ten minutes."""
    account = Account(processing_rate=60)
    for _ in range(5):
        capture(account, 0.0, FirstName="B")
    reply = account.decide(metrics_request(), 2.5)
    assert reply.body == b'{"PendingMessages":3,"MaxDelayInSeconds":2,"ProcessingRatePerMinute":0.2}'
    assert content(account.decide(metrics_request(), 700.0)) == {
        "PendingMessages": 0,
        "MaxDelayInSeconds": 0,
        "ProcessingRatePerMinute": 0.0,
    }


GOOD = capture_request(BRET)
PLANTED = "zqplanted4711"
HINT = "x-sandbox-hint"


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key.lower() != name}


def mx(exception_type: str, message: str) -> bytes:
    return (
        f'{{"Status":"Error","ExceptionType":"{exception_type}","ExceptionMessage":"{message}"}}'
    ).encode()


def invalid(message: str) -> tuple[int, bytes]:
    return 400, mx("MXInvalidInputException", message)


NO_JSON = invalid("The body is not valid JSON in UTF-8")

NO_PATH = (403, b'{"message":"Missing Authentication Token"}')
FORBIDDEN = (403, b'{"message":"Forbidden"}')
WRONG_KEYS = (401, mx("MXUnAuthorizedAccessException", "Invalid AccessKey or SecretKey"))
NO_TYPE = (415, b'{"message":"Unsupported Media Type"}')
IN_HEADERS = {**HEADERS, "x-LSQ-AccessKey": ACCESS_KEY, "x-LSQ-SecretKey": SECRET_KEY}
ACCESS, SECRET = KEYS.split("&")


def at(path: str, method: str = "POST") -> Request:
    return replace(GOOD, path=path, method=method)


def with_keys(query: str) -> Request:
    return replace(GOOD, query=query)


def with_headers(**changes: str) -> Request:
    return replace(GOOD, headers=HEADERS | {name.replace("_", "-"): value for name, value in changes.items()})


# what is refused: (request, (status, body), part of the hint)
REFUSED: tuple[tuple[Request, tuple[int, bytes], str], ...] = (
    (replace(GOOD, headers=without("x-api-key")), FORBIDDEN, "the header x-api-key is missing"),
    (with_headers(x_api_key=PLANTED), FORBIDDEN, "the header x-api-key is not the key of this sandbox"),
    (Request("GET", "/lead/status", "RequestID=1"), FORBIDDEN, "missing"),
    (Request("GET", "/lead/capture/metrics"), FORBIDDEN, "missing"),
    (at("/lead/captures"), NO_PATH, "mean POST /lead/capture"),
    (at("/lead/capture/"), NO_PATH, "mean POST /lead/capture"),
    (at("/Lead/Captures/"), NO_PATH, "mean POST /lead/capture"),
    (at("/v2/LeadManagement.svc/Lead.Capture"), NO_PATH, "/v2/"),
    (at("/lead%2Fcapture"), NO_PATH, "mean POST /lead/capture"),
    (at("/lead/capture", "GET"), NO_PATH, "Did you mean POST /lead/capture?"),
    (at("/lead/capture/status", "GET"), NO_PATH, "or GET /lead/status"),
    (at("/"), NO_PATH, "the keys are not the cause. GET"),
    (at("/a" * 100_000), NO_PATH, "unknown method and path"),
    (with_keys(""), WRONG_KEYS, "accessKey is missing from the query; secretKey is missing from the query"),
    (with_keys(ACCESS), WRONG_KEYS, "secretKey is missing from the query"),
    (with_keys(SECRET), WRONG_KEYS, "accessKey is missing from the query"),
    (with_keys(f"{ACCESS}&secretKey={PLANTED}"), WRONG_KEYS, "secretKey is not the key of this sandbox"),
    (with_keys(f"accesskey=1&{SECRET}"), WRONG_KEYS, "accessKey is missing"),
    (
        with_keys(f"accessKey=u&{SECRET}"),
        WRONG_KEYS,
        "accessKey is not the key of this sandbox; an accessKey contains a $: put it in single quotes",
    ),
    (replace(GOOD, query="", headers=IN_HEADERS), WRONG_KEYS, "accessKey is missing from the query"),
    (replace(GOOD, headers=without("content-type")), NO_TYPE, "header Content-Type: application/json"),
    (with_headers(Content_Type="application/x-www-form-urlencoded"), NO_TYPE, "application/json"),
    (
        capture_request(b" " * (10 * 1024 * 1024 + 1)),
        (413, b'{"message":"Request Too Long"}'),
        "the body is longer than 10485760 bytes",
    ),
    (capture_request(b" "), NO_JSON, "The body is not valid JSON in UTF-8: it is empty"),
    (capture_request(b'[{"Attribute":\n  zqplanted4711'), NO_JSON, "line 2, column 3"),
    (capture_request(b'["\xff'), NO_JSON, "byte 3 is not UTF-8"),
    (capture_request(b"[" * 100_000), NO_JSON, "the nesting is too deep"),
    (
        capture_request(b'[{"Attribute":"mx_A","Value":"1"},{"Attribute":"mx_B","Value":4711}]'),
        invalid("the body[1]: Value is not a string"),
        "the body[1]: Value is not a string",
    ),
    *(
        (replace(status_request(""), query=query), invalid("RequestID is missing"), "RequestID is missing")
        for query in ("", "RequestID=", "RequestId=1", "requestid=1")
    ),
    (
        status_request(PLANTED),
        (404, b'{"message":"Not Found"}'),
        "the sandbox has no request with this RequestID; a restart or a reset deletes all requests",
    ),
    (
        bulk_request([row(FirstName=PLANTED)] * 26),
        (500, invalid("Pass at least 1 lead and at most 25 leads")[1]),
        "at most 25 leads",
    ),
)


@pytest.mark.parametrize(
    ("request_", "answer_", "hint"), REFUSED, ids=[f"{hint:.40}" for *_, hint in REFUSED]
)
def test_a_refusal_is_leadsquareds_and_a_header_explains_it(
    request_: Request, answer_: tuple[int, bytes], hint: str
):
    """The hint is one line without keys and values, and the arrival has the same."""
    account = Account()
    reply = account.decide(request_, 0.0)
    assert (reply.status, reply.body) == answer_
    assert not any(queue.tasks for queue in account.queues.values())
    said = reply.headers[HINT]
    assert hint in said
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 500
    (arrival,) = account.arrivals
    assert arrival.why == said
    for planted in (PLANTED, ACCESS_KEY, SECRET_KEY, API_KEY):
        assert planted not in said


@pytest.mark.parametrize("query", [KEYS, KEYS.replace("%24", "$")])
def test_the_dollar_of_an_access_key_may_be_encoded_or_not(query: str):
    """Both spellings decode to the same key."""
    assert Account().decide(capture_request(BRET, query=query), 0.0).status == 200


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_the_type_of_a_body_may_carry_parameters(content_type: str):
    """The media type counts, not its case or its parameters."""
    request = replace(GOOD, headers={**HEADERS, "Content-Type": content_type})
    assert Account().decide(request, 0.0).status == 200


def test_the_limit_is_answered_in_leadsquareds_words():
    """The 26th call in 5 seconds meets the documented 429."""
    account = Account()
    replies = [account.decide(capture_request(BRET), 0.0) for _ in range(26)]
    assert [reply.status for reply in replies] == [200] * 25 + [429]
    assert replies[-1].body == (
        b'{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException",'
        b'"ExceptionMessage":"API calls exceeded the limit of 25 in 5 second(s)"}'
    )
    assert "retry-after" not in replies[-1].headers
    assert account.arrivals[-1].why == "over the limit"


def test_submissions_status_and_metrics_share_the_limit():
    """All calls of the account count towards one limit."""
    account = Account(limit=(3, 5.0))
    requests = [GOOD, status_request("1"), metrics_request(), metrics_request()]
    assert [account.decide(request, 0.0).status for request in requests] == [200, 404, 200, 429]


def test_what_the_gateway_refuses_is_not_counted():
    """Neither an unknown path nor a wrong x-api-key spends the account's calls."""
    account = Account(limit=(1, 5.0))
    account.decide(replace(GOOD, path="/nowhere"), 0.0)
    account.decide(replace(GOOD, headers={}), 0.0)
    assert account.decide(GOOD, 0.0).status == 200


def test_wrong_keys_spend_the_limit():
    """A 401 comes from LeadSquared itself, which has counted the call."""
    account = Account(limit=(1, 5.0))
    assert account.decide(capture_request(BRET, query=""), 0.0).status == 401
    assert account.decide(GOOD, 0.0).status == 429


def test_a_request_id_is_known_in_any_case():
    """GUIDs compare without case."""
    account = Account()
    request_id = capture(account, 0.0, FirstName="B")
    assert account.decide(status_request(request_id.upper()), 0.0).status == 200


def test_no_repr_shows_keys_or_personal_data():
    """The reprs of requests, replies, accounts and leads show neither keys nor personal data."""
    account = Account()
    request = capture_request(BRET)
    reply = account.decide(request, 0.0)
    request_id = json.loads(reply.body)["RequestID"]
    account.advance(1.0)
    seen = repr(
        (
            *(request, reply, account, account.records.leads, account.queues["capture"].tasks),
            *(account.arrivals, Books(account, lambda: 1.0)),
        )
    )
    assert request_id in seen
    for secret in ("bret.lee", "Bret", ACCESS_KEY, "u%24r", SECRET_KEY, API_KEY):
        assert secret not in seen


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"ok", "refused"}))
def test_a_fault_is_named_in_the_books_only(fault: str):
    """The answer of a fault has no hint, so that it looks like the real one."""
    account = Account(faults=Faults(script=(fault, f"{fault}+taken")))
    for name in (fault, f"{fault}+taken"):
        assert HINT not in account.decide(GOOD, 0.0).headers
        assert account.arrivals[-1].why == f"fault {name}"


def test_the_books_name_method_and_path_without_a_key():
    """Method and path hold no connector's key, no stray key and no terminal control characters."""
    account = Account()
    account.decide(submission("/1/api/telephony/logcallcomplete/zqplanted4711", CALL, ""), 0.0)
    account.decide(replace(GOOD, path=f"/{SECRET_KEY}"), 0.0)
    account.decide(replace(GOOD, path="/u%24r" + ACCESS_KEY[3:]), 0.0)
    account.decide(replace(GOOD, method="P\x1b[2J\r\n" * 9, path="/\x1b[2J\r\n\u202e" + "x" * 1000), 0.0)
    assert [arrival.path for arrival in account.arrivals][:3] == [
        "/1/api/telephony/logcallcomplete/{connectorKey}",
        "(a path with a key)",
        "(a path with a key)",
    ]
    hostile = account.arrivals[3]
    for text, most in ((hostile.method, 20), (hostile.path, 200)):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= most


STATUSES = {200, 307, 400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504}


some_text = st.text() | st.sampled_from(["Attribute", "Fields", "SchemaName"])
some_json = st.recursive(
    st.none() | some_text, lambda inner: st.lists(inner) | st.dictionaries(some_text, inner)
).map(lambda value: json.dumps(value).encode())
some_paths = [
    "/lead/capture",
    "/lead/status",
    "/lead/capture/metrics",
    "/activity/create",
    FIELDS,
    USER,
    BULK,
]


@settings(database=None, deadline=None, max_examples=100)
@given(
    st.builds(
        Request,
        method=st.sampled_from(["GET", "POST", "PUT", "get", ""]) | st.text(),
        path=st.sampled_from(some_paths) | st.text(),
        query=st.text() | st.just(KEYS),
        headers=st.dictionaries(st.text(), st.text()) | st.just(HEADERS),
        body=st.binary() | some_json,
    ),
    st.sampled_from(sorted(FAULTS)),
)
def test_any_request_is_answered_and_makes_one_harmless_line(request: Request, fault: str):
    """No request or fault breaks the account; its line is bounded and has no control characters."""
    account = Account(faults=Faults(script=(fault,)))
    reply = account.decide(request, 0.0)
    assert reply.status in STATUSES
    assert len(account.arrivals) == (reply.how is not How.REFUSED)
    said = line_of(request, reply, account.arrivals[-1] if account.arrivals else None)
    assert said.isascii()
    assert said.isprintable()
    assert len(said) <= LONGEST_LINE
    assert answer(request, Books(account, lambda: 1.0)).status in {403, 404}
