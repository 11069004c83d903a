"""What holds what: a fault of the whole account holds every lead, any other one the rows of its operation."""

from __future__ import annotations

from collections.abc import Callable

from leadsquared_async.errors import Fault, Forbidden, LeadSquaredError, Scope
from leadsquared_async.logs import ClientLog
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.outbox.holding import Holding

__all__ = ["Holdings"]


class Holdings:
    """One holding for everything, and two for each operation: for its submissions, and for following them.

    An operation may meet alone what looks like the account's fault, such as a 403 on its path. So as soon as
    another one gets through, everything goes on, and those that met it try with one row first: what fails
    then is held as that operation's own.

    Args:
        log: where it is said.

    Attributes:
        every: holds everything.
        on_hold: called when something is held that is followed, too.
    """

    def __init__(self, log: ClientLog) -> None:
        self._log = log
        self.on_hold: Callable[[], None] = lambda: None
        self._sending: dict[str, Holding] = {}
        self._following: dict[str, Holding] = {}
        self._met: dict[Holding, tuple[str, Fault]] = {}
        self._turns = 0
        self._turn_of: dict[str, int] = {}
        self.every = self._heard(Holding(log))

    def sending(self, operation: str) -> Holding:
        """What holds the submissions of an operation, and of no other."""
        holding = self._sending.get(operation)
        if holding is None:
            holding = self._sending[operation] = self._heard(
                Holding(
                    self._log, f"holding every row of {operation}", f"delivering rows of {operation} again"
                )
            )
        return holding

    def following(self, operation: str) -> Holding:
        """What keeps the accepted rows of an operation from being followed, and those of no other."""
        holding = self._following.get(operation)
        if holding is None:
            what = f"what was accepted of {operation} is"
            holding = self._following[operation] = self._heard(
                Holding(self._log, f"{what} not followed", f"{what} followed again")
            )
        return holding

    # What holds

    def holds(self, operation: str) -> bool:
        """Whether submissions of an operation are held."""
        return self.every.reason is not None or self.sending(operation).reason is not None

    def may_follow(self, operation: str) -> bool:
        """Whether what was accepted of an operation is asked for."""
        sending, following = self.sending(operation), self.following(operation)
        if self.every.is_certain or (sending.is_certain and sending.fault is Fault.SERVER):
            return False
        return following.reason is None or not following.until_probe

    @property
    def first(self) -> Holding | None:
        """What holds everything, or else the submissions of an operation; None if nothing is held."""
        return next((it for it in (self.every, *self._sending.values()) if it.has_failed), None)

    @property
    def held(self) -> dict[str, str]:
        """The operations whose submissions alone are held, and why."""
        return _reasons(self._sending)

    @property
    def unfollowed(self) -> dict[str, str]:
        """The operations whose accepted rows are not followed, and why."""
        return _reasons(self._following)

    @property
    def lost(self) -> dict[str, str]:
        """Those of them for which nobody can expect that it ends by itself."""
        return _reasons({name: it for name, it in self._following.items() if it.is_lasting})

    def in_turn(self) -> list[str]:
        """The operations by which to probe first: those that did not fail, then who waits longest."""

        def rank(operation: str) -> tuple[bool, int]:
            own = self.sending(operation)
            return own.reason is not None or own in self._met, self._turn_of.get(operation, 0)

        return sorted(OPERATIONS, key=rank)

    # What happened

    def probes(self, operation: str) -> None:
        """A row of this operation probes for all."""
        self._turns += 1
        self._turn_of[operation] = self._turns

    def failed(self, operation: str, error: LeadSquaredError, row: int) -> None:
        """A submission failed by what is not its own fault."""
        self._note(
            self.sending(operation), error, row, meets_all=error.scope in {Scope.ACCOUNT, Scope.SERVER}
        )

    def not_followed(self, operation: str, error: LeadSquaredError) -> None:
        """The outcome of what was accepted cannot be asked for."""
        # A 403 may well be of this path: if it is the key's, submissions will meet it too.
        meets_all = error.scope is Scope.ACCOUNT and not isinstance(error, Forbidden)
        self._note(self.following(operation), error, None, meets_all=meets_all)

    def passed(self, operation: str) -> None:
        """A submission got through."""
        was_held = self.every.reason is not None
        own = self.sending(operation)
        own.end()
        self.every.end()
        met, self._met = self._met, {}
        if was_held:
            met = {**self._closed(), **met}  # no pause of theirs says anything any more
        for holding, (reason, fault) in met.items():
            if holding is not own:
                holding.suspect(reason, fault)

    def _note(self, own: Holding, error: LeadSquaredError, row: int | None, *, meets_all: bool) -> None:
        if meets_all and own.reason is None:
            self._met[own] = (str(error), Fault.ACCOUNT if error.fault is Fault.ACCOUNT else Fault.SERVER)
            self.every.because_of(error, row)
        else:
            own.because_of(error, row)

    def _closed(self) -> dict[Holding, tuple[str, Fault]]:
        return {
            holding: (holding.reason, holding.fault)
            for holding in (*self._sending.values(), *self._following.values())
            if holding.reason is not None and holding.fault is not None
        }

    def _heard(self, holding: Holding) -> Holding:
        holding.on_hold = self._hold
        return holding

    def _hold(self) -> None:
        self.on_hold()


def _reasons(holdings: dict[str, Holding]) -> dict[str, str]:
    return {
        name: holding.reason
        for name, holding in holdings.items()
        if holding.reason is not None and holding.has_failed
    }
