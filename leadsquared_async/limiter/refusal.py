"""What LeadSquared said when it refused calls, until the store is told."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One or several refusals.

    Attributes:
        until: the loop's time until which it wants silence; None if it did not say.
        told: the account's limit (calls, seconds), where it was named.
    """

    until: float | None
    told: tuple[int, float] | None

    @classmethod
    def now(cls, now: float, pause: float | None, told: tuple[int, float] | None) -> Refusal:
        """One that came just now, with the seconds it asked for."""
        return cls(None if pause is None else now + pause, told)

    def then(self, later: Refusal | None) -> Refusal:
        """This one, and another that came later."""
        if later is None:
            return self
        ends = [until for until in (self.until, later.until) if until is not None]
        return Refusal(max(ends) if ends else None, later.told or self.told)

    def left(self, now: float) -> float | None:
        """Seconds of silence that are left."""
        return None if self.until is None else max(0.0, self.until - now)
