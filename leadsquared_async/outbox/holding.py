"""Leads are held when what stopped one would stop them all, and that is said once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from leadsquared_async.delivery.hold import Gate
from leadsquared_async.errors import (
    Fault,
    LeadSquaredError,
    Scope,
)
from leadsquared_async.logs import ClientLog

__all__ = ["FEW", "Holding"]

FEW = 8
"""Up to so many leads that LeadSquared fails at may be to blame themselves, while it works for all others."""


class Holding:
    """The gate, in the running loop's time, with a voice.

    Args:
        log: where that is said.
        held: what is said when it closes.
        again: and when it opens.

    Attributes:
        on_hold: called when everything is held that it is about, polls too.
    """

    def __init__(
        self, log: ClientLog, held: str = "holding every lead", again: str = "delivering again"
    ) -> None:
        self._log = log
        self._held = held
        self._again = again
        self._gate = Gate()
        self._failed: set[int | None] = set()
        self._may_pass = True
        self.on_hold: Callable[[], None] = lambda: None

    @property
    def reason(self) -> str | None:
        """Why everything is held; None if nothing is."""
        return self._gate.reason

    @property
    def fault(self) -> Fault | None:
        """Whose fault it is that everything is held; None if nothing is."""
        return self._gate.fault

    @property
    def until_probe(self) -> float:
        """Seconds until one lead may be tried."""
        return max(0.0, self._gate.probe_at - _now())

    @property
    def is_certain(self) -> bool:
        """Whether what holds the leads can be no single lead's fault; until then the others may try."""
        if self.reason is None or self.fault is Fault.ACCOUNT:
            return self.reason is not None
        return None in self._failed or len(self._failed) > FEW

    @property
    def has_failed(self) -> bool:
        """Whether something failed here, or it is only suspected that it would."""
        return self._gate.has_failed

    @property
    def is_lasting(self) -> bool:
        """Whether it will hardly end by itself: it is about the path, or has failed for long."""
        return self.has_failed and (not self._may_pass or self._gate.is_slow)

    def because_of(self, error: LeadSquaredError, row: int | None = None) -> None:
        """An error that the next lead would meet too; `row` is the one that met it."""
        self._failed.add(row)
        fault = Fault.ACCOUNT if error.fault is Fault.ACCOUNT else Fault.SERVER
        self._may_pass = fault is Fault.SERVER or error.scope is Scope.ACCOUNT
        if self._gate.close(str(error), fault, _now(), random.random()):
            self._log.warning(
                "outbox: %s, and trying again in %.0f s: %s",
                self._held,
                self.until_probe,
                error,
                extra={"event": "blocked", "fault": fault.value},
            )
        if self.is_certain:
            self.on_hold()

    def suspect(self, reason: str, fault: Fault) -> None:
        """Try with one at once, before the others go: it may be the only one that still fails."""
        self._gate.suspect(reason, fault, _now())

    def end(self) -> None:
        """A lead got through."""
        self._failed.clear()
        if self._gate.open():
            self._log.warning("outbox: %s", self._again, extra={"event": "unblocked"})

    def end_untried(self) -> None:
        """There is no lead to try with: whatever comes next shows whether the way is free."""
        self._gate.try_again(_now())


def _now() -> float:
    return asyncio.get_running_loop().time()
