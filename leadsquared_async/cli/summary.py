"""What a capture ends with: counts, its exit status, and what to do next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadsquared_async import ItemState
from leadsquared_async.cli.delivering import Delivered, Ending
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.reports import PENDING, REFUSED, Outcomes
from leadsquared_async.cli.wording import rows as rows_in_words
from leadsquared_async.printable import one_line

__all__ = ["Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run.

    Attributes:
        name: of the input.
        outbox: its file.
        outcomes: of all rows.
        before: rows that had been delivered before.
        delivered: how delivering ended.
        confirm: whether accepted rows are followed.
        to_be_sent: rows of the outbox that LeadSquared has not accepted yet, of whichever input.
        left_over: rows that an earlier run left and the input does not make.
        taken_out: those of them that were taken out.
        repeats: rows of the input with the key of another one.
        repeats_are: in words.
        command: that takes rows once they are mended.
    """

    name: str
    outbox: Path
    outcomes: Outcomes
    before: int
    delivered: Delivered
    confirm: bool
    to_be_sent: int = 0
    left_over: int = 0
    taken_out: int = 0
    repeats: int = 0
    repeats_are: str = "the same as another"
    command: str = "capture"

    @property
    def left(self) -> int:
        """Rows that the same command would go on with."""
        counts = self.outcomes.counts
        is_followed = self.confirm and self.delivered.ending is not Ending.DONE
        return counts[PENDING] + (counts[ItemState.ACCEPTED] if is_followed else 0)

    @property
    def status(self) -> ExitStatus:
        """The exit status."""
        counts = self.outcomes.counts
        if self.delivered.ending is Ending.ACCOUNT:
            return ExitStatus.ACCOUNT
        if self.delivered.ending is not Ending.DONE or self.left or self.outcomes.is_unwritten:
            return ExitStatus.LEFT
        is_short = (
            counts[ItemState.REJECTED] or counts[ItemState.UNKNOWN] or counts[REFUSED] or self.delivered.short
        )
        return ExitStatus.NOT_ALL if is_short else ExitStatus.DONE

    def advice(self) -> list[str]:
        """What happened and what to do about it, beside the result."""
        counts, said = self.outcomes.counts, list[str]()
        if self.delivered.ending is Ending.ACCOUNT:
            said.append(f"stopped, since the account lets nothing through: {self.delivered.why}")
        elif self.delivered.ending is Ending.STUCK:
            said.append(f"stopped, since the outbox cannot go on: {self.delivered.why}")
        if self.status in {ExitStatus.ACCOUNT, ExitStatus.LEFT}:
            said.append(f"what is left stays in {self.outbox}: run the same command again to go on")
        if self.outcomes.out is not None and self.outcomes.is_beside:
            said.append(
                f"the outcomes are in {self.outcomes.out}: the file named holds those of another input"
            )
        if self.outcomes.rejects is not None:
            said.append(
                f"{self.outcomes.rejects} holds the rows to mend, each with its reason: correct it, and pass "
                f"it to `leadsquared {self.command}`"
            )
        elif counts[ItemState.REJECTED] or counts[REFUSED]:
            said.append("--rejects FILE writes the rows to mend, each with its reason")
        if counts[ItemState.REJECTED]:
            said.append(
                "if it is LeadSquared that was mended, such as by a new field: "
                f"leadsquared outbox requeue {self.outbox} (--drop NAME leaves an attribute out), then "
                f"leadsquared outbox drain {self.outbox}"
            )
        if self.confirm and self.status is not ExitStatus.LEFT and counts[ItemState.ACCEPTED]:
            said.append(
                "what was accepted in a run with --no-confirm is not followed: "
                f"leadsquared wait --outbox {self.outbox}"
            )
        others = self.delivered.short - counts[ItemState.REJECTED] - counts[ItemState.UNKNOWN]
        if others > 0:
            said.append(
                f"{rows_in_words(others)} that the outbox held from before ended rejected or unknown: "
                f"leadsquared outbox items {self.outbox}"
            )
        if counts[ItemState.UNKNOWN]:
            said.append("look for the unknown ones at LeadSquared before they are sent again")
        return said

    def text(self) -> str:
        """For people."""
        counts = self.outcomes.counts
        rows = [
            ("confirmed", counts[ItemState.CONFIRMED], ""),
            ("accepted", counts[ItemState.ACCEPTED], "outcome not known" if self.confirm else ""),
            ("rejected", counts[ItemState.REJECTED], self._kinds()),
            ("unknown", counts[ItemState.UNKNOWN], "may have arrived"),
            ("refused", counts[REFUSED], "not sent, since they cannot be"),
            ("pending", counts[PENDING], "not sent yet"),
        ]
        head = [rows_in_words(self.outcomes.rows), f"{self.before:,} delivered in an earlier run"]
        if self.repeats:
            head.append(f"{self.repeats:,} {self.repeats_are}")
        if self.delivered.is_idle:
            head.append("nothing was sent this time")
        lines = [f"{one_line(self.name)}: {', '.join(head)}"]
        lines += [
            f"  {name:<9} {count:>9,}" + (f"  {note}" if note else "") for name, count, note in rows if count
        ]
        if self.left_over:
            lines.append(f"of an earlier run: {rows_in_words(self.left_over)}, {self.taken_out:,} taken out")
        if self.to_be_sent:
            lines.append(f"still to be sent: {self.to_be_sent:,}")
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        """For programs."""
        counts = self.outcomes.counts
        states = (*(state.value for state in ItemState if state is not ItemState.SENDING), REFUSED)
        return {
            "input": self.name,
            "outbox": str(self.outbox),
            "rows": self.outcomes.rows,
            **{state: counts[state] for state in states},
            "rejected_by_kind": dict(self.outcomes.kinds),
            "delivered_before": self.before,
            "repeated": self.repeats,
            "left_over": self.left_over,
            "taken_out": self.taken_out,
            "still_to_be_sent": self.to_be_sent,
            "ending": self.delivered.ending.value,
            "why": self.delivered.why,
            "out": None if self.outcomes.out is None else str(self.outcomes.out),
            "rejects": None if self.outcomes.rejects is None else str(self.outcomes.rejects),
            "exit": int(self.status),
        }

    def _kinds(self) -> str:
        return ", ".join(f"{kind} {count:,}" for kind, count in self.outcomes.kinds.most_common())
