"""When delivery is held, and which item is probed.

Pure except for events: the clock and the random numbers are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from leadsquared_async.errors import Fault, Forbidden, LeadSquaredError, Scope, kind_of_error
from leadsquared_async.events import Held, Resumed
from leadsquared_async.logs import ClientEvents

__all__ = ["CERTAIN_AFTER", "Hold", "Holds"]

FIRST_PAUSE = {Fault.ACCOUNT: 30.0, Fault.SERVER: 1.0}
"""Seconds to the first probe: a person must fix an account, but LeadSquared may be back at once."""
LONGEST_PAUSE = 900.0
SPREAD = 0.1
WORTH_TELLING = 4.0
"""A hold is an event once its next probe is at least this many seconds away."""
CERTAIN_AFTER = 8
"""The most failed items that may be the cause themselves, while LeadSquared works for others."""


class Hold:
    """Delivery of one scope. It is open until an item fails with an error that would hit others; then one
    item at a time is probed, after growing pauses, until one succeeds.

    Args:
        owner: the owner of the items, for events.
        what: is held, for events.
        operation: the operation of the items; None for all.
        events: are told when a hold begins and ends.
        clock: seconds of a monotonic clock.
        random: from 0 to 1, evenly distributed.

    Attributes:
        reason: why it is held; None while it is open.
        fault: who has to act; None while it is open.
        probe: the item that is being probed, if any.
        failures: failures in a row; items in flight at the same time count once.
    """

    def __init__(
        self,
        owner: str,
        what: str,
        operation: str | None,
        *,
        events: ClientEvents,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._owner, self._what, self._operation = owner, what, operation
        self._events = events
        self._clock = clock
        self._random = random
        self.reason: str | None = None
        self.fault: Fault | None = None
        self.probe: object = None
        self.failures = 0
        self._failed: set[object] = set()
        self._probe_at = 0.0
        self._pause = 0.0
        self._released_at: float | None = None
        self._is_told = False

    @property
    def until_probe(self) -> float:
        """Seconds until an item may be probed."""
        return max(0.0, self._probe_at - self._clock())

    @property
    def may_probe(self) -> bool:
        """Whether an item may be probed now."""
        return self.reason is not None and self.probe is None and not self.until_probe

    @property
    def has_failed(self) -> bool:
        """Whether it is held because an item failed here, not as a precaution."""
        return self.reason is not None and self._pause > 0.0

    @property
    def is_certain(self) -> bool:
        """Whether the items themselves cannot be the cause; until then, others are tried."""
        if self.reason is None or self.fault is Fault.ACCOUNT:
            return self.reason is not None
        return None in self._failed or len(self._failed) > CERTAIN_AFTER

    def may_send(self, item: object) -> bool:
        """Whether an item may be sent now: the hold is open, or the item is the probe."""
        return self.reason is None or (self.probe is not None and self.probe == item)

    def fail(self, error: LeadSquaredError, item: object = None) -> None:
        """Record an error that would hit other items; pass None if no item is the cause."""
        self._failed.add(item)
        now, fault = self._clock(), fault_of(error)
        if now < self._probe_at:
            return  # it was already in flight when another one failed
        if self._released_at is not None and now - self._released_at > self._pause:
            self._pause = 0.0  # delivery worked for a while
        self._released_at = None
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE[fault], 2 * self._pause))
        self.reason, self.fault = str(error), fault
        self.failures += 1
        self._probe_at = now + min(LONGEST_PAUSE, self._pause * (1 + SPREAD * self._random()))
        if not self._is_told and self._pause >= WORTH_TELLING:
            self._is_told = True
            self._events.emit(
                Held(
                    owner=self._owner,
                    what=self._what,
                    operation=self._operation,
                    fault=fault,
                    kind=kind_of_error(error),
                    reason=error.summary,
                    delay=self.until_probe,
                )
            )

    def suspect(self, reason: str, fault: Fault) -> None:
        """Probe an item at once, and send the others only if it succeeds."""
        self.reason, self.fault = reason, fault
        self._probe_at = self._clock()
        self._pause, self.failures = 0.0, 0
        self._released_at = None

    def succeed(self) -> None:
        """End the hold, since an item succeeded."""
        self._failed.clear()
        self.reason = self.fault = self._released_at = None
        self._probe_at = self._pause = 0.0
        self.failures = 0
        if self._is_told:
            self._is_told = False
            self._events.emit(Resumed(owner=self._owner, what=self._what, operation=self._operation))

    def release(self) -> None:
        """Open the hold because no item can be probed; if the next one fails, the pause keeps growing."""
        self.reason = self.fault = None
        self._released_at = self._clock()


class Holds:
    """One hold for all items, and two for each operation: for its items, and for polling their outcomes.

    An error of one operation may look like an account-level error, such as a 403 on its path. So when an item
    of another operation succeeds, delivery resumes, and the operations that failed probe one item first. An
    operation whose probe fails is held separately.

    Args:
        owner: the owner of the items, for events.
        events: are told when a hold begins and ends.
        operations: those that share account-level errors; any other operation is held separately.
        clock: seconds of a monotonic clock.
        random: from 0 to 1, evenly distributed.

    Attributes:
        on_certain: called when items are held and a single one cannot be the cause.
    """

    def __init__(
        self,
        owner: str,
        events: ClientEvents,
        operations: Iterable[str],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._owner = owner
        self._events, self._clock, self._random = events, clock, random
        self._operations = tuple(operations)
        self._sending: dict[str, Hold] = {}
        self._following: dict[str, Hold] = {}
        self._failed_alike: dict[Hold, tuple[str, Fault]] = {}
        self.on_certain: Callable[[], None] = lambda: None
        self._last_probe: dict[str, float] = {}
        self.every = self._hold("every item", None)

    def sending(self, operation: str) -> Hold:
        """The hold of one operation's items."""
        if operation not in self._sending:
            self._sending[operation] = self._hold(f"every item of {operation}", operation)
        return self._sending[operation]

    def following(self, operation: str) -> Hold:
        """The hold of polling one operation's outcomes."""
        if operation not in self._following:
            self._following[operation] = self._hold(f"outcomes of {operation}", operation)
        return self._following[operation]

    def holds(self, operation: str) -> bool:
        """Whether items of an operation are held."""
        return self.every.reason is not None or self.sending(operation).reason is not None

    def may_send(self, operation: str, item: object) -> bool:
        """Whether an item may be sent now: it is not held, or it is the probe."""
        if operation not in self._operations:
            return self.sending(operation).may_send(item)
        if self.every.reason is not None:
            return self.every.may_send(item)
        return self.every.probe == item or self.sending(operation).may_send(item)

    def is_probe(self, operation: str, item: object) -> bool:
        """Whether an item is being probed."""
        return item in {self.every.probe, self.sending(operation).probe}

    def may_follow(self, operation: str) -> bool:
        """Whether outcomes of an operation may be polled."""
        sending, following = self.sending(operation), self.following(operation)
        if self.every.is_certain or (sending.is_certain and sending.fault is Fault.SERVER):
            return False
        return following.reason is None or not following.until_probe

    @property
    def first(self) -> Hold | None:
        """The hold of every item, else the first of an operation; None if nothing is held."""
        return next((hold for hold in (self.every, *self._sending.values()) if hold.has_failed), None)

    def by_operation(self) -> dict[str, bool]:
        """Whether the items of each operation are on hold, for those that were used; from any thread."""
        return {operation: hold.has_failed for operation, hold in list(self._sending.items())}

    @property
    def held(self) -> dict[str, str]:
        """The operations that are held separately, and why."""
        return {
            operation: hold.reason
            for operation, hold in self._sending.items()
            if hold.reason is not None and hold.has_failed
        }

    def to_probe(self) -> list[tuple[str | None, Hold]]:
        """The active holds: of every item (None), and of each operation that is held separately."""
        every: list[tuple[str | None, Hold]] = [] if self.every.reason is None else [(None, self.every)]
        alone = [it for it in self._sending.items() if not every or it[0] not in self._operations]
        return every + [(operation, hold) for operation, hold in alone if hold.reason is not None]

    def in_turn(self) -> list[str]:
        """The operations to probe for all, in order: those that did not fail first, then by longest wait."""

        def rank(operation: str) -> tuple[bool, float]:
            own = self.sending(operation)
            is_suspect = own.reason is not None or own in self._failed_alike
            return is_suspect, self._last_probe.get(operation, 0.0)

        return sorted(self._operations, key=rank)

    def probe(self, operation: str, item: object) -> None:
        """Make this item the probe for all operations."""
        self._last_probe[operation] = self._clock()
        self.every.probe = item

    def end_probe(self, item: object) -> None:
        """End the probe of an item, whatever its result."""
        for hold in (self.every, *self._sending.values()):
            if hold.probe == item:
                hold.probe = None

    def fail(self, operation: str, error: LeadSquaredError, item: object) -> None:
        """Record a failure that is not the item's own fault."""
        is_alike = operation in self._operations and error.scope in {Scope.ACCOUNT, Scope.SERVER}
        self._note(self.sending(operation), error, item, is_alike=is_alike)

    def fail_to_follow(self, operation: str, error: LeadSquaredError) -> None:
        """Record a failure to poll outcomes of an operation."""
        # A 403 may be about this path only; if it is about the key, items get it too.
        is_alike = error.scope is Scope.ACCOUNT and not isinstance(error, Forbidden)
        self._note(self.following(operation), error, None, is_alike=is_alike)

    def succeed(self, operation: str) -> None:
        """Record that an item succeeded."""
        own = self.sending(operation)
        own.succeed()
        if operation not in self._operations:
            return
        was_held = self.every.reason is not None
        self.every.succeed()
        suspects, self._failed_alike = self._failed_alike, {}
        if was_held:
            suspects = {**self._held_alone(), **suspects}  # their pauses are out of date
        for hold, (reason, fault) in suspects.items():
            if hold is not own:
                hold.suspect(reason, fault)

    def _note(self, own: Hold, error: LeadSquaredError, item: object, *, is_alike: bool) -> None:
        hold = own
        if is_alike and own.reason is None:
            self._failed_alike[own] = (str(error), fault_of(error))
            hold = self.every
        hold.fail(error, item)
        if hold.is_certain:
            self.on_certain()

    def _held_alone(self) -> dict[Hold, tuple[str, Fault]]:
        sending = [hold for operation, hold in self._sending.items() if operation in self._operations]
        return {
            hold: (hold.reason, hold.fault)
            for hold in (*sending, *self._following.values())
            if hold.reason is not None and hold.fault is not None
        }

    def _hold(self, what: str, operation: str | None) -> Hold:
        return Hold(self._owner, what, operation, events=self._events, clock=self._clock, random=self._random)


def fault_of(error: LeadSquaredError) -> Fault:
    """Who has to act before a hold ends: the account's owner, or LeadSquared."""
    return Fault.ACCOUNT if error.fault is Fault.ACCOUNT else Fault.SERVER
