"""The rows of an input into its outbox: what is new, what is known, what may not go in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from leadsquared_async import ItemState, KeyReused, Outbox
from leadsquared_async.cli.files.source import Input, Line, in_pieces
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.outbox import OutboxItem

__all__ = ["Checked", "Put", "check", "put", "withdraw"]

AT_ONCE = 500
REASONS_SHOWN, REASONS_KEPT = 10, 1000
KEY_REUSED = (
    "its key was used before with other values; give it another key, or leave keys out, and it is sent as a "
    "change"
)
KEY_TWICE = "the same key as line {line}, with other values; give it another key, or leave keys out"


class Refusals:
    """Why rows cannot be sent: each reason with the first of its lines, and how many more there are."""

    def __init__(self, all_why: Iterable[str] = ()) -> None:
        self._found: dict[str, tuple[str, int]] = {}
        self._beyond = 0
        for why in all_why:
            self.add(why)

    def add(self, why: str) -> None:
        """One more row, told as "line 2: reason"."""
        line, _, reason = why.partition(": ")
        first, count = self._found.get(reason, (line, 0))
        if count or len(self._found) < REASONS_KEPT:
            self._found[reason] = (first, count + 1)
        else:
            self._beyond += 1

    def told(self) -> list[str]:
        """For people, the first reasons."""
        shown = [
            f"{line}{f' and {count - 1:,} more' if count > 1 else ''}: {reason}"
            for reason, (line, count) in list(self._found.items())[:REASONS_SHOWN]
        ]
        counts = [count for _, count in self._found.values()]
        if more := sum(counts[REASONS_SHOWN:]) + self._beyond:
            shown.append(f"{more:,} more; --rejects writes them all into a file")
        return shown


@dataclass(slots=True)
class Checked:
    """What a look at the whole input has shown.

    Attributes:
        rows: how many there are.
        to_send: rows that LeadSquared has not accepted.
        to_confirm: rows that it has accepted, in an earlier run, and whose outcome is not known.
        before: rows that ended in an earlier run.
        refused: why rows cannot be sent, each reason once.
        refusals: how many such rows there are.
        unfit: how many of these do not fit the account's lead fields.
        repeats: rows that have the key of an earlier row of the input: without a key of their own, they are
            the same.
        left_over: numbers of rows that an earlier run with an input of this name has left in the outbox, and
            that this one does not make.
        others: how many more rows are still to be sent from the outbox, which no input of this name has made.
    """

    rows: int = 0
    to_send: int = 0
    to_confirm: int = 0
    before: int = 0
    refused: Refusals = field(default_factory=Refusals)
    refusals: int = 0
    unfit: int = 0
    repeats: int = 0
    left_over: list[int] = field(default_factory=list[int])
    others: int = 0


@dataclass(slots=True)
class Put:
    """What became of the rows at the outbox's door.

    Attributes:
        delivered: rows that had ended well before.
        reused: why rows are refused whose keys belong to other leads, by line.
        unfit: lines of rows that were left out, since they do not fit the account's lead fields.
        taken_out: rows of an earlier run that were taken out of the outbox.
    """

    delivered: int = 0
    reused: dict[int, str] = field(default_factory=dict[int, str])
    unfit: set[int] = field(default_factory=set[int])
    taken_out: int = 0


async def check(source: Input, outbox: Outbox | None, stop: Stop, *, confirm: bool) -> Checked:
    """Read the whole input, and compare it with an outbox; changes nothing.

    Args:
        source: the input.
        outbox: as an earlier run has left it; None if there is none.
        stop: ends it early.
        confirm: whether the outcome of what is accepted is to be learnt.

    Raises:
        Unreadable: the input cannot be read to its end.
        Interrupted: a stop was asked for.
    """
    checked = Checked()
    waiting = _Waiting() if outbox is None else await _waiting(source, outbox)
    seen: set[bytes] = set()
    for piece in in_pieces(source.lines(), AT_ONCE):
        stop.check()
        checked.rows += len(piece)
        keys = [line.key for line in piece if line.key is not None]
        found = {} if outbox is None else await outbox.find(keys)
        for line in piece:
            if line.key is None or (line.flaws and line.key not in found):
                checked.refusals += 1
                checked.unfit += line.key is not None
                checked.refused.add(line.why)
                continue
            waiting.left_over.pop(line.key, None)
            waiting.others.discard(line.key)
            if _is_repeat(seen, line.key):
                checked.repeats += 1
            else:
                _count(checked, found.get(line.key), confirm=confirm)
    checked.left_over = list(waiting.left_over.values())
    checked.others = len(waiting.others) + waiting.without_key
    return checked


def _is_repeat(seen: set[bytes], key: str) -> bool:
    """Whether a row stands in the input twice; a million keys take less memory by their digests."""
    short = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if short in seen:
        return True
    seen.add(short)
    return False


def _count(checked: Checked, item: OutboxItem | None, *, confirm: bool) -> None:
    if item is None or item.state in {ItemState.PENDING, ItemState.SENDING}:
        checked.to_send += 1
    elif item.state is ItemState.ACCEPTED and confirm:
        checked.to_confirm += 1
    else:
        checked.before += 1


@dataclass(slots=True)
class _Waiting:
    """Rows of an outbox that are still to be sent.

    Attributes:
        left_over: the numbers of those that an input of this name has made and that may be taken out, by
            key.
        others: the keys of all others.
        without_key: how many have none.
    """

    left_over: dict[str, int] = field(default_factory=dict[str, int])
    others: set[str] = field(default_factory=set[str])
    without_key: int = 0


async def _waiting(source: Input, outbox: Outbox) -> _Waiting:
    waiting = _Waiting()
    for state in (ItemState.PENDING, ItemState.SENDING):
        async for item in outbox.items(state):
            if item.key is None:
                waiting.without_key += 1
            elif state is ItemState.PENDING and source.made(item.reference):
                waiting.left_over[item.key] = item.id
            else:
                waiting.others.add(item.key)
    return waiting


async def withdraw(outbox: Outbox, rows: list[int]) -> int:
    """Take rows out again that are not on their way; returns how many."""
    withdrawn = 0
    for piece in in_pieces(rows, AT_ONCE):
        withdrawn += sum(await asyncio.gather(*map(outbox.discard, piece)))
    return withdrawn


async def put(source: Input, outbox: Outbox, stop: Stop, *, own_keys: bool, confirm: bool) -> Put:
    """Put what is not in the outbox yet.

    Args:
        source: the input.
        outbox: open, without a client.
        stop: ends it early.
        own_keys: whether keys are the user's own, so that another lead may have one.
        confirm: whether accepted rows are still to be followed.

    Raises:
        OutboxError: the file does not take them.
        Interrupted: a stop was asked for.
    """
    result = Put()
    seen: dict[str, int] = {}
    delivered = {ItemState.CONFIRMED} if confirm else {ItemState.CONFIRMED, ItemState.ACCEPTED}

    for piece in in_pieces(source.lines(), AT_ONCE):
        stop.check()
        lines = [line for line in piece if line.key is not None]
        known = await outbox.find(line.key for line in lines if line.key is not None)
        fresh: dict[str, Line] = {}
        others: list[Line] = []
        for line in lines:
            assert line.key is not None
            if line.key in known:
                others.append(line)
            elif line.flaws:
                result.unfit.add(line.row.line)
            elif fresh.setdefault(line.key, line) is not line:
                others.append(line)
        await outbox.put_many(map(source.entry, fresh.values()))
        if own_keys:
            seen.update((key, line.row.line) for key, line in fresh.items())
            result.reused |= await _put_under_own_keys(source, outbox, known, others, seen)
        result.delivered += sum(
            known[line.key].state in delivered
            for line in others
            if line.key in known and line.row.line not in result.reused
        )
    return result


async def _put_under_own_keys(
    source: Input, outbox: Outbox, known: Mapping[str, OutboxItem], lines: list[Line], seen: dict[str, int]
) -> dict[int, str]:
    """Put rows whose keys are there already; returns for the lines of those that are other leads why not.

    A row that LeadSquared has rejected is replaced by its mended version, unless an earlier row of this input
    has the same key, which `seen` tells with its line.
    """
    entries = list(map(source.entry, lines))
    answers = await asyncio.gather(*(outbox.put_many([entry]) for entry in entries), return_exceptions=True)
    reused: dict[int, str] = {}
    for line, entry, answer in zip(lines, entries, answers, strict=True):
        assert entry.key is not None
        number = line.row.line
        is_first = entry.key not in seen
        first = seen.setdefault(entry.key, number)
        if not isinstance(answer, BaseException):
            continue
        if not isinstance(answer, KeyReused):
            raise answer
        item = known.get(entry.key)
        is_rejected = item is not None and item.state is ItemState.REJECTED
        if not is_first:
            reused[number] = f"line {number}: {KEY_TWICE.format(line=first)}"
        elif line.flaws:
            reused[number] = line.why
        elif item is not None and is_rejected and await outbox.discard(item):
            await outbox.put_many([entry])
        else:
            reused[number] = f"line {number}: {KEY_REUSED}"
    return reused
