"""Outcomes that come out of order, and when each was ready."""

import pytest

from leadsquared_async.sandbox import Account, Books, Faults

from .calls import capture, task_status

RATE = 60.0
"""A request a second, so that a turn is a whole second."""


def finished(account: Account, requests: int, now: float = 10_000.0) -> list[float]:
    """When each of many requests that come at once was finished."""
    for number in range(requests):
        capture(account, 0.0, FirstName=str(number))
    times = [request["finished_at"] for request in Books(account, lambda: now).requests]
    assert None not in times
    return [time for time in times if time is not None]


def test_outcomes_come_before_and_after_their_turn_by_the_disorder() -> None:
    """Uniformly: as early as at the turn, as late as two disorders behind it, one behind it in the middle."""
    late = [
        time - turn
        for turn, time in enumerate(
            finished(Account(limit=None, processing_rate=RATE, disorder=20.0), 500), start=1
        )
    ]
    assert 0.0 <= min(late) < 1.0
    assert 39.0 < max(late) <= 40.0
    assert sum(late) / len(late) == pytest.approx(20.0, abs=2.0)


def test_without_disorder_outcomes_come_at_their_turn() -> None:
    """First in, first out, and the books say when."""
    assert finished(Account(limit=None, processing_rate=RATE), 3) == [1.0, 2.0, 3.0]


def test_status_and_lead_show_when_the_outcome_does() -> None:
    """Before its outcome a request is in the queue, has no lead and no time."""
    account = Account(processing_rate=RATE, disorder=20.0)
    request_id = capture(account, 0.0, FirstName="Bret")
    (when,) = finished(Account(processing_rate=RATE, disorder=20.0), 1)
    assert when > 2.0
    for now, status, leads in ((when - 0.01, "In-Queue", 0), (when, "Success", 1)):
        assert task_status(account, request_id, now)["Status"] == status
        assert len(account.store.leads) == leads
        (request,) = Books(account, lambda now=now: now).requests
        assert request["finished_at"] == (when if leads else None)


def test_disorder_draws_from_a_stream_of_its_own() -> None:
    """The same seed gives the same delays, another seed others; RequestIDs do not change with it."""

    def run(disorder: float, seed: int = 1) -> tuple[list[float], list[str]]:
        account = Account(
            limit=None, processing_rate=RATE, disorder=disorder, seed=seed, faults=Faults(system_error=0.3)
        )
        return finished(account, 30, 1e6), list(account.queues["capture"].tasks)

    assert run(20.0) == run(20.0)
    assert run(20.0) != run(20.0, seed=2)
    assert run(20.0)[1] == run(0.0)[1]


def test_outcomes_out_of_order_do_not_depend_on_who_asks_when() -> None:
    """One look at the end sees what a hundred looks saw, retries among them."""
    seen = []
    for looks in (1, 100):
        account = Account(
            processing_rate=30, limit=None, seed=5, disorder=30.0, faults=Faults(system_error=0.4)
        )
        for number in range(20):
            capture(account, number / 10, FirstName=str(number))
        for look in range(looks):
            account.advance(2 + 3000.0 * (look + 1) / looks)
        seen.append(Books(account, lambda: 3002.0).requests)
    assert seen[0] == seen[1]


def test_the_time_of_an_outcome_is_told_on_the_accounts_clock() -> None:
    """A queue whose clock runs fast does not confuse it."""
    assert finished(Account(limit=None, processing_rate=RATE, speed=10.0), 2) == [0.1, 0.2]
