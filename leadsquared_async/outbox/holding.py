"""Every lead is held when what stopped one would stop them all, and that is said once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from leadsquared_async.errors import Fault, LeadSquaredError
from leadsquared_async.outbox.gate import Gate

__all__ = ["FEW", "Holding"]

logger = logging.getLogger("leadsquared_async")

FEW = 8
"""Up to so many leads that LeadSquared fails at may be to blame themselves, while it works for all others."""


class Holding:
    """The gate, in the running loop's time, with a voice.

    Args:
        what: is held, for log lines.

    Attributes:
        on_hold: called when everything is held, polls too.
    """

    def __init__(self, what: str = "lead") -> None:
        self._what = what
        self._gate = Gate()
        self._failed: set[int | None] = set()
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

    def because_of(self, error: LeadSquaredError, row: int | None = None) -> None:
        """An error that the next lead would meet too; `row` is the one that met it."""
        self._failed.add(row)
        fault = error.fault if error.fault is Fault.ACCOUNT else Fault.SERVER
        if self._gate.close(str(error), fault, _now(), random.random()):
            logger.warning(
                "outbox: holding every %s, and trying again in %.0f s: %s",
                self._what,
                self.until_probe,
                error,
                extra={"event": "blocked", "fault": fault.value},
            )
        if self.is_certain:
            self.on_hold()

    def end(self) -> None:
        """A lead got through."""
        self._failed.clear()
        if self._gate.open():
            again = "delivering" if self._what == "lead" else f"delivering every {self._what}"
            logger.warning("outbox: %s again", again, extra={"event": "unblocked"})

    def end_untried(self) -> None:
        """There is no lead to try with: whatever comes next shows whether the way is free."""
        self._gate.try_again(_now())


def _now() -> float:
    return asyncio.get_running_loop().time()
