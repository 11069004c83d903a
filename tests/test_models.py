"""LeadSquared's states and metrics are read in every spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import QueueMetrics, RequestState, RequestStatus
from leadsquared_async.models import field_of, read_metrics, read_status

GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"
LEAD = "0b7a1f3c-0001-4c5a-9f8b-0a1b97c2d3e4"
ACTIVITY = "0b7a1f3c-0002-4c5a-9f8b-0a1b97c2d3e4"
CREATED = f'{{"Status":"Success","Message":{{"Id":"{ACTIVITY}","RelatedId":"{LEAD}","IsCreated":true}}}}'
REQUEST_BODY = '[{"Attribute":"EmailAddress","Value":"bret.lee@example.com"}]'
MX = "MXUnknownAttributeException"


def answer(status: Any = "Success", **task: Any) -> dict[str, Any]:
    fields = {
        "TaskType": "Lead Capture",
        "Status": status,
        "StatusReason": "",
        "TaskCurrentStep": None,
        "TaskLastStep": None,
        "RequestBody": REQUEST_BODY,
        "Message": None,
    }
    return {"RequestId": GUID, "TaskStatus": {**fields, **task}}


def read(data: object) -> RequestStatus:
    status = read_status(data, GUID)
    assert status is not None
    return status


def test_a_capture_that_succeeded() -> None:
    """RelatedId is the lead's id and Id the activity's, within JSON within JSON."""
    data = json.loads(
        '{"RequestId":"5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4","TaskStatus":{"TaskType":"Lead Capture",'
        '"Status":"Success","StatusReason":"Processed","TaskCurrentStep":null,"TaskLastStep":"Capture",'
        '"RequestBody":"[{\\"Attribute\\":\\"FirstName\\",\\"Value\\":\\"Bret\\"}]",'
        '"Message":"{\\"Status\\":\\"Success\\",\\"Message\\":{'
        '\\"Id\\":\\"0b7a1f3c-0002-4c5a-9f8b-0a1b97c2d3e4\\",'
        '\\"RelatedId\\":\\"0b7a1f3c-0001-4c5a-9f8b-0a1b97c2d3e4\\",\\"IsCreated\\":true}}"}}'
    )
    assert read(data) == RequestStatus(
        request_id=GUID,
        state=RequestState.SUCCEEDED,
        raw_state="Success",
        is_final=True,
        reason="Processed",
        lead_id=LEAD,
        activity_id=ACTIVITY,
        created=True,
        task_type="Lead Capture",
        message={"Status": "Success", "Message": {"Id": ACTIVITY, "RelatedId": LEAD, "IsCreated": True}},
        request_body='[{"Attribute":"FirstName","Value":"Bret"}]',
    )
    assert read(data).succeeded


@pytest.mark.parametrize(
    ("word", "reason", "state", "is_final"),
    [
        ("In-Queue", "", RequestState.QUEUED, False),
        ("IN-QUEUE", "", RequestState.QUEUED, False),
        ("in-queue ", "", RequestState.QUEUED, False),
        ("Success", "", RequestState.SUCCEEDED, True),
        ("SUCCESS", "", RequestState.SUCCEEDED, True),
        ("FAILURE", "", RequestState.FAILED, True),
        ("Failure", "System error", RequestState.FAILED, True),
        ("FAILURE", MX, RequestState.FAILED, True),
        ("ERROR", "", RequestState.FAILED, False),
        ("Error", "Object reference not set", RequestState.FAILED, False),
        ("ERROR", MX, RequestState.FAILED, True),
        (" error", f" {MX}: Attribute(s) does not exist - a, b.", RequestState.FAILED, True),
        ("error", "mxUnknownAttributeException", RequestState.FAILED, True),
        ("ERROR", None, RequestState.FAILED, False),
        ("ERROR", 5, RequestState.FAILED, False),
        ("In-Progress", "", RequestState.OTHER, False),
        ("Queued", "", RequestState.OTHER, False),
        (" ", "", RequestState.OTHER, False),
    ],
)
def test_the_words_of_a_status(word: str, reason: Any, state: RequestState, is_final: bool) -> None:
    """Words are read without case; an ERROR is final if its name starts with MX; unknown ones are kept."""
    status = read(answer(word, StatusReason=reason))
    assert (status.state, status.is_final, status.raw_state) == (state, is_final, word)
    assert status.succeeded is (state is RequestState.SUCCEEDED)
    assert status.reason == (reason if isinstance(reason, str) and reason else None)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (f'{{"Status":"Error","ExceptionType":"{MX}","ExceptionMessage":"No."}}', f"{MX}: No."),
        (f'{{"status":"ERROR ","exceptionType":"{MX}"}}', MX),
        ('{"Status":"error","ExceptionMessage":"No."}', "No."),
        ('{"Status":"Error"}', "Processed"),
        ({"Status": "Error", "ExceptionType": MX}, MX),
    ],
)
def test_an_error_inside_a_success(message: Any, reason: str) -> None:
    """An inner Error is final: processing ran, and the lead was rejected."""
    status = read(answer("Success", StatusReason="Processed", Message=message))
    assert (status.state, status.is_final, status.raw_state) == (RequestState.FAILED, True, "Success")
    assert (status.reason, status.succeeded, status.lead_id, status.created) == (reason, False, None, None)


@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_keys_are_read_without_case(spell: Any) -> None:
    """The API spells its keys differently from page to page."""
    task = {spell(key): value for key, value in answer("Success", Message=CREATED)["TaskStatus"].items()}
    status = read({spell("RequestID"): GUID, spell("TaskStatus"): task})
    assert (status.lead_id, status.task_type, status.request_body) == (LEAD, "Lead Capture", REQUEST_BODY)


def test_the_exact_spelling_wins() -> None:
    """Where an answer holds a key twice, the documented spelling is the one that counts."""
    assert field_of({"STATUS": 1, "Status": 2}, "Status") == 2
    assert field_of({"STATUS": 1, "status": 2}, "Status") == 1
    assert field_of({"Status": None, "status": 1}, "Status") is None


@pytest.mark.parametrize(
    ("message", "ids", "created"),
    [
        (CREATED, (LEAD, ACTIVITY), True),
        (CREATED.replace("true", "false"), (LEAD, ACTIVITY), False),
        (CREATED.replace("true", '"true"'), (LEAD, ACTIVITY), None),
        (CREATED.replace("true", "1"), (LEAD, ACTIVITY), None),
        (json.loads(CREATED), (LEAD, ACTIVITY), True),
        ('{"Status":"Success","Message":{"AffectedRows":1}}', (None, None), None),
        ('{"Status":"Success","Message":{"Id":5,"RelatedId":null}}', (None, None), None),
        ('{"Status":"Success","Message":"done"}', (None, None), None),
        ('{"Status":"Success"}', (None, None), None),
        ('{"Status":"Success",', (None, None), None),
        ("[" * 100_000, (None, None), None),
        ('{"Status":' + "[" * 900 + "]" * 900 + "}", (None, None), None),
        ("[]", (None, None), None),
        ("done", (None, None), None),
        ("", (None, None), None),
        (None, (None, None), None),
        (5, (None, None), None),
    ],
)
def test_a_success_without_ids(
    message: Any, ids: tuple[str | None, str | None], created: bool | None
) -> None:
    """Missing ids are None, and the state is a success."""
    status = read(answer("Success", Message=message))
    assert status.succeeded
    assert ((status.lead_id, status.activity_id), status.created) == (ids, created)


@pytest.mark.parametrize("word", ["In-Queue", "FAILURE", "ERROR", "Other"])
def test_ids_are_those_of_a_success(word: str) -> None:
    """An id is ignored unless the state is a success."""
    status = read(answer(word, Message=CREATED))
    assert (status.lead_id, status.activity_id, status.created) == (None, None, None)
    assert status.message == json.loads(CREATED)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        "",
        "Success",
        5,
        True,
        {"RequestId": GUID},
        {"TaskStatus": None},
        {"TaskStatus": []},
        {"TaskStatus": {}},
        {"TaskStatus": "Success"},
        answer(None),
        answer(""),
        answer(5),
        [answer()],
    ],
)
def test_an_answer_that_knows_nothing(data: object) -> None:
    """An answer without a status means that the request is unknown, perhaps not yet known."""
    assert read_status(data, GUID) is None


def test_a_task_without_its_wrapper() -> None:
    """Without TaskStatus an answer says nothing of the request: a bare "Success" is no outcome."""
    assert read_status({"Status": "Success"}, GUID) is None
    assert read_status(answer("Success")["TaskStatus"], GUID) is None


def test_a_status_shows_no_personal_data() -> None:
    """Reason, message and request body are reached by name only."""
    message = CREATED[:-1] + ',"Email":"bret.lee@example.com"}'
    status = read(answer("Success", StatusReason="bret.lee@example.com", Message=message))
    assert "bret" not in repr(status)
    assert status.request_body == REQUEST_BODY


@pytest.mark.parametrize(
    ("data", "metrics"),
    [
        ('{"PendingMessages":1,"MaxDelayInSeconds":0,"ProcessingRatePerMinute":24.8}', (1, 0.0, 24.8)),
        ('{"PendingMessages":1,"MaxDelayInSeconds":0,"ProcessingratePerMinute":24.8}', (1, 0.0, 24.8)),
        ('{"pendingmessages":"7","maxdelayinseconds":"1.5","processingrateperminute":"0"}', (7, 1.5, 0.0)),
    ],
)
def test_metrics(data: str, metrics: tuple[int, float, float]) -> None:
    """The queue's three numbers, in both documented spellings, or as strings."""
    read_out = read_metrics(json.loads(data))
    assert read_out == QueueMetrics(*metrics)
    assert isinstance(read_out.pending, int)


@pytest.mark.parametrize("data", [None, [], {}, "x", 5, {"PendingMessages": 1, "MaxDelayInSeconds": 0}])
def test_an_answer_without_all_metrics_has_none(data: object) -> None:
    """All three numbers are needed."""
    assert read_metrics(data) is None


@pytest.mark.parametrize(
    "number",
    [
        None,
        "",
        "many",
        [],
        {},
        pytest.param("1" * 5000, id="5000 ones"),
        pytest.param(10**400, id="401 digits"),
        float("nan"),
    ],
)
@pytest.mark.parametrize("name", ["PendingMessages", "MaxDelayInSeconds", "ProcessingRatePerMinute"])
def test_a_metric_that_is_no_number(name: str, number: object) -> None:
    """Anything but a finite number makes the answer one without metrics."""
    data = {"PendingMessages": 1, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 24.8, name: number}
    assert read_metrics(data) is None


keys = st.text(max_size=3) | st.sampled_from(
    [
        "TaskStatus",
        "Status",
        "status",
        "Message",
        "message",
        "StatusReason",
        "RequestBody",
        "TaskType",
        "PendingMessages",
        "MaxDelayInSeconds",
        "ProcessingRatePerMinute",
        "ProcessingratePerMinute",
    ]
)
words = st.sampled_from(["Success", "ERROR", "In-Queue", "FAILURE", CREATED, '{"Status":"Error"}', "MXNew"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=12,
)
tasks = st.fixed_dictionaries(
    {"Status": words | json_values}, optional={"Message": words | json_values, "StatusReason": json_values}
)


@settings(max_examples=400, deadline=None)
@given(data=json_values | st.fixed_dictionaries({"TaskStatus": tasks}))
def test_any_json_is_read(data: object) -> None:
    """Whatever JSON comes is a status or none, metrics or none; a success and only that is final and good."""
    status = read_status(data, GUID)
    assert status is None or status.request_id == GUID
    if status is not None:
        assert status.is_final or not status.succeeded
        assert not status.is_final or status.state in {RequestState.SUCCEEDED, RequestState.FAILED}
        for text in (status.lead_id, status.activity_id, status.reason, status.task_type):
            assert text is None or isinstance(text, str)
    metrics = read_metrics(data)
    assert metrics is None or isinstance(metrics.pending, int)
