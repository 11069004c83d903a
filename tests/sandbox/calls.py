"""Calls as a client makes them, written by hand from LeadSquared's documentation."""

import json
from dataclasses import replace
from typing import Any

from leadsquared_async.sandbox import Account, Reply, Request

ACCESS_KEY = "u$r0123456789abcdef0123456789abcdef"
SECRET_KEY = "fedcba9876fedcba9876fedcba9876fedcba9876"
API_KEY = "SandboxKeySandboxKeySandboxKeySandboxKey"
KEYS = f"accessKey=u%24r0123456789abcdef0123456789abcdef&secretKey={SECRET_KEY}"
HEADERS = {"x-api-key": API_KEY, "Content-Type": "application/json"}

FIELDS = "/v2/LeadManagement.svc/LeadsMetaData.Get"
USER = "/v2/Authentication.svc/UserByAccessKey.Get"
BULK = "/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"

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


def status_request(request_id: str, path: str = "/lead/status") -> Request:
    return Request("GET", path, f"RequestID={request_id}", {"x-api-key": API_KEY})


def task_status(
    account: Account, request_id: str, now: float, path: str = "/lead/status"
) -> dict[str, str | None]:
    """The TaskStatus of a request."""
    reply = account.decide(status_request(request_id, path), now)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)["TaskStatus"]


def metrics_request(path: str = "/lead/capture/metrics") -> Request:
    return Request("GET", path, "", {"x-api-key": API_KEY})


def submission(path: str, body: object, query: str = KEYS) -> Request:
    """A POST of `body`, JSON or bytes, to any path."""
    return Request(
        "POST", path, query, HEADERS, body if isinstance(body, bytes) else json.dumps(body).encode()
    )


def submit(account: Account, path: str, body: object, now: float = 0.0, query: str = KEYS) -> str:
    """Submit something and return its RequestID."""
    reply = account.decide(submission(path, body, query), now)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)["RequestID"]


def outcome(account: Account, request_id: str, path: str, now: float = 1.0) -> object:
    """What processing answered, decoded; of a request that succeeded."""
    status = task_status(account, request_id, now, path)
    assert status["Status"] == "Success", status["StatusReason"]
    return json.loads(status["Message"] or "")


def content(reply: Reply) -> object:
    return json.loads(reply.body)


def row(**lead: str) -> list[dict[str, str]]:
    """One lead of a bulk call."""
    return [{"Attribute": name, "Value": value} for name, value in lead.items()]


def bulk_request(rows: object, **changes: Any) -> Request:
    """A bulk call of `rows`, JSON or bytes, as the synchronous host takes it."""
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return replace(Request("POST", BULK, KEYS, {"content-type": "application/json"}, body), **changes)
