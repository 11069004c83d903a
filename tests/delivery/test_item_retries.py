"""How often an item is sent, and how long it waits in between."""

from __future__ import annotations

import pytest

from leadsquared_async.delivery.item_retries import (
    ATTEMPTS,
    ROUNDS,
    ItemState,
    UnforeseenError,
    final_state,
    patient,
    pause_after,
)
from leadsquared_async.delivery.reasons import reason_of
from leadsquared_async.errors import Delivery, Fault, LeadSquaredError, Rejected, Scope, ServerError
from tests.clients import answering


def test_the_bounds() -> None:
    """Three attempts a call, and three calls for an item that may be the cause itself."""
    assert (ATTEMPTS, ROUNDS) == (3, 3)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (9, 512.0), (10, 900.0), (1_000_000, 900.0)],
)
def test_a_failed_item_waits_twice_as_long_each_time(failures: int, seconds: float) -> None:
    """From two seconds to a quarter of an hour."""
    assert pause_after(failures) == seconds


@pytest.mark.parametrize(
    ("may_have_arrived", "delivery", "words"),
    [
        (True, Delivery.UNKNOWN, "leads.capture: sending failed with KeyError. It may have arrived"),
        (False, Delivery.NOT_SENT, "leads.capture: sending failed with KeyError"),
    ],
)
def test_an_unforeseen_error_says_whether_the_item_may_have_arrived(
    may_have_arrived: bool, delivery: Delivery, words: str
) -> None:
    """It is the item's own, and has no words of the exception."""
    error = UnforeseenError(KeyError("bret"), "leads.capture", may_have_arrived=may_have_arrived)
    assert (str(error), error.delivery) == (words, delivery)
    assert (error.fault, error.scope, error.operation) == (Fault.SERVER, Scope.LEAD, "leads.capture")


@pytest.mark.parametrize(
    ("exception_type", "rounds", "state"),
    [
        ("NullReferenceException", ROUNDS, ItemState.REJECTED),
        ("NullReferenceException", ROUNDS - 1, None),
        (None, ROUNDS, ItemState.UNKNOWN),
    ],
)
def test_an_exception_that_leadsquared_names_each_time_rejects_the_item(
    exception_type: str | None, rounds: int, state: ItemState | None
) -> None:
    """Without a name it may have arrived."""
    error = ServerError(
        "LeadSquared failed to process it",
        delivery=Delivery.UNKNOWN,
        fault=Fault.SERVER,
        scope=Scope.LEAD,
        exception_type=exception_type,
    )
    assert final_state(error, rounds, may_be_repeated=True) is state


async def test_items_have_no_deadline_and_few_attempts() -> None:
    """The client's policy may ask for fewer attempts, never for more."""
    async with answering(None) as lsq:
        sender = lsq._parts.sender
        for attempts, left in [(2, 2), (100, sender.settings.retry.attempts)]:
            settings = patient(sender, attempts).settings
            assert (settings.deadline, settings.lane, settings.retry.attempts) == (None, None, left)
        assert patient(sender, 2).recorded


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Rejected("ours", exception_type="MXNew", exception_message="theirs"), "MXNew: theirs"),
        (Rejected("ours", exception_type="MXNew"), "MXNew"),
        (Rejected("ours", exception_message="theirs"), "theirs"),
        (LeadSquaredError("ours"), "ours"),
    ],
)
def test_the_reason_is_leadsquareds_if_it_gave_one(error: LeadSquaredError, reason: str) -> None:
    """Else it is ours."""
    assert reason_of(error) == reason
