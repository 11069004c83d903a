"""A hold step by step: each number it gives, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from leadsquared_async.delivery.hold import CERTAIN_AFTER, LONGEST_PAUSE, WORTH_TELLING, Hold, Holds
from leadsquared_async.errors import ConnectionFailed, Fault, Forbidden, LeadSquaredError, Scope
from leadsquared_async.events import Held, Resumed

DOWN = ConnectionFailed("down", fault=Fault.SERVER, scope=Scope.OPERATION)
GONE = ConnectionFailed("gone", fault=Fault.SERVER, scope=Scope.SERVER)
KEYS = Forbidden("keys", fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)
QUOTA = LeadSquaredError("quota", fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    """What is emitted."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def emit(self, event: Any) -> None:
        self.events.append(event)


def parts(random: float = 0.0) -> dict[str, Any]:
    return {"events": Told(), "clock": Clock(), "random": lambda: random}


def hold_of(random: float = 0.0) -> tuple[Hold, Clock, Told]:
    given = parts(random)
    return Hold("test", "every item", "a", **given), given["clock"], given["events"]


def holds_of(*operations: str) -> tuple[Holds, Clock, Told]:
    given = parts()
    return Holds("test", operations=operations, **given), given["clock"], given["events"]


def test_an_open_hold() -> None:
    """Everything may be sent, and nothing is probed."""
    hold, _, told = hold_of()
    assert (hold.reason, hold.fault, hold.probe, hold.failures) == (None, None, None, 0)
    assert (hold.until_probe, hold.may_probe, hold.has_failed, hold.is_certain) == (0.0, False, False, False)
    assert hold.may_send("x")
    assert not told.events


@pytest.mark.parametrize(
    ("error", "random", "pause"), [(DOWN, 0.0, 1.0), (KEYS, 0.0, 30.0), (DOWN, 1.0, 1.1), (KEYS, 0.5, 31.5)]
)
def test_the_first_pause(error: LeadSquaredError, random: float, pause: float) -> None:
    """A second for LeadSquared, half a minute for a person; up to a tenth longer, at random."""
    hold, _, _ = hold_of(random)
    hold.fail(error, 1)
    assert hold.until_probe == pytest.approx(pause)
    assert (hold.reason, hold.fault, hold.failures) == (str(error), error.fault, 1)
    assert hold.has_failed


def test_the_longest_pause_is_not_made_longer_at_random() -> None:
    """A quarter of an hour."""
    hold, clock, _ = hold_of(1.0)
    for _ in range(20):
        hold.fail(DOWN, 1)
        clock.now += hold.until_probe
    hold.fail(DOWN, 1)
    assert hold.until_probe == LONGEST_PAUSE == 900.0
    assert hold.failures == 21


def test_a_hold_is_told_once_it_lasts_and_again_when_it_ends() -> None:
    """From the first pause of four seconds on; a short one is no event."""
    assert WORTH_TELLING == 4.0
    hold, clock, told = hold_of()
    for pause in (1.0, 2.0):
        hold.fail(DOWN, 1)
        assert hold.until_probe == pause
        clock.now += pause
    assert not told.events
    hold.succeed()
    assert not told.events
    for _ in range(4):
        hold.fail(DOWN, 1)
        clock.now += hold.until_probe
    (held,) = told.events
    assert isinstance(held, Held)
    assert (held.owner, held.what, held.operation, held.fault) == ("test", "every item", "a", Fault.SERVER)
    assert (held.delay, held.reason, held.kind) == (4.0, DOWN.summary, "ConnectionFailed")
    hold.succeed()
    hold.succeed()
    (_, resumed) = told.events
    assert isinstance(resumed, Resumed)
    assert (resumed.owner, resumed.what, resumed.operation) == ("test", "every item", "a")
    for _ in range(3):
        hold.fail(DOWN, 1)
        clock.now += hold.until_probe
    assert len(told.events) == 3


def test_a_success_opens_the_hold() -> None:
    """All is as at first."""
    hold, clock, _ = hold_of()
    hold.fail(KEYS, None)
    hold.succeed()
    assert (hold.reason, hold.fault, hold.failures, hold.until_probe) == (None, None, 0, 0.0)
    assert not hold.has_failed
    hold.fail(DOWN, 1)
    assert (hold.until_probe, hold.is_certain) == (1.0, False)
    clock.now += 1.0
    hold.fail(DOWN, 1)
    assert hold.until_probe == 2.0


def test_a_failure_that_no_item_causes_is_certain() -> None:
    """None is no item."""
    hold, _, _ = hold_of()
    hold.fail(DOWN, 1)
    assert not hold.is_certain
    hold.fail(DOWN, None)
    assert hold.is_certain


def test_failures_in_flight_at_the_same_time_count_once() -> None:
    """They are remembered as failed items all the same."""
    hold, _, _ = hold_of()
    for item in range(CERTAIN_AFTER + 1):
        hold.fail(DOWN, item)
    assert (hold.failures, hold.until_probe, hold.is_certain) == (1, 1.0, True)
    assert CERTAIN_AFTER == 8


@pytest.mark.parametrize(("after", "pause"), [(1.0, 4.0), (2.0, 4.0), (2.1, 1.0)])
def test_a_released_hold_that_fails_soon_goes_on_growing(after: float, pause: float) -> None:
    """It starts again if delivery worked for longer than the last pause."""
    hold, clock, _ = hold_of()
    hold.fail(DOWN, 1)
    clock.now += 1.0
    hold.fail(DOWN, 1)
    clock.now += 2.0
    hold.release()
    assert (hold.reason, hold.fault, hold.may_send(5)) == (None, None, True)
    clock.now += after
    hold.fail(DOWN, 1)
    assert hold.until_probe == pause
    clock.now += 100.0
    hold.fail(DOWN, 1)
    assert hold.until_probe == 2 * pause


def test_a_suspect_is_probed_at_once() -> None:
    """It has not failed here, and its pauses start anew."""
    hold, clock, _ = hold_of()
    hold.fail(KEYS, 1)
    hold.suspect("maybe", Fault.SERVER)
    assert (hold.reason, hold.fault, hold.failures, hold.until_probe) == ("maybe", Fault.SERVER, 0, 0.0)
    assert (hold.may_probe, hold.has_failed) == (True, False)
    hold.fail(DOWN, 1)
    assert (hold.until_probe, hold.failures) == (1.0, 1)
    clock.now += 1.0
    hold.release()
    hold.suspect("maybe", Fault.SERVER)
    clock.now += 1_000.0
    hold.fail(DOWN, 1)
    clock.now += 1.0
    hold.fail(DOWN, 1)
    assert hold.until_probe == 2.0


def test_a_probe_is_the_only_item_that_may_be_sent() -> None:
    """Even item None is not the probe while there is none."""
    hold, clock, _ = hold_of()
    hold.fail(DOWN, 1)
    assert not hold.may_send(None)
    clock.now += 0.5
    assert hold.until_probe == 0.5
    assert not hold.may_probe
    clock.now += 5.0
    assert hold.until_probe == 0.0
    assert hold.may_probe


def test_a_clock_that_has_just_begun_delays_nothing() -> None:
    """A monotonic clock may start at 0."""
    hold, clock, _ = hold_of()
    clock.now = 0.0
    assert hold.until_probe == 0.0
    hold.fail(DOWN, 1)
    assert (hold.until_probe, hold.failures) == (1.0, 1)
    holds, clock, _ = holds_of("a", "b")
    clock.now = 0.5
    holds.probe("a", 1)
    assert holds.in_turn() == ["b", "a"]


# All operations


def test_nothing_is_held_at_first() -> None:
    """Everything may be sent and followed."""
    holds, _, _ = holds_of("a", "b")
    assert (holds.first, holds.held, holds.to_probe(), holds.by_operation()) == (None, {}, [], {})
    assert not holds.holds("a")
    assert holds.may_send("a", 1)
    assert holds.may_follow("a")
    assert not holds.is_probe("a", 1)
    assert holds.every._operation is None
    assert (holds.every._what, holds.sending("a")._what) == ("every item", "every item of a")
    assert holds.following("a")._what == "outcomes of a"
    assert holds.sending("a") is holds.sending("a")
    assert holds.following("a") is holds.following("a")
    holds.on_certain()


@pytest.mark.parametrize(
    ("error", "is_alike"), [(KEYS, True), (GONE, True), (DOWN, False), (LeadSquaredError("x"), False)]
)
def test_an_error_of_the_account_or_the_server_holds_all(error: LeadSquaredError, is_alike: bool) -> None:
    """An error of the operation holds that operation."""
    holds, _, _ = holds_of("a", "b")
    holds.fail("a", error, 1)
    assert holds.holds("b") is is_alike
    assert (holds.first is holds.every) is is_alike
    assert holds.may_send("b", 2) is not is_alike
    assert holds.by_operation()["a"] is not is_alike
    assert holds.held == ({} if is_alike else {"a": str(error)})
    assert [operation for operation, _ in holds.to_probe()] == ([None] if is_alike else ["a"])


def test_an_operation_that_is_held_already_stays_so() -> None:
    """An error of the account then holds no other operation."""
    holds, clock, _ = holds_of("a", "b")
    holds.fail("a", DOWN, 1)
    clock.now += 1.0
    holds.fail("a", KEYS, 1)
    assert not holds.holds("b")
    assert holds.held == {"a": "keys"}


def test_the_probe_of_all_is_sent_and_ends() -> None:
    """Only that item is; the others wait."""
    holds, clock, _ = holds_of("a", "b")
    holds.fail("a", KEYS, 1)
    clock.now += 30.0
    holds.probe("b", 5)
    assert holds.may_send("b", 5)
    assert not holds.may_send("b", 6)
    assert holds.is_probe("b", 5)
    assert not holds.is_probe("b", 6)
    assert holds.in_turn() == ["b", "a"]
    holds.end_probe(6)
    assert holds.every.probe == 5
    holds.end_probe(5)
    assert holds.every.probe is None


def test_an_item_that_was_the_probe_of_all_may_still_go() -> None:
    """Its own operation may have been held meanwhile."""
    holds, _, _ = holds_of("a", "b")
    holds.fail("a", KEYS, 1)
    holds.probe("a", 5)
    holds.succeed("b")
    assert holds.holds("a")
    assert holds.may_send("a", 5)
    assert not holds.may_send("a", 6)
    holds.sending("a").probe = 6
    assert holds.may_send("a", 6)
    assert holds.is_probe("a", 6)
    holds.end_probe(6)
    assert not holds.is_probe("a", 6)


def test_probes_take_turns() -> None:
    """First the operations that did not fail, then the one probed longest ago."""
    holds, clock, _ = holds_of("a", "b", "c")
    holds.fail("a", KEYS, 1)
    assert holds.in_turn() == ["b", "c", "a"]
    holds.probe("b", 1)
    clock.now += 1.0
    assert holds.in_turn() == ["c", "b", "a"]
    holds.probe("c", 2)
    assert holds.in_turn() == ["b", "c", "a"]
    holds.fail("b", DOWN, 3)
    assert holds.in_turn() == ["c", "a", "b"]


def test_outcomes_are_not_polled_while_that_is_hopeless() -> None:
    """The account's errors stop it, and the server's for that operation; not the keys of one operation."""
    holds, _, _ = holds_of("a", "b")
    holds.fail("a", KEYS, 1)
    assert not holds.may_follow("b")
    holds.succeed("b")
    holds.fail("a", KEYS, 1)
    assert holds.sending("a").is_certain
    assert holds.may_follow("a")
    holds, _, _ = holds_of("a", "b")
    for item in range(CERTAIN_AFTER + 1):
        assert holds.may_follow("a")
        holds.fail("a", DOWN, item)
    assert (holds.may_follow("a"), holds.may_follow("b")) == (False, True)


def test_a_poll_that_fails_is_made_again_after_a_pause() -> None:
    """The items of the operation are sent meanwhile."""
    holds, clock, _ = holds_of("a", "b")
    holds.fail_to_follow("a", DOWN)
    assert (holds.may_follow("a"), holds.may_follow("b"), holds.holds("a")) == (False, True, False)
    clock.now += 1.0
    assert holds.may_follow("a")


@pytest.mark.parametrize(("error", "holds_all"), [(KEYS, False), (QUOTA, True), (GONE, False)])
def test_a_poll_that_meets_an_error_of_the_account_holds_all(
    error: LeadSquaredError, holds_all: bool
) -> None:
    """A 403 may be about the path of the polls only."""
    holds, _, _ = holds_of("a", "b")
    holds.fail_to_follow("a", error)
    assert holds.holds("b") is holds_all


def test_what_is_certain_is_told() -> None:
    """Each time an error shows that no item is the cause."""
    holds, _, _ = holds_of("a", "b")
    told: list[int] = []
    holds.on_certain = lambda: told.append(1)
    holds.fail("a", DOWN, 1)
    assert not told
    holds.fail("b", KEYS, 1)
    assert told == [1]


def test_a_success_releases_all_and_suspects_those_that_failed_alike() -> None:
    """Each is probed at once; the one that succeeded is open."""
    holds, clock, _ = holds_of("a", "b", "c")
    holds.fail("a", KEYS, 1)
    holds.fail("c", KEYS, 2)
    holds.succeed("c")
    assert (holds.every.reason, holds.holds("b"), holds.holds("c")) == (None, False, False)
    assert holds.sending("a").reason == "keys"
    assert holds.sending("a").fault is Fault.ACCOUNT
    assert holds.held == {}
    assert holds.in_turn() == ["b", "c", "a"]
    assert [operation for operation, _ in holds.to_probe()] == ["a"]
    holds.succeed("a")
    assert not holds.holds("a")
    clock.now += 1.0


def test_holds_of_before_are_out_of_date_once_all_were_held() -> None:
    """Items and polls of other operations are probed at once."""
    holds, _, _ = holds_of("a", "b", "c")
    holds.fail("a", DOWN, 1)
    holds.fail_to_follow("a", DOWN)
    holds.fail("bulk", DOWN, 1)
    holds.succeed("b")
    assert holds.sending("a").until_probe == holds.following("a").until_probe == 1.0
    holds.fail("c", KEYS, 2)
    assert [operation for operation, _ in holds.to_probe()] == [None, "bulk"]
    holds.succeed("b")
    assert holds.sending("a").until_probe == holds.following("a").until_probe == 0.0
    assert holds.sending("bulk").until_probe == 1.0
    assert holds.sending("a").reason == "down"
