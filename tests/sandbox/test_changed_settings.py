"""Settings that can be changed while the sandbox runs: the limit, its counting and the processing rate."""

import pytest

from leadsquared_async.sandbox import COUNTERS, Account

from .calls import capture, capture_request, task_status


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must be a JSON object"),
        (
            {"seed": 1},
            (
                "'seed' cannot be changed: choose from limit, bulk_limit, counting, count_refused, "
                "processing_rate"
            ),
        ),
        ({"counting": "guess"}, "counting must be one of"),
        ({"limit": [0, 5]}, "limit must be 1 to 1000000 calls"),
        ({"limit": 5}, "limit must be"),
        ({"processing_rate": 0}, "processing_rate must be a number above 0"),
        ({"count_refused": 1}, "count_refused must be True or False"),
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
