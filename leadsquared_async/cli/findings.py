"""What is wrong with the rows of a file: each flaw once, with its count and first lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.cli.files.cells import ANY_FORMAT
from leadsquared_async.cli.files.mapping import Flaw

__all__ = ["Finding", "Findings"]

LINES_SHOWN = 5
KEPT = 1000
"""Different flaws; of more, only the number is known."""
VALUES_KEPT = 1000


@dataclass(slots=True)
class Finding:
    """A flaw, and where it is.

    Attributes:
        flaw: what is wrong.
        rows: how many rows have it.
        lines: the first of them.
        values: for a drop-down, how often each value stands there that is none of its options.
        nearest: the option that a value resembles; under "", the format of the dates.
    """

    flaw: Flaw
    rows: int = 0
    lines: list[int] = field(default_factory=list[int])
    values: Counter[str] = field(default_factory=Counter[str], repr=False)
    nearest: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def message(self) -> str:
        """What is wrong and what to do, with the date format that one of the cells gives away."""
        return self.flaw.message.replace(ANY_FORMAT, self.nearest.get("", ANY_FORMAT))

    @property
    def where(self) -> str:
        """The first lines, for people."""
        return ", ".join(map(str, self.lines)) + (", ..." if self.rows > len(self.lines) else "")

    def data(self) -> dict[str, Any]:
        """For programs."""
        flaw = self.flaw
        return {
            "column": flaw.column or None,
            "attribute": flaw.attribute or None,
            "problem": flaw.kind,
            "message": self.message,
            "rows": self.rows,
            "lines": self.lines,
            **({"values": dict(self.values.most_common())} if self.values else {}),
        }


class Findings:
    """All flaws of a file.

    Attributes:
        rows: how many rows have a flaw.
        beyond: how many rows have one that is not kept.
    """

    def __init__(self) -> None:
        self._found: dict[Flaw, Finding] = {}
        self.rows = 0
        self.beyond = 0

    def add(self, line: int, flaws: tuple[Flaw, ...]) -> None:
        """Note the flaws of a row."""
        self.rows += 1
        for flaw in dict.fromkeys(flaws):
            finding = self._found.get(flaw)
            if finding is None:
                if len(self._found) == KEPT:
                    self.beyond += 1
                    continue
                finding = self._found[flaw] = Finding(flaw)
            finding.rows += 1
            if flaw.value is None and flaw.nearest is not None:
                finding.nearest.setdefault("", flaw.nearest)
            if flaw.value is not None and (flaw.value in finding.values or len(finding.values) < VALUES_KEPT):
                finding.values[flaw.value] += 1
                if flaw.nearest is not None:
                    finding.nearest[flaw.value] = flaw.nearest
            if len(finding.lines) < LINES_SHOWN:
                finding.lines.append(line)

    def __iter__(self) -> Iterator[Finding]:
        """The findings, those of most rows first."""
        return iter(sorted(self._found.values(), key=lambda finding: -finding.rows))
