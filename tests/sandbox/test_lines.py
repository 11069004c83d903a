"""A line for each call: method, path, outcome, names, RequestID and reason, and never a value."""

import httpx
import pytest

from leadsquared_async.sandbox import Account, Faults, How, Request, Sandbox
from leadsquared_async.sandbox.server import line_of

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    HEADERS,
    KEYS,
    SECRET_KEY,
    bulk_request,
    capture_request,
    row,
    status_request,
    submission,
)
from .documented import TABLE

PLANTED = "zq planted"


def line(account: Account, request: Request, now: float = 0.0) -> str:
    """The line of a call."""
    reply = account.decide(request, now)
    return line_of(request, reply, account.arrivals[-1] if reply.how is not How.REFUSED else None)


def test_a_capture_and_its_status():
    """A line has the schema names, the RequestID and its status."""
    account = Account(seed=1, attributes={"FirstName"})
    first = line(account, capture_request(FirstName=PLANTED, mx_City=PLANTED))
    head, arrow, request_id = first.partition(" -> ")
    assert (head, arrow) == ("POST /lead/capture 200 FirstName, mx_City", " -> ")
    assert line(account, status_request(request_id), 9.0) == f"GET /lead/status 200 -> {request_id} FAILURE"


@pytest.mark.parametrize("operation", TABLE)
def test_every_operation(operation: str):
    """A line has the names in the documented body and none of its values."""
    submit, query, body, *_ = TABLE[operation]
    said = line(Account(), submission(submit, body, query))
    assert " 200 " in said
    assert " -> " in said
    for value in ("Bret", "email@example.com", "Bangalore", "Your Activity Note", "8611795988", "159f38f2"):
        assert value not in said


def test_a_bulk_call_names_each_field_once():
    """A name is shown once, however many rows have it."""
    said = line(Account(), bulk_request([row(FirstName="A"), row(FirstName="B", Phone="1")]))
    assert said == "POST /v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate 200 FirstName, Phone"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (capture_request(FirstName="A", query=""), "POST /lead/capture 401 FirstName: accessKey is missing"),
        (
            capture_request(b"x"),
            "POST /lead/capture 400: The body is not valid JSON in UTF-8: line 1, column 1",
        ),
        (Request("GET", "/"), "GET / 403: unknown method and path"),
    ],
)
def test_a_refusal_says_why(request_: Request, said: str):
    """A line ends with the hint of a refusal, or with the fault that the call met."""
    assert line(Account(), request_).startswith(said)
    for fault in ("500", "lost", "refused"):
        account = Account(faults=Faults(script=(fault,)))
        assert line(account, capture_request(BRET)).endswith(f": fault {fault}")


@pytest.mark.parametrize(
    "name",
    ["bret.lee@example.com", "+91 98765", "9876543210", SECRET_KEY, API_KEY, ACCESS_KEY, "\x1b[2J", "x" * 99],
)
def test_a_name_that_looks_like_a_value_is_not_shown(name: str):
    """A value that a client sends as a name is shown as a question mark."""
    for body in ([{"Attribute": name, "Value": "x"}], {"LeadDetails": [{"SchemaName": name}]}):
        said = line(Account(), submission("/lead/capture", body))
        assert name not in said
        assert " ?" in said


def test_many_names_are_counted():
    """The first eight names are shown, the rest counted."""
    said = line(Account(), capture_request(**{f"mx_A{number}": "x" for number in range(100)}))
    assert "mx_A7 and 92 more ->" in said


async def test_a_running_sandbox_reports_each_call():
    """Calls that are refused before they arrive are reported; reads of the books and redirects are not."""
    lines: list[str] = []
    faults = Faults(script=("refused", "ok", "ok"))
    async with (
        Sandbox(on_call=lines.append, faults=faults) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):
        with pytest.raises(httpx.TransportError):
            await client.post(f"/lead/capture?{KEYS}", content=BRET)
        await client.post(f"/lead/capture?{KEYS}", content=BRET)
        await client.get("/_sandbox/leads")
        await client.get("/", headers={"Accept": "text/html"})
        await client.get("/_sandbox/leads", headers={"Origin": "https://evil.example"})
        await client.get("/_sandbox/nothing")
        await client.put("/_sandbox/faults", json={"latency": 0})
        await client.post("/_sandbox/reset")
        with pytest.raises(httpx.TransportError):
            await client.get("/lead/capture/metrics")
    heads = [said.partition(":")[0].partition(" ->")[0] for said in lines]
    assert heads == [
        "POST /lead/capture refused",
        "POST /lead/capture 200 FirstName, LastName, EmailAddress",
        "GET /_sandbox/leads 403",
        "GET /_sandbox/nothing 404",
        "PUT /_sandbox/faults 200",
        "POST /_sandbox/reset 204",
        "GET /lead/capture/metrics refused",
    ]
    for secret in (ACCESS_KEY, "u%24r", SECRET_KEY, API_KEY, "bret.lee", "Bret"):
        assert secret not in " ".join(lines)
