"""Watches outboxes deliver until all rows are final, or until somebody has to act."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from leadsquared_async import Fault, ItemState, Outbox, OutboxItem, OutboxSnapshot
from leadsquared_async.cli.estimate import STATUS_CALLS
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.outboxes import HELD
from leadsquared_async.cli.progress import Look, Progress
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.errors import OutboxError
from leadsquared_async.outbox import set_note

__all__ = ["Delivered", "Ending", "Kinds", "deliver"]

LOOK_EVERY = 0.2
SHARE_OF_LOOKING = 0.05
"""Of the time: counting a million rows is slow."""
PATIENCE = 60.0
"""Seconds without progress after which an account-level error ends the run, if there was progress before."""


class Ending(Enum):
    """Why delivery ended."""

    DONE = "done"
    STOPPED = "stopped"
    ACCOUNT = "account"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Delivered:
    """How delivery ended, and why; `failed` rows, from any input, ended rejected or unknown."""

    ending: Ending
    why: str | None = None
    is_idle: bool = False
    failed: int = 0

    @property
    def status(self) -> ExitStatus:
        """The exit status, without regard to rows that failed."""
        ended = {Ending.DONE: ExitStatus.DONE, Ending.ACCOUNT: ExitStatus.ACCOUNT}
        return ended.get(self.ending, ExitStatus.LEFT)


async def deliver(
    outboxes: Sequence[Outbox],
    stop: Stop,
    progress: Progress,
    *,
    confirm: bool = True,
    gives_up: bool = True,
) -> Delivered:
    """Watch open outboxes until all of their rows are final, or the account rejects all calls."""
    noted: str | None = None
    seen: tuple[int, ...] | None = None
    moved_at, has_moved = time.monotonic(), False
    while True:
        began = time.monotonic()
        look = _look([await outbox.snapshot() for outbox in outboxes], confirm=confirm)
        progress.update(look)
        if (held := look.held or "") != noted:
            noted = held
            for outbox in outboxes:
                with suppress(OutboxError, OSError):  # an outbox that cannot be written is held for that
                    await set_note(outbox, HELD, held)
        before, seen = seen, (look.waiting, look.unconfirmed, look.confirmed, look.rejected, look.unknown)
        if before not in {None, seen}:
            has_moved, moved_at = True, time.monotonic()
        if look.is_done:
            return Delivered(Ending.DONE)
        if (why := stop.why) is not None:
            return Delivered(Ending.STOPPED, why)
        if gives_up and look.held is not None:
            is_over = time.monotonic() - moved_at >= PATIENCE
            if look.fault is Fault.ACCOUNT and (is_over or not has_moved):
                return Delivered(Ending.ACCOUNT, look.held)
            if look.fault is None and is_over:  # the outbox file cannot be used
                return Delivered(Ending.STUCK, look.held)
        await asyncio.sleep(max(LOOK_EVERY, (time.monotonic() - began) / SHARE_OF_LOOKING))


def _look(snapshots: Sequence[OutboxSnapshot], *, confirm: bool) -> Look:
    counts: Counter[ItemState] = Counter()
    for snapshot in snapshots:
        counts.update(snapshot.counts)
    # Account-level errors come first.
    held = min(
        (snapshot for snapshot in snapshots if snapshot.blocked is not None),
        key=lambda snapshot: snapshot.fault is not Fault.ACCOUNT,
        default=None,
    )
    is_done = all(snapshot.oldest is None for snapshot in snapshots)
    accepted = 0 if is_done else counts[ItemState.ACCEPTED]  # rows of a run with --no-confirm stay accepted
    waiting = counts[ItemState.PENDING] + counts[ItemState.SENDING]
    return Look(
        at=time.monotonic(),
        waiting=waiting,
        unconfirmed=accepted if confirm else 0,
        work=waiting + (STATUS_CALLS * (waiting + accepted) if confirm else 0),
        confirmed=counts[ItemState.CONFIRMED],
        rejected=counts[ItemState.REJECTED],
        unknown=counts[ItemState.UNKNOWN],
        is_done=is_done,
        held=held.blocked if held else None,
        fault=held.fault if held else None,
        next_probe=held.next_probe if held else None,
        delivers=all(snapshot.delivers for snapshot in snapshots),
    )


class Kinds:
    """Counts the reasons of rejected leads, and all rejected or unknown ones, for `Outbox.on_final`."""

    def __init__(self, attributes: frozenset[str] = frozenset()) -> None:
        self._attributes = attributes  # schema names that may be shown
        self.counts: Counter[str] = Counter()
        self.failed = 0

    def note(self, item: OutboxItem) -> None:
        """Count a final item."""
        self.failed += item.state in {ItemState.REJECTED, ItemState.UNKNOWN}
        if item.state is ItemState.REJECTED:
            self.counts[kind_of(item.reason, self._attributes)] += 1
