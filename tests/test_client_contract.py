"""What goes over the wire, and what is read back, against literals from LeadSquared's documentation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx

from leadsquared_async import LeadSquared, QueueMetrics, RequestState
from tests.clients import KEYS

HOST = "https://asyncapi-in21.leadsquared.com"
REQUEST_ID = "6cb3d2f4-5a1c-4b1a-9d0b-1f2f3a4b5c6d"
ACCEPTED = {
    "Status": "Request accepted. Please use below request id to check the status",
    "RequestID": REQUEST_ID,
}
CAPTURE_BODY = (
    '[{"Attribute":"FirstName","Value":"Bret"},{"Attribute":"LastName","Value":"Lee"},'
    '{"Attribute":"EmailAddress","Value":"bret.lee@australia.com"},{"Attribute":"Phone","Value":"8888888888"},'
    '{"Attribute":"ProspectID","Value":"xxxxxxxx-d168-xxxx-9f8b-xxxx97xxxxxx"},'
    '{"Attribute":"SearchBy","Value":"Phone"}]'
)
STATUS: dict[str, Any] = {
    "RequestId": REQUEST_ID,
    "TaskStatus": {
        "TaskType": "Lead Capture",
        "Status": "Success",
        "StatusReason": "",
        "TaskCurrentStep": None,
        "TaskLastStep": None,
        "RequestBody": CAPTURE_BODY,
        "Message": (
            '{"Status":"Success","Message":{"Id":"activity-id","RelatedId":"lead-id","IsCreated":true}}'
        ),
    },
}


@pytest.fixture
def client() -> LeadSquared:
    return LeadSquared(**KEYS, region="in21")


async def test_a_capture_is_sent_to_the_letter(client: LeadSquared, respx_mock: respx.MockRouter) -> None:
    """POST /lead/capture, the keys in the query and the x-api-key in a header, the body as documented."""
    route = respx_mock.post(f"{HOST}/lead/capture").respond(json=ACCEPTED)
    async with client as lsq:
        receipt = await lsq.leads.capture(
            {
                "FirstName": "Bret",
                "LastName": "Lee",
                "EmailAddress": "bret.lee@australia.com",
                "Phone": "8888888888",
                "ProspectID": "xxxxxxxx-d168-xxxx-9f8b-xxxx97xxxxxx",
            },
            search_by="Phone",
        )
    assert receipt.request_id == REQUEST_ID
    sent = route.calls.last.request
    assert sent.url.raw_path == (
        b"/lead/capture?accessKey=u%24r0123456789abcdef0123456789abcdef"
        b"&secretKey=fedcba9876fedcba9876fedcba9876fedcba9876"
    )
    assert sent.headers["x-api-key"] == "SandboxKeySandboxKeySandboxKeySandboxKey"
    assert sent.headers["content-type"] == "application/json"
    assert sent.content.decode() == CAPTURE_BODY


async def test_update_behavior_goes_into_the_query(client: LeadSquared, respx_mock: respx.MockRouter) -> None:
    """LeadUpdateBehavior is a query parameter beside the keys."""
    route = respx_mock.post(f"{HOST}/lead/capture").respond(json=ACCEPTED)
    async with client as lsq:
        await lsq.leads.capture({"Phone": "1234567890"}, update_behavior="UpdateOnlyEmptyFields")
    assert route.calls.last.request.url.params["LeadUpdateBehavior"] == "UpdateOnlyEmptyFields"


async def test_a_field_set_nests(client: LeadSquared, respx_mock: respx.MockRouter) -> None:
    """A nested mapping is a custom field set, an aware datetime goes out in UTC."""
    route = respx_mock.post(f"{HOST}/lead/capture").respond(json=ACCEPTED)
    async with client as lsq:
        await lsq.leads.capture(
            {"mx_KYC": {"Status": "Pending"}, "mx_Seen": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
        )
    assert json.loads(route.calls.last.request.content) == [
        {"Attribute": "mx_KYC", "Value": "", "Fields": [{"Attribute": "Status", "Value": "Pending"}]},
        {"Attribute": "mx_Seen", "Value": "2026-01-02 03:04:05"},
    ]


async def test_a_status_is_asked_for_with_the_api_key_only(
    client: LeadSquared, respx_mock: respx.MockRouter
) -> None:
    """GET /lead/status?RequestID=..., x-api-key in a header and no other key anywhere."""
    route = respx_mock.get(f"{HOST}/lead/status").respond(json=STATUS)
    async with client as lsq:
        status = await lsq.leads.status(REQUEST_ID)
    sent = route.calls.last.request
    assert sent.url.raw_path == b"/lead/status?RequestID=6cb3d2f4-5a1c-4b1a-9d0b-1f2f3a4b5c6d"
    assert sent.headers["x-api-key"] == KEYS["api_key"]
    assert not sent.content
    assert (status.state, status.is_final, status.succeeded) == (RequestState.SUCCEEDED, True, True)
    assert (status.lead_id, status.activity_id, status.created) == ("lead-id", "activity-id", True)
    assert status.request_body == CAPTURE_BODY


@pytest.mark.parametrize("rate", ["ProcessingRatePerMinute", "ProcessingratePerMinute"])
async def test_metrics_are_read_in_every_spelling(
    client: LeadSquared, respx_mock: respx.MockRouter, rate: str
) -> None:
    """GET /lead/capture/metrics, x-api-key only; the rate is spelt in two ways."""
    route = respx_mock.get(f"{HOST}/lead/capture/metrics").respond(
        json={"PendingMessages": 1, "MaxDelayInSeconds": 0, rate: 24.8}
    )
    async with client as lsq:
        assert await lsq.leads.metrics() == QueueMetrics(pending=1, max_delay=0.0, rate_per_minute=24.8)
    assert route.calls.last.request.url.raw_path == b"/lead/capture/metrics"


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("spelling", ["RequestID", "RequestId", "requestid"])
async def test_a_request_id_is_read_in_every_spelling(
    client: LeadSquared, respx_mock: respx.MockRouter, status: int, spelling: str
) -> None:
    """200, 201 and 202 with a RequestID in the body are a success, however it is spelt."""
    respx_mock.post(f"{HOST}/lead/capture").respond(status, json={spelling: REQUEST_ID})
    async with client as lsq:
        assert (await lsq.leads.capture({"Phone": "1234567890"})).request_id == REQUEST_ID


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("in21", "https://asyncapi-in21.leadsquared.com"),
        ("us11", "https://asyncapi-us11.leadsquared.com"),
        ("sg", "https://asyncapi.leadsquared.com"),
    ],
)
async def test_a_region_is_its_host(region: str, host: str, respx_mock: respx.MockRouter) -> None:
    """Each region that is offered goes to the asynchronous host that the documentation names."""
    respx_mock.post(f"{host}/lead/capture").respond(json=ACCEPTED)
    async with LeadSquared(**KEYS, region=region) as lsq:
        assert (await lsq.leads.capture({"Phone": "1234567890"})).request_id == REQUEST_ID


async def test_what_has_no_method_goes_through_request(
    client: LeadSquared, respx_mock: respx.MockRouter
) -> None:
    """`request` reaches both hosts with either set of keys, and returns the decoded body."""
    sync = respx_mock.get("https://api-in21.leadsquared.com/v2/LeadManagement.svc/LeadsMetaData.Get").respond(
        json=[{"a": 1}]
    )
    post = respx_mock.post(f"{HOST}/opportunity/capture").respond(204)
    async with client as lsq:
        path = "/v2/LeadManagement.svc/LeadsMetaData.Get"
        assert await lsq.request("GET", path, host="sync", query={"schemaName": "Phone"}) == [{"a": 1}]
        assert await lsq.request("POST", "/opportunity/capture", json={"a": [1]}, keys="api_key") is None
    assert dict(sync.calls.last.request.url.params) == {
        "accessKey": KEYS["access_key"],
        "secretKey": KEYS["secret_key"],
        "schemaName": "Phone",
    }
    assert not post.calls.last.request.url.params
    assert post.calls.last.request.content == b'{"a":[1]}'


async def test_a_write_through_request_is_repeated_only_if_the_caller_says_so(
    respx_mock: respx.MockRouter,
) -> None:
    """A POST whose answer is lost is made once; with `repeatable=True` it is made again."""
    answers = [httpx.ReadError("lost"), httpx.Response(200, json={}), httpx.ReadError("lost")]
    route = respx_mock.post(f"{HOST}/lead/update").mock(side_effect=answers)
    async with LeadSquared(**KEYS, region="in21") as lsq:
        assert await lsq.request("POST", "/lead/update", json=[], repeatable=True) == {}
        with pytest.raises(Exception, match="It may have arrived"):
            await lsq.request("POST", "/lead/update", json=[])
    assert route.call_count == 3
