"""A measured number beside the number that it has to keep to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        what: what was measured, in a few words.
        value: the number.
        unit: of the value and its bounds.
        most: the most that it may be; None for no such bound.
        least: the least that it may be; None for no such bound.
        note: what else there is to know.
    """

    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the value keeps to its bounds; always, if it has none."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def __str__(self) -> str:
        bounds = [
            f"{word} {bound:g}{self.unit}"
            for word, bound in (("at most", self.most), ("at least", self.least))
            if bound is not None
        ]
        verdict = ("met" if self.is_met else "MISSED") if bounds else ""
        value = f"{self.value:.4g}{self.unit}"
        line = f"{self.what:<46} {value:>9}  {' and '.join(bounds):<14} {verdict:<6} {self.note}"
        return line.rstrip()
