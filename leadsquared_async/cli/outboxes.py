"""`leadsquared outbox ...`: lists, counts, requeues and deletes the rows of outbox files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from leadsquared_async import ItemState, Outbox, OutboxItem, OutboxSnapshot
from leadsquared_async.cli.durations import seconds_of, spoken
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.options import FailOn, OutboxFiles, option
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.delivery.reasons import kind_of, kind_of_unknown
from leadsquared_async.errors import InvalidLead
from leadsquared_async.outbox import UnreadableRowError, note_of
from leadsquared_async.printable import one_line, shell_word

__all__ = [
    "HELD", "Ids", "State", "check_files", "counts_of", "counts_text", "dead_letters", "discard", "forget",
    "hold_of", "items", "numbers_of", "purge", "requeue", "row_of", "states_of", "stats", "status_for",
]  # fmt: skip

AT_ONCE = 500
"""Rows in one table."""
HELD = "held"
"""The note that says why the last command held the rows of an outbox."""
ALL = "all operations"
NEXT = {
    ItemState.REJECTED: (
        "for the full reasons, with values",
        "leadsquared outbox export {} --state rejected --out rejected.jsonl",
    ),
    ItemState.UNKNOWN: ("to look for them in LeadSquared", "leadsquared outbox resolve {}"),
}
"""The next command for rows that need a person."""
FORGOTTEN = "rows being sent stay, without values, until their outcome is known"
NOT_FOUND = "no row has that value; confirmed rows hold no values"
SENT_AGAIN = "capturing the same input again sends them again"
ELSEWHERE = (
    "the input file, files of --rejects and --out, and other outboxes may still contain the person; the same "
    "capture command would send them again"
)

Reason = Annotated[
    str | None,
    option("--reason TEXT", "Only rows whose reason contains this text, such as MXUnknownAttribute."),
]
Ids = Annotated[Collection[str], option("--item ID", "Only this item, by its id; may be repeated.")]
State = Annotated[
    ItemState | None, option("--state STATE", f"Only rows of this state: {', '.join(ItemState)}.")
]


def stats(files: OutboxFiles, terminal: Terminal, fail_on: FailOn = None) -> ExitStatus:
    """Count the rows of each file by state, and show how to list those rejected or unknown.

    Example: leadsquared outbox stats leads.csv.outbox --fail-on rejected,unknown
    """
    failing = states_of(fail_on)

    async def count(path: Path, outbox: Outbox) -> dict[str, Any]:
        snapshot = await outbox.snapshot()
        held = None if snapshot.oldest is None else await note_of(outbox, HELD)
        return {
            "file": str(path),
            **counts_of(snapshot),
            "oldest": snapshot.oldest,
            "held": held or None,
            "size": snapshot.size,
        }

    found = _each(files, count)
    lines = list[str]()
    for path, each in zip(files, found, strict=True):
        lines.append(f"{one_line(path)}: {counts_text(each)}")
        if each["oldest"] is not None:
            lines.append(f"  the oldest open row has waited {spoken(each['oldest'])}")
        if each["held"] is not None:
            lines.append(f"  held: {each['held']}")
        if (dead := dead_letters(path, each)) is not None:
            lines += [f"  {dead[0]}:", f"    {dead[1]}"]
    terminal.result("\n".join(lines), {"outboxes": found})
    return max(status_for(each, failing) for each in found)


def hold_of(snapshot: OutboxSnapshot) -> str:
    """What is on hold, and why; empty if nothing is. The reason alone names only the call that failed."""
    if snapshot.blocked is None:
        return ""
    if snapshot.blocked in snapshot.held.values():
        return "; ".join(f"{operation} only: {reason}" for operation, reason in snapshot.held.items())
    return f"{ALL}: {snapshot.blocked}"


def items(
    files: OutboxFiles,
    terminal: Terminal,
    state: State = None,
    reason: Reason = None,
    operation: Annotated[str | None, option("--operation NAME", "Only rows of this operation.")] = None,
    older_than: Annotated[
        float,
        option(
            "--older-than DURATION",
            "Only rows unchanged for this long, such as 1h.",
            parse=seconds_of,
            default=False,
        ),
    ] = 0.0,
) -> ExitStatus:
    """List rows with their RequestIDs and states, without their values.

    Example: leadsquared outbox items leads.csv.outbox --state rejected
    """
    now, shown = datetime.now(UTC), 0
    to_fix = dict[ItemState, Path]()
    headings = ("Id", "State", "Age", "Operation", "RequestID", "Reason", "Reference")

    async def listed(path: Path, outbox: Outbox) -> None:
        nonlocal shown
        rows = list[tuple[str, ...]]()
        async for item in outbox.items(state):
            if terminal.is_closed:
                return
            age = (now - item.changed_at).total_seconds()
            if not _has_reason(item, reason) or operation not in {None, item.operation} or age < older_than:
                continue
            shown += 1
            if item.state in NEXT:
                to_fix.setdefault(item.state, path)
            row = row_of(path, item)
            if terminal.as_json:
                terminal.result("", row)
                continue
            known = (
                item.operation,
                item.request_id or "",
                row["kind"] or "",
                one_line(item.reference or "", 100),
            )
            rows.append((str(item.id), item.state, spoken(age), *known))
            if len(rows) == AT_ONCE:
                terminal.table(headings, rows)
                rows.clear()
        if rows:
            terminal.table(headings, rows)

    _each(files, listed)
    for line in () if terminal.as_json or terminal.is_closed else _next_commands(to_fix):
        terminal.say(line)
    if not (shown or terminal.is_closed):
        terminal.say("no items" if state is None else f"no items are {state}")
    return ExitStatus.DONE


def _next_commands(to_fix: Mapping[ItemState, Path]) -> Iterator[str]:
    """For each state that needs a person, the command for the first file with such rows."""
    for state, (what, command) in NEXT.items():
        if (path := to_fix.get(state)) is not None:
            yield f"{state}: {what}: {command.format(shell_word(path))}"


def requeue(
    files: OutboxFiles,
    terminal: Terminal,
    state: Annotated[
        Literal["rejected", "unknown"],
        option("--state", "Which rows. Unknown ones may have arrived: use `outbox resolve` instead."),
    ] = "rejected",
    reason: Reason = None,
    ids: Ids = (),
    drop: Annotated[Collection[str], option("--drop NAME", "An attribute to leave out.")] = (),
    values: Annotated[Mapping[str, str], option("--set NAME=VALUE", "An attribute to set.")] = {},
    search_by: Annotated[str | None, option("--search-by NAME", "Another SearchBy.")] = None,
    dry_run: Annotated[
        bool, option("--dry-run", "Count the rows that would be requeued, and change nothing.")
    ] = False,
) -> ExitStatus:
    """Put rejected or unknown rows back, changed or as they are; `serve` or `drain` sends them.

    Example: leadsquared outbox requeue leads.csv.outbox --reason MXUnknownAttribute --drop mx_Foo
    """

    rows = _rows(files, ids)

    async def chosen(_path: Path, outbox: Outbox) -> list[OutboxItem]:
        return [
            found
            async for found in outbox.items(ItemState(state))
            if _has_reason(found, reason) and (not rows or found.id in rows)
        ]

    async def put_back(path: Path, outbox: Outbox) -> tuple[int, int]:
        queued, refused = 0, 0
        for item in await chosen(path, outbox):
            if item.is_erased:
                refused += 1
                terminal.say(f"row {item.id}: its values are erased; pass the lead in again")
                continue
            try:
                if not dry_run:
                    lead = {**(item.lead or {}), **values} if values else None
                    await outbox.requeue(item, lead=lead, drop=tuple(drop), search_by=search_by)
            except (InvalidLead, UnreadableRowError) as error:
                refused += 1
                terminal.say(f"row {item.id}: {error}")
            else:
                queued += 1
        return queued, refused

    if drop:  # a misspelt name would leave the rows as they are
        there = set[str]()
        for item in sum(_each(files, chosen), list[OutboxItem]()):
            there.update(item.lead or (), item.details or (), (item.details or {}).get("Fields", ()))
        if missing := [name for name in drop if there and name not in there]:
            raise CommandFailedError(f"--drop {', '.join(missing)}: none of the rows has that attribute")
    queued, refused = (sum(counts) for counts in zip(*_each(files, put_back), strict=True))
    verb = "would be sent again" if dry_run else "will be sent again"
    if queued and not dry_run:
        named = " ".join(shell_word(path) for path in files)
        verb += f", by the process that delivers, else by: leadsquared outbox drain {named}"
    terminal.result(
        f"{counted(queued, 'row')} {verb}" + (f", {refused:,} cannot be" if refused else ""),
        {
            "requeued": 0 if dry_run else queued,
            "matched": queued + refused,
            "refused": refused,
            "dry_run": dry_run,
        },
    )
    return ExitStatus.NOT_ALL if refused else ExitStatus.DONE


def discard(files: OutboxFiles, terminal: Terminal, ids: Ids = ()) -> ExitStatus:
    """Delete items that are not to be sent: pending, rejected or unknown ones.

    Example: leadsquared outbox discard leads.csv.outbox --item 4711
    """
    rows = _rows(files, ids)
    if not rows:
        raise CommandFailedError(
            "--item: pass the ids of the items, as `leadsquared outbox items` shows them"
        )

    async def delete(_path: Path, outbox: Outbox) -> int:
        return sum([await outbox.discard(row) for row in rows])

    discarded = sum(_each(files, delete))
    missing = len(rows) - discarded
    terminal.result(
        f"{counted(discarded, 'row')} deleted"
        + (f", {missing:,} neither pending, rejected nor unknown" if missing else "")
        + (f"; {SENT_AGAIN}" if discarded else ""),
        {"discarded": discarded, "missing": missing},
    )
    return ExitStatus.NOT_ALL if missing else ExitStatus.DONE


def forget(
    files: OutboxFiles,
    terminal: Terminal,
    by: Annotated[str, option("--by NAME", "The attribute to find the person by, such as EmailAddress.")],
) -> ExitStatus:
    """Erase a person, found by the value of an attribute; pending rows are not sent.

    The value is prompted for or read from standard input, because the shell keeps a history.

    Example: leadsquared outbox forget leads.csv.outbox --by EmailAddress
    """
    check_files(files)
    value = terminal.line_of_input(by)

    async def erase(_path: Path, outbox: Outbox) -> int:
        return await outbox.forget(**{by: value})

    erased = sum(_each(files, erase))
    terminal.say(ELSEWHERE)
    terminal.result(
        f"{counted(erased, 'row')} erased; {FORGOTTEN if erased else NOT_FOUND}", {"erased": erased}
    )
    return ExitStatus.DONE


def purge(
    files: OutboxFiles,
    terminal: Terminal,
    older_than: Annotated[
        float,
        option(
            "--older-than DURATION",
            "How long a row has been final; by default 30d.",
            parse=seconds_of,
            default=False,
        ),
    ] = seconds_of("30d"),
) -> ExitStatus:
    """Delete final rows and their keys: capturing the same input again sends them again.

    Example: leadsquared outbox purge leads.csv.outbox --older-than 30d
    """

    async def delete(_path: Path, outbox: Outbox) -> int:
        return await outbox.purge(older_than)

    purged = sum(_each(files, delete))
    terminal.result(
        f"{counted(purged, 'row')} deleted" + (f"; {SENT_AGAIN}" if purged else ""),
        {"purged": purged},
    )
    return ExitStatus.DONE


def check_files(files: Iterable[Path]) -> None:
    """Raise if a file is missing: opening an outbox would create it."""
    for path in files:
        if not path.is_file():
            beside = path.with_suffix(".sandbox.outbox")
            hint = f"; that of a sandbox is {beside}" if beside.is_file() else ""
            raise CommandFailedError(f"{path}: there is no such outbox{hint}")


def _each(files: Sequence[Path], do: Callable[[Path, Outbox], Coroutine[Any, Any, Any]]) -> list[Any]:
    """Call `do` with each outbox; creates no file."""
    check_files(files)

    async def run() -> list[Any]:
        results: list[Any] = []
        for path in files:
            async with Outbox(path) as outbox:
                results.append(await do(path, outbox))
        return results

    return asyncio.run(run())


def _rows(files: Sequence[Path], ids: Collection[str]) -> list[int]:
    """The ids of `--item`; they say nothing about a second file."""
    if ids and len(files) > 1:
        raise CommandFailedError("--item: each file has ids of its own; pass one file")
    return numbers_of(ids)


def numbers_of(ids: Collection[str]) -> list[int]:
    """The ids of `--item` as numbers, each once."""
    if not all(text.isdecimal() for text in ids):
        raise CommandFailedError("--item: an id is a number, as `leadsquared outbox items` shows it")
    return list(dict.fromkeys(map(int, ids)))


def _has_reason(item: OutboxItem, text: str | None) -> bool:
    return text is None or text.casefold() in (item.reason or "").casefold()


def counts_of(snapshot: OutboxSnapshot) -> dict[str, int]:
    return {state.value: snapshot.counts[state] for state in ItemState}


def counts_text(counts: Mapping[ItemState, int]) -> str:
    return ", ".join(f"{state} {counts[state]:,}" for state in ItemState if counts[state]) or "empty"


def row_of(path: Path, item: OutboxItem) -> dict[str, Any]:
    """A row without its values and its key, which may be personal data."""
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
        "kind": _kind_of(item),
    }


def _kind_of(item: OutboxItem) -> str | None:
    if item.state is ItemState.UNKNOWN:
        return kind_of_unknown(item.reason)
    return kind_of(item.reason) if item.state is ItemState.REJECTED else None


def dead_letters(path: Path, counts: Mapping[ItemState, int]) -> tuple[str, str] | None:
    """The count of rejected and unknown rows, and the command that lists them; None without any."""
    found = [state for state in (ItemState.REJECTED, ItemState.UNKNOWN) if counts[state]]
    if not found:
        return None
    said = ", ".join(f"{counts[state]:,} {state}" for state in found)
    listing = f"leadsquared outbox items {shell_word(path)} --state {found[0]}"
    return f"dead letters: {said}; list them with", listing


def states_of(text: str | None) -> frozenset[ItemState]:
    names = [] if text is None else [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in set(ItemState):
            raise CommandFailedError(
                f"--fail-on: {name!r} is not an item state; choose from {', '.join(ItemState)}, "
                "separated by commas"
            )
    return frozenset(map(ItemState, names))


def status_for(counts: Mapping[ItemState, int], fail_on: Collection[ItemState]) -> ExitStatus:
    return ExitStatus.FAIL_ON if any(counts[state] for state in fail_on) else ExitStatus.DONE
