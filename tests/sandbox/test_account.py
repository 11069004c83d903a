"""Calls and their answers, against literals copied by hand from LeadSquared's documentation."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import FAULTS, Account, Books, Faults, How, Request
from leadsquared_async.sandbox.control import ROUTES, answer

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
    submit,
    task_status,
)
from .documented import CALL

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def test_a_capture_is_accepted_with_a_request_id():
    """The answer to a submission is LeadSquared's sentence and a GUID."""
    reply = Account().decide(capture_request(BRET), 0.0)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert re.fullmatch(
        r'\{"Status":"Request accepted\. Please use below request id to check the status",'
        rf'"RequestID":"{GUID}"\}}',
        reply.body.decode(),
    )


def test_a_status_in_queue():
    """Before a request is processed its status is In-Queue and its Message null."""
    account = Account()
    request_id = capture(account, 0.0, FirstName="Bret")
    assert content(account.decide(status_request(request_id), 0.0)) == {
        "RequestId": request_id,
        "TaskStatus": {
            "TaskType": "Lead Capture",
            "Status": "In-Queue",
            "StatusReason": "",
            "TaskCurrentStep": None,
            "TaskLastStep": None,
            "RequestBody": '[{"Attribute": "FirstName", "Value": "Bret"}]',
            "Message": None,
        },
    }


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


def test_a_repeated_capture_created_nothing():
    """IsCreated is false if the capture updated a lead."""
    account = Account()
    capture(account, 0.0, EmailAddress="a@b.c")
    status = task_status(account, capture(account, 1.0, EmailAddress="a@b.c"), 2.0)
    assert json.loads(status["Message"] or "")["Message"]["IsCreated"] is False


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


FORBIDDEN = b'{"message":"Forbidden"}'
NO_PATH = b'{"message":"Missing Authentication Token"}'
GOOD = capture_request(BRET)
PLANTED = "zqplanted4711"
HINT = "x-sandbox-hint"
NO_TYPE = b'{"message":"Unsupported Media Type"}'
JSON_WANTED = "send the header Content-Type: application/json"


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key.lower() != name}


def mx(exception_type: str, message: str) -> bytes:
    return (
        f'{{"Status":"Error","ExceptionType":"{exception_type}","ExceptionMessage":"{message}"}}'
    ).encode()


UNAUTHORIZED = mx("MXUnAuthorizedAccessException", "Invalid AccessKey or SecretKey")


def invalid(message: str) -> bytes:
    return mx("MXInvalidInputException", message)


NO_JSON = invalid("The body is not JSON in UTF-8")
ACTIVITY = {"RelatedProspectId": "1", "ActivityEvent": 1, "ActivityDateTime": PLANTED}

# what is refused: (request, status, body, part of the hint)
REFUSED: dict[str, tuple[Request, int, bytes, str]] = {
    "no x-api-key": (
        replace(GOOD, headers=without("x-api-key")),
        403,
        FORBIDDEN,
        "the header x-api-key is missing",
    ),
    "another x-api-key": (
        replace(GOOD, headers=HEADERS | {"x-api-key": PLANTED}),
        403,
        FORBIDDEN,
        "the header x-api-key is not the key of this sandbox",
    ),
    "status without x-api-key": (Request("GET", "/lead/status", "RequestID=1"), 403, FORBIDDEN, "missing"),
    "metrics without x-api-key": (Request("GET", "/lead/capture/metrics"), 403, FORBIDDEN, "missing"),
    "unknown path": (replace(GOOD, path="/lead/captures"), 403, NO_PATH, "mean POST /lead/capture"),
    "trailing slash": (replace(GOOD, path="/lead/capture/"), 403, NO_PATH, "mean POST /lead/capture"),
    "another case": (replace(GOOD, path="/Lead/Captures/"), 403, NO_PATH, "mean POST /lead/capture"),
    "sync prefix": (replace(GOOD, path="/v2/LeadManagement.svc/Lead.Capture"), 403, NO_PATH, "/v2/"),
    "encoded path": (replace(GOOD, path="/lead%2Fcapture"), 403, NO_PATH, "mean POST /lead/capture"),
    "wrong method": (replace(GOOD, method="GET"), 403, NO_PATH, "Did you mean POST /lead/capture?"),
    "a guessed path": (
        replace(status_request("1"), path="/lead/capture/status"),
        403,
        NO_PATH,
        "or GET /lead/status",
    ),
    "a path of nothing": (replace(GOOD, path="/"), 403, NO_PATH, "the keys are not the cause. GET"),
    "an endless path": (replace(GOOD, path="/a" * 100_000), 403, NO_PATH, "no such method and path"),
    "no keys": (
        replace(GOOD, query=""),
        401,
        UNAUTHORIZED,
        "accessKey is missing from the query; secretKey is missing from the query",
    ),
    "no secret key": (
        replace(GOOD, query=KEYS.partition("&")[0]),
        401,
        UNAUTHORIZED,
        "secretKey is missing from the query",
    ),
    "no access key": (
        replace(GOOD, query=KEYS.partition("&")[2]),
        401,
        UNAUTHORIZED,
        "accessKey is missing from the query",
    ),
    "another secret key": (
        replace(GOOD, query=f"{KEYS.partition('&')[0]}&secretKey={PLANTED}"),
        401,
        UNAUTHORIZED,
        "secretKey is not the key of this sandbox",
    ),
    "a misspelt key": (
        replace(GOOD, query=KEYS.replace("accessKey", "AccessKey")),
        401,
        UNAUTHORIZED,
        "accessKey is missing",
    ),
    "what a shell leaves of the access key": (
        replace(GOOD, query=f"accessKey=u&secretKey={SECRET_KEY}"),
        401,
        UNAUTHORIZED,
        "accessKey is not the key of this sandbox; an accessKey contains a $, which a shell expands",
    ),
    "keys in headers, which only the synchronous host documents": (
        replace(
            GOOD,
            query="",
            headers={**HEADERS, "x-LSQ-AccessKey": ACCESS_KEY, "x-LSQ-SecretKey": SECRET_KEY},
        ),
        401,
        UNAUTHORIZED,
        "accessKey is missing from the query",
    ),
    "no type": (replace(GOOD, headers=without("content-type")), 415, NO_TYPE, JSON_WANTED),
    "a form's type": (
        replace(GOOD, headers=HEADERS | {"Content-Type": "application/x-www-form-urlencoded"}),
        415,
        NO_TYPE,
        JSON_WANTED,
    ),
    "too large": (
        capture_request(b" " * (10 * 1024 * 1024 + 1)),
        413,
        b'{"message":"Request Too Long"}',
        "the body is longer than 10485760 bytes",
    ),
    "an empty body": (capture_request(b" "), 400, NO_JSON, "The body is not JSON in UTF-8: it is empty"),
    "no JSON": (capture_request(b'[{"Attribute":\n  zqplanted4711'), 400, NO_JSON, "line 2, column 3"),
    "no UTF-8": (capture_request(b'["\xff'), 400, NO_JSON, "byte 3 is not UTF-8"),
    "too deep": (capture_request(b"[" * 100_000), 400, NO_JSON, "nested too deeply"),
    "no array": (
        capture_request(b'{"zqplanted4711":1}'),
        400,
        invalid("The body is not an array of Attribute and Value"),
        "is not an array of Attribute and Value",
    ),
    "a number": (
        capture_request(b'[{"Attribute":"mx_A","Value":"1"},{"Attribute":"mx_B","Value":4711}]'),
        400,
        invalid("the body[1]: Value is not a string"),
        "the body[1]: Value is not a string",
    ),
    "a wrong date": (
        submission("/activity/create", ACTIVITY),
        400,
        invalid("ActivityDateTime is not a date written YYYY-MM-DD HH:MM:SS"),
        "ActivityDateTime is not a date",
    ),
    **{
        f"RequestID as {query!r}": (
            replace(status_request(""), query=query),
            400,
            invalid("RequestID is missing"),
            "RequestID is missing",
        )
        for query in ("", "RequestID=", "RequestId=1", "requestid=1")
    },
    "an unknown RequestID": (
        status_request(PLANTED),
        404,
        b'{"message":"Not Found"}',
        "no request of this sandbox has this RequestID; a restart or a reset forgets all requests",
    ),
    "too many rows": (
        bulk_request([row(FirstName=PLANTED)] * 26),
        500,
        invalid("Pass at least 1 lead and at most 25 leads"),
        "at most 25 leads",
    ),
}


@pytest.mark.parametrize(("request_", "status", "body", "hint"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_is_leadsquareds_and_a_header_explains_it(
    request_: Request, status: int, body: bytes, hint: str
):
    """The hint is one line without keys and values, and the arrival has the same."""
    account = Account()
    reply = account.decide(request_, 0.0)
    assert (reply.status, reply.body) == (status, body)
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


def test_without_a_limit_every_call_is_accepted():
    """`limit=None` admits any number of calls."""
    account = Account(limit=None)
    assert {account.decide(GOOD, 0.0).status for _ in range(1000)} == {200}


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
        (request, reply, account, account.records.leads, account.queues["capture"].tasks, account.arrivals)
    )
    assert request_id in seen
    for secret in ("bret.lee", "Bret", ACCESS_KEY, "u%24r", SECRET_KEY, API_KEY):
        assert secret not in seen


def test_a_call_over_the_limit_is_marked_in_the_books():
    """The arrival says that the call was over the limit."""
    account = Account(limit=(1, 5.0))
    account.decide(GOOD, 0.0)
    account.decide(GOOD, 0.0)
    assert [arrival.why for arrival in account.arrivals] == ["", "over the limit"]


def test_the_status_of_another_operation_names_it():
    """The hint names the operation of a RequestID that was asked for at another's path."""
    account = Account()
    request_id = submit(account, "/lead/capture", [{"Attribute": "FirstName", "Value": "A"}])
    reply = account.decide(status_request(request_id, "/lead/update/status"), 1.0)
    assert (reply.status, reply.headers[HINT]) == (404, "this RequestID belongs to capture")


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"ok", "refused"}))
def test_a_fault_is_named_in_the_books_only(fault: str):
    """The answer of a fault has no hint, so that it looks like the real one."""
    account = Account(faults=Faults(script=(fault, f"{fault}+taken")))
    for name in (fault, f"{fault}+taken"):
        assert HINT not in account.decide(GOOD, 0.0).headers
        assert account.arrivals[-1].why == f"fault {name}"


def test_an_accepted_call_has_no_hint():
    """Neither the answer nor the arrival of an accepted call has a hint."""
    account = Account()
    request_id = submit(account, "/lead/capture", [{"Attribute": "FirstName", "Value": "A"}])
    for request in (GOOD, status_request(request_id), bulk_request([row(FirstName="A")])):
        assert HINT not in account.decide(request, 1.0).headers
    assert {arrival.why for arrival in account.arrivals} == {""}


def test_the_books_name_method_and_path_without_a_key():
    """Method and path hold no connector's key, no stray key and no terminal control characters."""
    account = Account()
    account.decide(submission("/1/api/telephony/logcallcomplete/zqplanted4711", CALL, ""), 0.0)
    account.decide(replace(GOOD, path=f"/{SECRET_KEY}"), 0.0)
    account.decide(replace(GOOD, path="/u%24r" + ACCESS_KEY[3:]), 0.0)
    account.decide(replace(GOOD, method="P\x1b[2J\r\n" * 9, path="/\x1b[2J\r\n\u202e" + "x" * 1000), 0.0)
    assert [arrival.path for arrival in account.arrivals][:3] == [
        "/1/api/telephony/logcallcomplete/{connectorKey}",
        "(a path that holds a key)",
        "(a path that holds a key)",
    ]
    hostile = account.arrivals[3]
    for text, most in ((hostile.method, 20), (hostile.path, 200)):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= most


quietly = settings(database=None, deadline=None, max_examples=60)

STATUSES = {200, 307, 400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504}


pairs = st.lists(
    st.fixed_dictionaries(
        {
            "Attribute": st.sampled_from(["ProspectID", "EmailAddress", "Phone", "SearchBy", "mx_A"])
            | st.text(),
            "Value": st.sampled_from(["ProspectId", "Phone", "mx_A", "Mobile"]) | st.text(),
        }
    )
)


@quietly
@given(st.lists(pairs, max_size=5), st.sampled_from(["", "DoNotUpdate", "UpdateOnlyEmptyFields", "Nonsense"]))
def test_any_leads_end_in_an_outcome(leads: list[object], behavior: str):
    """Whatever is accepted ends in Success or FAILURE, and the books agree with the queue."""
    account = Account()
    for lead in leads:
        body = json.dumps(lead).encode()
        account.decide(capture_request(body, query=f"{KEYS}&LeadUpdateBehavior={behavior}"), 0.0)
    books = Books(account, lambda: 1.0)
    succeeded = sum(request["status"] == "Success" for request in books.requests)
    assert {request["status"] for request in books.requests} <= {"Success", "FAILURE"}
    assert sum(len(lead.activities) for lead in books.leads.values()) == succeeded
    for page, methods in ROUTES.items():
        if "GET" in methods:
            reply = answer(Request("GET", f"/_sandbox/{page}", headers={"host": "localhost"}), books)
            json.loads(reply.body)


@quietly
@given(
    st.builds(
        Request,
        method=st.sampled_from(["GET", "POST", "PUT", "get", ""]),
        path=st.sampled_from(
            ["/lead/capture", "/lead/status", "/lead/capture/metrics", "/activity/create", FIELDS, USER, BULK]
        )
        | st.text(),
        query=st.text() | st.just(KEYS),
        headers=st.dictionaries(st.text(), st.text()) | st.just(HEADERS),
        body=st.binary(),
    ),
    st.sampled_from(sorted(FAULTS)),
)
def test_any_request_is_answered(request: Request, fault: str):
    """No method, path, query, header or fault breaks the account."""
    account = Account(faults=Faults(script=(fault,)))
    reply = account.decide(request, 0.0)
    assert reply.status in STATUSES
    assert len(account.arrivals) == (reply.how is not How.REFUSED)
    books = Books(account, lambda: 1.0)
    assert answer(request, books).status in {403, 404}
