"""Settings that can be changed while the sandbox runs."""

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from leadsquared_async.sandbox import COUNTERS, Account, Books, Request
from leadsquared_async.sandbox.window_pages import send_test_lead

from .calls import (
    ACCESS_KEY,
    HEADERS,
    KEYS,
    SECRET_KEY,
    USER,
    capture,
    capture_request,
    metrics_request,
    task_status,
)


def statuses(account: Account, calls: int, now: float) -> list[int]:
    return [account.decide(capture_request(FirstName="A"), now).status for _ in range(calls)]


def test_the_limit_can_be_changed():
    """The new limit counts from now on; null removes it."""
    account = Account(limit=(1, 5.0))
    assert statuses(account, 2, 0.0) == [200, 429]
    account.change_settings({"limit": [2, 5]}, 0.0)
    assert statuses(account, 3, 0.0) == [200, 200, 429]
    account.change_settings({"limit": None}, 0.0)
    assert statuses(account, 50, 0.0) == [200] * 50


@pytest.mark.parametrize("counting", COUNTERS)
def test_the_way_of_counting_can_be_changed(counting: str):
    """The account then answers as one that was made with it."""
    account, expected = (
        Account(counting="sliding-log", limit=(3, 5.0)),
        Account(counting=counting, limit=(3, 5.0)),
    )
    account.change_settings({"counting": counting}, 0.0)
    times = [0.0] * 4 + [4.9] * 2 + [5.1] * 3 + [7.0] * 3
    assert [statuses(account, 1, now) for now in times] == [statuses(expected, 1, now) for now in times]


def test_an_unrelated_change_keeps_the_count():
    """Changing the processing rate admits no further call."""
    account = Account(limit=(1, 5.0))
    assert statuses(account, 2, 0.0) == [200, 429]
    account.change_settings({"processing_rate": 60, "limit": [1, 5.0]}, 0.0)
    assert statuses(account, 1, 0.0) == [429]


def test_the_processing_rate_can_be_changed():
    """It applies from now on: no request counts as processed at the new rate before."""
    account = Account(processing_rate=1)
    ids = [capture(account, 0.0, FirstName=str(n)) for n in range(3)]
    account.change_settings({"processing_rate": 60}, 50.0)
    for now, done in ((50.9, 0), (51.0, 1), (52.0, 2), (53.0, 3)):
        found = [task_status(account, request_id, now)["Status"] for request_id in ids]
        assert found == ["Success"] * done + ["In-Queue"] * (3 - done)


def test_the_rate_is_on_the_clock_of_the_queues():
    """With speed 10 a minute of the queue takes 6 s."""
    account = Account(processing_rate=1, speed=10)
    request_id = capture(account, 0.0, FirstName="A")
    account.change_settings({"processing_rate": 2}, 1.0)
    assert task_status(account, request_id, 3.9)["Status"] == "In-Queue"
    assert task_status(account, request_id, 4.0)["Status"] == "Success"


def test_a_path_can_be_moved_and_removed():
    """A moved call answers at its new path only; a removed one nowhere; null is written for it in JSON."""
    account = Account()
    account.change_settings({"paths": {"capture metrics": "/lead/metrics", "capture status": None}}, 0.0)
    paths = {"/lead/metrics": 200, "/lead/capture/metrics": 403, "/lead/status": 403}
    for path, status in paths.items():
        assert account.decide(metrics_request(path), 0.0).status == status
    assert "GET /lead/metrics" in account.paths
    assert "GET /lead/status" not in account.paths
    openapi = Books(account, lambda: 0.0).openapi
    assert "/lead/metrics" in openapi["paths"]
    assert "/lead/status" not in openapi["paths"]
    account.change_settings({"paths": {}}, 0.0)
    assert account.decide(metrics_request(), 0.0).status == 200


@pytest.mark.parametrize(
    ("keys", "in_query", "in_headers"), [("query", 200, 401), ("headers", 401, 200), ("both", 200, 200)]
)
def test_where_submissions_have_their_keys_can_be_changed(keys: str, in_query: int, in_headers: int):
    """Keys elsewhere are missing, and listed as misplaced; synchronous calls take both places as before."""
    account = Account()
    account.change_settings({"keys": keys}, 0.0)
    headers = {**HEADERS, "x-LSQ-AccessKey": ACCESS_KEY, "x-LSQ-SecretKey": SECRET_KEY}
    request = capture_request(FirstName="A")
    assert account.decide(request, 0.0).status == in_query
    assert bool(account.misplaced_keys) is (in_query == 401)
    account.misplaced_keys.clear()
    assert account.decide(replace(request, query="", headers=headers), 0.0).status == in_headers
    assert bool(account.misplaced_keys) is (in_headers == 401)
    account.misplaced_keys.clear()
    for query, given in ((KEYS, {}), ("", headers)):
        assert account.decide(Request("GET", USER, query, given), 0.0).status == 200
    assert account.misplaced_keys == []
    described = Books(account, lambda: 0.0).openapi["paths"]["/lead/capture"]["post"]
    security = json.dumps(described["security"])
    assert ("accessKeyHeader" in security, '"accessKey"' in security) == (in_headers == 200, in_query == 200)


@pytest.mark.parametrize(
    ("settings", "statuses"), [({"keys": "headers"}, ["200"]), ({"paths": {"capture": None}}, [])]
)
def test_the_windows_test_lead_follows_the_settings(settings: dict[str, Any], statuses: list[str]):
    """It has its keys where submissions have them; without a path there is an error."""
    account = Account(**settings)
    books = Books(account, lambda: 0.0)
    with nullcontext() if statuses else pytest.raises(ValueError, match="removes capture"):
        send_test_lead(books, {"attributes": {"FirstName": "Bret"}})
    assert [arrival.outcome for arrival in account.arrivals] == statuses


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must be a JSON object"),
        (
            {"seed": 1},
            (
                "'seed' cannot be changed: choose from limit, bulk_limit, counting, count_refused, "
                "processing_rate, paths, keys"
            ),
        ),
        ({"counting": "guess"}, "counting must be one of"),
        ({"limit": [0, 5]}, "limit must be 1 to 1000000 calls"),
        ({"limit": 5}, "limit must be"),
        ({"processing_rate": 0}, "processing_rate must be a number above 0"),
        ({"count_refused": 1}, "count_refused must be True or False"),
        ({"keys": "cookie"}, "keys must be one of query, headers, both"),
        ({"paths": {"captures": "/x"}}, "no call is called captures"),
    ],
)
def test_an_invalid_change_changes_nothing(content: object, message: str):
    """The error names the setting."""
    account = Account()
    with pytest.raises(ValueError, match=message):
        account.change_settings(content, 0.0)
    assert account.settings == Account().settings


def test_a_reset_restores_the_settings():
    """Those that the account was made with."""
    account = Account(limit=(1, 5.0))
    account.change_settings({"limit": None, "counting": "gcra", "processing_rate": 1}, 0.0)
    account.reset()
    assert account.settings == Account(limit=(1, 5.0)).settings
    assert statuses(account, 2, 0.0) == [200, 429]


def test_the_revision_grows_with_every_change():
    """Calls, processing, faults, settings and a reset change the account; looking at it does not."""
    account = Account()
    seen = [account.revision]
    request_id = capture(account, 0.0, FirstName="A")
    seen.append(account.revision)
    account.advance(1.0)
    seen.append(account.revision)
    account.set_faults(account.faults, 1.0)
    seen.append(account.revision)
    account.change_settings({}, 1.0)
    seen.append(account.revision)
    account.reset()
    seen.append(account.revision)
    assert seen == sorted(set(seen))
    account.advance(2.0)
    assert account.revision == seen[-1]
    assert request_id
