"""The queue: its order, its rate, its retries and its clock."""

import pytest

from leadsquared_async.sandbox import Account, Books, Faults

from .calls import capture, content, metrics_request, task_status


def statuses(account: Account, ids: list[str], now: float) -> list[str | None]:
    return [task_status(account, request_id, now)["Status"] for request_id in ids]


def test_requests_are_processed_first_in_first_out_at_the_rate():
    """At 60 a minute one request is processed each second, in order."""
    account = Account(processing_rate=60, limit=None)
    ids = [capture(account, 0.0, FirstName=str(n)) for n in range(3)]
    for done in range(4):
        assert statuses(account, ids, done) == ["Success"] * done + ["In-Queue"] * (3 - done)


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_the_books_know_when_a_request_was_finished(speed: float):
    """On the account's clock, however fast the queue's runs."""
    account = Account(processing_rate=60, limit=None, speed=speed)
    for number in range(3):
        capture(account, 0.0, FirstName=str(number))
    finished = [request["finished_at"] for request in Books(account, lambda: 100.0).requests]
    assert finished == [1.0 / speed, 2.0 / speed, 3.0 / speed]


def test_an_idle_queue_gains_no_capacity():
    """A later request takes its full time, however long the queue was idle."""
    account = Account(processing_rate=60)
    capture(account, 0.0, FirstName="A")
    late = capture(account, 100.0, FirstName="B")
    assert statuses(account, [late], 100.9) == ["In-Queue"]
    assert statuses(account, [late], 101.0) == ["Success"]


def test_outcomes_do_not_depend_on_when_they_are_read():
    """One read at the end sees the same as a hundred reads."""
    seen = []
    for looks in (1, 100):
        account = Account(processing_rate=30, limit=None, seed=5, faults=Faults(system_error=0.4))
        ids = [capture(account, n / 10, FirstName=str(n)) for n in range(20)]
        for look in range(looks):
            account.advance(2 + 3000.0 * (look + 1) / looks)
        seen.append([task_status(account, request_id, 3002.0) for request_id in ids])
    assert seen[0] == seen[1]


def test_only_the_queues_clock_is_fast():
    """At speed 60 a second is a minute of processing; the limit still counts real seconds."""
    account = Account(processing_rate=1, speed=60, limit=(2, 5.0))
    request_id = capture(account, 0.0, FirstName="B")
    assert statuses(account, [request_id], 0.98) == ["In-Queue"]
    assert account.decide(metrics_request(), 1.0).status == 429
    assert statuses(account, [request_id], 5.0) == ["Success"]


SCHEDULE = [30, 2 * 60, 7 * 60, 15 * 60, 30 * 60, 45 * 60, 60 * 60, 90 * 60, 2 * 3600, 3 * 3600]


def test_system_errors_are_retried_on_the_documented_schedule():
    """30 s, 2, 7, 15, 30, 45, 60 min, 1.5, 2, 3 h; then it is an ERROR."""
    account = Account(processing_rate=60, faults=Faults(system_error=1.0))
    request_id = capture(account, 0.0, FirstName="B")
    tries = 1.0
    for number, pause in enumerate(SCHEDULE, start=1):
        status = task_status(account, request_id, tries)
        assert status == {
            "TaskType": "Lead Capture",
            "Status": "In-Queue",
            "StatusReason": "System error, will be retried",
            "TaskCurrentStep": f"Retry {number} of 10",
            "TaskLastStep": "Processing",
            "RequestBody": '[{"Attribute": "FirstName", "Value": "B"}]',
            "Message": None,
        }
        just_before = task_status(account, request_id, tries + pause + 0.5)
        assert just_before["TaskCurrentStep"] == f"Retry {number} of 10"
        tries += pause + 1
    status = task_status(account, request_id, tries)
    assert status["Status"] == "ERROR"
    assert status["TaskCurrentStep"] is None
    assert account.records.leads == {}
    assert content(account.decide(metrics_request(), tries + 9)) == {
        "PendingMessages": 0,
        "MaxDelayInSeconds": 0,
        "ProcessingRatePerMinute": 0.1,
    }


def test_a_successful_retry_is_a_success():
    """A system error leaves no trace once the request has succeeded."""
    account = Account(faults=Faults(processing_script=("system-error", "system-error")))
    request_id = capture(account, 0.0, FirstName="B")
    assert statuses(account, [request_id], 31.0) == ["In-Queue"]
    status = task_status(account, request_id, 200.0)
    assert (status["Status"], status["StatusReason"], status["TaskCurrentStep"]) == ("Success", "", None)


def test_a_request_that_waits_for_a_retry_is_overtaken():
    """Retries are the exception from first in, first out."""
    account = Account(processing_rate=60, faults=Faults(processing_script=("system-error", "ok")))
    ids = [capture(account, 0.0, FirstName="A"), capture(account, 0.0, FirstName="B")]
    assert statuses(account, ids, 5.0) == ["In-Queue", "Success"]
    assert statuses(account, ids, 32.0) == ["Success", "Success"]


def test_a_request_that_waits_for_a_retry_is_pending():
    """The metrics include it and its delay."""
    account = Account(faults=Faults(processing_script=("system-error",)))
    capture(account, 1.0, FirstName="B")
    assert content(account.decide(metrics_request(), 11.5)) == {
        "PendingMessages": 1,
        "MaxDelayInSeconds": 10,
        "ProcessingRatePerMinute": 0.1,
    }
