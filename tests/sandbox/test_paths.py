"""Calls that are elsewhere: the other answer to every path that no page confirms."""

import pytest

from leadsquared_async.sandbox import Account, Request

from .calls import (
    API_KEY,
    BRET,
    BULK,
    FIELDS,
    KEYS,
    USER,
    bulk_request,
    capture,
    content,
    metrics_request,
    row,
    status_request,
    submission,
    submit,
)
from .documented import CONNECTOR, INSTANCE, TABLE

NO_PATH = {"message": "Missing Authentication Token"}
MOVED = {
    **{f"{name} status": ("GET", row_[3]) for name, row_ in TABLE.items()},
    **{f"{name} metrics": ("GET", row_[5]) for name, row_ in TABLE.items()},
    **{name: ("POST", row_[0]) for name, row_ in TABLE.items() if name != "call-log"},
    "capture": ("POST", "/lead/capture"),
    "capture status": ("GET", "/lead/status"),
    "capture metrics": ("GET", "/lead/capture/metrics"),
    "opportunity-update": ("POST", "/opportunity/update"),
    "opportunity-update status": ("GET", "/opportunity/update/status"),
    "opportunity-update metrics": ("GET", "/opportunity/update/metrics"),
    "fields": ("GET", FIELDS),
    "user": ("GET", USER),
    "bulk": ("POST", BULK),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_call_that_is_moved_is_there_and_nowhere_else(name: str):
    """The usual place answers as a path that does not exist does."""
    method, usual = MOVED[name]
    account = Account(paths={name: "/moved/here"})
    there = Request(method, "/moved/here", headers={"x-api-key": API_KEY})
    assert account.decide(there, 0.0).status in {200, 400, 401}
    gone = account.decide(Request(method, usual, KEYS, {"x-api-key": API_KEY}), 0.0)
    assert (gone.status, content(gone)) == (403, NO_PATH)


def test_a_call_log_that_is_moved_keeps_its_connector_behind_it():
    """The path goes on with key and guid."""
    account = Account(paths={"call-log": "/telephony/logcall"})
    for rest in ("/key", f"/key/{INSTANCE}"):
        submit(account, f"/telephony/logcall{rest}", {"Status": "Answered"}, 0.0, "")
    assert account.decide(submission(CONNECTOR, {"Status": "Answered"}, ""), 0.0).status == 403


def test_operations_may_share_the_path_of_their_status():
    """Each RequestID is found, whichever operation it is of, and spelt as that one spells it."""
    account = Account(paths={f"{name} status": "/lead/status" for name in TABLE})
    ids = {"capture": capture(account, 0.0, FirstName="B")}
    for name, (path, query, body, *_) in TABLE.items():
        ids[name] = submit(account, path, body, 0.0, query)
    for request_id in ids.values():
        found = content(account.decide(status_request(request_id), 0.0))
        assert request_id in {found.get("RequestId"), found.get("RequestID")}
    assert account.decide(status_request("1"), 0.0).status == 404


def test_two_calls_may_change_places():
    """What was moved away makes room."""
    account = Account(paths={"capture": "/lead/update", "update": "/lead/capture"})
    assert account.decide(submission("/lead/update", BRET), 0.0).status == 200
    assert account.decide(submission("/lead/capture", BRET), 0.0).status == 400
    assert [arrival.operation for arrival in account.arrivals] == ["capture", "update"]


def test_what_is_not_moved_stays():
    """Other calls of the same operation are where they were."""
    account = Account(paths={"activity status": "/activity/status"})
    assert account.decide(metrics_request("/activity/create/metrics"), 0.0).status == 200
    assert account.decide(bulk_request([row(Phone="1")]), 0.0).status == 200


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"captures": "/lead"}, "paths: no call is named captures"),
        ({"status": "/lead"}, "paths: no call is named status"),
        ({"capture": "lead"}, "paths: a path begins with a slash, not 'lead'"),
        ({"capture": "/lead/update"}, "paths: /lead/update is the path of two calls"),
        ({"update metrics": "/lead/status"}, "paths: /lead/status is the path of two calls"),
    ],
)
def test_paths_that_make_no_sense_are_refused(paths: dict[str, str], message: str):
    """With what is wrong about them."""
    with pytest.raises(ValueError, match=message):
        Account(paths=paths)
