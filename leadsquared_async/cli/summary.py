"""How a run ended: counts by outcome, reasons, and the next command to type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadsquared_async import ItemState
from leadsquared_async.cli.delivering import Delivered, Ending
from leadsquared_async.cli.durations import spoken
from leadsquared_async.cli.estimate import BulkEstimate, Estimate
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.reports import PENDING, REFUSED, Outcomes
from leadsquared_async.cli.row_reader import Rows, RowStatus
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.printable import shell_word

__all__ = ["Summary", "show_check", "show_plan"]

MEANING = {
    ItemState.CONFIRMED: "",
    ItemState.ACCEPTED: "outcome not known yet",
    ItemState.REJECTED: "by LeadSquared",
    ItemState.UNKNOWN: "may have arrived",
    REFUSED: "not sent: they need fixing",
    PENDING: "not sent yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The result of a run of `command` with a file and the outbox at `path`.

    `excepted` names the options of the run that its rejects do not take.
    `taken_out` counts the rows that were discarded because they are no longer in the file; `waiting` counts
    the rows of the outbox, from any file, that are not sent yet.
    """

    name: str
    path: Path
    command: str
    excepted: str
    rows: Rows
    outcomes: Outcomes
    delivered: Delivered
    confirm: bool
    taken_out: int
    waiting: int
    seconds: float

    @property
    def status(self) -> ExitStatus:
        counts, status = self.outcomes.counts, self.delivered.status
        if status > ExitStatus.NOT_ALL:
            return status
        if counts[PENDING] or self.outcomes.unwritten is not None:
            return ExitStatus.LEFT
        failed = counts[ItemState.REJECTED] + counts[ItemState.UNKNOWN] + counts[REFUSED]
        return ExitStatus.NOT_ALL if failed else status

    def show(self, terminal: Terminal) -> None:
        terminal.result(self._text(), self._data(), "bold")
        if not terminal.as_json:
            self._tables(terminal)
        for line in (*self._ending(), *self._files(), *self._others()):
            terminal.say(line)

    def _text(self) -> str:
        rows = self.rows
        parts = [counted(self.outcomes.rows, "row"), f"in {spoken(self.seconds)}"]
        if ended := rows.count(RowStatus.DELIVERED, RowStatus.FAILED):
            parts.append(f"{ended:,} of them from an earlier run")
        if repeated := rows.count(RowStatus.REPEATED):
            parts.append(f"{repeated:,} the same as another")
        if rows.blank:
            parts.append(f"{counted(rows.blank, 'blank row')} skipped")
        if self.delivered.is_idle:
            parts.append("nothing was sent in this run")
        return f"{self.name}: {', '.join(parts)}"

    def _tables(self, terminal: Terminal) -> None:
        counts, reasons = self.outcomes.counts, self.outcomes.reasons
        meaning = MEANING if self.confirm else {**MEANING, ItemState.ACCEPTED: ""}
        rows = [
            (outcome, f"{counts[outcome]:,}", said) for outcome, said in meaning.items() if counts[outcome]
        ]
        terminal.table(("Outcome", "Rows", ""), rows)
        if reasons:
            found = sorted(reasons.items(), key=lambda reason: -reason[1][0])
            cells = [(reason, f"{count:,}", str(line)) for reason, (count, line) in found]
            terminal.table(("Why rejected", "Rows", "First line"), cells)

    def _ending(self) -> Iterator[str]:
        delivered = self.delivered
        if delivered.ending is Ending.ACCOUNT:
            yield f"stopped because the account rejects all calls: {delivered.why}"
        elif delivered.ending is Ending.STUCK:
            yield f"stopped because the outbox cannot be used: {delivered.why}"
        if self.outcomes.unwritten is not None:
            yield f"--out and --rejects could not be written: {self.outcomes.unwritten}"
        if self.status in {ExitStatus.ACCOUNT, ExitStatus.LEFT}:
            if delivered.ending is Ending.ACCOUNT:
                yield "to check keys, host and permissions: leadsquared doctor"
            yield "to continue, run the same command again: rows that are not final stay in the outbox"
        elif self.confirm and self.outcomes.counts[ItemState.ACCEPTED]:
            path = shell_word(self.path)
            yield f"rows of a run with --no-confirm are not followed: leadsquared wait --outbox {path}"

    def _files(self) -> Iterator[str]:
        counts, outcomes, path = self.outcomes.counts, self.outcomes, shell_word(self.path)
        if outcomes.out is not None:
            why = "the file named holds those of another input, or is open in another program"
            beside = f", because {why}" if outcomes.is_beside else ""
            yield f"outcomes of all rows: {outcomes.out}{beside}"
        if outcomes.rejects is not None:
            rejects = shell_word(outcomes.rejects)
            yield f"rows to fix: {outcomes.rejects}"
            yield f"then, with the same options{self.excepted}: leadsquared {self.command} {rejects}"
        elif counts[ItemState.REJECTED] or counts[REFUSED]:
            yield "--rejects FILE writes the rows that need fixing, each with its reason"
        if counts[ItemState.REJECTED]:
            yield "if the fix is in LeadSquared, such as a new field, or if --drop or --set is enough:"
            yield f"  leadsquared outbox requeue {path}"
            yield f"  leadsquared outbox drain {path}"
        if counts[ItemState.UNKNOWN]:
            yield "look for the unknown rows in LeadSquared before you send them again:"
            yield f"  leadsquared outbox resolve {path}"

    def _others(self) -> Iterator[str]:
        counts = self.outcomes.counts
        others = self.delivered.failed - counts[ItemState.REJECTED] - counts[ItemState.UNKNOWN]
        if others > 0:
            path = shell_word(self.path)
            said = counted(others, "other row")
            yield f"{said} of the outbox ended rejected or unknown: leadsquared outbox items {path}"
        if self.rows.left_over:
            said = counted(len(self.rows.left_over), "row")
            yield f"{said} of an earlier run: {self.taken_out:,} taken out, the others sent"
        if self.waiting > counts[PENDING]:
            yield f"still to be sent from the outbox: {counted(self.waiting, 'row')}"

    def _data(self) -> dict[str, Any]:
        counts, outcomes, rows = self.outcomes.counts, self.outcomes, self.rows
        states = (*(state.value for state in ItemState if state is not ItemState.SENDING), REFUSED)
        return {
            "input": self.name,
            "outbox": str(self.path),
            "rows": outcomes.rows,
            **{state: counts[state] for state in states},
            "rejected_by_kind": {reason: count for reason, (count, _) in outcomes.reasons.items()},
            "delivered_before": rows.count(RowStatus.DELIVERED),
            "repeated": rows.count(RowStatus.REPEATED),
            "blank": rows.blank,
            "left_over": len(rows.left_over),
            "taken_out": self.taken_out,
            "still_to_be_sent": self.waiting,
            "seconds": round(self.seconds, 1),
            "ending": self.delivered.ending.value,
            "why": self.delivered.why,
            "out": None if outcomes.out is None else str(outcomes.out),
            "rejects": None if outcomes.rejects is None else str(outcomes.rejects),
            "exit": int(self.status),
        }


def show_check(
    terminal: Terminal, name: str, rows: Rows, outcomes: Outcomes, fields: int | None, *, same: str
) -> ExitStatus:
    """Show the result of `check`; `fields` counts the account's lead fields, None if they are unknown.

    `same` says in which way a repeated row is like another.
    """
    refused = rows.findings.rows
    status = ExitStatus.NOT_ALL if refused else ExitStatus.DONE
    count = f"{refused:,}" if refused else "none"
    against = "" if fields is None else f" against {counted(fields, 'lead field')}"
    repeated = rows.count(RowStatus.REPEATED)
    repeats = f", {repeated:,} {same}" if repeated else ""
    if outcomes.rejects is not None:
        terminal.say(f"{outcomes.rejects} holds the rows that need fixing, each with its reason")
    terminal.result(
        f"{name}: {counted(len(rows.statuses), 'row')}{against}{repeats}, {count} would be refused",
        {
            "input": name,
            "rows": len(rows.statuses),
            "blank": rows.blank,
            "flawed": refused,
            "repeated": repeated,
            "unmatched": rows.unmatched,
            "fields": fields,
            "problems": [finding.data() for finding in rows.findings],
            "rejects": None if outcomes.rejects is None else str(outcomes.rejects),
            "exit": int(status),
        },
        "bold",
    )
    return status


def show_plan(
    terminal: Terminal, name: str, path: Path, rows: Rows, plan: Estimate | BulkEstimate, *, in_outbox: int
) -> ExitStatus:
    """Show the result of a dry run; `in_outbox` rows of the outbox would be sent and are not in the file."""
    status = ExitStatus.NOT_ALL if rows.findings.rows else ExitStatus.DONE
    text = f"{name}: nothing was sent, {counted(plan.submissions, 'row')} would be"
    if in_outbox:
        text += f", {in_outbox:,} of them already in the outbox"
    terminal.result(
        text,
        {
            "input": name,
            "outbox": str(path),
            "dry_run": True,
            "rows": len(rows.statuses),
            "to_send": rows.count(RowStatus.NEW, RowStatus.WAITING),
            "to_confirm": rows.count(RowStatus.ACCEPTED),
            "ended_before": rows.count(RowStatus.DELIVERED, RowStatus.FAILED),
            "refused": rows.count(RowStatus.REFUSED),
            "repeated": rows.count(RowStatus.REPEATED),
            "left_over": len(rows.left_over),
            "others_pending": rows.other_pending,
            "estimate": plan.data(),
            "exit": int(status),
        },
    )
    return status
