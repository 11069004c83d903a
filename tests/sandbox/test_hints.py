"""What is wrong with a refused call: in a header and in the books; the body stays LeadSquared's."""

from dataclasses import replace

import pytest

from leadsquared_async.sandbox import FAULTS, Account, Books, Faults, Request
from leadsquared_async.sandbox.control import answer

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    HEADERS,
    KEYS,
    SECRET_KEY,
    bulk_request,
    capture_request,
    content,
    row,
    status_request,
    submission,
    submit,
)
from .documented import CALL

GOOD = capture_request(BRET)
PLANTED = "zqplanted4711"
HINT = "x-sandbox-hint"


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key.lower() != name}


REFUSED: dict[str, tuple[Request, int, str]] = {
    "no type": (
        replace(GOOD, headers=without("content-type")),
        415,
        "send the header Content-Type: application/json",
    ),
    "a form's type": (
        replace(GOOD, headers=HEADERS | {"Content-Type": "application/x-www-form-urlencoded"}),
        415,
        "send the header Content-Type: application/json",
    ),
    "no x-api-key": (replace(GOOD, headers=without("x-api-key")), 403, "the header x-api-key is missing"),
    "another x-api-key": (
        replace(GOOD, headers=HEADERS | {"x-api-key": PLANTED}),
        403,
        "the header x-api-key is not the key of this sandbox",
    ),
    "no keys": (
        replace(GOOD, query=""),
        401,
        "accessKey is missing from the query; secretKey is missing from the query",
    ),
    "no secret key": (
        replace(GOOD, query=KEYS.partition("&")[0]),
        401,
        "secretKey is missing from the query",
    ),
    "another secret key": (
        replace(GOOD, query=f"{KEYS.partition('&')[0]}&secretKey={PLANTED}"),
        401,
        "secretKey is not the key of this sandbox",
    ),
    "what a shell leaves of the access key": (
        replace(GOOD, query=f"accessKey=u&secretKey={SECRET_KEY}"),
        401,
        "accessKey is not the key of this sandbox; an accessKey contains a $, which a shell expands",
    ),
    "another method": (replace(GOOD, method="GET"), 403, "Did you mean POST /lead/capture?"),
    "a near path": (replace(GOOD, path="/Lead/Captures/"), 403, "Did you mean POST /lead/capture"),
    "a guessed path": (
        replace(status_request("1"), path="/lead/capture/status"),
        403,
        "or GET /lead/status",
    ),
    "a path of nothing": (replace(GOOD, path="/"), 403, "the keys are not the cause. GET"),
    "an endless path": (
        replace(GOOD, path="/a" * 100_000),
        403,
        "no such method and path; the keys are not the cause.",
    ),
    "an empty body": (capture_request(b" "), 400, "The body is not JSON in UTF-8: it is empty"),
    "no JSON": (
        capture_request(b'[{"Attribute":\n  zqplanted4711'),
        400,
        "The body is not JSON in UTF-8: line 2, column 3",
    ),
    "no UTF-8": (capture_request(b'["\xff'), 400, "The body is not JSON in UTF-8: byte 3 is not UTF-8"),
    "too deep": (capture_request(b"[" * 100_000), 400, "nested too deeply"),
    "no array": (capture_request(b'{"zqplanted4711":1}'), 400, "is not an array of Attribute and Value"),
    "a number": (
        capture_request(b'[{"Attribute":"mx_A","Value":"1"},{"Attribute":"mx_B","Value":4711}]'),
        400,
        "the body[1]: Value is not a string",
    ),
    "a wrong date": (
        submission(
            "/activity/create", {"RelatedProspectId": "1", "ActivityEvent": 1, "ActivityDateTime": PLANTED}
        ),
        400,
        "ActivityDateTime is not a date written YYYY-MM-DD HH:MM:SS",
    ),
    "no RequestID": (replace(status_request(""), query=""), 400, "RequestID is missing"),
    "an unknown RequestID": (
        status_request(PLANTED),
        404,
        "no request of this sandbox has this RequestID; a restart or a reset forgets all requests",
    ),
    "too many rows": (bulk_request([row(FirstName=PLANTED)] * 26), 500, "at most 25 leads"),
    "too large": (capture_request(b" " * (10 * 1024 * 1024 + 1)), 413, "is longer than 10485760 bytes"),
}


@pytest.mark.parametrize(("request_", "status", "hint"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_says_what_is_wrong(request_: Request, status: int, hint: str):
    """In one line that holds neither a key nor a value, and in the same words in the books."""
    account = Account()
    reply = account.decide(request_, 0.0)
    assert reply.status == status
    said = reply.headers[HINT]
    assert hint in said
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 500
    (arrival,) = account.arrivals
    assert arrival.why == said
    for planted in (PLANTED, ACCESS_KEY, SECRET_KEY, API_KEY):
        assert planted not in said


def test_a_call_over_the_limit_says_so():
    """In the books."""
    account = Account(limit=(1, 5.0))
    account.decide(GOOD, 0.0)
    account.decide(GOOD, 0.0)
    assert [arrival.why for arrival in account.arrivals] == ["", "over the limit"]


def test_the_status_of_another_operation_names_it():
    """The RequestID is right, the path is not."""
    account = Account()
    request_id = submit(account, "/lead/capture", [{"Attribute": "FirstName", "Value": "A"}])
    reply = account.decide(status_request(request_id, "/lead/update/status"), 1.0)
    assert (reply.status, reply.headers[HINT]) == (404, "this RequestID belongs to capture")


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"ok", "refused"}))
def test_a_fault_is_named_in_the_books_only(fault: str):
    """Its answer looks like the real one."""
    account = Account(faults=Faults(script=(fault, f"{fault}+taken")))
    for name in (fault, f"{fault}+taken"):
        assert HINT not in account.decide(GOOD, 0.0).headers
        assert account.arrivals[-1].why == f"fault {name}"


def test_what_is_taken_has_no_hint():
    """Every call of a good client."""
    account = Account()
    request_id = submit(account, "/lead/capture", [{"Attribute": "FirstName", "Value": "A"}])
    for request in (GOOD, status_request(request_id), bulk_request([row(FirstName="A")])):
        assert HINT not in account.decide(request, 1.0).headers
    assert {arrival.why for arrival in account.arrivals} == {""}


def test_the_books_name_method_and_path_without_a_key():
    """Neither a connector's key nor one that strayed into the path is kept, nor what a terminal obeys."""
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


@pytest.mark.parametrize("path", ["/_sandbox/secrets", "/_sandbox/faults"])
def test_the_control_plane_hints_as_well(path: str):
    """The same as in its body."""
    request = Request("PUT", path, headers={"host": "localhost"}, body=b"[]")
    reply = answer(request, Books(Account(), lambda: 0.0))
    assert content(reply) == {"error": reply.headers[HINT]}
