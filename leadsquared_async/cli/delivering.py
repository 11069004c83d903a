"""Outboxes are watched while they deliver, until nothing is left to do or somebody has to act."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from leadsquared_async import Fault, ItemState, Outbox, OutboxItem, OutboxSnapshot
from leadsquared_async.cli.estimate import STATUS_CALLS
from leadsquared_async.cli.outboxes import HELD
from leadsquared_async.cli.progress import Look, Progress
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.errors import OutboxError
from leadsquared_async.outbox import set_note

__all__ = ["Delivered", "Ending", "Kinds", "deliver"]

LOOK_EVERY = 0.2
SHARE_OF_LOOKING = 0.05
"""Of the time: to count a million rows takes a while."""
PATIENCE = 60.0
"""Seconds for which nothing may get through for the account's fault, if something did before."""


class Ending(Enum):
    """Why delivering ended."""

    DONE = "done"
    STOPPED = "stopped"
    ACCOUNT = "account"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Delivered:
    """How it ended.

    Attributes:
        ending: in a word.
        why: what stopped it, in words; None if it is done.
        is_idle: whether nothing was to be delivered.
        short: rows that ended rejected or unknown, of whichever input.
    """

    ending: Ending
    why: str | None = None
    is_idle: bool = False
    short: int = 0


@dataclass(slots=True)
class _Movement:
    """Whether anything gets through."""

    seen: tuple[int, ...] = ()
    moved: bool = False
    at: float = field(default_factory=time.monotonic)

    def note(self, seen: tuple[int, ...]) -> None:
        if self.seen and seen != self.seen:
            self.moved, self.at = True, time.monotonic()
        self.seen = seen

    def ended(self) -> bool:
        return not self.moved or time.monotonic() - self.at >= PATIENCE


async def deliver(
    outboxes: Sequence[Outbox],
    stop: Stop,
    progress: Progress,
    *,
    confirm: bool = True,
    gives_up: bool = True,
) -> Delivered:
    """Watch open outboxes until all of their rows are final.

    Args:
        outboxes: entered with a client.
        stop: ends it early.
        progress: is shown.
        confirm: whether accepted rows are followed.
        gives_up: whether to end when the account's fault lets nothing through.
    """
    movement, noted = _Movement(), None
    while True:
        began = time.monotonic()
        snapshots = [await outbox.snapshot() for outbox in outboxes]
        look = _look(snapshots, confirm=confirm)
        progress.update(look)
        if (held := look.held or "") != noted:
            noted = held
            for outbox in outboxes:
                with suppress(OutboxError, OSError):  # what cannot be written is why it is held
                    await set_note(outbox, HELD, held)
        movement.note((look.waiting, look.unconfirmed, look.confirmed, look.rejected, look.unknown))
        if look.is_done:
            return Delivered(Ending.DONE)
        if (why := stop.why) is not None:
            return Delivered(Ending.STOPPED, why)
        if gives_up and (ended := _given_up(look, movement)) is not None:
            return ended
        await asyncio.sleep(max(LOOK_EVERY, (time.monotonic() - began) / SHARE_OF_LOOKING))


def _given_up(look: Look, movement: _Movement) -> Delivered | None:
    if look.held is None or not movement.ended():
        return None
    if look.fault is Fault.ACCOUNT:
        return Delivered(Ending.ACCOUNT, look.held)
    if look.fault is None and time.monotonic() - movement.at >= PATIENCE:  # the file's own trouble
        return Delivered(Ending.STUCK, look.held)
    return None


def _look(snapshots: Sequence[OutboxSnapshot], *, confirm: bool) -> Look:
    counts: Counter[ItemState] = Counter()
    for snapshot in snapshots:
        counts.update(snapshot.counts)
    held = [snapshot for snapshot in snapshots if snapshot.blocked is not None]
    # What the account has to mend comes first.
    held.sort(key=lambda snapshot: snapshot.fault is not Fault.ACCOUNT)
    is_done = all(snapshot.oldest is None for snapshot in snapshots)
    accepted = 0 if is_done else counts[ItemState.ACCEPTED]  # those of a run that did not follow them stay
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
        held=held[0].blocked if held else None,
        fault=held[0].fault if held else None,
        next_probe=held[0].next_probe if held else None,
        delivers=all(snapshot.delivers for snapshot in snapshots),
    )


class Kinds:
    """Counts why leads are rejected; to be registered with an outbox's `on_final`.

    Args:
        attributes: schema names that may be shown.

    Attributes:
        counts: by kind.
        short: all that are rejected or unknown.
    """

    def __init__(self, attributes: frozenset[str] = frozenset()) -> None:
        self._attributes = attributes
        self.counts: Counter[str] = Counter()
        self.short = 0

    def note(self, item: OutboxItem) -> None:
        """Count one that is final."""
        self.short += item.state in {ItemState.REJECTED, ItemState.UNKNOWN}
        if item.state is ItemState.REJECTED:
            self.counts[kind_of(item.reason, self._attributes)] += 1
