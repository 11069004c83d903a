"""Calls as a client makes them, written by hand from LeadSquared's documentation."""

import json

from leadsquared_async.sandbox import Account, Reply, Request

ACCESS_KEY = "u$r0123456789abcdef0123456789abcdef"
SECRET_KEY = "fedcba9876fedcba9876fedcba9876fedcba9876"
API_KEY = "SandboxKeySandboxKeySandboxKeySandboxKey"
KEYS = f"accessKey=u%24r0123456789abcdef0123456789abcdef&secretKey={SECRET_KEY}"
HEADERS = {"x-api-key": API_KEY, "Content-Type": "application/json"}

BRET = (
    b'[{"Attribute":"FirstName","Value":"Bret"},{"Attribute":"LastName","Value":"Lee"},'
    b'{"Attribute":"EmailAddress","Value":"bret.lee@australia.com"}]'
)


def capture_request(body: bytes | None = None, query: str = KEYS, **lead: str) -> Request:
    """A capture of `lead`, or of a raw body."""
    if body is None:
        pairs = [{"Attribute": name, "Value": value} for name, value in lead.items()]
        body = json.dumps(pairs).encode()
    return Request("POST", "/lead/capture", query, HEADERS, body)


def capture(account: Account, now: float, **lead: str) -> str:
    """Capture a lead and return its RequestID."""
    reply = account.decide(capture_request(**lead), now)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)["RequestID"]


def status_request(request_id: str) -> Request:
    return Request("GET", "/lead/status", f"RequestID={request_id}", {"x-api-key": API_KEY})


def task_status(account: Account, request_id: str, now: float) -> dict[str, str | None]:
    """The TaskStatus of a request."""
    reply = account.decide(status_request(request_id), now)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)["TaskStatus"]


def metrics_request() -> Request:
    return Request("GET", "/lead/capture/metrics", "", {"x-api-key": API_KEY})


def content(reply: Reply) -> object:
    return json.loads(reply.body)
