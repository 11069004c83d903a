"""What a benchmark yields: a figure with its budget, a table, or a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


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
        return self.is_met_with(room=1.0)

    def is_met_with(self, room: float) -> bool:
        """Whether it keeps to bounds that are wider by this factor."""
        return (self.most is None or self.value <= self.most * room) and (
            self.least is None or self.value * room >= self.least
        )

    @property
    def budget(self) -> str:
        """Its bounds in words; empty if it has none."""
        bounds = (("at most", self.most), ("at least", self.least))
        return " and ".join(f"{word} {bound:g}{self.unit}" for word, bound in bounds if bound is not None)

    @property
    def shown(self) -> str:
        """The value with its unit, in four digits."""
        return (
            f"{self.value:,.4g}{self.unit}" if abs(self.value) < 10_000 else f"{self.value:,.0f}{self.unit}"
        )

    def __str__(self) -> str:
        verdict = ("met" if self.is_met else "MISSED") if self.budget else ""
        return f"{self.what:<46} {self.shown:>9}  {self.budget:<14} {verdict:<6} {self.note}".rstrip()


@dataclass(frozen=True)
class Table:
    """Clients or sizes side by side.

    Attributes:
        title: what the cells say, as a sentence.
        columns: the headings; the first is of the rows' names.
        rows: the cells as text, each row with its name first.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.columns, *self.rows)
        )
        return "\n".join((self.title, *lines))


@dataclass(frozen=True)
class Plot:
    """Curves on two axes, or events on a line of time for each series.

    Attributes:
        name: of its file.
        title: what it shows, as a sentence.
        x: label of the horizontal axis.
        y: label of the vertical axis; empty for events.
        series: the points of each curve by its name. For events, y is 1 for an accepted call and 0 for a 429.
        is_log: whether both axes are logarithmic.
    """

    name: str
    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]] = field(repr=False)
    is_log: bool = False

    def __str__(self) -> str:
        return f"plot {self.name}: {self.title}"


Result: TypeAlias = Figure | Table | Plot
