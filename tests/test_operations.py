"""Every operation over the wire, against literals copied by hand from the documentation."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest
import respx

from leadsquared_async import (
    ConfigurationError,
    LeadSquared,
    NoSuchPath,
    NotFound,
    QueueMetrics,
    Receipt,
    RetryPolicy,
    ServerError,
    encoding,
    submissions,
)
from leadsquared_async.operations import OPERATIONS
from tests.clients import KEYS, answering

HOST = "https://asyncapi-in21.leadsquared.com"
LEAD_ID = "0b1f4a1c-d168-4f8b-9f8b-21de97c8b4a1"
REQUEST_ID = "8eca6fa6-262c-43eb-8cfe-6e3325e2dc73"
ACCEPTED = {
    "Status": "Request accepted. Please use below request id to check the status",
    "RequestID": REQUEST_ID,
}
QUERY = "accessKey=u%24r0123456789abcdef0123456789abcdef&secretKey=fedcba9876fedcba9876fedcba9876fedcba9876"
CALL = {
    "SourceNumber": "+91-9611795983",
    "CallerSource": "Campaign",
    "DestinationNumber": "+91-8033172005",
    "DisplayNumber": "+91-8033172005",
    "StartTime": "2017-07-31 10:00:00",
    "EndTime": "2017-07-31 10:05:00",
    "CallDuration": "300",
    "Status": "Answered",
    "ResourceURL": "http://example.com/call.mp3",
    "Direction": "Inbound",
    "CallSessionId": "d168",
    "LeadId": LEAD_ID,
    "Tag": "Sales",
    "UserId": "3f0c2c4e",
}
IST = timezone(timedelta(hours=5, minutes=30))

Resource = Callable[[LeadSquared], Any]
Act = Callable[[LeadSquared], Awaitable[Receipt]]


class Documented(NamedTuple):
    """An operation as its page has it."""

    name: str
    resource: Resource
    act: Act
    submit: str
    query: str
    body: str
    status: str
    metrics: str
    message: str | None
    """What processing answers, where the documentation shows it."""


EVERY = [
    Documented(
        name="leads.capture",
        resource=lambda lsq: lsq.leads,
        act=lambda lsq: lsq.leads.capture(
            {"FirstName": "Bret", "EmailAddress": "bret.lee@australia.com"}, search_by="EmailAddress"
        ),
        submit="/lead/capture",
        query=QUERY,
        body=(
            '[{"Attribute":"FirstName","Value":"Bret"},'
            '{"Attribute":"EmailAddress","Value":"bret.lee@australia.com"},'
            '{"Attribute":"SearchBy","Value":"EmailAddress"}]'
        ),
        status="/lead/status",
        metrics="/lead/capture/metrics",
        message=f'{{"Status":"Success","Message":{{"Id":"a1","RelatedId":"{LEAD_ID}","IsCreated":true}}}}',
    ),
    Documented(
        name="leads.update",
        resource=lambda lsq: lsq.leads,
        act=lambda lsq: lsq.leads.update(
            LEAD_ID, {"FirstName": "John", "mx_City": ""}, post_updated_lead=True
        ),
        submit="/lead/update",
        query=f"{QUERY}&leadId={LEAD_ID}&postUpdatedLead=true",
        body='[{"Attribute":"FirstName","Value":"John"},{"Attribute":"mx_City","Value":""}]',
        status="/lead/update/status",
        metrics="/lead/update/metrics",
        message='{"Status":"Success","Message":{"AffectedRows":1}}',
    ),
    Documented(
        name="activities.create",
        resource=lambda lsq: lsq.activities,
        act=lambda lsq: lsq.activities.create(
            UUID(LEAD_ID),
            event=201,
            note="Your Activity Note",
            at=datetime(2017, 7, 13, 15, 0, 0, tzinfo=IST),
            fields={"mx_Custom_1": "First", "mx_Custom_2": 12},
            process_files_async=True,
            include_lead_score=False,
        ),
        submit="/activity/create",
        query=QUERY,
        body=(
            f'{{"RelatedProspectId":"{LEAD_ID}","ActivityEvent":201,"ActivityNote":"Your Activity Note",'
            '"ActivityDateTime":"2017-07-13 09:30:00","Fields":[{"SchemaName":"mx_Custom_1","Value":"First"},'
            '{"SchemaName":"mx_Custom_2","Value":"12"}],"ProcessFilesAsync":true,"IncludeLeadScore":false}'
        ),
        status="/activity/create/status",
        metrics="/activity/create/metrics",
        message=None,
    ),
    Documented(
        name="activities.create_with_lead",
        resource=lambda lsq: lsq.activities,
        act=lambda lsq: lsq.activities.create_with_lead(
            {"FirstName": "Robin", "EmailAddress": "robin@example.com"},
            search_by="EmailAddress",
            event=105,
            note="Demo",
            at="2017-07-13 09:30:00",
            fields={"mx_Custom_1": "Yes", "mx_Set": {"Status": "Pending"}},
            validate_drop_down_options=True,
        ),
        submit="/activity/createcustom",
        query=QUERY,
        body=(
            '{"LeadDetails":[{"Attribute":"FirstName","Value":"Robin"},'
            '{"Attribute":"EmailAddress","Value":"robin@example.com"},'
            '{"Attribute":"SearchBy","Value":"EmailAddress"}],'
            '"Activity":{"ActivityEvent":105,"ActivityNote":"Demo","ActivityDateTime":"2017-07-13 09:30:00",'
            '"Fields":[{"SchemaName":"mx_Custom_1","Value":"Yes"},'
            '{"Attribute":"mx_Set","Value":"","Fields":[{"Attribute":"Status","Value":"Pending"}]}],'
            '"ValidateDropDownOptions":true}}'
        ),
        status="/activity/createcustom/status",
        metrics="/activity/createcustom/metrics",
        message=None,
    ),
    Documented(
        name="opportunities.capture",
        resource=lambda lsq: lsq.opportunities,
        act=lambda lsq: lsq.opportunities.capture(
            {"EmailAddress": "johndoe@example.com", "mx_City": "Bangalore"},
            search_by="EmailAddress",
            event_code=12231,
            note="Opportunity capture api",
            at="2020-12-05 12:13:44",
            fields={"mx_Custom_1": "1", "mx_Custom_2": "1"},
            update_empty_fields=True,
            do_not_change_owner=False,
        ),
        submit="/opportunity/capture",
        query=QUERY,
        body=(
            '{"LeadDetails":[{"Attribute":"EmailAddress","Value":"johndoe@example.com"},'
            '{"Attribute":"mx_City","Value":"Bangalore"},{"Attribute":"SearchBy","Value":"EmailAddress"}],'
            '"Opportunity":{"OpportunityEventCode":12231,"OpportunityNote":"Opportunity capture api",'
            '"OpportunityDateTime":"2020-12-05 12:13:44","UpdateEmptyFields":true,"DoNotChangeOwner":false,'
            '"Fields":[{"SchemaName":"mx_Custom_1","Value":"1"},{"SchemaName":"mx_Custom_2","Value":"1"}]}}'
        ),
        status="/opportunity/capture/status",
        metrics="/opportunity/capture/metrics",
        message=None,
    ),
    Documented(
        name="opportunities.update",
        resource=lambda lsq: lsq.opportunities,
        act=lambda lsq: lsq.opportunities.update(LEAD_ID, note="Won", fields={"Status": "Won"}),
        submit="/opportunity/update",
        query=QUERY,
        body=(
            f'{{"ProspectOpportunityId":"{LEAD_ID}","OpportunityNote":"Won",'
            '"Fields":[{"SchemaName":"Status","Value":"Won"}]}'
        ),
        status="/opportunity/update/status",
        metrics="/opportunity/update/metrics",
        message=None,
    ),
    Documented(
        name="calls.log",
        resource=lambda lsq: lsq.calls,
        act=lambda lsq: lsq.calls.log("0123-connector", CALL, instance=LEAD_ID),
        submit=f"/1/api/telephony/logcallcomplete/0123-connector/{LEAD_ID}",
        query="",
        body=json.dumps(CALL, separators=(",", ":")),
        status="/1/api/telephony/logcallcomplete/status",
        metrics="/1/api/telephony/logcallcomplete/metrics",
        message=None,
    ),
]
every = pytest.mark.parametrize("documented", EVERY, ids=[documented.name for documented in EVERY])


@pytest.fixture
def client() -> LeadSquared:
    return LeadSquared(**KEYS, region="in21", retry=RetryPolicy(base=0.0))


@every
async def test_it_is_sent_to_the_letter(
    client: LeadSquared, respx_mock: respx.MockRouter, documented: Documented
) -> None:
    """Path, query, headers and body are those of its page, and the answer becomes a receipt."""
    route = respx_mock.post(f"{HOST}{documented.submit}").respond(json=ACCEPTED)
    async with client as lsq:
        receipt = await documented.act(lsq)
    assert (receipt.request_id, receipt.operation, receipt.attempts) == (REQUEST_ID, documented.name, 1)
    sent = route.calls.last.request
    query = f"?{documented.query}" if documented.query else ""
    assert sent.url.raw_path.decode() == f"{documented.submit}{query}"
    assert sent.headers["x-api-key"] == KEYS["api_key"]
    assert sent.headers["content-type"] == "application/json"
    assert sent.content.decode() == documented.body


@every
async def test_its_outcome_is_asked_for_at_its_own_path(
    client: LeadSquared, respx_mock: respx.MockRouter, documented: Documented
) -> None:
    """It is a GET with RequestID and the x-api-key only, and a receipt knows its operation."""
    respx_mock.post(f"{HOST}{documented.submit}").respond(json=ACCEPTED)
    task = {
        "TaskType": "Any",
        "Status": "Success",
        "StatusReason": "",
        "TaskCurrentStep": None,
        "TaskLastStep": None,
        "RequestBody": documented.body,
        "Message": documented.message,
    }
    route = respx_mock.get(f"{HOST}{documented.status}").respond(
        json={"RequestId": REQUEST_ID, "TaskStatus": task}
    )
    async with client as lsq:
        receipt = await documented.act(lsq)
        resource = documented.resource(lsq)
        looks = [
            await resource.status(receipt),
            await resource.status(REQUEST_ID, operation=documented.name),
        ]
    assert all(look.succeeded and look.is_final for look in looks)
    for call in route.calls:
        assert call.request.url.raw_path.decode() == f"{documented.status}?RequestID={REQUEST_ID}"
        assert call.request.headers["x-api-key"] == KEYS["api_key"]
    if documented.message is not None:
        assert looks[0].message == json.loads(documented.message)


@every
async def test_its_queue_is_measured_at_its_own_path(
    client: LeadSquared, respx_mock: respx.MockRouter, documented: Documented
) -> None:
    """It is a GET with the x-api-key only."""
    route = respx_mock.get(f"{HOST}{documented.metrics}").respond(
        json={"PendingMessages": 1, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 24.8}
    )
    async with client as lsq:
        metrics = await documented.resource(lsq).metrics(operation=documented.name)
    assert metrics == QueueMetrics(pending=1, max_delay=0.0, rate_per_minute=24.8)
    assert route.calls.last.request.url.raw_path.decode() == documented.metrics


@every
async def test_its_paths_can_be_others(respx_mock: respx.MockRouter, documented: Documented) -> None:
    """`paths` replaces all three paths."""
    name = documented.name
    paths = {name: "/other", f"{name} status": "/other/status", f"{name} metrics": "/other/metrics"}
    suffix = documented.submit.partition("logcallcomplete")[2]
    respx_mock.post(f"{HOST}/other{suffix}").respond(json=ACCEPTED)
    respx_mock.get(f"{HOST}/other/status").respond(json={"TaskStatus": {"Status": "In-Queue"}})
    respx_mock.get(f"{HOST}/other/metrics").respond(
        json={"PendingMessages": 0, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 0}
    )
    async with LeadSquared(**KEYS, region="in21", paths=paths) as lsq:
        receipt = await documented.act(lsq)
        assert not (await documented.resource(lsq).status(receipt)).is_final
        assert (await documented.resource(lsq).metrics(operation=name)).pending == 0


GUESSED = {
    "leads.capture metrics",
    "leads.update status",
    "leads.update metrics",
    "activities.create status",
    "activities.create metrics",
    "activities.create_with_lead status",
    "opportunities.capture status",
    "opportunities.capture metrics",
    "opportunities.update status",
    "opportunities.update metrics",
    "calls.log metrics",
}
"""Inferred by the fact sheet's table; all others are documented."""


def call_of(documented: Documented, kind: str, lsq: LeadSquared) -> Awaitable[Any]:
    resource = documented.resource(lsq)
    if kind == " status":
        return resource.status(REQUEST_ID, operation=documented.name)
    return resource.metrics(operation=documented.name) if kind else documented.act(lsq)


@every
@pytest.mark.parametrize("kind", ["", " status", " metrics"])
async def test_a_path_that_does_not_exist_says_whether_it_is_a_guess(
    documented: Documented, kind: str
) -> None:
    """A 404 or "Missing Authentication Token" from an inferred path names it and what to do."""
    answers = iter(
        [
            httpx.Response(403, json={"message": "Missing Authentication Token"}),
            httpx.Response(404, json={"message": "Not Found"}),
        ]
    )
    name = f"{documented.name}{kind}"
    caught: list[NotFound] = []
    async with answering(lambda request: next(answers)) as lsq:
        for error in (NoSuchPath, NotFound):
            with pytest.raises(error) as raised:
                await call_of(documented, kind, lsq)
            caught.append(raised.value)
    for error_ in caught:
        assert ("does not confirm the path" in str(error_)) == (name in GUESSED)
        assert ("`leadsquared doctor --probe`" in str(error_)) == (name in GUESSED)
        assert (f'paths={{"{name}": "/..."}}' in str(error_)) == (name in GUESSED)


async def test_a_guess_that_was_replaced_is_a_guess_no_more() -> None:
    """The caller's own path is not called inferred."""
    async with answering(
        lambda request: httpx.Response(404), paths={"leads.update status": "/lead/status"}
    ) as lsq:
        with pytest.raises(NotFound) as caught:
            await lsq.leads.status(REQUEST_ID, operation="leads.update")
    assert "does not confirm" not in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ({"leads.updates": "/x"}, "leads.update status"),
        ({"leads.update": "x"}, "slash"),
        ({"leads.update": "/x?y=1"}, "slash"),
        ({"leads.update": None}, "slash"),
        (["/x"], "mapping"),
    ],
)
def test_an_invalid_path_is_rejected_at_once(paths: Any, words: str) -> None:
    """The error lists the names, or shows a valid path."""
    with pytest.raises(ConfigurationError, match=words):
        LeadSquared(**KEYS, region="in21", paths=paths)


@pytest.mark.parametrize(
    ("name", "repeated"),
    [
        ("leads.capture", True),
        ("leads.update", True),
        ("activities.create", False),
        ("activities.create_with_lead", False),
        ("opportunities.capture", False),
        ("opportunities.update", True),
        ("calls.log", False),
    ],
)
async def test_only_what_is_matched_is_sent_again_when_nobody_knows(name: str, repeated: bool) -> None:
    """After a lost answer an upsert is retried; an activity or call log only with `unknown="always"`."""
    documented = next(it for it in EVERY if it.name == name)
    sent: list[str] = []

    def lose(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        raise httpx.ReadError("lost")

    async with answering(lose, retry=RetryPolicy(attempts=2, base=0.0)) as lsq:
        with pytest.raises(Exception, match="It may have arrived"):
            await documented.act(lsq)
        assert len(sent) == 1 + repeated
        always = lsq.with_options(retry=RetryPolicy(attempts=2, base=0.0, unknown="always"))
        with pytest.raises(Exception, match="It may have arrived"):
            await documented.act(always)
    assert len(sent) == 3 + repeated


@every
async def test_what_is_submitted_as_a_value_is_the_same_request(documented: Documented) -> None:
    """A submission that is passed on, batched or decoded is sent as its method sends it."""
    sent: list[tuple[str, bytes]] = []

    def accept(request: httpx.Request) -> httpx.Response:
        sent.append((str(request.url), request.content))
        return httpx.Response(200, json=ACCEPTED)

    made: list[submissions.Submission] = []

    async with answering(accept) as lsq:
        prepare = lsq._parts.preparer.prepare

        async def note(submission: submissions.Submission, **options: Any) -> Any:
            made.append(submission)
            return await prepare(submission, **options)

        lsq._parts.preparer.prepare = note  # type: ignore[method-assign]
        await documented.act(lsq)
        (submission,) = made
        encoded = encoding.encode(submission)
        again = encoding.decode(
            encoded.operation, encoded.content, encoded.query, encoded.suffix, encoded.reference
        )
        await lsq.submit(submission)
        async with lsq.submit_many([submission, again]) as results:
            receipts = [result.receipt async for result in results]
    assert all(receipt is not None and receipt.operation == documented.name for receipt in receipts)
    assert len(sent) == 4
    assert len(set(sent)) == 1
    assert encoding.encode(again) == encoded


@pytest.mark.usefixtures("polls_soon")
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_receipt_is_followed_by_any_resource(operation: str) -> None:
    """The client and every resource poll at the path of the receipt's operation."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"TaskStatus": {"Status": "Success"}})

    receipt = Receipt(REQUEST_ID, 1, 0.0, operation=operation)
    async with answering(answer) as lsq:
        followers = (lsq, lsq.leads, lsq.activities, lsq.opportunities, lsq.calls)
        for follower in followers:
            await follower.status(receipt)
            await lsq.status(REQUEST_ID, operation=operation)
        assert (await lsq.wait(receipt)).succeeded
        async with lsq.wait_many([receipt]) as results:
            assert [result.ok async for result in results] == [True]
    path = OPERATIONS[operation].status.text
    assert asked == [path] * (2 * len(followers) + 2)


async def test_a_bare_request_id_is_of_the_first_operation_of_the_resource() -> None:
    """The client takes it for a capture's."""
    async with answering(lambda request: httpx.Response(200)) as lsq:
        resources = (lsq, lsq.leads, lsq.activities, lsq.opportunities, lsq.calls)
        names = [resource._usual.name for resource in resources]
    assert names == [
        "leads.capture",
        "leads.capture",
        "activities.create",
        "opportunities.capture",
        "calls.log",
    ]


async def test_an_operation_that_is_not_the_receipts_is_refused() -> None:
    """An unknown operation raises too, with the names of the known ones."""
    receipt = Receipt(REQUEST_ID, 1, 0.0, operation="activities.create")
    async with answering(lambda request: httpx.Response(200)) as lsq:
        with pytest.raises(ConfigurationError, match=r"leads\.capture, leads\.update"):
            await lsq.leads.status(Receipt(REQUEST_ID, 1, 0.0, operation="leads.conquer"))
        with pytest.raises(ConfigurationError, match=r"the receipt is of activities\.create"):
            await lsq.activities.wait(receipt, operation="activities.create_with_lead")
        async with lsq.wait_many([receipt], operation="leads.capture") as results:
            errors = [result.error async for result in results]
        assert [type(error) for error in errors] == [ConfigurationError]
        with pytest.raises(ConfigurationError, match=r"calls\.log"):
            lsq.wait_many([receipt], operation="leads.conquer")
        with pytest.raises(ConfigurationError, match="operation"):
            await lsq.calls.metrics(operation="calls")


async def test_answers_without_metrics_say_so() -> None:
    """An answer without metrics is a ServerError."""
    async with answering(lambda request: httpx.Response(200, json={"a": 1})) as lsq:
        with pytest.raises(ServerError, match=r"activities\.create metrics"):
            await lsq.activities.metrics()


@pytest.mark.parametrize(
    "act",
    [
        lambda lsq: lsq.leads.update(LEAD_ID, {"FirstName": "Bret"}),
        lambda lsq: lsq.activities.create(LEAD_ID, event=1),
        lambda lsq: lsq.opportunities.update(LEAD_ID, note="x"),
    ],
)
async def test_a_leads_id_shows_in_no_message(act: Act) -> None:
    """Only an attribute of the error has the id that LeadSquared repeats."""
    answer = {"ExceptionType": "MXLead", "ExceptionMessage": f"Prospect {LEAD_ID} does not exist"}
    async with answering(lambda request: httpx.Response(500, json=answer)) as lsq:
        with pytest.raises(Exception, match="MXLead") as caught:
            await act(lsq)
    assert LEAD_ID not in str(caught.value)
    assert LEAD_ID in caught.value.exception_message  # type: ignore[attr-defined]


async def test_a_connector_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """The key, a part of the path, is in no log, error or repr."""
    caplog.set_level(0)
    key = "connector-key-that-is-secret"

    def refuse(request: httpx.Request) -> httpx.Response:
        assert key in str(request.url)
        body = {"ExceptionType": "MXInvalidInputException", "ExceptionMessage": f"{key} of {request.url}"}
        return httpx.Response(500, json=body)

    async with answering(refuse) as lsq:
        with pytest.raises(Exception, match="MXInvalidInputException") as caught:
            await lsq.calls.log(key, CALL)
    submission = submissions.log_call(key, CALL)
    shown = f"{caught.value} {caught.value!r} {submission!r} {encoding.encode(submission)!r} {caplog.text}"
    assert key not in shown
    assert CALL["SourceNumber"] not in shown


def test_a_moment_goes_out_in_utc() -> None:
    """An aware datetime of any zone is sent in UTC."""
    at = datetime(2026, 1, 1, 0, 30, tzinfo=IST)
    encoded = encoding.encode(submissions.create_activity(LEAD_ID, event=1, at=at))
    assert json.loads(encoded.content)["ActivityDateTime"] == "2025-12-31 19:00:00"
    assert at.astimezone(UTC).isoformat(" ")[:19] == "2025-12-31 19:00:00"
