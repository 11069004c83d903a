"""`leadsquared outbox ...`: what is in outbox files, mended, taken out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from leadsquared_async import ItemState, Outbox, OutboxItem, OutboxSnapshot
from leadsquared_async.cli.dead_letters import dead_letters, status_for
from leadsquared_async.cli.durations import spoken
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.errors import InvalidLead
from leadsquared_async.outbox import UnreadableRowError, note_of
from leadsquared_async.printable import one_line

__all__ = [
    "HELD",
    "Mending",
    "Wanted",
    "check_files",
    "counts_of",
    "outbox_if_there",
    "row_of",
    "run_forget",
    "run_items",
    "run_purge",
    "run_requeue",
    "run_stats",
]

AT_ONCE = 500
"""Rows that are shown in one piece."""
HELD = "held"
"""Under which an outbox keeps why the last command held its rows."""
FORGOTTEN = "rows that are on their way stay without their values until their outcome is known"
NOBODY = "no row has that value any more: confirmed rows hold no values"
ELSEWHERE = (
    "the input file, files of --rejects and --out, and other outboxes still hold the person; the same "
    "capture command would send them again"
)


@dataclass(frozen=True, slots=True)
class Mending:
    """Which rows are sent again, and what is changed about them first.

    Attributes:
        state: rejected or unknown.
        reason: what the reason has to contain, in any case of letters; None: any.
        drop: attributes that are left out.
        values: attributes that are set.
        search_by: another SearchBy.
    """

    state: ItemState
    reason: str | None = None
    drop: Sequence[str] = ()
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    search_by: str | None = None

    def means(self, item: OutboxItem) -> bool:
        """Whether a row is one of them."""
        return self.reason is None or self.reason.casefold() in (item.reason or "").casefold()


def run_stats(files: Sequence[Path], terminal: Terminal, fail_on: Collection[ItemState] = ()) -> ExitStatus:
    """Count the rows of each file.

    Args:
        files: outboxes.
        terminal: says it.
        fail_on: states of which there may be no item.

    Raises:
        CommandFailedError, OutboxError: a file is not there, or no outbox.
    """

    async def stats(path: Path, outbox: Outbox) -> dict[str, Any]:
        snapshot = await outbox.snapshot()
        held = None if snapshot.oldest is None else await note_of(outbox, HELD)
        return {
            "file": str(path),
            **counts_of(snapshot),
            "oldest": snapshot.oldest,
            "held": held or None,
            "size": snapshot.size,
        }

    found = _each(files, stats)
    lines: list[str] = []
    cells: list[tuple[str, ...]] = []
    for stat in found:
        states: list[tuple[str, str]] = [
            (state.value, f"{stat[state]:,}") for state in ItemState if stat[state]
        ]
        counts = ", ".join(f"{state} {stat[state]:,}" for state in ItemState if stat[state]) or "empty"
        oldest = (
            "" if stat["oldest"] is None else f"; the oldest open row has waited {spoken(stat['oldest'])}"
        )
        lines.append(f"{one_line(stat['file'])}: {counts}{oldest}; {stat['size']:,} bytes")
        remarks = (
            [] if stat["oldest"] is None else [f"the oldest open row has waited {spoken(stat['oldest'])}"]
        )
        if stat["held"] is not None:
            lines.append(f"  held: {stat['held']}")
            remarks.append(f"held: {stat['held']}")
        if (dead := dead_letters(Path(stat["file"]), stat)) is not None:
            lines.append(f"  {dead}")
            remarks.append(dead)
        beside = zip_longest(states or [("empty", "")], remarks)
        cells += [
            ("" if number else stat["file"], *(state or ("", "")), remark or "")
            for number, (state, remark) in enumerate(beside)
        ]
    terminal.table(("Outbox", "State", "Rows", ""), cells, {"outboxes": found}, plain="\n".join(lines))
    return max(status_for(stat, fail_on) for stat in found)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are listed.

    Attributes:
        state: of the rows; None: any.
        reason: what the reason has to contain, in any case of letters; None: any.
        operation: that they are submitted to; None: any.
        older_than: seconds since which they did not change.
    """

    state: ItemState | None = None
    reason: str | None = None
    operation: str | None = None
    older_than: float = 0.0

    def means(self, item: OutboxItem, now: datetime) -> bool:
        """Whether a row is one of them."""
        return (
            (self.reason is None or self.reason.casefold() in (item.reason or "").casefold())
            and self.operation in {None, item.operation}
            and (now - item.changed_at).total_seconds() >= self.older_than
        )


def run_items(files: Sequence[Path], wanted: Wanted, terminal: Terminal) -> ExitStatus:
    """List rows without their values.

    Raises:
        CommandFailedError, OutboxError: a file is not there, or no outbox.
    """
    headings = ("Id", "State", "Age", "Operation", "RequestID", "Reason", "Reference")
    now = datetime.now(UTC)
    shown = 0

    def flush(rows: list[tuple[str, ...]]) -> None:
        nonlocal shown
        if rows:
            terminal.table(headings, rows, plain=_lines(rows if shown else [headings, *rows]))
            shown += len(rows)
            rows.clear()

    async def listed(path: Path, outbox: Outbox) -> None:
        rows: list[tuple[str, ...]] = []
        nonlocal shown
        async for item in outbox.items(wanted.state):
            if not terminal.is_heard:
                return
            if not wanted.means(item, now):
                continue
            row = row_of(path, item)
            if terminal.as_json:
                terminal.result("", row)
                shown += 1
                continue
            reference = one_line(item.reference or "", 100)
            known = (item.operation, item.request_id or "", row["kind"] or "", reference)
            age = spoken((now - item.changed_at).total_seconds())
            rows.append((str(item.id), item.state, age, *known))
            if len(rows) == AT_ONCE:
                flush(rows)
        flush(rows)

    _each(files, listed)
    if not shown and terminal.is_heard:
        terminal.say("no items" if wanted.state is None else f"no items are {wanted.state}")
    return ExitStatus.DONE


def _lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows for a pipe, whose columns have the same width in every piece."""
    widths = (7, 9, 8, 18, 36, 28, 0)
    return "\n".join(
        "  ".join(one_line(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def run_requeue(files: Sequence[Path], mending: Mending, terminal: Terminal, *, dry_run: bool) -> ExitStatus:
    """Put rejected or unknown rows among those that are to be sent, mended.

    Raises:
        CommandFailedError, OutboxError: a file is not there, or no outbox; no row has what is to be dropped.
    """
    if mending.drop:
        _check_drops(files, mending)

    async def requeue(_path: Path, outbox: Outbox) -> tuple[int, int]:
        queued, refused = 0, 0
        for item in [item async for item in outbox.items(mending.state) if mending.means(item)]:
            if item.is_erased:
                refused += 1
                terminal.say(f"row {item.id}: its values are erased; pass the lead in again")
                continue
            try:
                if not dry_run:
                    await _requeue(outbox, item, mending)
            except (InvalidLead, UnreadableRowError) as error:
                refused += 1
                terminal.say(f"row {item.id}: {error}")
            else:
                queued += 1
        return queued, refused

    results = _each(files, requeue)
    queued, refused = (sum(counts) for counts in zip(*results, strict=True))
    status = ExitStatus.NOT_ALL if refused else ExitStatus.DONE
    verb = "would be sent again" if dry_run else "will be sent again, by `leadsquared outbox drain`"
    terminal.result(
        f"{counted(queued, 'row')} {verb}" + (f", {refused:,} cannot be" if refused else ""),
        {
            "requeued": 0 if dry_run else queued,
            "matched": queued + refused,
            "refused": refused,
            "dry_run": dry_run,
        },
    )
    return status


def run_forget(files: Sequence[Path], person: Mapping[str, str], terminal: Terminal) -> ExitStatus:
    """Erase a person.

    Raises:
        CommandFailedError, ConfigurationError, OutboxError: a file is not there, or no outbox.
    """

    async def forget(_path: Path, outbox: Outbox) -> int:
        return await outbox.forget(**person)

    erased = sum(_each(files, forget))
    terminal.say(ELSEWHERE)
    terminal.result(f"{counted(erased, 'row')} erased; {FORGOTTEN if erased else NOBODY}", {"erased": erased})
    return ExitStatus.DONE


def run_purge(files: Sequence[Path], older_than: float, terminal: Terminal) -> ExitStatus:
    """Delete final rows, and their keys.

    Raises:
        CommandFailedError, OutboxError: a file is not there, or no outbox.
    """

    async def purge(_path: Path, outbox: Outbox) -> int:
        return await outbox.purge(older_than)

    purged = sum(_each(files, purge))
    terminal.result(
        f"{counted(purged, 'row')} deleted; what is captured again from the same input is sent again",
        {"purged": purged},
    )
    return ExitStatus.DONE


def check_files(files: Iterable[Path]) -> None:
    """See that they are there: an outbox that is opened would be made.

    Raises:
        CommandFailedError: one is not.
    """
    for path in files:
        if not path.is_file():
            raise CommandFailedError(f"{path}: there is no such outbox")


def outbox_if_there(path: Path) -> AbstractAsyncContextManager[Outbox | None]:
    """The outbox in a file, to be entered; None if there is no file, since it would be made."""
    return Outbox(path) if path.exists() else nullcontext()


def _each(files: Sequence[Path], do: Callable[[Path, Outbox], Coroutine[Any, Any, Any]]) -> list[Any]:
    """Do something with each file, none of which is made."""
    check_files(files)

    async def run() -> list[Any]:
        results: list[Any] = []
        for path in files:
            async with Outbox(path) as outbox:
                results.append(await do(path, outbox))
        return results

    return asyncio.run(run())


def counts_of(snapshot: OutboxSnapshot) -> dict[str, int]:
    """Rows by state, for programs."""
    return {state.value: snapshot.counts[state] for state in ItemState}


def row_of(path: Path, item: OutboxItem) -> dict[str, Any]:
    """A row without its values and its key, which may be personal data."""
    is_rejected = item.state is ItemState.REJECTED
    return {
        "file": str(path),
        "id": item.id,
        "state": item.state.value,
        "operation": item.operation,
        "reference": item.reference,
        "put_at": item.put_at.isoformat(),
        "changed_at": item.changed_at.isoformat(),
        "attempts": item.attempts,
        "request_id": item.request_id,
        "lead_id": item.lead_id,
        "created": item.created,
        "kind": kind_of(item.reason) if is_rejected else None,
    }


def _check_drops(files: Sequence[Path], mending: Mending) -> None:
    """Refuse to drop what none of the rows has: it is misspelt, and they would be rejected again."""

    async def attributes(_path: Path, outbox: Outbox) -> set[str]:
        found: set[str] = set()
        async for item in outbox.items(mending.state):
            if mending.means(item):
                found.update(item.lead or (), item.details or (), (item.details or {}).get("Fields", ()))
        return found

    found = set[str]().union(*_each(files, attributes))
    if missing := [name for name in mending.drop if found and name not in found]:
        raise CommandFailedError(f"--drop {', '.join(missing)}: none of the rows has that attribute")


async def _requeue(outbox: Outbox, item: OutboxItem, mending: Mending) -> None:
    lead = {**(item.lead or {}), **mending.values} if mending.values else None
    await outbox.requeue(item, lead=lead, drop=mending.drop, search_by=mending.search_by)
