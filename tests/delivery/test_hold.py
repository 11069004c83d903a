"""Hold and probe, without a loop: the clock is passed in."""

from __future__ import annotations

import pytest

from leadsquared_async.delivery.hold import CERTAIN_AFTER, LONGEST_PAUSE, Hold, Holds
from leadsquared_async.delivery.item_retries import ROUNDS, ItemState, final_state, is_of_the_item
from leadsquared_async.errors import ConnectionFailed, Delivery, Fault, Forbidden, LeadSquaredError, Scope
from leadsquared_async.logs import ClientEvents

DOWN = ConnectionFailed("down", fault=Fault.SERVER, scope=Scope.OPERATION)
KEYS = Forbidden("keys", fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def hold_of(clock: Clock) -> Hold:
    return Hold("test", "every item", None, events=ClientEvents(None), clock=clock, random=lambda: 0.0)


def test_pauses_between_probes_double_up_to_the_longest() -> None:
    """A failed probe doubles the pause; failures before it is due change nothing."""
    clock = Clock()
    hold = hold_of(clock)
    pauses = []
    for item in range(14):
        clock.now += hold.until_probe
        hold.fail(DOWN, item)
        hold.fail(DOWN, item)
        pauses.append(hold.until_probe)
    assert pauses == [min(LONGEST_PAUSE, 2.0**number) for number in range(14)]
    hold.succeed()
    hold.fail(DOWN)
    assert hold.until_probe == 1.0


def test_only_the_probe_is_sent_while_a_hold_lasts() -> None:
    """One item at a time, once the pause is over; item 0 is an item like any other."""
    clock = Clock()
    hold = hold_of(clock)
    assert hold.may_send(0)
    hold.fail(KEYS, 1)
    assert not hold.may_probe
    clock.now += 30.0
    assert hold.may_probe
    hold.probe = 0
    assert (hold.may_probe, hold.may_send(0), hold.may_send(1)) == (False, True, False)


@pytest.mark.parametrize(
    ("error", "failed", "is_certain"),
    [(DOWN, CERTAIN_AFTER, False), (DOWN, CERTAIN_AFTER + 1, True), (KEYS, 1, True)],
)
def test_few_failures_may_be_the_items_own(error: LeadSquaredError, failed: int, is_certain: bool) -> None:
    """A server fault is certain after more than a few failed items, an account fault at once."""
    hold = hold_of(Clock())
    for item in range(failed):
        hold.fail(error, item)
    assert hold.is_certain is is_certain


def test_what_one_operation_meets_alone_is_held_as_its_own() -> None:
    """A 403 holds every item until another operation succeeds; then the first probes at once."""
    clock = Clock()
    holds = Holds("test", ClientEvents(None), ("a", "b"), clock, lambda: 0.0)
    holds.fail("a", KEYS, 1)
    assert holds.holds("b")
    assert not holds.held
    holds.succeed("b")
    assert (holds.holds("a"), holds.holds("b"), holds.sending("a").until_probe) == (True, False, 0.0)
    holds.fail("a", KEYS, 1)
    assert holds.held == {"a": "keys"}
    assert not holds.holds("b")


def test_an_operation_of_another_host_is_held_alone() -> None:
    """It neither holds nor releases the others, whatever fails."""
    holds = Holds("test", ClientEvents(None), ("a",), Clock(), lambda: 0.0)
    holds.fail("bulk", KEYS, 1)
    assert holds.held == {"bulk": "keys"}
    assert not holds.holds("a")
    holds.fail("a", KEYS, 2)
    holds.succeed("bulk")
    assert holds.holds("a")
    assert holds.may_send("bulk", 3)


@pytest.mark.parametrize(
    ("error", "rounds", "may_be_repeated", "state"),
    [
        (LeadSquaredError(fault=Fault.LEAD), 1, True, ItemState.REJECTED),
        (DOWN, 100, False, None),
        (LeadSquaredError(delivery=Delivery.UNKNOWN, fault=Fault.SERVER), 1, True, None),
        (LeadSquaredError(delivery=Delivery.UNKNOWN, fault=Fault.SERVER), 1, False, ItemState.UNKNOWN),
        (LeadSquaredError(fault=Fault.SERVER, scope=Scope.LEAD), ROUNDS - 1, False, None),
        (LeadSquaredError(fault=Fault.SERVER, scope=Scope.LEAD), ROUNDS, False, ItemState.REJECTED),
        (
            LeadSquaredError(delivery=Delivery.UNKNOWN, fault=Fault.SERVER, scope=Scope.LEAD),
            ROUNDS,
            True,
            ItemState.UNKNOWN,
        ),
    ],
)
def test_an_item_ends_or_is_retried(
    error: LeadSquaredError, rounds: int, may_be_repeated: bool, state: ItemState | None
) -> None:
    """Rejected for its own fault; unknown if it may have arrived and a repeat could create a duplicate."""
    assert final_state(error, rounds, may_be_repeated=may_be_repeated) is state


@pytest.mark.parametrize("scope", [*Scope, None])
@pytest.mark.parametrize("fault", [*Fault, None])
def test_only_the_servers_answer_to_one_item_counts_as_its_own(
    fault: Fault | None, scope: Scope | None
) -> None:
    """The classified answer's scope decides; an error that affects others ends no item."""
    is_its_own = (fault, scope) == (Fault.SERVER, Scope.LEAD)
    assert is_of_the_item(LeadSquaredError(fault=fault, scope=scope)) is is_its_own
