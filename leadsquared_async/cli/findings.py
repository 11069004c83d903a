"""The flaws of the rows of a file: each once, with its count, its first lines and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from rich.text import Text

from leadsquared_async.cli.files.cells import ANY_FORMAT
from leadsquared_async.cli.files.rows import Flaw
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.printable import one_line

__all__ = ["LINES_SHOWN", "Findings", "lines_text"]

FINDINGS_SHOWN, LINES_SHOWN, VALUES_SHOWN = 50, 5, 5
KEPT = 1000
"""Different flaws, and different values of one."""


@dataclass(slots=True)
class Finding:
    """A flaw and its rows.

    `values` counts values that are not options of a drop-down. `nearest` has the option nearest to such a
    value; under "" the format of a date that shows it.
    """

    flaw: Flaw
    rows: int = 0
    lines: list[int] = field(default_factory=list[int])
    values: Counter[str] = field(default_factory=Counter[str], repr=False)
    nearest: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def message(self) -> str:
        return self.flaw.message.replace(ANY_FORMAT, self.nearest.get("", ANY_FORMAT))

    def where(self) -> str:
        return lines_text(self.lines, self.rows).partition(" ")[2]

    def advice(self) -> list[str]:
        if not self.values:
            return [self.message]
        shown = self.values.most_common(VALUES_SHOWN)
        values = ", ".join(f'"{one_line(value, 40)}" {count:,}' for value, count in shown)
        more = f" and {len(self.values) - len(shown):,} more" if len(self.values) > len(shown) else ""
        wrong = next((value for value, _ in shown if value in self.nearest), shown[0][0])
        option = f"{self.flaw.attribute}:{one_line(wrong, 40)}={self.nearest.get(wrong, 'OPTION')}"
        return [self.message, f"Values: {values}{more}.", f'Send one as another: --value "{option}"']

    def head(self) -> Text:
        head = Text(one_line(self.flaw.attribute or self.flaw.column or "the row", 200), "bold")
        head.append(f"  {self.flaw.kind.replace('_', ' ')}", "red")
        where = lines_text(self.lines, self.rows)
        return head.append(f"  {counted(self.rows, 'row')}, {where}", "not bold")

    def cells(self) -> tuple[str, ...]:
        flaw = self.flaw
        return (
            flaw.attribute or flaw.column,
            flaw.kind,
            f"{self.rows:,}",
            self.where(),
            " ".join(self.advice()),
        )

    def data(self) -> dict[str, Any]:
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


def lines_text(lines: Sequence[int], rows: int) -> str:
    """The first lines of so many rows: line 2; lines 3, 5, ..."""
    more = ", ..." if rows > len(lines) else ""
    return f"{'line' if rows == 1 else 'lines'} {', '.join(map(str, lines))}{more}"


class Findings:
    """All flaws of a file; `rows` counts the rows with a flaw, `beyond` the flaws that are not kept."""

    def __init__(self) -> None:
        self._found: dict[Flaw, Finding] = {}
        self.rows = 0
        self.beyond = 0

    def add(self, line: int, flaws: tuple[Flaw, ...]) -> None:
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
            if flaw.value is not None and (flaw.value in finding.values or len(finding.values) < KEPT):
                finding.values[flaw.value] += 1
                if flaw.nearest is not None:
                    finding.nearest[flaw.value] = flaw.nearest
            if len(finding.lines) < LINES_SHOWN:
                finding.lines.append(line)

    def __iter__(self) -> Iterator[Finding]:
        """The findings, most frequent first."""
        return iter(sorted(self._found.values(), key=lambda finding: -finding.rows))

    def show(self, terminal: Terminal) -> None:
        """Show each flaw on standard error."""
        found = list(self)[:FINDINGS_SHOWN]
        if terminal.console.is_terminal:
            for finding, after in zip_longest(found, found[1:]):
                terminal.console.print(finding.head())
                if after is None or finding.advice() != after.advice():  # else it is shown below the next
                    for line in finding.advice():
                        terminal.say(f"    {line}")
        elif found:
            rows = [finding.cells() for finding in found]
            terminal.table(("Column", "Problem", "Rows", "Lines", "What to do"), rows, remark=True)
        if more := len(self._found) - len(found) + self.beyond:
            terminal.say(f"{more:,} more problems; --rejects writes every row that needs fixing")
